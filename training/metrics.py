"""What is reported of a model: box AP, keypoint accuracy, joint errors. Definitions as the field uses them."""

from __future__ import annotations

import numpy as np

from aios_core.evaluation.motion import procrustes
from aios_core.geometry.boxes import iou_matrix


def assign(scores: np.ndarray, boxes: np.ndarray, truth: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) the true box each prediction of a picture takes, best scores first, or -1 (COCO's rule)."""
    overlaps = iou_matrix(boxes, truth)
    taken = np.full(len(scores), -1)
    for i in np.argsort(-scores, kind="stable"):
        free = [g for g in range(len(truth)) if g not in taken and overlaps[i, g] >= threshold]
        if free:
            taken[i] = max(free, key=lambda g: overlaps[i, g])
    return taken


def average_precision(scores: np.ndarray, hits: np.ndarray, truths: int) -> float:
    """COCO's 101-point interpolated AP of predictions with scores (N,) and hits (N,) bool over `truths` true boxes."""
    if truths == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = hits[order]
    recall = np.cumsum(hits) / truths
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.concatenate([precision, [0.0]])[np.minimum(at, len(hits))].mean())


F1_SLACK = 0.005
"""A false person has to be deleted by hand, where tracking closes a gap: so much of the best F1 is given for fewer."""


def best_threshold(scores: np.ndarray, hits: np.ndarray, truths: int) -> tuple[float, float]:
    """The highest score threshold with about the best F1 of predictions (N,), hits (N,) bool, over `truths` people; and
    its F1."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    f1 = 2 * found / (np.arange(1, len(found) + 1) + truths)
    best = int(np.argmax(f1 >= f1.max() - F1_SLACK))
    return float(scores[order][best]), float(f1[best])


def pck(points: np.ndarray, truth: np.ndarray, seen: np.ndarray, size: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Booleans: the seen keypoints that are nearer to the truth than `share` of the person's size.

    points, truth: (N, K, 2) pixels; seen: (N, K) bool; size: (N,) square root of the box's area, pixels.
    """
    near = np.linalg.norm(points - truth, axis=-1) < share * size[:, None]
    return near[seen]


def mpjpe(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) mean distance of joints (N, J, 3) after putting the first joints (pelvis) on each other."""
    return np.linalg.norm((joints - joints[:, :1]) - (truth - truth[:, :1]), axis=-1).mean(-1)


def pa_mpjpe(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) mean distance of points (N, J, 3) after the best similarity transform of each N (Procrustes)."""
    return np.linalg.norm(procrustes(joints, truth) - truth, axis=-1).mean(-1)


pa_pve = pa_mpjpe
"""The same of vertices."""


def pve(vertices: np.ndarray, truth: np.ndarray, root: np.ndarray, true_root: np.ndarray) -> np.ndarray:
    """(N,) mean distance of points (N, V, 3), vertices or joints, after putting roots (N, 3) on each other."""
    return np.linalg.norm((vertices - root[:, None]) - (truth - true_root[:, None]), axis=-1).mean(-1)


def acceleration_error(joints: np.ndarray, truth: np.ndarray, seconds_per_frame: float = 1.0) -> np.ndarray:
    """(T - 2,) mean distance of the accelerations of joints (T, J, 3), metres a second (or a frame) squared.

    Accelerations are second differences of positions, as usual since Kanazawa et al. (CVPR 2019).
    """
    return np.linalg.norm(np.diff(joints, 2, 0) - np.diff(truth, 2, 0), axis=-1).mean(-1) / seconds_per_frame**2
