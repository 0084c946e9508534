"""Fragments that are one person: hidden for a while, or back in the picture; and those that are nobody.

Two fragments are one person when the later begins about where the earlier would be by then, or after an encounter of
both, and looks like it (see `looks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios_core.pipeline.exchange import exchanged
from aios_core.pipeline.looks import DIRECTIONS, NOTHING, Look, Telling, telling
from aios_core.pipeline.places import LONGEST_ABSENCE_SECONDS, Places, places
from aios_core.pipeline.track import Fragment, Tracker

ROUNDS = 2
"""Of linking; the second knows how people look from the whole clip."""
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
    person = link(bodies)
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
            other: frames for other in fragment.shared
            if owner.get(other) == other and (frames := _frames_on_one_body(fragment, other))
        }  # fmt: skip
        owner[number] = max(sharing, key=lambda n: (sharing[n], -n)) if sharing else number
    return owner


def _frames_on_one_body(fragment: Fragment, other: int) -> int:
    """In how many frames two numbers were on one body; 0 = not often enough to be one person."""
    frames, seen = fragment.shared[other], fragment.together[other]
    return frames if frames >= LEAST_SHARED_SIGHTS and frames >= SHARED_WITH_OTHERS * seen else 0


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


@dataclass
class _Person:
    """Somebody found so far."""

    number: int
    looks: dict[str, Look]
    """All that is known, in the round before or so far."""
    begins: float = np.inf
    """When the person was first seen in the round before."""
    last_number: int = 0
    last: Fragment | None = None


def link(fragments: Mapping[int, Fragment]) -> dict[int, int]:
    """For every number the number of the person's first fragment."""
    if not fragments:
        return {}
    told, where = {name: telling(name, fragments) for name in DIRECTIONS}, places(fragments)
    looks = {n: {name: t.look(fragment) for name, t in told.items()} for n, fragment in fragments.items()}
    person: dict[int, int] = {}
    for _ in range(ROUNDS):
        person = _linked(fragments, looks, told, where, person)

    times = {number: (fragment.first.time, fragment.last.time) for number, fragment in fragments.items()}
    return exchanged(person, times, looks, list(told.values()), where.link_costs)


def _linked(
    fragments: Mapping[int, Fragment], looks: Mapping[int, dict[str, Look]], told: Mapping[str, Telling],
    where: Places, before: Mapping[int, int],
) -> dict[int, int]:  # fmt: skip
    """Forwards in time: fragments that begin together are assigned to those seen before them (Hungarian method).

    before: whose fragments they were in the round before; from it people's looks are known from the start.
    """
    known = _people(fragments, looks, before)
    owners: dict[int, _Person] = {}
    numbers = sorted(fragments, key=lambda n: (fragments[n].first.time, n))
    for time, group in groupby(numbers, key=lambda n: fragments[n].first.time):
        group = list(group)
        known = [p for p in known if p.last is None or time - p.last.last.time <= LONGEST_ABSENCE_SECONDS]
        waiting = [p for p in known if _may_begin(p, time)]
        cost = where.link_costs(np.array([[p.last_number] for p in waiting], int).reshape(-1, 1), np.array(group))
        for k, number in enumerate(group):
            for name, look in looks[number].items():
                own = before.get(number)  # nothing speaks for itself
                theirs = [p.looks[name].without(look) if p.number == own else p.looks[name] for p in waiting]
                cost[:, k] -= told[name].odds(theirs, look)
        rows, columns = linear_sum_assignment(np.minimum(cost, 0))
        found = {group[k]: waiting[i] for i, k in zip(rows, columns, strict=True) if cost[i, k] < 0}
        for number in group:
            if number not in found:
                found[number] = _Person(-number if before else number, dict.fromkeys(DIRECTIONS, NOTHING))
                known.append(found[number])
            p = owners[number] = found[number]
            p.last_number, p.last = number, fragments[number]
            if before.get(number) != p.number:
                p.looks = {name: p.looks[name].and_then(look) for name, look in looks[number].items()}
    firsts: dict[int, int] = {}
    return {number: firsts.setdefault(owners[number].number, number) for number in numbers}


def _people(
    fragments: Mapping[int, Fragment], looks: Mapping[int, dict[str, Look]], owners: Mapping[int, int]
) -> list[_Person]:
    """Everybody of the round before, with all looks."""
    people: dict[int, _Person] = {}
    for number in sorted(owners):
        p = people.setdefault(owners[number], _Person(owners[number], dict.fromkeys(DIRECTIONS, NOTHING)))
        p.looks = {name: p.looks[name].and_then(look) for name, look in looks[number].items()}
        p.begins = min(p.begins, fragments[number].first.time)
    return list(people.values())


def _may_begin(person: _Person, time: float) -> bool:
    """Whether somebody's next fragment can begin now."""
    if person.last is None:
        return abs(person.begins - time) <= LONGEST_ABSENCE_SECONDS
    return person.last.last.time < time
