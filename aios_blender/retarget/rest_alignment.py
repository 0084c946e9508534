"""Rest poses made alike: what turns a rig's rest pose, A-pose or other, into SMPL-X's T-pose. numpy only.

Everything is in SMPL-X's axes: x to the person's left, y up, z to the front. Rotations act on columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aios_core.body.joints import FINGERS, JOINT_NAMES, PARENTS
from aios_core.errors import ExportError
from aios_core.geometry.rotations import rotation_between

TOWARDS = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in ("left", "right")
    for joint, end in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"),
        *((f"{finger}{i}", f"{finger}{i + 1}") for finger in FINGERS for i in (1, 2)),
    )
}  # fmt: skip
"""Limbs: the joints whose bone is laid along the source's, and the joints it leads to."""
SNAP_DEGREES = 10.0
"""A rig that faces nearly along one of its own axes faces along it."""
UPRIGHT_DEGREES = 40.0


def body_axes(heads: Mapping[str, np.ndarray], own_axes: np.ndarray) -> np.ndarray:
    """(3, 3) from the world to SMPL-X's axes for a rig at rest.

    heads: joint -> (3,) in the world; own_axes: (3, 3) columns, the rig object's axes.

    Raises:
        ExportError: the rig does not stand upright, or left and right are swapped.
    """
    hips = (heads["left_hip"] + heads["right_hip"]) / 2
    upward = hips - (heads["left_ankle"] + heads["right_ankle"]) / 2
    up = nearest_axis(upward, own_axes)
    across = heads["left_hip"] - heads["right_hip"]
    across = across - (across @ up) * up
    torso = (heads["left_shoulder"] + heads["right_shoulder"]) / 2 - hips
    leaning = max(angle_degrees(upward, up), angle_degrees(torso, up))
    if leaning > UPRIGHT_DEGREES or np.linalg.norm(across) < 1e-6 * np.linalg.norm(upward):
        raise ExportError("The rig does not stand upright on two legs in its rest pose: apply a standing rest pose.")
    left = nearest_axis(across, own_axes)
    left = left if angle_degrees(across, left) < SNAP_DEGREES else across / np.linalg.norm(across)
    axes = np.stack([left, up, np.cross(left, up)])
    for side in ("left", "right"):
        if f"{side}_foot" in heads and (axes @ (heads[f"{side}_foot"] - heads[f"{side}_ankle"]))[2] < 0:
            raise ExportError("The rig's toes point backwards: left and right are swapped in the bone map.")
    return axes


def nearest_axis(direction: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(3,) the column of axes (3, 3), or its opposite, that is nearest to a direction."""
    along = direction @ axes
    best = int(np.abs(along).argmax())
    return axes[:, best] * np.sign(along[best])


def angle_degrees(first: np.ndarray, second: np.ndarray) -> float:
    """Between two vectors."""
    cosine = first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def rest_alignments(
    rig: Mapping[str, np.ndarray], rig_ends: Mapping[str, np.ndarray], person: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Joint -> (3, 3) rotation that takes the rig's rest pose to the person's T-pose.

    Limbs, from the body outwards, are turned by the smallest rotation that lays them along the person's; hands also
    lie in the same plane. Feet turn about the upright axis alone, so that flat soles stay flat. Torso, neck, head and
    collar bones keep their rest pose: its curves belong to the character.

    rig: joint -> (3,) heads of the rig's bones; rig_ends: joint -> (3,) ends of bones that lead to no further joint;
    person: joint -> (3,) at rest.
    """
    answer: dict[str, np.ndarray] = {}
    for joint, parent in zip(JOINT_NAMES, PARENTS, strict=True):
        before = answer.get(JOINT_NAMES[parent], np.eye(3)) if parent >= 0 else np.eye(3)
        if joint.endswith("_ankle"):
            answer[joint] = _turn_of_foot(joint, rig, rig_ends, person)
        elif joint.endswith("_foot"):
            answer[joint] = before
        elif joint.endswith("_wrist") and _hand_frame(joint, rig) is not None:
            answer[joint] = _hand_frame(joint, person) @ _hand_frame(joint, rig).T
        elif joint in rig and (joint in TOWARDS or joint[:-1] in _FINGER_NAMES):
            answer[joint] = _along(joint, rig, rig_ends, person, before)
        else:
            answer[joint] = before if joint[:-1] in _FINGER_NAMES else np.eye(3)
    return answer


_FINGER_NAMES = {f"{side}_{finger}" for side in ("left", "right") for finger in FINGERS}


def _along(joint: str, rig: Mapping, rig_ends: Mapping, person: Mapping, before: np.ndarray) -> np.ndarray:
    end = TOWARDS.get(joint)
    if end in rig:
        own, wanted = rig[end] - rig[joint], person[end] - person[joint]
    elif joint in rig_ends:  # the person's hand leads to the middle finger, and a finger's end goes on straight
        last = JOINT_NAMES[PARENTS[JOINT_NAMES.index(joint)]]
        own, wanted = rig_ends[joint] - rig[joint], person[end] - person[joint] if end else person[joint] - person[last]
        if angle_degrees(before @ own, wanted) > 60:  # bones of some formats point anywhere
            return before
    else:
        return before
    return rotation_between((before @ own)[None], wanted[None])[0] @ before


def _hand_frame(wrist: str, heads: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(3, 3) columns: along the hand, across it within the palm, out of the palm; None without fingers."""
    side = wrist.removesuffix("_wrist")
    names = [wrist, f"{side}_middle1", f"{side}_index1", f"{side}_pinky1"]
    if not all(name in heads for name in names):
        return None
    start, middle, index, pinky = (heads[name] for name in names)
    along = (middle - start) / np.linalg.norm(middle - start)
    across = (index - pinky) - ((index - pinky) @ along) * along
    across /= np.linalg.norm(across)
    return np.stack([along, across, np.cross(along, across)], 1)


def _turn_of_foot(ankle: str, rig: Mapping, rig_ends: Mapping, person: Mapping) -> np.ndarray:
    toe = ankle.replace("ankle", "foot")
    end = rig.get(toe, rig_ends.get(ankle))
    if end is None:
        return np.eye(3)
    own, wanted = (end - rig[ankle]) * [1, 0, 1], (person[toe] - person[ankle]) * [1, 0, 1]
    if np.linalg.norm(own) < 0.2 * np.linalg.norm(end - rig[ankle]):
        return np.eye(3)
    return rotation_between(own[None], wanted[None])[0]
