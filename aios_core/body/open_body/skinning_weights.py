"""MakeHuman's 163 bones merged into SMPL-X's 55 joints."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from aios_core.body.joints import JOINT_NAMES
from aios_core.body.open_body.bone_heads import FINGER_NUMBERS
from aios_core.body.open_body.mesh import neighbour_average
from aios_core.body.open_body.rest_pose import SIDES
from aios_core.body.open_body.source import LEFT_EYE, LOWER_TEETH, RIGHT_EYE, SKIN, UPPER_TEETH, Source
from aios_core.geometry.rotations import axis_angle_to_rotmat

JOINT = {name: i for i, name in enumerate(JOINT_NAMES)}
_TRUNK = ("root", "spine05", "spine04", "spine03", "spine02", "spine01", "pelvis.L", "pelvis.R", "breast.L", "breast.R")
_RAMPS = (("spine1", 0.075, 0.075), ("spine2", 0.075, 0.075), ("spine3", 0.06, 0.08))  # metres below and above
_LIMBS = {
    "shoulder": ("upperarm01", "upperarm02"),
    "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4"),
    "hip": ("upperleg01", "upperleg02"),
    "knee": ("lowerleg01", "lowerleg02"),
    "ankle": ("foot",),
    "foot": tuple(f"toe{i}-{k}" for i in range(1, 6) for k in ((1, 2) if i == 1 else (1, 2, 3))),
    "eye_smplhf": ("eye",),
    **{f"{f}{i}": (f"finger{n}-{i}",) for f, n in FINGER_NUMBERS.items() for i in (1, 2, 3)},
}
_RIGID = {LEFT_EYE: "left_eye_smplhf", RIGHT_EYE: "right_eye_smplhf", UPPER_TEETH: "head", LOWER_TEETH: "jaw"}
_MOST_INFLUENCES = 8


def smoothstep(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before start, 1 after end, smooth between."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def skinning_weights(
    source: Source, vertices: np.ndarray, joints: np.ndarray, faces: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """(V, 55) weights, rows sum to 1.

    vertices, joints: (V, 3), (55, 3) of the template; groups: (V,) index into GROUPS.
    """
    bone = dict(zip(source.bones, source.weights.T, strict=True))
    weights = np.zeros((len(vertices), 55))
    trunk = sum(bone.pop(name) for name in _TRUNK)
    weights += _split_trunk(trunk, vertices[:, 1], joints)
    neck = bone.pop("neck01") + bone.pop("neck02")
    upper_neck = bone.pop("neck03")
    weights[:, JOINT["neck"]] += neck + 0.55 * upper_neck
    weights[:, JOINT["head"]] += 0.45 * upper_neck
    shoulder_girdle = 0
    for suffix, sign in SIDES:
        side = "left" if sign > 0 else "right"
        clavicle, deltoid = bone.pop("clavicle" + suffix), bone.pop("shoulder01" + suffix)
        collar_x, shoulder_x = (abs(joints[JOINT[f"{side}_{name}"], 0]) for name in ("collar", "shoulder"))
        outwards = smoothstep((sign * vertices[:, 0] - collar_x) / (shoulder_x - collar_x), 0.45, 1.15)
        weights[:, JOINT[f"{side}_collar"]] += clavicle + deltoid * (1 - outwards)
        weights[:, JOINT[f"{side}_shoulder"]] += deltoid * outwards
        shoulder_girdle = shoulder_girdle + clavicle + deltoid
        for joint, names in _LIMBS.items():
            weights[:, JOINT[f"{side}_{joint}"]] += sum(bone.pop(name + suffix) for name in names)
    face = sum(bone.values())  # head, jaw, facial muscles, tongue
    average = neighbour_average(len(vertices), faces)
    jaw = _jaw_share(vertices, joints[JOINT["jaw"]], source.facial_actions["jawOpen"], groups, average)
    weights[:, JOINT["jaw"]] += face * jaw
    weights[:, JOINT["head"]] += face * (1 - jaw)
    for group, joint in _RIGID.items():
        weights[groups == group] = np.eye(55)[JOINT[joint]]
    return _tidy(weights, np.clip(trunk + shoulder_girdle, 0, 1) * (groups == SKIN), average)


def _split_trunk(trunk: np.ndarray, heights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """MakeHuman's trunk weights shared out among pelvis and spine by smooth ramps of height."""
    levels = [np.ones_like(heights)]
    for name, below, above in _RAMPS:
        y = joints[JOINT[name], 1]
        levels.append(np.minimum(smoothstep(heights, y - below, y + above), levels[-1]))
    levels.append(np.zeros_like(heights))
    weights = np.zeros((len(heights), 55))
    for i, name in enumerate(("pelvis", "spine1", "spine2", "spine3")):
        weights[:, JOINT[name]] = trunk * (levels[i] - levels[i + 1])
    return weights


def _tidy(weights: np.ndarray, smoothing: np.ndarray, average: sp.spmatrix) -> np.ndarray:
    """Smooth where weights were cut here (trunk, deltoid), drop small ones, make rows sum to 1."""
    for _ in range(6):
        weights = weights + 0.5 * smoothing[:, None] * (average @ weights - weights)
    weights[weights < 0.004] = 0
    least = np.sort(weights, 1)[:, -_MOST_INFLUENCES][:, None]
    weights[weights < least] = 0
    return weights / weights.sum(1, keepdims=True)


def _jaw_share(
    vertices: np.ndarray, jaw: np.ndarray, jaw_open: np.ndarray, groups: np.ndarray, average: sp.spmatrix
) -> np.ndarray:
    """(V,) how much each vertex follows the jaw: the jawOpen face unit projected on the rotation it best matches."""

    def opened(angle: float, points: np.ndarray) -> np.ndarray:
        return (points - jaw) @ (axis_angle_to_rotmat(np.array([angle, 0.0, 0.0])) - np.eye(3)).T

    teeth = groups == LOWER_TEETH
    angles = np.linspace(0.05, 0.7, 131)
    angle = min(angles, key=lambda a: ((opened(a, vertices[teeth]) - jaw_open[teeth]) ** 2).sum())
    rotation = opened(angle, vertices)
    share = (rotation * jaw_open).sum(1) / np.maximum((rotation**2).sum(1), 1e-9)
    share = np.clip(np.where(np.linalg.norm(jaw_open, axis=1) > 2e-4, share, 0), 0, 1)
    for _ in range(3):
        share = np.where(groups == SKIN, 0.5 * (share + average @ share), share)
    share[share < 0.02] = 0
    share[groups == UPPER_TEETH] = 0
    share[groups == LOWER_TEETH] = 1
    return share
