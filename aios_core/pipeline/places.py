"""How well the beginning of a fragment fits where somebody was last: place, depth and size, or an encounter of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aios_core.pipeline.track import Fragment, Seen, sizes

LONGEST_ABSENCE_SECONDS = 15.0
COASTING_SECONDS = 0.5
"""Nobody is believed to keep walking as before for longer."""
PLACE_SIGMA, PLACE_SIGMA_PER_SECOND = 0.15, 0.7
"""Error of the predicted place, in box sizes, at once and for each second of absence."""
DEPTH_SIGMA, DEPTH_SIGMA_PER_SECOND = 0.15, 0.2
"""Of the logarithm of depth and of box size."""
ACCEPTED = 2.5
"""Cost, as a logarithm of odds, up to which fragments are joined."""
ACCEPTED_AFTER_ENCOUNTER = 7.0
"""The same for a fragment that must be one of those who met."""
SWAPPED = 1.0
"""Cost of taking somebody after an encounter for another of those who met."""


@dataclass(frozen=True)
class Ends:
    """Where fragments begin, or where they end. F of them."""

    time: np.ndarray
    """(F,)"""
    center: np.ndarray
    """(F, 2)"""
    velocity: np.ndarray
    """(F, 2)"""
    log_depth: np.ndarray
    """(F,)"""
    log_size: np.ndarray
    """(F,) of the longer side of the box."""


@dataclass(frozen=True)
class Places:
    """Where the fragments of a clip begin and end. F of them."""

    row: np.ndarray
    """For every number the row of its fragment."""
    first: Ends
    last: Ends
    accepted: np.ndarray
    """(F,)"""
    met: np.ndarray
    """(K,) sorted: row after an encounter times F plus row of one of those who met."""
    met_cost: np.ndarray
    """(K,)"""

    def link_costs(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """How badly fragments `after` fit those `before` them, as a logarithm of odds against somebody new.

        before, after: numbers of fragments, arrays that fit each other; 0 = none, which costs nothing.
        """
        before, after = np.broadcast_arrays(before, after)
        costs = np.zeros(before.shape)
        both = (before > 0) & (after > 0)
        costs[both] = self._link_costs(self.row[before[both]], self.row[after[both]])
        return costs

    def _link_costs(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """The same of rows (N,)."""
        first, last = self.first, self.last
        absence = first.time[after] - last.time[before]
        size = np.exp((last.log_size[before] + first.log_size[after]) / 2)
        half = np.minimum(absence, COASTING_SECONDS)[:, None] / 2
        there = last.center[before] + last.velocity[before] * half
        here = first.center[after] - first.velocity[after] * half
        sigma = PLACE_SIGMA + PLACE_SIGMA_PER_SECOND * absence
        depth_sigma = DEPTH_SIGMA + DEPTH_SIGMA_PER_SECOND * absence
        error = ((there - here) ** 2).sum(-1) / (size * sigma) ** 2
        error += ((last.log_depth[before] - first.log_depth[after]) / depth_sigma) ** 2 / 2
        error += ((last.log_size[before] - first.log_size[after]) / depth_sigma) ** 2 / 2
        # The longer somebody was away, the more others could have come by instead.
        costs = error / 2 + np.log(sigma / PLACE_SIGMA)
        code = after * len(first.time) + before
        known = np.searchsorted(self.met, code)
        met = np.flatnonzero(np.append(self.met, -1)[known] == code)
        costs[met] = self.met_cost[known[met]]
        return np.where(absence > LONGEST_ABSENCE_SECONDS, np.inf, costs - self.accepted[after])


def places(fragments: Mapping[int, Fragment]) -> Places:
    """Of the fragments of a clip, one at least, by number."""
    row = np.zeros(max(fragments) + 1, int)
    row[list(fragments)] = np.arange(len(fragments))
    met = {
        int(row[number]) * len(fragments) + int(row[other]): 0.0 if other == fragment.continues else SWAPPED
        for number, fragment in fragments.items()
        for other in fragment.met & fragments.keys()
    }
    codes = sorted(met)
    accepted = [ACCEPTED_AFTER_ENCOUNTER if fragment.met else ACCEPTED for fragment in fragments.values()]
    return Places(
        row=row,
        first=_ends([f.first for f in fragments.values()], [f.first_velocity for f in fragments.values()]),
        last=_ends([f.last for f in fragments.values()], [f.last.velocity for f in fragments.values()]),
        accepted=np.array(accepted),
        met=np.array(codes, int),
        met_cost=np.array([met[code] for code in codes]),
    )


def _ends(seen: Sequence[Seen], velocities: Sequence[np.ndarray]) -> Ends:
    return Ends(
        time=np.array([s.time for s in seen]),
        center=np.stack([s.center for s in seen]),
        velocity=np.stack(velocities),
        log_depth=np.array([s.log_depth for s in seen]),
        log_size=np.log(sizes(seen)),
    )
