"""COCO's average precision and recall, for boxes and keypoints, by the rules of its evaluation.

Per picture and threshold, detections take truths in the order of their scores, each the free one that it is most
similar to; truths that are to be ignored (crowds, people of other sizes, people without keypoints) are taken last, and
detections on them count neither way, nor do unmatched detections of other sizes. Precision is interpolated at 101
recalls; AP is its mean over the thresholds 0.50, 0.55, ..., 0.95.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aios_core.geometry.boxes import intersection

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""Least and greatest area, square pixels."""
COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""Tolerance of each of the 17 keypoints."""
MAX_BOXES, MAX_POSES = 100, 20


@dataclass(frozen=True)
class Compared:
    """One picture's N detections and M truths."""

    scores: np.ndarray
    """(N,)"""
    similarity: np.ndarray
    """(N, M) IoU or OKS."""
    found_areas: np.ndarray
    """(N,) square pixels."""
    true_areas: np.ndarray
    """(M,)"""
    ignored: np.ndarray
    """(M,) bool: neither to be found nor wrong to be found."""
    crowd: np.ndarray
    """(M,) bool: may be found many times (and is ignored)."""


@dataclass(frozen=True)
class Curves:
    """Precision (T, 101) at every recall, and recall (T,), of every threshold; not a number without truths."""

    precision: np.ndarray
    recall: np.ndarray

    @property
    def ap(self) -> float:
        """Mean precision over all thresholds."""
        return float(self.precision.mean())

    @property
    def ar(self) -> float:
        """Mean recall over all thresholds."""
        return float(self.recall.mean())

    def ap_at(self, threshold: float) -> float:
        """Mean precision at one threshold."""
        return float(self.precision[np.argmin(np.abs(THRESHOLDS - threshold))].mean())


def compare_boxes(
    scores: np.ndarray, boxes: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None,
    crowd: np.ndarray | None = None, true_areas: np.ndarray | None = None,
) -> Compared:  # fmt: skip
    """Boxes (N, 4) x0 y0 x1 y1 with scores against true ones (M, 4).

    ignored, crowd: (M,) bool; true_areas: (M,) square pixels, by default the boxes'.
    """
    crowd = np.zeros(len(truth), bool) if crowd is None else crowd
    ignored = np.zeros(len(truth), bool) if ignored is None else ignored
    boxes, truth = boxes.astype(np.float64), truth.astype(np.float64)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, truth)]
    inter = intersection(boxes[:, None], truth)
    union = np.where(crowd[None], areas[0][:, None], areas[0][:, None] + areas[1][None] - inter)
    similarity = inter / np.maximum(union, 1e-12)
    return Compared(
        scores, similarity, areas[0], areas[1] if true_areas is None else true_areas, ignored | crowd, crowd
    )


def compare_keypoints(
    scores: np.ndarray, keypoints: np.ndarray, truth: np.ndarray, seen: np.ndarray, boxes: np.ndarray,
    true_areas: np.ndarray, crowd: np.ndarray | None = None,
) -> Compared:  # fmt: skip
    """Keypoints (N, 17, 2) with scores against true ones (M, 17, 2), seen (M, 17) bool, of people in boxes (M, 4).

    The similarity is COCO's OKS; people without a seen keypoint are ignored.
    """
    crowd = np.zeros(len(truth), bool) if crowd is None else crowd
    offset = keypoints[:, None].astype(np.float64) - truth[None]  # (N, M, 17, 2)
    # Of people without seen keypoints COCO measures how far detections are outside of a box twice as large.
    size = boxes[:, 2:] - boxes[:, :2]
    low, high = (boxes[:, :2] - size)[None, :, None], (boxes[:, 2:] + size)[None, :, None]
    beyond = np.maximum(low - keypoints[:, None], 0) + np.maximum(keypoints[:, None] - high, 0)
    nothing = ~seen.any(-1)
    squared = (np.where(nothing[None, :, None, None], beyond, offset) ** 2).sum(-1)
    exponent = squared / (2 * COCO_SIGMAS) ** 2 / (true_areas[None, :, None] + np.spacing(1)) / 2
    counted = seen | nothing[:, None]
    similarity = (np.exp(-exponent) * counted).sum(-1) / np.maximum(counted.sum(-1), 1)
    found = keypoints.max(1) - keypoints.min(1) if len(keypoints) else np.zeros((0, 2))
    return Compared(scores, similarity, found.prod(-1).astype(float), true_areas, nothing | crowd, crowd)


def curves(pictures: Sequence[Compared], area: str = "all", most: int = MAX_BOXES) -> Curves:
    """Precision and recall over all pictures, of at most so many detections a picture, for truths of an area."""
    scores, hits, dropped, truths = [], [], [], 0
    for picture in pictures:
        order = np.argsort(-picture.scores, kind="mergesort")[:most]
        hit, drop, count = _matched(picture, order, AREAS[area])
        scores.append(picture.scores[order])
        hits.append(hit)
        dropped.append(drop)
        truths += count
    if truths == 0:
        nothing = np.full((len(THRESHOLDS), len(RECALLS)), np.nan)
        return Curves(nothing, nothing[:, 0])
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    hit, drop = np.concatenate(hits, 1)[:, order], np.concatenate(dropped, 1)[:, order]
    right, wrong = np.cumsum(hit & ~drop, 1), np.cumsum(~hit & ~drop, 1)
    recall = right / truths
    precision = right / (right + wrong + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    padded = np.concatenate([precision, np.zeros((len(THRESHOLDS), 1))], 1)
    at = [padded[t, np.searchsorted(recall[t], RECALLS, side="left")] for t in range(len(THRESHOLDS))]
    return Curves(np.stack(at), recall[:, -1] if recall.shape[1] else np.zeros(len(THRESHOLDS)))


def _matched(picture: Compared, order: np.ndarray, area: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, int]:
    """(T, N) which detections took a truth, (T, N) which count neither way, and how many truths there are to find."""

    def other_size(areas: np.ndarray) -> np.ndarray:
        return (areas < area[0]) | (areas > area[1])

    ignored = picture.ignored | other_size(picture.true_areas)
    place = np.argsort(ignored, kind="mergesort")  # those to be found first
    ignored, crowd = ignored[place], picture.crowd[place]
    similarity = picture.similarity[order][:, place]
    hit = np.zeros((len(THRESHOLDS), len(order)), bool)
    drop = np.zeros_like(hit)
    outside = other_size(picture.found_areas[order])
    for t, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(place), bool)
        for d in range(len(order)):
            g = _choice(similarity[d], ~taken | crowd, ignored, min(threshold, 1 - 1e-10))
            hit[t, d] = g >= 0
            drop[t, d] = ignored[g] if g >= 0 else outside[d]
            if g >= 0:
                taken[g] = True
    return hit, drop, int((~ignored).sum())


def _choice(similarity: np.ndarray, free: np.ndarray, ignored: np.ndarray, threshold: float) -> int:
    """The free truth that is most similar, the last of equals; an ignored one only if no other will do; or -1."""
    for among in (free & ~ignored, free & ignored):
        good = np.flatnonzero(among & (similarity >= threshold))
        if len(good):
            return int(good[::-1][np.argmax(similarity[good][::-1])])
    return -1


def scored_hits(pictures: Sequence[Compared]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores and (N,) bool, of all detections that count, whether they take a truth at a similarity of 0.5."""
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for picture in pictures:
        order = np.argsort(-picture.scores, kind="mergesort")
        hit, drop, _ = _matched(picture, order, AREAS["all"])
        scores.append(picture.scores[order][~drop[0]])
        hits.append(hit[0][~drop[0]])
    return np.concatenate(scores), np.concatenate(hits)
