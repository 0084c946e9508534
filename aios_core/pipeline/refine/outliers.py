"""Measurements that cannot be: a person turned about for a few frames, swapped limbs, a leap in depth and back.

The plausible course through the measurements is the cheapest path that may leave some out: a step of the path costs
what it moves beyond what is usual, a measurement left out costs a little for the time it stands for. A leap there and
back is cheaper to leave out; a leap that stays, or a motion that is fast throughout, is not.
"""

from __future__ import annotations

import numpy as np

LONGEST_SECONDS = 0.35
"""Excursions that last longer are taken for true."""
USUAL_STEPS = 4.0
"""A step of so many times the median step is still usual."""
OMISSION_PER_SECOND = 25.0
"""Cost of leaving out a second of measurements, in units of one `tolerance` beyond the usual step."""
MOST_LEFT_OUT = 0.4
"""Where more than this share would be left out there is no course to trust, and everything is kept."""


def rotation_outliers(quats: np.ndarray, times: np.ndarray, tolerance_deg: float = 20.0) -> np.ndarray:
    """(T, J) bool: measurements of rotations (T, J, 4), w x y z, that the plausible course leaves out.

    times: (T,) seconds. tolerance_deg: what a step may exceed the usual before it costs one unit.
    """

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return 2 * np.degrees(np.arccos(np.clip(np.abs((first * second).sum(-1)), 0, 1)))

    return _left_out(quats, times, distance, tolerance_deg)


def place_outliers(places: np.ndarray, times: np.ndarray, tolerance: float) -> np.ndarray:
    """(T,) bool: the same for vectors (T, C); tolerance in their unit."""

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.linalg.norm(first - second, axis=-1)

    return _left_out(places[:, None], times, distance, tolerance)[:, 0]


def _left_out(values: np.ndarray, times: np.ndarray, distance, tolerance: float) -> np.ndarray:
    """Dynamic programming over the last kept measurement, for all J courses of values (T, J, C) at once."""
    count, courses = values.shape[:2]
    if count < 4:
        return np.zeros((count, courses), bool)
    usual = np.maximum(USUAL_STEPS * np.median(distance(values[1:], values[:-1]), axis=0), tolerance / 2)
    # What leaving out everything before this measurement costs; the last one before a gap does not stand for the gap.
    steps = np.diff(times)
    spent = OMISSION_PER_SECOND * np.concatenate([[0.0], np.cumsum(np.minimum(steps, 2 * np.median(steps)))])
    cost = np.tile(spent[:, None], (1, courses))
    cost[times - times[0] > LONGEST_SECONDS] = np.inf
    before = np.full((count, courses), -1)
    for t in range(1, count):
        first = int(np.searchsorted(times, times[t - 1] - LONGEST_SECONDS))
        back = np.arange(first, t)
        leap = np.maximum(distance(values[t], values[back]) - usual, 0) / tolerance  # (L, J)
        omitted = spent[t] - spent[np.minimum(back + 1, t)]
        reach = cost[back] + leap + omitted[:, None]
        best = reach.argmin(0)
        better = reach[best, np.arange(courses)] < cost[t]
        cost[t] = np.where(better, reach[best, np.arange(courses)], cost[t])
        before[t] = np.where(better, back[best], -1)
    return _trace(cost, before, spent)


def _trace(cost: np.ndarray, before: np.ndarray, spent: np.ndarray) -> np.ndarray:
    count, courses = cost.shape
    out = np.ones((count, courses), bool)
    ends = (cost + (spent[-1] - spent)[:, None]).argmin(0)
    for j in range(courses):
        t = int(ends[j])
        while t >= 0:
            out[t, j] = False
            t = int(before[t, j])
    out[:, out.mean(0) > MOST_LEFT_OUT] = False
    return out
