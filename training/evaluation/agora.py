"""AGORA's protocol: who is found, and errors that misses and false alarms make worse.

The rule, as its paper (Patel et al., CVPR 2021, arXiv 2104.14643) and the benchmark's documentation state it: in every
picture the mean distance of projected body joints is computed between all predictions and all people; the pairs with
the least distance are matches, provided that their boxes overlap by an IoU of 0.1. People without a match are misses,
predictions without one false alarms. Errors are measured on matches after putting one root on the other: the pelvis
for the body (22 joints), the wrists for the hands (15 joints each), the neck for the face (51 landmarks); the whole
body's error is body + (left hand + right hand + face) / 3. NMVE and NMJE are these errors divided by the F1 score.

What the documentation leaves open is decided here so: pairs are taken greedily, nearest first, everybody once; boxes
are the bounds of the joints, clipped to the picture (a leg beside the camera would make them endless); people whom a
data set marks as hardly visible (AGORA: more than 90 % hidden) are neither misses nor, when they are found, false
alarms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.geometry.boxes import iou_matrix

JOINTS = 24
"""The first of the 144 joints, by which people are matched."""
LEAST_IOU = 0.1


@dataclass(frozen=True)
class Detection:
    """How many people were found."""

    found: int
    missed: int
    false_alarms: int

    @property
    def precision(self) -> float:
        """Share of predictions that are people."""
        return _share(self.found, self.found + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of people who were predicted."""
        return _share(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        return _share(2 * self.found, 2 * self.found + self.missed + self.false_alarms)


@dataclass(frozen=True)
class Matches:
    """Who is who in one picture."""

    predictions: np.ndarray
    """(K,) indices."""
    people: np.ndarray
    """(K,) indices; the k-th prediction is the k-th person. Ignored people are not among them."""
    alone: np.ndarray
    """Indices of the predictions that are nobody: the false alarms."""
    detection: Detection


def match_people(
    predicted: np.ndarray, truth: np.ndarray, size: tuple[int, int], known: np.ndarray | None = None,
    ignored: np.ndarray | None = None,
) -> Matches:  # fmt: skip
    """Matches of predicted joints (N, J, 2) with true ones (M, J, 2), pixels of a picture of a size (width, height).

    known: (M, J) bool, which joints are annotated; ignored: (M,) bool.
    """
    known = np.ones(truth.shape[:2], bool) if known is None else known
    ignored = np.zeros(len(truth), bool) if ignored is None else ignored
    distance = np.linalg.norm(predicted[:, None] - truth[None], axis=-1)  # (N, M, J)
    distance = (distance * known).sum(-1) / np.maximum(known.sum(-1), 1)
    everything = np.ones(predicted.shape[:2], bool)
    overlap = iou_matrix(bounds(predicted, everything, size), bounds(truth, known, size))
    distance[(overlap < LEAST_IOU) | ~known.any(-1)[None]] = np.inf
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distance, axis=None, kind="stable"):
        n, m = divmod(int(flat), len(truth))
        if not np.isfinite(distance[n, m]):
            break
        if all(n != a and m != b for a, b in pairs):
            pairs.append((n, m))
    counted = sorted((n, m) for n, m in pairs if not ignored[m])
    alone = np.setdiff1d(np.arange(len(predicted)), [n for n, _ in pairs])
    missed = int((~ignored).sum()) - len(counted)
    predictions, people = np.array(counted, int).reshape(-1, 2).T
    return Matches(predictions, people, alone, Detection(len(counted), missed, len(alone)))


def bounds(points: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) x0 y0 x1 y1 around the known (N, J) of points (N, J, 2), clipped to a picture's size."""
    low = np.where(known[..., None], points, np.inf).min(1)
    high = np.where(known[..., None], points, -np.inf).max(1)
    return np.clip(np.where(known.any(1)[:, None], np.concatenate([low, high], -1), 0), 0, np.tile(size, 2))


def total(detections: list[Detection]) -> Detection:
    """The sum over pictures."""
    return Detection(*(sum(getattr(d, name) for d in detections) for name in ("found", "missed", "false_alarms")))


def whole_body_error(body: float, left_hand: float, right_hand: float, face: float) -> float:
    """AGORA's weighted sum of the parts' errors."""
    return body + (left_hand + right_hand + face) / 3


def normalised(error: float, detection: Detection) -> float:
    """NMVE of an MVE, NMJE of an MPJPE: the error divided by F1; infinite where nobody is found."""
    return error / detection.f1 if detection.f1 > 0 else float("inf")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
