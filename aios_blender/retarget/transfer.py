"""Motion from one skeleton to another: every joint's rotation from rest, the place scaled by the legs. numpy only.

A rotation from rest ("turn") is a (3, 3) matrix that takes a vector of the rig at rest, world axes, to where it is
posed. It does not depend on how the bone's own axes lie, so neither bone roll nor bone direction matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aios_core.body.joints import JOINT_NAMES, PARENTS
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle

from .rest_alignment import rest_alignments


@dataclass(frozen=True)
class Build:
    """A skeleton at rest, in SMPL-X's axes (x left, y up, z front), metres."""

    heads: Mapping[str, np.ndarray]
    """Joint -> (3,)"""
    ends: Mapping[str, np.ndarray]
    """Joint -> (3,) ends of bones that lead to no mapped one."""
    sole: float
    """Height of the soles."""

    @property
    def leg(self) -> float:
        """Length of a leg from hip to ankle, the mean of both."""
        chain = [("hip", "knee"), ("knee", "ankle")]
        lengths = [
            np.linalg.norm(self.heads[f"{s}_{a}"] - self.heads[f"{s}_{b}"]) for s in ("left", "right") for a, b in chain
        ]
        return float(sum(lengths) / 2)

    @property
    def ankle_height(self) -> float:
        """Of the ankles above the soles, the mean of both."""
        return float((self.heads["left_ankle"][1] + self.heads["right_ankle"][1]) / 2 - self.sole)


def person_build(rest: np.ndarray, sole: float) -> Build:
    """Of rest joints (55, 3)."""
    return Build(dict(zip(JOINT_NAMES, rest, strict=True)), {}, sole)


def transfer_turns(turns: np.ndarray, person: Build, rig: Build, axes: np.ndarray) -> dict[str, np.ndarray]:
    """Joint -> (N, 3, 3) turns of the rig's joints, for turns (N, 55, 3, 3) of a person in T-pose.

    axes: (3, 3) from the world to SMPL-X's for the resting rig.
    """
    alignments = rest_alignments(rig.heads, rig.ends, person.heads)
    return {joint: turns[:, JOINT_NAMES.index(joint)] @ alignments[joint] @ axes for joint in rig.heads}


def transfer_hips(hips: np.ndarray, person: Build, rig: Build) -> np.ndarray:
    """(N, 3) the middle between the rig's hips, from that of the person's, world with z up and the ground at z = 0.

    Ways along the ground and heights of the hips above the ankles are scaled by the legs; the way begins where the
    person's does.
    """
    scale = rig.leg / person.leg
    answer = hips[0] + scale * (hips - hips[0])
    answer[:, 2] = rig.ankle_height + scale * (hips[:, 2] - person.ankle_height)
    return answer


def spread_turns(turns: Mapping[str, np.ndarray], joint: str, count: int) -> list[np.ndarray]:
    """Turns (N, 3, 3) of `count` bones in a row that share one joint's motion evenly; the last has all of it."""
    whole = turns[joint]
    if count == 1:
        return [whole]
    before = turns[carrier_of(joint, turns)]
    change = rotmat_to_axis_angle(np.swapaxes(before, 1, 2) @ whole)
    return [before @ axis_angle_to_rotmat(change * (i + 1) / count) for i in range(count - 1)] + [whole]


def carrier_of(joint: str, mapped: Mapping[str, object]) -> str | None:
    """The nearest joint towards the pelvis that the rig has too; None for the pelvis."""
    parent = PARENTS[JOINT_NAMES.index(joint)]
    while parent >= 0 and JOINT_NAMES[parent] not in mapped:
        parent = PARENTS[parent]
    return JOINT_NAMES[parent] if parent >= 0 else None
