"""The 21 extra joints: picked vertices, moved onto the numbers that readers of SMPL-X files expect."""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import EXTRA_JOINT_NAMES, EXTRA_JOINT_VERTICES, FINGERS
from aios_core.body.open_body.rest_pose import SIDES
from aios_core.body.open_body.skinning_weights import JOINT
from aios_core.body.open_body.source import LEFT_EYE, RIGHT_EYE, SKIN, Source


def pick_vertices(
    source: Source, vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """(21,) vertices of nose, eyes, ears, toes, heels and finger tips, in the order of EXTRA_JOINT_NAMES."""
    skin = groups == SKIN
    picked: dict[str, int] = {}

    def pick(name: str, among: np.ndarray, score: np.ndarray) -> None:
        picked[name] = int(np.argmax(np.where(among, score, -np.inf)))

    y, z = vertices[:, 1], vertices[:, 2]
    face = (y > joints[JOINT["head"], 1] - 0.06) & (y < joints[JOINT["left_eye_smplhf"], 1])
    pick("nose", skin & face & (np.abs(vertices[:, 0]) < 0.004), z)
    for suffix, sign in SIDES:
        side, eye = ("left", LEFT_EYE) if sign > 0 else ("right", RIGHT_EYE)
        pick(f"{side}_eye", groups == eye, z)
        ear_weights = source.ear_points[side]
        ear = ear_weights @ vertices / ear_weights.sum()
        pick(f"{side}_ear", skin & (sign * vertices[:, 0] > 0), -np.linalg.norm(vertices - ear, axis=1))
        for finger in FINGERS:
            tip = JOINT[f"{side}_{finger}3"]
            pick(f"{side}_{finger}", skin & (weights[:, tip] > 0.5), vertices @ (joints[tip] - joints[tip - 1]))
        big, small = (source.weights[:, source.bones.index(name + suffix)] > 0.5 for name in ("toe1-2", "toe5-3"))
        pick(f"{side}_big_toe", skin & big, z)
        pick(f"{side}_small_toe", skin & small, z + 0.5 * sign * vertices[:, 0])
        pick(f"{side}_heel", skin & (weights[:, JOINT[f"{side}_ankle"]] > 0.5), -z - 0.6 * y)
    return np.array([picked[name] for name in EXTRA_JOINT_NAMES])


def order_with_picked(picked: np.ndarray, count: int) -> np.ndarray:
    """(count,) old number of each new vertex, by swaps that put the picked ones on EXTRA_JOINT_VERTICES."""
    order, place = np.arange(count), np.arange(count)
    for old, new in zip(picked, EXTRA_JOINT_VERTICES, strict=True):
        other, was = order[new], place[old]
        order[new], order[was] = old, other
        place[old], place[other] = new, was
    return order
