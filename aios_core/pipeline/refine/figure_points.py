"""The points of a body that its picture shows, riding on the skeleton, and how they move with every joint.

Twenty joints of the body turn and the whole body moves: 63 numbers a frame. Fingers and toes keep their pose, so that
fingertips, heels and toes are points of the wrists and ankles; nose, eyes and ears are points of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS, COCO17_FROM_144, EXTRA_JOINT_NAMES, LEFT_HAND, RIGHT_HAND, tree_levels
from aios_core.body.skinning import forward_kinematics, rest_joints
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.pipeline.refine.feet import ANKLES, sole_points

HEAD = 15
WRISTS = {"left": 20, "right": 21}
FINGERS = {"left": LEFT_HAND, "right": RIGHT_HAND}
TURNING = np.array([*range(10), *range(12, BODY_JOINTS)])
"""(20,) the joints that turn: all of the body but the toes, which nothing in the picture names."""
UNKNOWNS = 3 * len(TURNING) + 3
"""Numbers a frame: a rotation vector for each of TURNING, then the translation."""
TIP_NAMES = ("thumb", "index", "middle", "ring", "pinky")
LAST_BONES = {"left": (39, 27, 30, 36, 33), "right": (54, 42, 45, 51, 48)}
"""Joints of the last bones of thumb, index, middle, ring and pinky."""

COCO = slice(0, 17)
HANDS = (slice(17, 23), slice(23, 29))
IN_PICTURE = slice(0, 29)
SOLES = slice(29, 33)
LIMBS = slice(5, 17)
"""Rows of the points: COCO keypoints, six of each hand, four of the soles; LIMBS are the COCO points at joints."""


@dataclass(frozen=True)
class FigurePoints:
    """A skeleton of N frames at rest and the 33 points that ride on it, float64."""

    rest: np.ndarray
    """(22, 3) metres: joints of the T-pose."""
    rest_by_shape: np.ndarray
    """(22, 3, 10) metres per unit of betas."""
    carriers: np.ndarray
    """(33,) the joint that carries each point."""
    offsets: np.ndarray
    """(N, 33, 3) metres, in the carrying joint's frame."""
    offsets_by_shape: np.ndarray
    """(33, 3, 10) metres per unit of betas; zero for the hands."""
    parents: np.ndarray
    """(22,)"""


@dataclass(frozen=True)
class PosedFigure:
    """Where the skeleton and its points are, camera frame, metres."""

    turns: np.ndarray
    """(N, 22, 3, 3) of the joints."""
    joints: np.ndarray
    """(N, 22, 3)"""
    points: np.ndarray
    """(N, 33, 3)"""


def figure_points(body: BodyModel, betas: np.ndarray, pose: np.ndarray) -> FigurePoints:
    """The points of a body of shape betas (10,) whose fingers and toes are as in pose (N, 55, 3)."""
    joints = rest_joints(body, betas.astype(np.float64))
    by_shape = body.joint_shapedirs.astype(np.float64)
    face = body.extra_joint_vertices[COCO17_FROM_144[:5] - 55]
    face_rest = body.v_template[face] + body.shapedirs[face] @ betas
    limbs = COCO17_FROM_144[5:]
    carriers = np.concatenate([np.full(5, HEAD), limbs, np.repeat(list(WRISTS.values()), 6), ANKLES])
    offsets = np.zeros((len(pose), len(carriers), 3))
    offsets[:, :5] = face_rest - joints[HEAD]
    for hand, side in zip(HANDS, WRISTS, strict=True):
        offsets[:, hand.start + 1 : hand.stop] = _fingertips(body, betas, pose, joints, side)
    offsets[:, SOLES] = sole_points(body, betas) - joints[ANKLES]
    offsets_by_shape = np.zeros((len(carriers), 3, betas.shape[-1]))
    offsets_by_shape[:5] = body.shapedirs[face] - by_shape[HEAD]
    return FigurePoints(
        joints[:BODY_JOINTS], by_shape[:BODY_JOINTS], carriers, offsets, offsets_by_shape, body.parents[:BODY_JOINTS]
    )


def _fingertips(body: BodyModel, betas: np.ndarray, pose: np.ndarray, joints: np.ndarray, side: str) -> np.ndarray:
    """(N, 5, 3) fingertips of one hand in its wrist's frame; each is a vertex of the finger's last bone."""
    hand = np.array([WRISTS[side], *range(55)[FINGERS[side]]])
    bent = pose[:, hand].astype(np.float64)
    bent[:, 0] = 0
    parents = np.array([-1, *np.searchsorted(hand, body.parents[hand[1:]])])
    rest = np.broadcast_to(joints[hand] - joints[hand[0]], bent.shape)
    lasts = list(LAST_BONES[side])
    moved = forward_kinematics(axis_angle_to_rotmat(bent), rest, parents)[:, np.searchsorted(hand, lasts)]
    vertices = body.extra_joint_vertices[[EXTRA_JOINT_NAMES.index(f"{side}_{name}") for name in TIP_NAMES]]
    tips = body.v_template[vertices] + body.shapedirs[vertices] @ betas - joints[lasts]
    return np.einsum("nkij,kj->nki", moved[..., :3, :3], tips) + moved[..., :3, 3]


def posed(figure: FigurePoints, rotmats: np.ndarray, pelvis: np.ndarray) -> PosedFigure:
    """The figure with rotations (N, 22, 3, 3) relative to the parents and the pelvis in places (N, 3)."""
    rest = np.broadcast_to(figure.rest, (*rotmats.shape[:2], 3))
    transforms = forward_kinematics(rotmats, rest, figure.parents)
    turns, joints = transforms[..., :3, :3], transforms[..., :3, 3] + (pelvis - figure.rest[0])[:, None]
    carried = np.einsum("nkij,nkj->nki", turns[:, figure.carriers], figure.offsets)
    return PosedFigure(turns, joints, joints[:, figure.carriers] + carried)


def point_jacobians(figure: FigurePoints, at: PosedFigure) -> np.ndarray:
    """(N, 33, 3, 63) metres per radian and per metre: the points' motion when R becomes R exp(x) for every joint.

    A turn x of joint j, given in j's own frame, moves a point p that j carries by (G_j x) x (p - p_j).
    """
    count, number = at.points.shape[:2]
    arms = at.points[:, :, None] - at.joints[:, None, TURNING]  # (N, 33, 20, 3)
    arms = arms * _carries(figure)[TURNING][:, figure.carriers].T[..., None]
    axes = at.turns[:, None, TURNING]  # columns: the joint's axes in camera space
    turning = np.stack([_cross(axes[..., k], arms) for k in range(3)], -1)  # (N, 33, 20, 3, 3)
    moving = np.broadcast_to(np.eye(3), (count, number, 3, 3))
    turning = np.swapaxes(turning, 2, 3).reshape(count, number, 3, -1)
    return np.concatenate([turning, moving], -1)


def shape_jacobians(figure: FigurePoints, at: PosedFigure) -> np.ndarray:
    """(N, 33, 3, 10) metres per unit of betas, with the pelvis in its place."""
    parents, by_shape = figure.parents, figure.rest_by_shape
    bones = by_shape - by_shape[parents]
    moved = np.zeros((*at.joints.shape[:2], *bones.shape[1:]))
    for level in tree_levels(parents)[1:]:
        moved[:, level] = moved[:, parents[level]] + at.turns[:, parents[level]] @ bones[level]
    return moved[:, figure.carriers] + at.turns[:, figure.carriers] @ figure.offsets_by_shape


def _carries(figure: FigurePoints) -> np.ndarray:
    """(22, 22) bool: whether the row's joint carries the column's (itself included)."""
    answer = np.eye(len(figure.parents), dtype=bool)
    for joint, parent in enumerate(figure.parents):
        if parent >= 0:
            answer[:, joint] |= answer[:, parent]
    return answer


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross products over the last axis; numpy's own is slower for small vectors."""
    a, b, c = np.moveaxis(first, -1, 0)
    x, y, z = np.moveaxis(second, -1, 0)
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], -1)
