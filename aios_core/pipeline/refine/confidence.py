"""How far each part of a person can be trusted, frame by frame.

The network gives one score for a person. A part is trusted less where the picture does not show it, where it covers
few pixels, and where two ways of the network to say where it is disagree: 2-d keypoints against the projected body,
the hand's wrist against the body's wrist, the face's nose against the body's nose.
"""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import COCO_LIMBS, JOINTS_OF_LIMBS
from aios_core.mocap import Measured

DISAGREEMENT = 0.08
"""Share of the box's longer side at which two statements are one standard deviation apart."""
READABLE_PX = 8.0
"""A hand or face whose points spread over so many pixels is read with 63 % of full confidence."""
NOSE, LEFT_WRIST, RIGHT_WRIST = 0, 9, 10


def part_confidence(measured: Measured, width: int, height: int) -> np.ndarray:
    """(M, 4) 0..1 for the PARTS of one person in a picture of this size."""
    size = np.maximum((measured.boxes_xyxy_px[:, 2:] - measured.boxes_xyxy_px[:, :2]).max(-1), 1.0)
    limbs = measured.keypoints_px[:, COCO_LIMBS]
    body_distance = np.median(np.linalg.norm(limbs - measured.joints_px[:, JOINTS_OF_LIMBS], axis=-1), axis=1)
    body = _agreement(body_distance, size) * _inside(limbs, width, height)
    parts = [body]
    for points, anchor in (
        (measured.left_hand_keypoints_px, LEFT_WRIST),
        (measured.right_hand_keypoints_px, RIGHT_WRIST),
        (measured.face_keypoints_px, NOSE),
    ):
        distance = np.linalg.norm(points[:, 0] - measured.keypoints_px[:, anchor], axis=-1)
        spread = np.ptp(points, axis=1).max(-1)
        parts.append(_agreement(distance, size) * _inside(points, width, height) * (1 - np.exp(-spread / READABLE_PX)))
    return (measured.scores[:, None] * np.stack(parts, 1)).astype(np.float32)


def _agreement(distance: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (distance / (DISAGREEMENT * size)) ** 2)


def _inside(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """(M,) share of points (M, K, 2) that lie in the picture."""
    return ((points >= 0) & (points <= [width, height])).all(-1).mean(1)
