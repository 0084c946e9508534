"""Boxes in numpy: corner boxes (..., 4) x0 y0 x1 y1 and centre boxes (..., 4) cx cy w h."""

from __future__ import annotations

import numpy as np


def cxcywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Corner boxes of centre boxes."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area (...) that corner boxes (..., 4) share, with broadcasting."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    return np.clip(high - low, 0, None).prod(-1)


def iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of corner boxes (N, 4) and (M, 4)."""
    inter = intersection(first[:, None], second)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (first, second)]
    return inter / np.maximum(areas[0][:, None] + areas[1][None] - inter, 1e-9)


def oks(squared: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(...) similarity 0..1 of keypoints at squared distances (..., K) on boxes of areas (...).

    After COCO's, with one tolerance for all.
    """
    return np.exp(-squared / (2 * (0.16**2) * np.maximum(area, 1e-9)[..., None])).mean(-1)
