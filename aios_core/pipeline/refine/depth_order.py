"""Who hides somebody stands before them: people's distances corrected where the picture shows another order.

How large a person is comes out of one camera to within some percent, and with it how far away, so that two who pass
close may be built in the wrong order. Who is hidden is seen less surely than usual, or not at all, and the one before
them is not. Where that says more than the sizes do, both belong elsewhere along their lines of sight, as little as it
takes: the whole track by one factor, for it is the size that was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aios_core.body.skinning import rest_joints
from aios_core.geometry.boxes import intersection
from aios_core.mocap import INTERPOLATED
from aios_core.pipeline.refine.feet import runs
from aios_core.pipeline.refine.space import Figure

OVERLAPPING = 0.25
"""Share of the smaller box from which people may hide each other."""
WINDOW_SECONDS = 0.5
"""Scores and depths err in one direction for about so long; what is seen in it counts once."""
SCORE_SIGMA = 0.2
"""Of the difference of two people's scores from their usual ones, ..."""
SCORE_DROP = 0.6
"""which falls by so much times the share that is hidden."""
UNSEEN = 1.5
"""What it says when somebody is not found where another's box is, as a logarithm of odds."""
SIZE_SIGMA = 0.07
"""Of the logarithm of two people's distances, against each other."""
SURE = 2.0
"""Windows in which occlusion says less than this, beyond what the sizes say, are not listened to."""
APART = 0.15
"""Metres between the pelvises of people of whom one hides the other, at least."""
MOST = 0.12
"""Nobody's logarithm of distance is changed by more."""
SWEEPS = 30


@dataclass(frozen=True)
class _Order:
    """What one window says of two people: the hidden one's distance is at least the other's and a bit."""

    before: int
    behind: int
    lacking: float
    """By how much the logarithm of the distance ratio falls short."""


def order_depths(figures: Sequence[Figure], times: np.ndarray) -> np.ndarray:
    """(P,) by which factor each figure (camera frame) stands farther away than its size says, going by occlusions.

    times: (T,) seconds of the Mocap's frames.
    """
    pelvis = [_pelvis(figure) for figure in figures]
    orders = [
        order
        for i in range(len(figures))
        for k in range(i + 1, len(figures))
        for order in _orders(i, k, figures, pelvis, times)
    ]
    change = np.zeros(len(figures))
    for _ in range(SWEEPS if orders else 0):  # Kaczmarz: the least change that satisfies all, if any does
        for order in orders:
            missing = order.lacking - (change[order.behind] - change[order.before])
            if missing > 0:
                change[order.behind] += missing / 2
                change[order.before] -= missing / 2
        change = np.clip(change, -MOST, MOST)
    return np.exp(change)


def _pelvis(figure: Figure) -> np.ndarray:
    return figure.track.transl.astype(np.float64) + rest_joints(figure.body, figure.betas)[0]


def _orders(i: int, k: int, figures: Sequence[Figure], pelvis: Sequence[np.ndarray], times: np.ndarray) -> list[_Order]:
    """What the encounters of two people say against the order in which they stand."""
    first, second = figures[i].track, figures[k].track
    frames, a, b = np.intersect1d(first.frames, second.frames, return_indices=True)
    if not len(frames):
        return []
    cover = _cover(first.boxes_xyxy_px[a], second.boxes_xyxy_px[b])
    farther = np.log(np.maximum(pelvis[k][b, 2], 0.1) / np.maximum(pelvis[i][a, 2], 0.1))
    hidden = _hidden(second, b) - _hidden(first, a)  # positive: the second is hidden
    unseen = (second.key_kinds[b] == INTERPOLATED).astype(int) - (first.key_kinds[a] == INTERPOLATED)
    answer = []
    for start, stop in runs((cover > OVERLAPPING) & (np.diff(frames, prepend=frames[0]) <= 1)):
        seconds = times[frames[start:stop]]
        for window in np.split(np.arange(start, stop), np.flatnonzero(np.diff(seconds // WINDOW_SECONDS)) + 1):
            drop = SCORE_DROP * cover[window].mean()
            said = 2 * drop * hidden[window].mean() / SCORE_SIGMA**2 + UNSEEN * unseen[window].mean()
            by_size = 1.7 * farther[window].mean() / SIZE_SIGMA
            if abs(said) < SURE or said * (said + by_size) <= 0:
                continue
            sign = np.sign(said)
            apart = APART / min(pelvis[i][a[window], 2].mean(), pelvis[k][b[window], 2].mean())
            lacking = apart - np.quantile(sign * farther[window], 0.2)
            if lacking > 0:
                answer.append(_Order(i, k, float(lacking)) if sign > 0 else _Order(k, i, float(lacking)))
    return answer


def _cover(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) what two people's boxes (N, 4) share, as a share of the smaller."""
    area = [np.clip(boxes[:, 2:] - boxes[:, :2], 1, None).prod(-1) for boxes in (first, second)]
    return intersection(first, second) / np.minimum(*area)


def _hidden(track, rows: np.ndarray) -> np.ndarray:
    """(N,) how much less surely a person is seen in some keys than usually."""
    return float(np.quantile(track.scores, 0.75)) - track.scores[rows].astype(np.float64)
