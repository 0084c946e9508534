"""Fragments that are one person: hidden for a while, or back in the picture; and those that are nobody.

Two fragments are one person when the later begins about where the earlier would be by then, and looks like it. How
much looks tell is read off the clip itself: how much one person's change within a fragment, against how much people
differ who are seen at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios_core.pipeline.track import Fragment, Tracker

LONGEST_ABSENCE_SECONDS = 15.0
COASTING_SECONDS = 0.5
"""Nobody is believed to keep walking as before for longer."""
PLACE_SIGMA, PLACE_SIGMA_PER_SECOND = 0.15, 0.7
"""Error of the predicted place, in box sizes, at once and for each second of absence."""
DEPTH_SIGMA, DEPTH_SIGMA_PER_SECOND = 0.15, 0.2
"""Of the logarithm of depth and of box size."""
MOST_FOR_LOOKS = 5.0
"""No look weighs more than this, as a logarithm of odds."""
ACCEPTED = 2.5
"""Cost, as a logarithm of odds, up to which fragments are joined."""
PRIOR_STRENGTH = 3.0
"""The guess about how much looks tell counts like so many observations."""
GUESS_WITHIN, GUESS_BETWEEN = 4.0, 12.0
"""The guess: differences within and between people, in units of the difference from frame to frame."""
LEAST_SIGHTS = 4
"""Fragments with fewer sights have no look that could be trusted."""
SHORTEST_SECONDS = 0.25
"""Somebody seen for less is taken for an error of the network, ..."""
LEAST_PRESENCE = 0.3
"""... and so is somebody seen in a smaller share of the frames from first to last."""
SHARED_WITH_OTHERS = 0.6
"""Two numbers that are on one body in so many of the frames in which both are seen are one person, ..."""
LEAST_SHARED_SIGHTS = 2
"""... if that was seen so often."""


def whole_people(tracker: Tracker) -> dict[int, int]:
    """For every number of the tracker the number of the person: two on one body, or one after the other, are one."""
    body = one_body(tracker.fragments)
    bodies = {number: fragment for number, fragment in tracker.fragments.items() if body[number] == number}
    for number, owner in body.items():
        if owner != number:
            bodies[owner] = _joined(bodies[owner], tracker.fragments[number])
    person = link(bodies, tracker.noise)
    return {number: person[owner] for number, owner in body.items()}


def is_somebody(frames: np.ndarray, step_seconds: float) -> bool:
    """Whether a number seen in these frames (N,) is there long and often enough not to be an error of the network."""
    span = int(frames[-1] - frames[0]) + 1
    return len(frames) * step_seconds >= SHORTEST_SECONDS and len(frames) >= LEAST_PRESENCE * span


def one_body(fragments: Mapping[int, Fragment]) -> dict[int, int]:
    """For every number the number seen longest of those that share its body whenever both are seen."""
    owner: dict[int, int] = {}
    for number in sorted(fragments, key=lambda n: (-fragments[n].count, n)):
        fragment = fragments[number]
        sharing = {
            other: frames for other, frames in fragment.shared.items()
            if owner.get(other) == other
            and frames >= LEAST_SHARED_SIGHTS and frames >= SHARED_WITH_OTHERS * fragment.together[other]
        }  # fmt: skip
        owner[number] = max(sharing, key=lambda n: (sharing[n], -n)) if sharing else number
    return owner


def _joined(first: Fragment, second: Fragment) -> Fragment:
    """The fragment of a body that two numbers were seen on; looks are those of the first, which is seen longer."""
    begins = second if second.first.time < first.first.time else first
    ends = second if second.last.time > first.last.time else first
    return replace(
        first,
        first=begins.first,
        first_velocity=begins.first_velocity,
        last=ends.last,
        count=first.count + second.count,
    )


def link(fragments: Mapping[int, Fragment], noise: Mapping[str, float]) -> dict[int, int]:
    """For every number the number of the person's first fragment.

    noise: typical difference of token and shape between two frames of one person.
    """
    numbers = sorted(fragments, key=lambda n: (fragments[n].first.time, n))
    if not numbers:
        return {}
    looks = {name: _telling(name, fragments, noise[name]) for name in ("token", "shape")}
    cost = np.full((len(numbers), len(numbers)), np.inf)
    for i, a in enumerate(numbers):
        for k, b in enumerate(numbers):
            absence = fragments[b].first.time - fragments[a].last.time
            if 0 < absence <= LONGEST_ABSENCE_SECONDS:
                cost[i, k] = _place_cost(fragments[a], fragments[b], absence)
                cost[i, k] -= sum(_odds(fragments[a], fragments[b], name, *told) for name, told in looks.items())
    rows, columns = linear_sum_assignment(np.minimum(cost, ACCEPTED))
    person = {number: number for number in numbers}
    for i, k in sorted(zip(rows, columns, strict=True), key=lambda pair: pair[1]):
        if cost[i, k] < ACCEPTED:
            person[numbers[k]] = person[numbers[i]]
    return person


def _place_cost(before: Fragment, after: Fragment, absence: float) -> float:
    """How badly the later fragment's beginning fits the earlier one's end, as a logarithm of odds."""
    size = np.sqrt(_size(before.last.box) * _size(after.first.box))
    half = min(absence, COASTING_SECONDS) / 2
    there = before.last.center + before.last.velocity * half
    here = after.first.center - after.first_velocity * half
    sigma = PLACE_SIGMA + PLACE_SIGMA_PER_SECOND * absence
    depth_sigma = DEPTH_SIGMA + DEPTH_SIGMA_PER_SECOND * absence
    error = (np.linalg.norm(there - here) / size / sigma) ** 2
    error += ((before.last.log_depth - after.first.log_depth) / depth_sigma) ** 2 / 2
    error += (np.log(_size(before.last.box) / _size(after.first.box)) / depth_sigma) ** 2 / 2
    # The longer somebody was away, the more others could have come by instead.
    return float(error / 2 + np.log(sigma / PLACE_SIGMA))


def _telling(name: str, fragments: Mapping[int, Fragment], noise: float) -> tuple[float, float, float]:
    """(mean difference within people, between people, standard deviation of both) of a look in this clip."""
    seen = [f for f in fragments.values() if f.count >= 2 * LEAST_SIGHTS]
    within = [_difference(f.first_looks[name], f.last_looks[name], name) for f in seen]
    between = [
        _difference(a.last_looks[name], b.first_looks[name], name)
        for i, a in enumerate(seen) for b in seen[i + 1 :]
        if a.first.time < b.last.time and b.first.time < a.last.time
    ]  # fmt: skip
    means = [
        (sum(values) + PRIOR_STRENGTH * guess * noise) / (len(values) + PRIOR_STRENGTH)
        for values, guess in ((within, GUESS_WITHIN), (between, GUESS_BETWEEN))
    ]
    errors = [v - means[0] for v in within] + [v - means[1] for v in between]
    guess = (GUESS_BETWEEN - GUESS_WITHIN) / 3 * noise
    variance = (float(np.square(errors).sum()) + PRIOR_STRENGTH * guess**2) / (len(errors) + PRIOR_STRENGTH)
    return means[0], means[1], float(np.sqrt(variance))


def _odds(before: Fragment, after: Fragment, name: str, within: float, between: float, sigma: float) -> float:
    """Logarithm of the odds that two fragments are one person, by their looks."""
    if min(before.count, after.count) < LEAST_SIGHTS or between <= within:
        return 0.0
    difference = _difference(before.last_looks[name], after.first_looks[name], name)
    odds = (between - within) * (between + within - 2 * difference) / (2 * sigma**2)
    return float(np.clip(odds, -MOST_FOR_LOOKS, MOST_FOR_LOOKS))


def _difference(first: np.ndarray, second: np.ndarray, name: str) -> float:
    if name == "token":
        return float(1 - first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))
    return float(np.sqrt(((first - second) ** 2).mean()))


def _size(box: np.ndarray) -> float:
    return float(max((box[2:] - box[:2]).max(), 1.0))
