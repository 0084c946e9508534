"""SMPL-X's joints as data: names, tree, the 144 joints, the 137 of the losses, and left-right pairs.

Orders and index tables are SMPL-X's public conventions (INTEROP, SPEC section 10).
"""

from __future__ import annotations

import numpy as np

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_HAND = tuple(f"{finger}{i}" for finger in FINGERS for i in (1, 2, 3))

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye_smplhf",
    "right_eye_smplhf", *(f"left_{name}" for name in _HAND), *(f"right_{name}" for name in _HAND),
)  # fmt: skip
"""The 55 kinematic joints, in order."""

PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    + [
        parent
        for wrist, first in ((20, 25), (21, 40))
        for f in range(5)
        for parent in (wrist, first + 3 * f, first + 3 * f + 1)
    ]
)
"""(55,) parent of every joint, -1 for the pelvis; parents come before their children."""

BODY = slice(1, 22)
BODY_JOINTS = 22
"""The pelvis and the body."""
JAW = 22
LEFT_HAND = slice(25, 40)
RIGHT_HAND = slice(40, 55)

EXTRA_JOINT_NAMES = (
    "nose", "right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel", "left_thumb", "left_index", "left_middle", "left_ring",
    "left_pinky", "right_thumb", "right_index", "right_middle", "right_ring", "right_pinky",
)  # fmt: skip
"""Joints 55..75 of the 144: picked vertices. 76..126 are the face landmarks, 127..143 the face contour."""

EXTRA_JOINT_VERTICES = np.array(
    [9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635,
     5361, 4933, 5058, 5169, 5286, 8079, 7669, 7794, 7905, 8022]
)  # fmt: skip
"""(21,) vertices of the extra joints, on SMPL-X's mesh and on the open body's alike."""

JOINTS_137_FROM_144 = np.array(
    [0, 1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 60, 61, 62, 63, 64, 65, 59, 58, 57, 56, 55]
    + [37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70]
    + [52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75]
    + [22, 15, 57, 56, *range(76, 144)]
)
"""(137,) the joints of losses and benchmarks, as indices into the 144."""

COCO17_FROM_137 = np.array([24, 22, 23, 20, 21, 8, 9, 10, 11, 12, 13, 1, 2, 3, 4, 5, 6])
LEFT_HAND6_FROM_137 = np.array([12, 28, 32, 36, 40, 44])
RIGHT_HAND6_FROM_137 = np.array([13, 48, 52, 56, 60, 64])
FACE6_FROM_137 = np.array([24, 103, 65, 120, 128, 136])

COCO17_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

COCO_LIMBS = np.arange(5, 17)
"""COCO keypoints that are joints of the body: shoulders, elbows, wrists, hips, knees, ankles; ..."""
JOINTS_OF_LIMBS = np.array([16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8])
"""... and the joints they are."""

COCO17_FROM_144 = JOINTS_137_FROM_144[COCO17_FROM_137]


def _mirror(count: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    order = np.arange(count)
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


MIRROR_55 = _mirror(
    55,
    [(JOINT_NAMES.index(n), JOINT_NAMES.index("right" + n[4:])) for n in JOINT_NAMES if n.startswith("left")],
)
"""(55,) for every joint the joint on the other side (itself on the middle line)."""

MIRROR_COCO17 = _mirror(17, [(i, i + 1) for i in range(1, 17, 2)])

MIRROR_FACE6 = _mirror(6, [(3, 5)])
"""(6,) the same of `FramePeople`'s six points of a face: its contours change sides."""

MIRROR_137 = _mirror(
    137,
    [(1, 2), (3, 4), (5, 6), (8, 9), (10, 11), (12, 13), (14, 17), (15, 18), (16, 19), (20, 21), (22, 23)]
    + [(25 + k, 45 + k) for k in range(20)]
    + [(67, 68), (69, 78), (70, 77), (71, 76), (72, 75), (73, 74), (83, 87), (84, 86), (88, 97), (89, 96), (90, 95)]
    + [(91, 94), (92, 99), (93, 98), (100, 106), (101, 105), (102, 104), (107, 111), (108, 110), (112, 116)]
    + [(113, 115), (117, 119)]
    + [(120 + k, 136 - k) for k in range(8)],
)
"""(137,) SPEC section 10.3."""


def tree_levels(parents: np.ndarray = PARENTS) -> list[np.ndarray]:
    """Joints by depth in the tree: the root, its children, theirs, ... Each level depends on the one before only."""
    depth = np.zeros(len(parents), int)
    for joint, parent in enumerate(parents):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    return [np.flatnonzero(depth == level) for level in range(depth.max() + 1)]
