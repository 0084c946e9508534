"""Mending the linking of a whole clip: two people exchange what comes after a time, or one gives some to the other.

Linking decides forwards in time by what is known then. What people do later may tell that two were confused, or that
somebody new is somebody old. One exchange after the other is made, the best first, as long as one makes the whole
likelier (local search as by Lin and Kernighan).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from aios_core.pipeline.looks import MOST_FOR_LOOKS, Look, Telling

LEAST_GAIN = 1.0
"""Of an exchange that is made, as a logarithm of odds."""
WINDOW_SECONDS = 30.0
"""Exchanges are looked for in so long a part of a clip at a time, so that their cost grows with its length, ..."""
MOST_PEOPLE = 30
"""... and among so many people, those seen longest: of more, most are errors of the network."""

LinkCost = Callable[[int, int], float]
"""How badly a fragment's beginning fits the end of another, as a logarithm of odds against somebody new; by numbers."""


@dataclass(frozen=True)
class _Line:
    """The fragments of one person in order of time. N of them."""

    numbers: list[int]
    begins: np.ndarray
    """(N,) seconds"""
    ends: np.ndarray
    sums: dict[str, np.ndarray]
    """By kind of look (N + 1, C + 2): of the first 0, 1, 2 ... fragments the half seconds, and the sums over them of
    looks and of their squared lengths."""


@dataclass(frozen=True)
class _Exchange:
    """Fragments of a first and of a second person that change places; either may be none, between two others."""

    first: slice
    second: slice


def exchanged(
    person: Mapping[int, int], times: Mapping[int, tuple[float, float]], looks: Mapping[int, Mapping[str, Look]],
    told: Sequence[Telling], link_cost: LinkCost,
) -> dict[int, int]:  # fmt: skip
    """For every number the number of the person's first fragment, when no exchange makes the whole likelier.

    Args:
        person: the same as linking found it.
        times: of every number, when it was first and last seen.
        looks: of every number, by the names of `told`.
    """
    by_person: dict[int, list[int]] = {}
    for number in sorted(person, key=lambda n: (times[n], n)):
        by_person.setdefault(person[number], []).append(number)
    if not by_person:
        return {}
    lines = [_line(numbers, times, looks, told) for numbers in by_person.values()]
    first, last = min(line.begins[0] for line in lines), max(line.begins[-1] for line in lines)
    for start in np.arange(first, max(last - WINDOW_SECONDS / 2, first) + 1e-6, WINDOW_SECONDS / 2):
        _exchange_within((start, start + WINDOW_SECONDS), lines, times, looks, told, link_cost)
    return {number: line.numbers[0] for line in lines for number in line.numbers}


def _exchange_within(
    span: tuple[float, float], lines: list[_Line], times: Mapping[int, tuple[float, float]],
    looks: Mapping[int, Mapping[str, Look]], told: Sequence[Telling], link_cost: LinkCost,
) -> None:  # fmt: skip
    """Make all exchanges, in place, of fragments that begin in a span of time."""
    early, late = span[0] - WINDOW_SECONDS / 2, span[1] + WINDOW_SECONDS / 2
    here = [a for a, line in enumerate(lines) if line.numbers and line.begins[0] < late and line.ends[-1] > early]
    here = sorted(here, key=lambda a: -float((lines[a].ends - lines[a].begins).sum()))[:MOST_PEOPLE]
    gains: dict[tuple[int, int], tuple[float, _Exchange | None]] = {}
    changed = set(here)
    for _ in range(len(times)):  # gains are cut off, so that one could go round in circles for ever
        for pair in combinations(sorted(here), 2):
            if changed & set(pair):
                gains[pair] = _best(lines[pair[0]], lines[pair[1]], span, told, link_cost)
        (a, b), (gain, best) = max(gains.items(), key=lambda item: item[1][0], default=((0, 0), (0.0, None)))
        if best is None or gain < LEAST_GAIN:
            break
        one, other = lines[a].numbers, lines[b].numbers
        after = (
            one[: best.first.start] + other[best.second] + one[best.first.stop :],
            other[: best.second.start] + one[best.first] + other[best.second.stop :],
        )
        lines[a], lines[b] = (_line(numbers, times, looks, told) for numbers in after)
        changed = {a, b}


def _line(
    numbers: list[int], times: Mapping[int, tuple[float, float]], looks: Mapping[int, Mapping[str, Look]],
    told: Sequence[Telling],
) -> _Line:  # fmt: skip
    begins, ends = np.array([times[n] for n in numbers]).reshape(-1, 2).T
    sums = {}
    for t in told:
        rows = np.zeros((len(numbers) + 1, len(t.usual) + 2))
        for row, number in zip(rows[1:], numbers, strict=True):
            look = looks[number][t.name]
            if look.count:
                off = look.mean - t.usual
                row[:] = np.concatenate([[1], off, [off @ off]]) * look.count
        sums[t.name] = rows.cumsum(0)
    return _Line(numbers, begins, ends, sums)


def _best(
    first: _Line, second: _Line, span: tuple[float, float], told: Sequence[Telling], link_cost: LinkCost
) -> tuple[float, _Exchange | None]:
    """The gain of the best exchange between two people, a logarithm of odds, and the exchange."""
    possible = [*_tails(first, second, span), *_gifts(first, second, span)]
    possible += [_Exchange(e.second, e.first) for e in _gifts(second, first, span)]
    if not possible:
        return 0.0, None
    gains = sum(np.clip(_looks_gain(first, second, possible, t), -MOST_FOR_LOOKS, MOST_FOR_LOOKS) for t in told)
    gains += [_links_gain(first.numbers, second.numbers, exchange, link_cost) for exchange in possible]
    best = int(np.argmax(gains))
    return float(gains[best]), possible[best]


def _tails(first: _Line, second: _Line, span: tuple[float, float]) -> Iterator[_Exchange]:
    """Everything after a time, where nobody would be seen twice at a time."""
    n, m = len(first.numbers), len(second.numbers)
    # second[k - 1] ends before first[i] begins, and first[i - 1] before second[k] begins.
    most = np.append(np.searchsorted(second.ends, first.begins, side="left"), m)
    least = np.insert(np.searchsorted(second.begins, first.ends, side="right"), 0, 0)
    low, high = np.searchsorted(first.begins, span)
    for i in (*range(low, high), n):
        for k in range(least[i], most[i] + 1):
            if i < n or (i > 0 and k < m and span[0] <= second.begins[k] < span[1]):
                yield _Exchange(slice(i, n), slice(k, m))


def _gifts(giver: _Line, taker: _Line, span: tuple[float, float]) -> Iterator[_Exchange]:
    """Fragments that fit into a gap of the taker's: all that do, or those at one of its ends."""
    after = np.concatenate([[-np.inf], taker.ends])
    before = np.concatenate([taker.begins, [np.inf]])
    low, high = np.searchsorted(giver.begins, span)
    firsts = np.searchsorted(giver.begins, after, side="right").clip(low, high)
    lasts = np.searchsorted(giver.ends, before, side="left").clip(low, high)
    for k, (i, j) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        yield from (_Exchange(slice(start, j), slice(k, k)) for start in range(i, j))
        yield from (_Exchange(slice(i, stop), slice(k, k)) for stop in range(i + 1, j))


def _looks_gain(first: _Line, second: _Line, exchanges: Sequence[_Exchange], told: Telling) -> np.ndarray:
    """(E,) how much likelier looks of one kind are after exchanges."""
    ours, theirs = first.sums[told.name], second.sums[told.name]
    given, taken = (
        sums[[part.stop for part in parts]] - sums[[part.start for part in parts]]
        for sums, parts in ((ours, [e.first for e in exchanges]), (theirs, [e.second for e in exchanges]))
    )
    now = told.likelihood(ours[-1:]) + told.likelihood(theirs[-1:])
    return told.likelihood(ours[-1] - given + taken) + told.likelihood(theirs[-1] - taken + given) - now


def _links_gain(first: list[int], second: list[int], exchange: _Exchange, link_cost: LinkCost) -> float:
    """How much better the beginnings of fragments fit the ends of those before them after an exchange."""
    ours, theirs = (
        (numbers[max(part.start - 1, 0) : part.start], numbers[part], numbers[part.stop : part.stop + 1])
        for numbers, part in ((first, exchange.first), (second, exchange.second))
    )

    def cost(*parts: list[int]) -> float:
        ends = [part for part in parts if part]
        return sum(link_cost(before[-1], after[0]) for before, after in pairwise(ends))

    now = cost(*ours) + cost(*theirs)
    return now - cost(ours[0], theirs[1], ours[2]) - cost(theirs[0], ours[1], theirs[2])
