"""What the published recipe knows of the people of one picture (paper section 3.5, supplement B)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class PeopleTargets:
    """n people. Positions are fractions of the picture (x / width, y / height); parts are ordered left hand, right
    hand, face; what is not valid takes no part in any loss."""

    boxes: Tensor
    """(n, 4) cxcywh."""
    boxes_valid: Tensor
    """(n,)"""
    part_boxes: Tensor
    """(n, 3, 4) cxcywh."""
    part_boxes_valid: Tensor
    """(n, 3)"""
    keypoints: Tensor
    """(n, 17, 2) COCO order."""
    keypoints_valid: Tensor
    """(n, 17)"""
    part_keypoints: Tensor
    """(n, 3, 6, 2)"""
    part_keypoints_valid: Tensor
    """(n, 3, 6)"""
    pose: Tensor
    """(n, 53, 3) axis-angle: 22 body joints, 15 of the left hand, 15 of the right hand, jaw."""
    pose_valid: Tensor
    """(n, 53)"""
    betas: Tensor
    """(n, 10)"""
    betas_valid: Tensor
    """(n,)"""
    expression: Tensor
    """(n, 10)"""
    expression_valid: Tensor
    """(n,)"""
    joints_3d: Tensor
    """(n, 137, 3) metres, camera axes, as annotated."""
    joints_3d_valid: Tensor
    """(n, 137)"""
    body_joints_3d: Tensor
    """(n, 137, 3) metres, camera axes, of the annotated SMPL-X body."""
    body_joints_3d_valid: Tensor
    """(n, 137)"""
    joints_2d: Tensor
    """(n, 137, 2)"""
    joints_2d_valid: Tensor
    """(n, 137)"""


@dataclass(frozen=True)
class PictureTargets(PeopleTargets):
    """The people of one picture."""

    image_size_px: tuple[int, int]
    """(width, height) of the picture as the network sees it, without padding."""
    has_3d: bool
    """Whether the data set's 3-d joints are to be trusted."""


@dataclass(frozen=True)
class BatchTargets(PeopleTargets):
    """The people of all pictures of a batch in one row, picture by picture."""

    picture: Tensor
    """(n,) int64 number of each person's picture."""
    sizes_px: Tensor
    """(n, 2) width and height of that picture."""
    has_3d: Tensor
    """(n,)"""
    pictures: int
    """Number of pictures, also of those without people."""

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, people: Tensor) -> BatchTargets:
        """Some of the people, by number (k,)."""
        return self._map(lambda value: value[people])

    def to(self, device: torch.device) -> BatchTargets:
        """The same on another device."""
        return self._map(lambda value: value.to(device, non_blocking=True))

    def _map(self, function) -> BatchTargets:
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: function(value) for name, value in tensors.items()})


def join(pictures: list[PictureTargets], dtype: torch.dtype = torch.float32) -> BatchTargets:
    """The targets of a batch."""
    counts = [len(picture.boxes) for picture in pictures]
    picture = torch.repeat_interleave(torch.arange(len(pictures)), torch.tensor(counts))
    people = {
        field.name: torch.cat([getattr(picture, field.name).to(dtype) for picture in pictures])
        for field in fields(PeopleTargets)
    }
    return BatchTargets(
        **people,
        picture=picture,
        sizes_px=torch.tensor([p.image_size_px for p in pictures], dtype=dtype)[picture],
        has_3d=torch.tensor([p.has_3d for p in pictures], dtype=dtype)[picture],
        pictures=len(pictures),
    )
