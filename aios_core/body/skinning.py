"""Shape, kinematics and skinning of SMPL-X-layout bodies in numpy, any leading batch shape.

The model of SMPL (Loper et al. 2015) with SMPL-X's joints: vertices = template + shape + expression + pose
correctives, moved by linear blend skinning; joints come from the shaped template. Translation is added last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import (
    BODY,
    JAW,
    LEFT_HAND,
    MIRROR_55,
    RIGHT_HAND,
    tree_levels,
)  # fmt: skip
from aios_core.geometry.rotations import axis_angle_to_rotmat, mirror_axis_angle

SKINNED_AT_ONCE = 8
"""Bodies whose vertices' matrices are blended in one product: more would not stay in the processor's cache."""


@dataclass(frozen=True)
class PosedBody:
    """Bodies in a pose, metres, in the frame of global_orient and transl."""

    vertices: np.ndarray
    """(..., V, 3)"""
    joints: np.ndarray
    """(..., 55, 3)"""
    transforms: np.ndarray
    """(..., 55, 4, 4) from a joint's rest frame (axes as the world's, origin in the joint) to the posed one."""


def full_pose(
    global_orient: np.ndarray,
    body_pose: np.ndarray,
    left_hand_pose: np.ndarray | None = None,
    right_hand_pose: np.ndarray | None = None,
    jaw_pose: np.ndarray | None = None,
) -> np.ndarray:
    """All 55 joint rotations (..., 55, 3), axis-angle, from their parts; left-out parts and the eyes are zero."""
    pose = np.zeros((*global_orient.shape[:-1], 55, 3), global_orient.dtype)
    pose[..., 0, :] = global_orient
    pose[..., BODY, :] = body_pose
    if jaw_pose is not None:
        pose[..., JAW, :] = jaw_pose
    if left_hand_pose is not None:
        pose[..., LEFT_HAND, :] = left_hand_pose
    if right_hand_pose is not None:
        pose[..., RIGHT_HAND, :] = right_hand_pose
    return pose


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """The poses (..., 55, 3) seen in a mirror: sides swapped, y and z of every axis-angle negated."""
    return mirror_axis_angle(pose[..., MIRROR_55, :])


def mirrored_body_pose(pose: np.ndarray) -> np.ndarray:
    """The same of the 21 joints of a body pose (..., 21, 3)."""
    return mirror_axis_angle(pose[..., MIRROR_55[BODY] - 1, :])


def absolute_hand_pose(relative: np.ndarray, hand_mean: np.ndarray) -> np.ndarray:
    """Hand axis-angles (..., 15, 3) with flat hand = zero, from those relative to a mean hand (15, 3).

    SMPL-X adds the mean component by component, not by composing rotations (SPEC section 10.1).
    """
    return relative + hand_mean


def rest_joints(body: BodyModel, betas: np.ndarray, expression: np.ndarray | None = None) -> np.ndarray:
    """Joints (..., 55, 3) of the T-pose for shapes (..., 10)."""
    joints = body.joint_template + np.einsum("...k,jck->...jc", betas, body.joint_shapedirs)
    if expression is not None:
        joints = joints + np.einsum("...k,jck->...jc", expression, body.joint_exprdirs)
    return joints


def rest_vertices(body: BodyModel, betas: np.ndarray, expression: np.ndarray | None = None) -> np.ndarray:
    """Vertices (..., V, 3) of the T-pose for shapes (..., 10) and expressions (..., 10)."""
    count = len(body.v_template)
    vertices = body.v_template + (betas @ body.shapedirs.reshape(-1, betas.shape[-1]).T).reshape(
        *betas.shape[:-1], count, 3
    )
    if expression is not None:
        offsets = expression @ body.exprdirs.reshape(-1, expression.shape[-1]).T
        vertices = vertices + offsets.reshape(*expression.shape[:-1], count, 3)
    return vertices


def forward_kinematics(rotmats: np.ndarray, joints: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Transforms (..., 55, 4, 4) of the joints, by tree level.

    rotmats: (..., 55, 3, 3) relative to the parent; joints: (..., 55, 3) of the rest pose.
    """
    levels = tree_levels(parents)
    transforms = np.zeros((*rotmats.shape[:-2], 4, 4), rotmats.dtype)
    transforms[..., :3, :3] = rotmats
    transforms[..., 3, 3] = 1
    offsets = joints.copy()
    offsets[..., 1:, :] -= joints[..., parents[1:], :]
    transforms[..., :3, 3] = offsets
    for level in levels[1:]:
        transforms[..., level, :, :] = transforms[..., parents[level], :, :] @ transforms[..., level, :, :]
    return transforms


def pose_joints(
    body: BodyModel,
    betas: np.ndarray,
    pose: np.ndarray,
    transl: np.ndarray | None = None,
    expression: np.ndarray | None = None,
) -> np.ndarray:
    """Posed joints (..., 55, 3) without touching a vertex.

    betas: (..., 10); pose: (..., 55, 3) axis-angle; transl: (..., 3) metres.
    """
    rotmats = axis_angle_to_rotmat(pose)
    rest = np.broadcast_to(rest_joints(body, betas, expression), pose.shape).astype(pose.dtype)
    joints = forward_kinematics(rotmats, rest, body.parents)[..., :3, 3]
    return joints if transl is None else joints + transl[..., None, :]


def pose_body(
    body: BodyModel,
    betas: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
    transl: np.ndarray | None = None,
    pose_correctives: bool = True,
) -> PosedBody:
    """Bodies in poses, with vertices.

    betas, expression: (..., 10); pose: (..., 55, 3) axis-angle, global_orient first; transl: (..., 3) metres.
    """
    batch = np.broadcast_shapes(betas.shape[:-1], expression.shape[:-1], pose.shape[:-2])
    rotmats = axis_angle_to_rotmat(np.broadcast_to(pose, (*batch, 55, 3)).astype(np.float32))
    joints = np.broadcast_to(rest_joints(body, betas, expression), (*batch, 55, 3)).astype(np.float32)
    transforms = forward_kinematics(rotmats, joints, body.parents)
    vertices = np.empty((*batch, len(body.v_template), 3), np.float32)
    flat = [
        array.reshape(-1, *array.shape[len(batch) :])
        for array in (
            vertices, np.broadcast_to(betas, (*batch, betas.shape[-1])),
            np.broadcast_to(expression, (*batch, expression.shape[-1])), rotmats, joints, transforms,
        )
    ]  # fmt: skip
    for first in range(0, len(flat[0]), SKINNED_AT_ONCE):
        _skin_some(body, *(array[first : first + SKINNED_AT_ONCE] for array in flat), pose_correctives)
    posed = transforms[..., :3, 3].copy()
    if transl is not None:
        vertices += transl[..., None, :].astype(np.float32)
        posed = posed + transl[..., None, :]
        transforms = transforms.copy()
        transforms[..., :3, 3] = posed
    return PosedBody(vertices=vertices, joints=posed, transforms=transforms)


def _skin_some(
    body: BodyModel,
    vertices: np.ndarray,
    betas: np.ndarray,
    expression: np.ndarray,
    rotmats: np.ndarray,
    joints: np.ndarray,
    transforms: np.ndarray,
    pose_correctives: bool,
) -> None:
    """Put a few bodies' posed vertices, without translation, into `vertices` (B, V, 3)."""
    rest = rest_vertices(body, betas, expression).astype(np.float32)
    if pose_correctives and body.posedirs is not None:
        features = (rotmats[:, 1:] - np.eye(3, dtype=np.float32)).reshape(len(rotmats), -1)
        _add_pose_correctives(rest.reshape(len(rest), -1), features, body)
    vertices[...] = skin(rest, transforms, joints, body.lbs_weights)


def _add_pose_correctives(coordinates: np.ndarray, features: np.ndarray, body: BodyModel) -> None:
    """Move rest coordinates (..., V*3) by the correctives of rotation matrices less identity (..., 486)."""
    if body.corrective_blocks is None:
        coordinates += features @ body.posedirs
        return
    for block in body.corrective_blocks:
        coordinates[..., block.coordinates] += features[..., block.features] @ block.directions


def skin(vertices: np.ndarray, transforms: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rest vertices (..., V, 3) moved by linear blend skinning.

    transforms: (..., 55, 4, 4) of the posed joints; joints: (..., 55, 3) at rest; weights: (V, 55).
    """
    rotations = transforms[..., :3, :3]
    translations = transforms[..., :3, 3] - (rotations @ joints[..., None])[..., 0]
    affine = np.concatenate([rotations, translations[..., None]], -1)  # (..., 55, 3, 4)
    affine = affine.reshape(-1, weights.shape[1], 12)
    skinned = np.empty(vertices.shape, np.result_type(vertices, affine))
    rest, moved = (array.reshape(-1, *vertices.shape[-2:]) for array in (vertices, skinned))
    for first in range(0, len(rest), SKINNED_AT_ONCE):
        matrices = affine[first : first + SKINNED_AT_ONCE].swapaxes(1, 2)
        rows = (matrices.reshape(-1, weights.shape[1]) @ weights.T).reshape(-1, 3, 4, len(weights))
        for body, row in enumerate(rows, first):
            x, y, z = rest[body].T
            moved[body].T[...] = row[:, 0] * x + row[:, 1] * y + row[:, 2] * z + row[:, 3]
    return skinned


def joints_144(body: BodyModel, posed: PosedBody, pose: np.ndarray) -> np.ndarray:
    """The 144 joints (..., 144, 3): kinematic, picked vertices, face landmarks, face contour (SPEC section 10.2).

    pose: (..., 55, 3) axis-angle, as given to `pose_body`.
    """
    vertices = posed.vertices
    extra = vertices[..., body.extra_joint_vertices, :]
    landmarks = np.einsum("...lkc,lk->...lc", vertices[..., body.faces[body.landmark_faces], :], body.landmark_weights)
    row = contour_row(pose)
    corners = body.faces[body.contour_faces[row]]  # (..., 17, 3)
    index = corners.reshape(*row.shape, 51)[..., None]
    picked = np.take_along_axis(vertices, index, axis=-2).reshape(*row.shape, 17, 3, 3)
    contour = np.einsum("...lkc,...lk->...lc", picked, body.contour_weights[row])
    return np.concatenate([posed.joints, extra, landmarks, contour], axis=-2)


def contour_row(pose: np.ndarray) -> np.ndarray:
    """Rows (...) of the contour table for the head's yaw in poses (..., 55, 3) (SPEC section 10.2)."""
    rotmats = axis_angle_to_rotmat(pose[..., (12, 9, 6, 3, 0), :])
    turned = np.broadcast_to(np.eye(3, dtype=rotmats.dtype), rotmats.shape[:-3] + (3, 3))
    for k in range(5):
        turned = rotmats[..., k, :, :] @ turned
    yaw = np.arctan2(-turned[..., 2, 0], np.hypot(turned[..., 0, 0], turned[..., 1, 0]))
    degrees = np.round(np.minimum(-np.degrees(yaw), 39)).astype(int)
    return np.where(degrees >= 0, degrees, np.where(degrees < -39, 78, 39 - degrees))
