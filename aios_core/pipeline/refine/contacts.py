"""When soles stand: the cheapest account of a noisy sole's course as rests in one place, low, and ways between.

A planted sole is seen to wander about its place by the error of the network, which is read off the clip itself; a step
takes it elsewhere. Telling the two by speed fails as soon as errors wander as fast as feet shuffle, so whole stretches
are compared (segmentation by dynamic programming, Bellman 1961): a contact costs what its sole strays from its mean
place and rises above the floor, a way costs its time, and every change costs something. Contacts that are soon resumed
in the same place were never broken.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import percentile_filter

from aios_core.pipeline.refine.feet import runs
from aios_core.pipeline.refine.smooth import sample_spans

ERROR_SECONDS = 0.3
"""Errors of a sole's place keep their direction for about so long."""
FIRST_SIGMA, LEAST_SIGMA, MOST_SIGMA = 0.05, 0.006, 0.07
"""Metres: error of a sole's place, as believed at first and at least and at most as read off the clip."""
HEIGHT_SIGMAS, LEAST_HEIGHT_SIGMA, MOST_HEIGHT_SIGMA = 1.6, 0.02, 0.035
"""Error of a sole's height over the person's floor: in errors of places, and metres at least and at most."""
WAY_PER_SECOND = 14.0
"""Cost of a second without contact, ..."""
CHANGE = 1.5
"""of a contact's beginning or end, ..."""
CHAIN = 8.0
"""and of cutting a contact, for which only very long ones have reason; logarithms of odds."""
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 10.0
FLOOR_SECONDS, FLOOR_PERCENT = 1.5, 20
"""The person's own floor is about the lowest sole within so much time: noise in height and stairs do not matter."""
MEDIAN_OF_SQUARES = 0.693
"""Of half the sum of two squared standard normal numbers."""
ROUNDS = 2
RESUMED_SECONDS, RESUMED_SIGMAS, RAISED_SIGMAS = 1.0, 12.0, 18.0
"""A contact goes on after a break of up to so long if the sole is about where it was, and was never far: in errors of
places within contacts, which are less than errors from contact to contact."""
COMPARED_SECONDS = 0.5
"""Of the places before and after a break."""


def detect_contacts(soles: np.ndarray, eyes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(N, 4) bool: which sole points (N, 4, 3), in the upright world, stand on the ground at times (N,), seconds.

    eyes: (N, 3) the camera's place. Motion along the line of sight does not count, since one camera sees depth too
    badly to tell standing from moving.
    """
    if len(times) < 3:
        return soles[..., 2] - soles[..., 2].min(1, keepdims=True) < 0.07
    spans, step = sample_spans(times), np.median(np.diff(times))
    places = _across(soles, eyes)
    window = max(int(FLOOR_SECONDS / step) | 1, 1)
    floor = percentile_filter(soles[..., 2].min(1), FLOOR_PERCENT, window, mode="nearest")
    heights = np.maximum(soles[..., 2] - floor[:, None], 0)
    sigma = FIRST_SIGMA
    for _ in range(ROUNDS):
        standing = _segmented(places, heights, spans, sigma)
        sigma = _error(places, standing, sigma)
    for i in range(4):
        _resume(standing[:, i], places[:, i], times, sigma)
    return standing


def _resume(standing: np.ndarray, places: np.ndarray, times: np.ndarray, sigma: float) -> None:
    """Close, in place, the breaks of a sole's contacts (N,) from which it came back to where it had been."""
    window = max(1, int(COMPARED_SECONDS / np.median(np.diff(times))))
    start = None
    for (a, b), (c, d) in pairwise(runs(standing)):
        start = a if start is None else start
        before, after = places[max(start, b - window) : b].mean(0), places[c : min(d, c + window)].mean(0)
        apart = np.linalg.norm(after - before)
        raised = np.linalg.norm(places[b:c] - (before + after) / 2, axis=-1).max()
        is_one = times[c] - times[b - 1] <= RESUMED_SECONDS and apart < RESUMED_SIGMAS * sigma
        if is_one and raised < RAISED_SIGMAS * sigma:
            standing[b:c] = True
        else:
            start = None


def _across(soles: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """(N, 4, 3) the way of soles across the line of sight, metres from their beginning."""
    moved = np.diff(soles, axis=0)
    sight = (soles[1:] + soles[:-1]) / 2 - ((eyes[1:] + eyes[:-1]) / 2)[:, None]
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    across = moved - (moved * sight).sum(-1, keepdims=True) * sight
    return np.concatenate([np.zeros((1, 4, 3)), np.cumsum(across, 0)])


def _segmented(places: np.ndarray, heights: np.ndarray, spans: np.ndarray, sigma: float) -> np.ndarray:
    """(N, S) bool: the frames in contact of soles at places (N, S, 3) and heights (N, S) over the floor."""
    count, soles, weight = len(spans), places.shape[1], 1 / (2 * sigma**2 * ERROR_SECONDS)
    height_sigma = np.clip(HEIGHT_SIGMAS * sigma, LEAST_HEIGHT_SIGMA, MOST_HEIGHT_SIGMA)
    high = spans[:, None] * (heights / height_sigma) ** 2 / (2 * ERROR_SECONDS)
    mass, first = _sums(spans), _sums(spans[:, None, None] * places)
    second = _sums(weight * spans[:, None] * (places**2).sum(-1) + high)
    shortest = max(1, int(np.ceil(SHORTEST_SECONDS / np.median(spans))))
    longest = max(shortest, int(LONGEST_SECONDS / np.median(spans)))
    moving, planted = np.zeros((count + 1, soles)), np.full((count + 1, soles), np.inf)
    begun, columns = np.zeros((count + 1, soles), int), np.arange(soles)
    before = np.zeros((count + 1, soles))  # cost of all before a contact that begins here
    for b in range(1, count + 1):
        moving[b] = np.minimum(moving[b - 1], planted[b - 1] + CHANGE) + WAY_PER_SECOND * spans[b - 1]
        if b >= shortest:
            low, stop = max(0, b - longest), b - shortest + 1
            way = first[b] - first[low:stop]
            inside = weight * (way * way).sum(-1) / (mass[b] - mass[low:stop])[:, None]
            cost = before[low:stop] + second[b] - second[low:stop] - inside
            best = cost.argmin(0)
            planted[b], begun[b] = cost[best, columns], low + best
        before[b] = np.minimum(moving[b] + CHANGE, planted[b] + CHAIN)
    return np.stack([_traced(moving[:, i], planted[:, i], begun[:, i]) for i in range(soles)], 1)


def _traced(moving: np.ndarray, planted: np.ndarray, begun: np.ndarray) -> np.ndarray:
    """(N,) bool by going back from the end along the cheapest account."""
    standing = np.zeros(len(moving) - 1, bool)
    b = len(moving) - 1
    on_foot = planted[b] <= moving[b]
    while b > 0:
        if on_foot:
            a = int(begun[b])
            standing[a:b] = True
            on_foot = a > 0 and planted[a] + CHAIN < moving[a] + CHANGE
            b = a
        else:
            on_foot = planted[b - 1] + CHANGE < moving[b - 1]
            b -= 1
    return standing


def _error(places: np.ndarray, standing: np.ndarray, usual: float) -> float:
    """Metres: how far soles usually stray from their mean place in contacts, in each of two directions."""
    strays = [
        ((places[a:b, i] - places[a:b, i].mean(0)) ** 2).sum(-1) / 2 for i in range(4) for a, b in runs(standing[:, i])
    ]
    if not strays:
        return usual
    typical = np.sqrt(np.median(np.concatenate(strays)) / MEDIAN_OF_SQUARES)
    return float(np.clip(typical, LEAST_SIGMA, MOST_SIGMA))


def _sums(values: np.ndarray) -> np.ndarray:
    """(N + 1, ...) running sums with a zero before them."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0)])
