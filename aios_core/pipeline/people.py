"""From the network's predictions to the people in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from aios_core.body.joints import MIRROR_COCO17
from aios_core.body.skinning import absolute_hand_pose
from aios_core.geometry.boxes import cxcywh_to_xyxy, iou_matrix, oks
from aios_core.geometry.rotations import rotmat_to_axis_angle

if TYPE_CHECKING:
    from aios_core.model.framing import Framing
    from aios_core.model.predictions import LayerPredictions

DEFAULT_THRESHOLD = 0.3
COLOURED_PARTS = 7
"""Head, chest, belly, upper arms, forearms, thighs and shins."""


@dataclass(frozen=True)
class FramePeople:
    """The P people of one frame, best scores first; float32. Poses as in `Mocap`, hands absolute."""

    scores: np.ndarray
    """(P,) 0..1"""
    boxes_xyxy_px: np.ndarray
    """(P, 4) pixels of the upright footage."""
    keypoints_px: np.ndarray
    """(P, 17, 2)"""
    left_hand_keypoints_px: np.ndarray
    """(P, 6, 2): wrist and the tips of thumb, index, middle, ring, pinky."""
    right_hand_keypoints_px: np.ndarray
    """(P, 6, 2)"""
    face_keypoints_px: np.ndarray
    """(P, 6, 2): nose, upper mouth, jaw, right contour, chin, left contour."""
    global_orient: np.ndarray
    """(P, 3)"""
    body_pose: np.ndarray
    """(P, 21, 3)"""
    left_hand_pose: np.ndarray
    """(P, 15, 3)"""
    right_hand_pose: np.ndarray
    """(P, 15, 3)"""
    jaw_pose: np.ndarray
    """(P, 3)"""
    expression: np.ndarray
    """(P, 10)"""
    betas: np.ndarray
    """(P, 10)"""
    camera: np.ndarray
    """(P, 3) the network's (s, tx, ty)."""
    tokens: np.ndarray
    """(P, D) what the network knows of each person's look, unit length; D is the network's."""
    colours: np.ndarray
    """(P, 7, 3) CIE Lab of COLOURED_PARTS; zeros where nobody has looked for them (see colours.py)."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, which: np.ndarray | slice) -> FramePeople:
        """Some of the people, by index or mask."""
        return FramePeople(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


def joined(people: Sequence[FramePeople]) -> FramePeople:
    """The people of several frames, at least one, in one."""
    return FramePeople(**{f.name: np.concatenate([getattr(p, f.name) for p in people]) for f in fields(FramePeople)})


def people_from_predictions(
    predictions: LayerPredictions,
    framings: Sequence[Framing],
    hand_means: tuple[np.ndarray, np.ndarray] | None,
    threshold: float,
) -> list[FramePeople]:
    """Everybody in each picture of a batch whose score reaches the threshold, one entry a person.

    framings: how each picture lay in what the network looked at. hand_means: left and right mean hand (15, 3) that
    predicted hands are relative to, or None where they are absolute.
    """
    scores = predictions.logits.float().sigmoid().amax(-1).cpu().numpy()
    order = np.argsort(-scores, axis=1, kind="stable")
    images, ranks = np.nonzero(np.take_along_axis(scores, order, 1) >= threshold)
    chosen = images, order[images, ranks]  # everybody of all pictures, one picture after the other

    def array(values) -> np.ndarray:
        return values.float().cpu().numpy()[chosen]

    extents = np.array([placed.extent for placed in framings], np.float32)[images]
    origins = np.array([placed.to_picture(np.zeros(2)) for placed in framings], np.float32)[images]

    def pixels(points) -> np.ndarray:
        return array(points) * extents[:, None] + origins[:, None]

    hands = (predictions.left_hand_rotmats, predictions.right_hand_rotmats)
    parts = (predictions.body_rotmats, *hands, predictions.jaw_rotmats)
    poses = rotmat_to_axis_angle(np.concatenate([array(part) for part in parts], 1))
    body, *hands, jaw = np.split(poses, np.cumsum([part.shape[2] for part in parts])[:-1], 1)
    if hand_means is not None:
        hands = [absolute_hand_pose(hand, mean) for hand, mean in zip(hands, hand_means, strict=True)]
    everybody = FramePeople(
        scores=scores[chosen],
        boxes_xyxy_px=cxcywh_to_xyxy(array(predictions.boxes)) * np.tile(extents, 2) + np.tile(origins, 2),
        keypoints_px=pixels(predictions.keypoints),
        left_hand_keypoints_px=pixels(predictions.left_hand_keypoints),
        right_hand_keypoints_px=pixels(predictions.right_hand_keypoints),
        face_keypoints_px=pixels(predictions.face_keypoints),
        global_orient=body[:, 0],
        body_pose=body[:, 1:],
        left_hand_pose=hands[0].astype(np.float32),
        right_hand_pose=hands[1].astype(np.float32),
        jaw_pose=jaw[:, 0],
        expression=array(predictions.expression),
        betas=array(predictions.betas),
        camera=array(predictions.camera),
        tokens=unit_length(array(predictions.person_tokens)),
        colours=np.zeros((len(images), COLOURED_PARTS, 3), np.float32),
    )
    ends = np.searchsorted(images, np.arange(len(scores) + 1)).tolist()
    return [everybody.select(slice(*rows)) for rows in pairwise(ends)]


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors (P, D) at length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def without_duplicates(people: FramePeople, overlap: float) -> FramePeople:
    """The people without those that are another, better scored one again.

    Two are the same when box overlap times keypoint similarity passes `overlap`: people who hug share boxes but not
    joints.
    """
    same = are_one_body([people.boxes_xyxy_px] * 2, [people.keypoints_px] * 2, overlap)
    if not np.triu(same, 1).any():
        return people
    kept: list[int] = []
    for i in range(len(people)):
        if not same[i, kept].any():
            kept.append(i)
    return people.select(np.array(kept, int))


def are_one_body(boxes: Sequence[np.ndarray], keypoints: Sequence[np.ndarray], least: float) -> np.ndarray:
    """(N, M) bool: whose box overlap times keypoint similarity is more than `least`.

    Which side is left does not count: the network may see a person from both sides. boxes: (N, 4) and (M, 4);
    keypoints: (N, 17, 2) and (M, 17, 2) COCO.
    """
    overlap = iou_matrix(*boxes)
    same = overlap > least
    rows, columns = np.nonzero(same)
    areas = [np.clip(b[:, 2:] - b[:, :2], 1, None).prod(-1) for b in boxes]
    area = np.maximum(areas[0][rows], areas[1][columns])
    first, second = keypoints[0][rows], keypoints[1][columns]
    alike = [oks(((first - way) ** 2).sum(-1), area) for way in (second, second[:, MIRROR_COCO17])]
    same[rows, columns] = overlap[rows, columns] * np.maximum(*alike) > least
    return same
