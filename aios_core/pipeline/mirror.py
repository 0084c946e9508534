"""Looking twice: what the network says of a picture and of its mirror image, taken together.

A network is not quite symmetric, so the two answers err in part independently, and their mean errs less. Where they
contradict each other, about which side is left or which way somebody faces, the surer one is believed: the mean of
front and back is neither.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from aios_core.body.joints import MIRROR_COCO17, MIRROR_FACE6
from aios_core.body.skinning import mirrored_body_pose
from aios_core.geometry.boxes import iou_matrix, oks
from aios_core.geometry.rotations import (
    axis_angle_to_quat_wxyz,
    axis_angle_to_rotmat,
    continuous_quat_wxyz,
    geodesic_distance,
    mirror_axis_angle,
    quat_wxyz_to_axis_angle,
)
from aios_core.pipeline.people import FramePeople, joined, unit_length, without_duplicates

LEAST_OVERLAP = 0.5
"""Of the boxes of what may be one person."""
LARGEST_TURN = np.radians(70)
"""Between two answers about which way somebody faces that have a mean."""
ROTATIONS = "global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose"
KEYPOINTS = "keypoints_px", "left_hand_keypoints_px", "right_hand_keypoints_px", "face_keypoints_px"


def mirrored_people(people: FramePeople, width: float) -> FramePeople:
    """The people as they are in the mirror image of a picture `width` pixels wide: left is right."""

    def keypoints(points: np.ndarray) -> np.ndarray:
        return points * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)

    return replace(
        people,
        boxes_xyxy_px=people.boxes_xyxy_px[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
        + np.array([width, 0, width, 0], np.float32),
        keypoints_px=keypoints(people.keypoints_px)[:, MIRROR_COCO17],
        left_hand_keypoints_px=keypoints(people.right_hand_keypoints_px),
        right_hand_keypoints_px=keypoints(people.left_hand_keypoints_px),
        face_keypoints_px=keypoints(people.face_keypoints_px)[:, MIRROR_FACE6],
        global_orient=mirror_axis_angle(people.global_orient),
        body_pose=mirrored_body_pose(people.body_pose),
        left_hand_pose=mirror_axis_angle(people.right_hand_pose),
        right_hand_pose=mirror_axis_angle(people.left_hand_pose),
        jaw_pose=mirror_axis_angle(people.jaw_pose),
        camera=people.camera * np.array([1, -1, 1], np.float32),
    )


def seen_twice(
    in_picture: FramePeople, in_mirror_image: FramePeople, width: float, duplicate_overlap: float
) -> FramePeople:
    """The people of a picture `width` pixels wide from those seen in it and in its mirror image, best scores first.

    Scores are means, so whoever is seen once only keeps half of the score.
    """
    from scipy.optimize import linear_sum_assignment  # takes half a second: not before the network looks

    first = without_duplicates(in_picture, duplicate_overlap)
    second = without_duplicates(mirrored_people(in_mirror_image, width), duplicate_overlap)
    overlap = iou_matrix(first.boxes_xyxy_px, second.boxes_xyxy_px)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    same = overlap[rows, columns] > LEAST_OVERLAP
    rows, columns = rows[same], columns[same]
    once = joined([_without(first, rows), _without(second, columns)])
    people = joined([_mean(first.select(rows), second.select(columns)), replace(once, scores=once.scores / 2)])
    return people.select(np.argsort(-people.scores, kind="stable"))


def _without(people: FramePeople, some: np.ndarray) -> FramePeople:
    return people.select(np.setdiff1d(np.arange(len(people)), some))


def _mean(first: FramePeople, second: FramePeople) -> FramePeople:
    """Of two answers about the same P people, weighted by their scores."""
    share = second.scores / np.maximum(first.scores + second.scores, 1e-9)  # (P,) the second answer's weight
    areas = np.clip(first.boxes_xyxy_px[:, 2:] - first.boxes_xyxy_px[:, :2], 1, None).prod(-1)
    alike, swapped = (
        oks(((first.keypoints_px - way) ** 2).sum(-1), areas)
        for way in (second.keypoints_px, second.keypoints_px[:, MIRROR_COCO17])
    )
    facing = [axis_angle_to_rotmat(people.global_orient) for people in (first, second)]
    has_mean = dict.fromkeys(KEYPOINTS, alike >= swapped)
    has_mean |= dict.fromkeys((*ROTATIONS, "betas", "expression", "camera"), geodesic_distance(*facing) < LARGEST_TURN)
    found = {}
    for name in (field.name for field in fields(FramePeople)):
        a, b = getattr(first, name), getattr(second, name)
        weight = np.where(has_mean.get(name, True), share, share > 0.5).reshape(-1, *[1] * (a.ndim - 1))
        mean = _mean_rotation(a, b, weight) if name in ROTATIONS else (1 - weight) * a + weight * b
        found[name] = mean.astype(np.float32)
    found["tokens"] = unit_length(found["tokens"])
    found["scores"] = (first.scores + second.scores) / 2
    return FramePeople(**found)


def _mean_rotation(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Axis-angles (..., 3) between two, `weight` (..., 1) of the way from the first to the second.

    Straight through the space of quaternions, which at these weights and angles is next to the same.
    """
    a, b = continuous_quat_wxyz(axis_angle_to_quat_wxyz(np.stack([first, second])))
    between = (1 - weight) * a + weight * b
    return quat_wxyz_to_axis_angle(unit_length(between))
