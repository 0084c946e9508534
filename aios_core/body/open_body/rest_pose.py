"""MakeHuman's A-pose turned into SMPL-X's T-pose, for each shape by its own bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from aios_core.body.open_body.source import ShapeSample, Source
from aios_core.geometry.rotations import axis_angle_to_rotmat

PELVIS = np.array([0.0, -0.35, 0.0])  # SMPL-X keeps its origin at the chest, about 0.35 m above the pelvis
ARM_DROOP = np.deg2rad(4.0)  # of the arms, below horizontal
LEG_SPLAY = np.deg2rad(1.0)  # hip to ankle, outwards
THUMB_LIFT = np.deg2rad(20.0)  # towards the palm's plane
CLAVICLE_LIFT, SCAPULA_LIFT = np.deg2rad(8.0), np.deg2rad(7.0)  # share of the arm's elevation they take
FINGER_SPREAD = 0.75  # of MakeHuman's
SIDES = ((".L", 1.0), (".R", -1.0))
_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class RestBodies:
    """N bodies in T-pose, the pelvis of each at PELVIS."""

    vertices: np.ndarray
    """(N, V, 3) float32"""
    heads: np.ndarray
    """(N, B, 3) of MakeHuman's bones"""


def rest_bodies(source: Source, sample: ShapeSample, batch: int = 50) -> RestBodies:
    """The drawn bodies in T-pose."""
    weights = sp.csr_matrix(source.weights)
    parts = [
        _rest_batch(source, weights, sample.coefficients[i : i + batch])
        for i in range(0, len(sample.coefficients), batch)
    ]
    return RestBodies(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _rest_batch(source: Source, weights: sp.spmatrix, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(coefficients)
    shapes = source.blend_shapes.reshape(coefficients.shape[1], -1)
    vertices = source.vertices + (coefficients.astype(np.float32) @ shapes).reshape(count, -1, 3)
    heads = source.heads + np.einsum("nk,kbc->nbc", coefficients, source.head_shapes)
    tails = source.tails + np.einsum("nk,kbc->nbc", coefficients, source.tail_shapes)
    rotmats = _t_pose_rotmats(source, heads, tails)
    posed = np.zeros_like(heads)
    for i, parent in enumerate(source.bone_parents):
        step = heads[:, i] - heads[:, parent]
        posed[:, i] = heads[:, i] if parent < 0 else posed[:, parent] + _turn(rotmats[:, parent], step)
    shifts = posed - _turn(rotmats, heads)
    affine = np.concatenate([rotmats, shifts[..., None]], -1).reshape(count, -1, 12)
    for i in range(count):
        blended = (weights @ affine[i]).reshape(-1, 3, 4)
        vertices[i] = _turn(blended[..., :3], vertices[i]) + blended[..., 3]
    offset = PELVIS - pelvis_of(source, posed)[:, None]
    return (vertices + offset).astype(np.float32), posed + offset


def pelvis_of(source: Source, heads: np.ndarray) -> np.ndarray:
    """(N, 3) pelvis: 0.85 of the way from between the hips up to the lower spine, 1 cm forward."""
    bone = source.bones.index
    pelvis = (heads[:, bone("upperleg01.L")] + heads[:, bone("upperleg01.R")]) / 2
    pelvis[:, 1] += 0.85 * (heads[:, bone("spine04"), 1] - pelvis[:, 1])
    pelvis[:, 2] += 0.01
    return pelvis


def _t_pose_rotmats(source: Source, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """(N, B, 3, 3) rotation of every bone, in the world, from the A-pose to the T-pose."""
    count = len(heads)
    turned: dict[str, np.ndarray] = {}
    points = _BonePoints(source, heads, tails)
    for side, sign in SIDES:
        wrist, arm = _pose_arm(points, side, sign, turned)
        _pose_fingers(points, side, sign, wrist, arm, turned)
        _pose_leg(points, side, sign, turned)
    identity = np.broadcast_to(np.eye(3), (count, 3, 3))
    rotmats: list[np.ndarray] = []
    for name, parent in zip(source.bones, source.bone_parents, strict=True):
        inherited = identity if parent < 0 else rotmats[parent]
        rotmats.append(turned.get(name, inherited))
    return np.stack(rotmats, 1)


@dataclass(frozen=True)
class _BonePoints:
    source: Source
    heads: np.ndarray
    tails: np.ndarray

    def head(self, name: str) -> np.ndarray:
        return self.heads[:, self.source.bones.index(name)]

    def tail(self, name: str) -> np.ndarray:
        return self.tails[:, self.source.bones.index(name)]


def _pose_arm(
    points: _BonePoints, side: str, sign: float, turned: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Raise the arm onto the X axis, elbow pit forward, palm down; the hand's rotation and the arm's direction."""
    count, head = len(points.heads), lambda name: points.head(name + side)
    arm = np.broadcast_to([sign * np.cos(ARM_DROOP), -np.sin(ARM_DROOP), 0.0], (count, 3))
    lift = np.array([0.0, 0.0, sign])
    turned["clavicle" + side] = _same(count, lift * CLAVICLE_LIFT)
    turned["shoulder01" + side] = _same(count, lift * (CLAVICLE_LIFT + SCAPULA_LIFT))
    upper, lower = head("lowerarm01") - head("upperarm01"), head("wrist") - head("lowerarm01")
    swung = _rotation_between(upper, arm)
    twist = _twist_angle(arm, _turn(swung, lower), np.broadcast_to(_FORWARD, (count, 3)))
    turned["upperarm01" + side] = _about(arm, 0.5 * twist) @ swung
    upper_arm = turned["upperarm02" + side] = _about(arm, twist) @ swung
    forearm = _rotation_between(_turn(upper_arm, lower), arm) @ upper_arm
    hand = sum(head(f"finger{k}-1") for k in (2, 3, 4)) / 3 - head("wrist")
    straight = _rotation_between(_turn(forearm, hand), arm) @ forearm
    back = sign * np.cross(head("finger2-1") - head("wrist"), head("finger5-1") - head("wrist"))
    twist = _twist_angle(arm, _turn(straight, back), np.broadcast_to(_UP, (count, 3)))
    turned["lowerarm01" + side] = _about(arm, 0.3 * twist) @ forearm
    turned["lowerarm02" + side] = _about(arm, 0.8 * twist) @ forearm
    wrist = _about(arm, twist) @ straight
    for name in ("wrist", *(f"metacarpal{i}" for i in (1, 2, 3, 4))):
        turned[name + side] = wrist
    return wrist, arm


def _pose_fingers(
    points: _BonePoints, side: str, sign: float, wrist: np.ndarray, arm: np.ndarray, turned: dict[str, np.ndarray]
) -> None:
    """Straighten the fingers in the palm's plane and lift the thumb."""
    palm = _unit(np.cross(arm, _FORWARD))
    for k in (2, 3, 4, 5):
        heads = [points.head(f"finger{k}-{j}{side}") for j in (1, 2, 3)]
        bones = np.diff([*heads, points.tail(f"finger{k}-3{side}")], axis=0)
        along = _turn(wrist, bones[0])
        along = _unit(along - (along * palm).sum(-1, keepdims=True) * palm)
        along = _unit(FINGER_SPREAD * along + (1 - FINGER_SPREAD) * arm)
        rotmat = wrist
        for j in (1, 2, 3):
            rotmat = _rotation_between(_turn(rotmat, bones[j - 1]), along) @ rotmat
            turned[f"finger{k}-{j}{side}"] = rotmat
    thumb = axis_angle_to_rotmat(arm * (-sign * THUMB_LIFT)) @ wrist
    for j in (1, 2, 3):
        turned[f"finger1-{j}{side}"] = thumb


def _pose_leg(points: _BonePoints, side: str, sign: float, turned: dict[str, np.ndarray]) -> None:
    leg = points.head("foot" + side) - points.head("upperleg01" + side)
    splay = np.arctan2(sign * leg[:, 0], -leg[:, 1])
    rotmat = axis_angle_to_rotmat(np.stack([0 * splay, 0 * splay, -sign * (splay - LEG_SPLAY)], -1))
    for name in ("upperleg01", "upperleg02", "lowerleg01", "lowerleg02"):
        turned[name + side] = rotmat
    turned["foot" + side] = _same(len(leg), np.zeros(3))


def _same(count: int, axis_angle: np.ndarray) -> np.ndarray:
    return np.broadcast_to(axis_angle_to_rotmat(axis_angle), (count, 3, 3))


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return axis_angle_to_rotmat(axis * angle[:, None])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _turn(rotmats: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("...ij,...j->...i", rotmats, vectors)


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Shortest rotations (N, 3, 3) from one direction to another."""
    start, end = _unit(start), _unit(end)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(-1, keepdims=True))
    return axis_angle_to_rotmat(axis / np.maximum(sine, 1e-12) * angle)


def _twist_angle(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Angles (N,) about unit axes that turn `start`, seen along the axis, onto `end`."""
    start = start - (start * axis).sum(-1, keepdims=True) * axis
    end = end - (end * axis).sum(-1, keepdims=True) * axis
    return np.arctan2((np.cross(start, end) * axis).sum(-1), (start * end).sum(-1))
