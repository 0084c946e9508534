"""The 55 joints placed by MakeHuman's bone heads."""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import JOINT_NAMES
from aios_core.body.open_body.rest_pose import SIDES, pelvis_of
from aios_core.body.open_body.source import Source

FINGER_NUMBERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}  # MakeHuman's
HIP_INWARDS = 0.18  # MakeHuman's thigh bones start further out than hip joints sit
HIP_DOWN = 0.03  # of the thigh's height
_SPINE = (  # joint, lower bone, upper bone, how far between their heads
    ("spine1", "spine03", "spine02", 0.4),
    ("spine2", "spine02", "spine01", 0.5),
    ("spine3", "spine01", "spine01", 0.0),
    ("neck", "spine01", "neck01", 0.72),
    ("head", "head", "head", 0.0),
    ("jaw", "jaw", "jaw", 0.0),
)


def bone_head_joints(source: Source, heads: np.ndarray) -> np.ndarray:
    """(N, 55, 3) joints from the heads (N, B, 3) of MakeHuman's bones."""

    def head(name: str) -> np.ndarray:
        return heads[:, source.bones.index(name)]

    joints = {"pelvis": pelvis_of(source, heads)}
    for name, lower, upper, share in _SPINE:
        joints[name] = (1 - share) * head(lower) + share * head(upper)
    middle = (head("upperleg01.L") + head("upperleg01.R")) / 2
    for suffix, sign in SIDES:
        side = "left" if sign > 0 else "right"
        hip, knee = head("upperleg01" + suffix).copy(), head("lowerleg01" + suffix)
        hip[:, 0] += HIP_INWARDS * (middle[:, 0] - hip[:, 0])
        hip[:, 1] += HIP_DOWN * (knee[:, 1] - hip[:, 1])
        joints[f"{side}_hip"] = hip
        joints[f"{side}_knee"] = knee
        joints[f"{side}_ankle"] = head("foot" + suffix)
        joints[f"{side}_foot"] = sum(head(f"toe{i}-1{suffix}") for i in range(1, 6)) / 5
        joints[f"{side}_collar"] = 0.75 * head("clavicle" + suffix) + 0.25 * head("shoulder01" + suffix)
        joints[f"{side}_shoulder"] = head("upperarm01" + suffix)
        joints[f"{side}_elbow"] = head("lowerarm01" + suffix)
        joints[f"{side}_wrist"] = head("wrist" + suffix)
        joints[f"{side}_eye_smplhf"] = head("eye" + suffix)
        for finger, number in FINGER_NUMBERS.items():
            for i in (1, 2, 3):
                joints[f"{side}_{finger}{i}"] = head(f"finger{number}-{i}{suffix}")
    return np.stack([joints[name] for name in JOINT_NAMES], 1)
