"""How much looks tell about who is who: the network's person token, shape and colours, as sums of half seconds.

All of it is read off the clip itself: how much one person's looks change from half second to half second, in which
directions, and how much people differ who are seen at the same time. Errors are taken to be Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from aios_core.pipeline.track import Fragment, Looks

DIRECTIONS = {"token": 16, "shape": 3, "colours": 6}
"""In how many independent directions looks err."""
MOST_FOR_LOOKS = 6.0
"""No look weighs more than this, as a logarithm of odds."""
SLOW_ERRORS = 4.0
"""Variance of looks over a clip, in units of that between neighbouring half seconds, from which it is estimated."""
PRIOR_STEPS = 60
"""The guess that errors are as large in all directions counts like so many observed changes."""
PRIOR_PAIRS, PRIOR_RATIO = 3.0, 4.0
"""The guess that people's variance is so many times that of errors counts like so many observed pairs of people."""
LEAST_WITHIN = 1e-9
"""Of looks that never change, such as colours that nobody has looked for."""
LEAST_HALVES = 0.33
"""Half seconds that a single sight is worth."""
LEAST_SIGHTS = 4
"""A half second with fewer sights says nothing about changes."""
LEAST_COMPARED = 2.0
"""Half seconds of those whose difference says how much people differ."""


@dataclass(frozen=True)
class Look:
    """The mean of how somebody looked, and over how many half seconds."""

    mean: np.ndarray
    count: float

    def and_then(self, other: Look) -> Look:
        """Both together."""
        count = self.count + other.count
        return Look((self.mean * self.count + other.mean * other.count) / max(count, 1e-9), count)

    def without(self, other: Look) -> Look:
        """This, without a part of it."""
        count = self.count - other.count
        if count < 1e-6:
            return NOTHING
        return Look((self.mean * self.count - other.mean * other.count) / count, count)


NOTHING = Look(0.0, 0.0)


@dataclass(frozen=True)
class Telling:
    """How much one kind of look tells in a clip."""

    name: str
    scale: np.ndarray
    """(C, C) after which errors are about as large in all directions."""
    within: float
    """Squared length of the error of half a second."""
    between: float
    """The same of a person's difference from the mean person ..."""
    usual: np.ndarray
    """(C,) ... who looks like this."""

    def look(self, fragment: Fragment) -> Look:
        """A fragment's."""
        looks = fragment.looks[self.name]
        if not looks.means:
            return NOTHING
        sights = np.array(looks.sights)
        count = float(np.minimum(sights / max(np.median(sights), 2), 1).sum())
        return Look(self.scale @ np.average(looks.means, axis=0, weights=sights), max(count, LEAST_HALVES))

    def odds(self, people: Sequence[Look], look: Look) -> np.ndarray:
        """(N,) logarithms of the odds that a look is that of each of some people; 0 where nothing is known."""
        odds = np.zeros(len(people))
        known = [i for i, person in enumerate(people) if person.count and look.count]
        if not known:
            return odds
        counts, means = (np.array([getattr(people[i], name) for i in known]) for name in ("count", "mean"))
        error = self.within * (1 / counts + 1 / look.count)
        ratio = 1 + 2 * self.between / error
        off = ((means - look.mean) ** 2).sum(-1) / error
        odds[known] = DIRECTIONS[self.name] / 2 * (np.log(ratio) - off * (1 - 1 / ratio))
        return odds.clip(-MOST_FOR_LOOKS, MOST_FOR_LOOKS)

    def likelihood(self, sums: np.ndarray) -> np.ndarray:
        """(E,) logarithm of the likelihood that looks are one person's, whoever that is, up to what all looks share.

        sums: (E, C + 2) the half seconds, and the sums over them of looks less `usual` and of their squared lengths.
        """
        directions = DIRECTIONS[self.name]
        within, between = self.within / directions, self.between / directions
        count = np.maximum(sums[:, 0], 1e-6)
        squared_mean = (sums[:, 1:-1] ** 2).sum(-1) / count**2
        error = within / count
        spread = (sums[:, -1] - count * squared_mean) / within
        odds = directions * np.log(error / (between + error)) - spread - squared_mean / (between + error)
        return np.where(sums[:, 0] > 1e-6, odds / 2, 0.0)


def telling(name: str, fragments: Mapping[int, Fragment]) -> Telling:
    """What the fragments of a clip say about one kind of look."""
    steps = [step for fragment in fragments.values() for step in _steps(fragment.looks[name])]
    size = next((len(f.looks[name].means[0]) for f in fragments.values() if f.looks[name].means), 1)
    scale = _whitening(np.array(steps).reshape(-1, size))
    within = SLOW_ERRORS * float(np.mean([((scale @ step) ** 2).sum() for step in steps])) / 2 if steps else 1.0
    within = max(within, LEAST_WITHIN)
    means = [mean for fragment in fragments.values() for mean in fragment.looks[name].means]
    usual = scale @ np.mean(means, axis=0) if means else np.zeros(size)
    found = Telling(name, scale, within, within, usual)
    between = [
        (((a.mean - b.mean) ** 2).sum() - within * (1 / a.count + 1 / b.count)) / 2
        for a, b in _pairs_at_one_time(found, fragments)
    ]
    total = sum(between) + PRIOR_PAIRS * PRIOR_RATIO * within
    return replace(found, between=max(total / (len(between) + PRIOR_PAIRS), 1e-3 * within))


def _steps(looks: Looks) -> list[np.ndarray]:
    """Changes (C,) from half second to half second."""
    means = [mean for mean, sights in zip(looks.means, looks.sights, strict=True) if sights >= LEAST_SIGHTS]
    return [b - a for a, b in pairwise(means)]


def _whitening(steps: np.ndarray) -> np.ndarray:
    """(C, C) by the changes (K, C), drawn towards none."""
    count, size = steps.shape
    if not count:
        return np.eye(size)
    covariance = steps.T @ steps
    share = PRIOR_STEPS / (PRIOR_STEPS + count)
    usual = max(np.trace(covariance) / size, 1e-12)
    values, axes = np.linalg.eigh((1 - share) * covariance / usual + share * np.eye(size))
    return axes / np.sqrt(np.maximum(values, 1e-6)) @ axes.T


def _pairs_at_one_time(told: Telling, fragments: Mapping[int, Fragment]) -> list[tuple[Look, Look]]:
    """Looks of two people: fragments that were seen at the same time for long enough."""
    known = sorted(fragments.values(), key=lambda f: f.first.time)
    seen = [(fragment, look) for fragment in known if (look := told.look(fragment)).count >= LEAST_COMPARED]
    answer = []
    for i, (fragment, look) in enumerate(seen):
        for other, others in seen[i + 1 :]:
            if other.first.time >= fragment.last.time:
                break
            answer.append((look, others))
    return answer
