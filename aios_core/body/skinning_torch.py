"""The body in torch: the same model as `skinning`, differentiable and batched, for training and many people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import tree_levels

SKINNED_AT_ONCE = 8
"""Bodies that a CPU skins together: the arrays of more would not stay in its cache."""


@dataclass(frozen=True)
class TorchPosed:
    """Bodies in poses, metres: joints (B, 55, 3), and vertices (B, V, 3) where asked for."""

    joints: Tensor
    vertices: Tensor | None


class TorchBody(nn.Module):
    """One body's arrays as buffers that are not saved with a model's weights."""

    def __init__(self, body: BodyModel, dtype: torch.dtype = torch.float32):
        super().__init__()
        floats = (
            "v_template", "shapedirs", "exprdirs", "lbs_weights", "joint_template", "joint_shapedirs", "joint_exprdirs",
            "landmark_weights", "contour_weights",
        )  # fmt: skip
        for name in floats:
            self.register_buffer(name, torch.as_tensor(getattr(body, name)).to(dtype), persistent=False)
        integers = ("faces", "extra_joint_vertices", "landmark_faces", "contour_faces", "parents")
        for name in integers:
            self.register_buffer(name, torch.as_tensor(getattr(body, name)).long(), persistent=False)
        self._register_pose_correctives(body, dtype)
        self._register_levels(body)

    def _register_pose_correctives(self, body: BodyModel, dtype: torch.dtype) -> None:
        """posedirs as one matrix, or joint by joint where joints move few coordinates."""
        blocks = body.corrective_blocks
        whole = torch.as_tensor(body.posedirs).to(dtype) if body.posedirs is not None and blocks is None else None
        self.register_buffer("posedirs", whole, persistent=False)
        self.corrective_features = [block.features for block in blocks or ()]
        self.corrective_counts = [len(block.coordinates) for block in blocks or ()]
        directions = np.concatenate([block.directions for block in blocks], 1) if blocks else None
        coordinates = np.concatenate([block.coordinates for block in blocks]) if blocks else None
        for name, array, kind in (("directions", directions, dtype), ("coordinates", coordinates, torch.long)):
            tensor = None if array is None else torch.as_tensor(array).to(kind)
            self.register_buffer(f"corrective_{name}", tensor, persistent=False)

    def _register_levels(self, body: BodyModel) -> None:
        """The tree level by level: a level's transforms are appended to those before it."""
        levels = tree_levels(body.parents)
        order = np.concatenate(levels)
        place = order.argsort()
        self.level_counts = [len(level) for level in levels]
        for name, joints in (("joints", order), ("parents", place[body.parents[order[1:]]]), ("order", place)):
            self.register_buffer(f"level_{name}", torch.as_tensor(joints).long(), persistent=False)

    def forward(
        self,
        betas: Tensor,
        expression: Tensor,
        rotmats: Tensor,
        transl: Tensor | None = None,
        with_vertices: bool = True,
    ) -> TorchPosed:
        """Bodies (B) from betas (B, 10), expression (B, 10), rotation matrices (B, 55, 3, 3) and transl (B, 3)."""
        rest = self.joint_template + torch.einsum("bk,jck->bjc", betas, self.joint_shapedirs)
        rest = rest + torch.einsum("bk,jck->bjc", expression, self.joint_exprdirs)
        rotations, joints = self.forward_kinematics(rotmats, rest)
        vertices = None
        if with_vertices:
            given = (betas, expression, rotmats, rest, rotations, joints)
            size = SKINNED_AT_ONCE if rotmats.device.type == "cpu" else max(len(rotmats), 1)
            parts = zip(*(array.expand(len(rotmats), *array.shape[1:]).split(size) for array in given), strict=True)
            vertices = torch.cat([self._skinned(*part) for part in parts])
        if transl is not None:
            joints = joints + transl[:, None]
            vertices = None if vertices is None else vertices + transl[:, None]
        return TorchPosed(joints=joints, vertices=vertices)

    def forward_kinematics(self, rotmats: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (B, 55, 3, 3) and positions (B, 55, 3) of the joints, level by level of the tree."""
        offsets = rest - torch.cat([torch.zeros_like(rest[:, :1]), rest[:, self.parents[1:]]], 1)
        rotations, positions = rotmats[:, :1], offsets[:, :1]
        levels = self.level_joints.split(self.level_counts)[1:]
        for level, parents in zip(levels, self.level_parents.split(self.level_counts[1:]), strict=True):
            parent = rotations[:, parents]
            moved = (parent @ offsets[:, level, :, None])[..., 0]
            positions = torch.cat([positions, positions[:, parents] + moved], 1)
            rotations = torch.cat([rotations, parent @ rotmats[:, level]], 1)
        return rotations[:, self.level_order], positions[:, self.level_order]

    def _skinned(
        self, betas: Tensor, expression: Tensor, rotmats: Tensor, rest: Tensor, rotations: Tensor, joints: Tensor
    ) -> Tensor:
        vertices = self.v_template + torch.einsum("bk,vck->bvc", betas, self.shapedirs)
        vertices = vertices + torch.einsum("bk,vck->bvc", expression, self.exprdirs)
        features = (rotmats[:, 1:] - torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)).flatten(1)
        vertices = self._with_pose_correctives(vertices.flatten(1), features).view_as(vertices)
        translations = joints - (rotations @ rest[..., None])[..., 0]
        affine = torch.cat([rotations, translations[..., None]], -1)  # (B, 55, 3, 4)
        blended = (self.lbs_weights @ affine.flatten(2)).unflatten(-1, (3, 4))  # (B, V, 3, 4)
        # A product of small matrices would call the library once for each vertex.
        return (blended[..., :3] * vertices[:, :, None]).sum(-1) + blended[..., 3]

    def _with_pose_correctives(self, coordinates: Tensor, features: Tensor) -> Tensor:
        """Rest coordinates (B, V*3) moved by rotation matrices less identity (B, 486)."""
        if self.posedirs is not None:
            return coordinates + features @ self.posedirs
        if self.corrective_directions is None:
            return coordinates
        parts = zip(self.corrective_features, self.corrective_directions.split(self.corrective_counts, 1), strict=True)
        offsets = torch.cat([features[:, which] @ directions for which, directions in parts], 1)
        return coordinates.index_add(1, self.corrective_coordinates, offsets)

    def joints_144(self, posed: TorchPosed, rotmats: Tensor) -> Tensor:
        """The 144 joints (B, 144, 3) of bodies with vertices (SPEC section 10.2)."""
        vertices = posed.vertices
        extra = vertices[:, self.extra_joint_vertices]
        landmarks = (vertices[:, self.faces[self.landmark_faces]] * self.landmark_weights[..., None]).sum(-2)
        row = contour_row(rotmats)
        corners = self.faces[self.contour_faces[row]].flatten(1)  # (B, 51)
        picked = vertices.gather(1, corners[..., None].expand(-1, -1, 3)).view(len(vertices), 17, 3, 3)
        contour = (picked * self.contour_weights[row][..., None]).sum(-2)
        return torch.cat([posed.joints, extra, landmarks, contour], 1)


def contour_row(rotmats: Tensor) -> Tensor:
    """Rows (B,) of the contour table for the head's yaw in rotation matrices (B, 55, 3, 3) (SPEC section 10.2)."""
    turned = rotmats[:, 12]
    for joint in (9, 6, 3, 0):
        turned = rotmats[:, joint] @ turned
    yaw = torch.atan2(-turned[:, 2, 0], torch.hypot(turned[:, 0, 0], turned[:, 1, 0]))
    degrees = torch.round(torch.clamp(-torch.rad2deg(yaw), max=39)).long()
    return torch.where(degrees >= 0, degrees, torch.where(degrees < -39, 78, 39 - degrees))
