"""What the published recipe knows of the people of one picture (paper section 3.5, supplement B)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PictureTargets:
    """The n people of one picture. Positions are fractions of the picture (x / width, y / height); parts are ordered
    left hand, right hand, face; what is not valid takes no part in any loss."""

    image_size_px: tuple[int, int]
    """(width, height) of the picture as the network sees it, without padding."""
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
    has_3d: bool
    """Whether the data set's 3-d joints are to be trusted."""
    joints_2d: Tensor
    """(n, 137, 2)"""
    joints_2d_valid: Tensor
    """(n, 137)"""
