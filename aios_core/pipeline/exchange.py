"""Mending the linking of a whole clip: two people exchange what comes after a time, or one gives some to the other.

Linking decides forwards in time by what is known then. What people do later may tell that two were confused, or that
somebody new is somebody old. One exchange after the other is made, the best first, as long as one makes the whole
likelier (local search as by Lin and Kernighan).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from aios_core.pipeline.looks import MOST_FOR_LOOKS, Look, Telling

LEAST_GAIN = 1.0
"""Of an exchange that is made, as a logarithm of odds."""
WINDOW_SECONDS = 30.0
"""Exchanges are looked for in so long a part of a clip at a time, so that their cost grows with its length, ..."""
MOST_PEOPLE = 30
"""... and among so many people, those seen longest: of more, most are errors of the network."""

PAIRS_AT_ONCE = 64
"""Pairs of people whose exchanges are weighed together."""

LinkCosts = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""How badly the beginnings of fragments fit the ends of others before them, as logarithms of odds against somebody new:
of numbers of those before and of those after, 0 = none, which costs nothing."""


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
class _Exchanges:
    """Fragments of a first and of a second person that might change places. E exchanges.

    Each from a start to before a stop; either may be none, between two others.
    """

    first: np.ndarray
    """(E,) the line, ..."""
    first_start: np.ndarray
    """... and places in it."""
    first_stop: np.ndarray
    second: np.ndarray
    second_start: np.ndarray
    second_stop: np.ndarray


def exchanged(
    person: Mapping[int, int], times: Mapping[int, tuple[float, float]], looks: Mapping[int, Mapping[str, Look]],
    told: Sequence[Telling], link_costs: LinkCosts,
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
        span = start, start + WINDOW_SECONDS
        here = _here(lines, span)
        after = _exchange_within(span, [lines[a] for a in here], times, looks, told, link_costs)
        for a, line in zip(here, after, strict=True):
            lines[a] = line
    return {number: line.numbers[0] for line in lines for number in line.numbers}


def _exchange_within(
    span: tuple[float, float], lines: list[_Line], times: Mapping[int, tuple[float, float]],
    looks: Mapping[int, Mapping[str, Look]], told: Sequence[Telling], link_costs: LinkCosts,
) -> list[_Line]:  # fmt: skip
    """The lines after all exchanges of fragments that begin in a span of time."""
    possible, gains, changed = np.zeros((0, 6), int), np.zeros(0), dict(enumerate(lines))
    for _ in range(len(times)):  # gains are cut off, so that one could go round in circles for ever
        kept = ~np.isin(possible[:, [0, 3]], list(changed)).any(1)
        possible, gains = possible[kept], gains[kept]
        pairs = [pair for pair in combinations(range(len(lines)), 2) if not changed.keys().isdisjoint(pair)]
        for k in range(0, len(pairs), PAIRS_AT_ONCE):
            new = np.concatenate([_possible(lines, *pair, span) for pair in pairs[k : k + PAIRS_AT_ONCE]])
            possible = np.concatenate([possible, new])
            gains = np.concatenate([gains, _gains(lines, _Exchanges(*new.T), told, link_costs)])
        if not len(gains) or gains.max() < LEAST_GAIN:
            break
        a, start, stop, b, their_start, their_stop = possible[int(np.argmax(gains))].tolist()
        one, other = lines[a].numbers, lines[b].numbers
        after = (
            one[:start] + other[their_start:their_stop] + one[stop:],
            other[:their_start] + one[start:stop] + other[their_stop:],
        )
        changed = {a: _line(after[0], times, looks, told), b: _line(after[1], times, looks, told)}
        lines = [changed.get(i, line) for i, line in enumerate(lines)]
    return lines


def _here(lines: list[_Line], span: tuple[float, float]) -> list[int]:
    """Which lines may have exchanges in a span of time."""
    early, late = span[0] - WINDOW_SECONDS / 2, span[1] + WINDOW_SECONDS / 2
    here = [a for a, line in enumerate(lines) if line.numbers and line.begins[0] < late and line.ends[-1] > early]
    return sorted(sorted(here, key=lambda a: -float((lines[a].ends - lines[a].begins).sum()))[:MOST_PEOPLE])


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


def _possible(lines: list[_Line], a: int, b: int, span: tuple[float, float]) -> np.ndarray:
    """(E, 6) all exchanges between two people, with columns as in _Exchanges."""
    first, second = lines[a], lines[b]
    parts = np.concatenate(
        [_tails(first, second, span), _gifts(first, second, span), _gifts(second, first, span)[:, [2, 3, 0, 1]]]
    )
    return np.insert(parts, [0, 2], [a, b], axis=1)


def _gains(lines: list[_Line], exchanges: _Exchanges, told: Sequence[Telling], link_costs: LinkCosts) -> np.ndarray:
    """(E,) how much likelier exchanges make the whole, as logarithms of odds."""
    gains = sum(np.clip(_looks_gain(lines, exchanges, t), -MOST_FOR_LOOKS, MOST_FOR_LOOKS) for t in told)
    return gains + _links_gain(lines, exchanges, link_costs)


def _tails(first: _Line, second: _Line, span: tuple[float, float]) -> np.ndarray:
    """(E, 4) starts and stops, of both: everything after a time, where nobody would be seen twice at a time."""
    n, m = len(first.numbers), len(second.numbers)
    # second[k - 1] ends before first[i] begins, and first[i - 1] before second[k] begins.
    most = np.append(np.searchsorted(second.ends, first.begins, side="left"), m)
    least = np.insert(np.searchsorted(second.begins, first.ends, side="right"), 0, 0)
    low, high = np.searchsorted(first.begins, span)
    i = np.append(np.arange(low, high), n)
    i, k = _ranges(i, least[i], most[i] + 1)
    # Of the second's last fragments for none of the first's those that begin in the span.
    begins_here = np.append((second.begins >= span[0]) & (second.begins < span[1]), False)
    kept = (i < n) | ((i > 0) & begins_here[k])
    i, k = i[kept], k[kept]
    return np.stack([i, np.full_like(i, n), k, np.full_like(k, m)], -1)


def _gifts(giver: _Line, taker: _Line, span: tuple[float, float]) -> np.ndarray:
    """(E, 4) starts and stops, of both: all that fit into a gap of the taker's, or those at one of its ends."""
    after = np.concatenate([[-np.inf], taker.ends])
    before = np.concatenate([taker.begins, [np.inf]])
    low, high = np.searchsorted(giver.begins, span)
    firsts = np.searchsorted(giver.begins, after, side="right").clip(low, high)
    lasts = np.searchsorted(giver.ends, before, side="left").clip(low, high)
    gap, start = _ranges(np.arange(len(after)), firsts, lasts)
    to_the_end = np.stack([start, lasts[gap], gap, gap], -1)
    gap, stop = _ranges(np.arange(len(after)), firsts + 1, lasts)
    return np.concatenate([to_the_end, np.stack([firsts[gap], stop, gap, gap], -1)])


def _ranges(of: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R,) `of` repeated for every number from its start to before its stop, and these numbers."""
    counts = np.maximum(stops - starts, 0)
    within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    return np.repeat(of, counts), np.repeat(starts, counts) + within


def _looks_gain(lines: list[_Line], exchanges: _Exchanges, told: Telling) -> np.ndarray:
    """(E,) how much likelier looks of one kind are after exchanges."""
    sums = np.concatenate([line.sums[told.name] for line in lines])
    stops = np.cumsum([len(line.numbers) + 1 for line in lines])
    starts = np.insert(stops[:-1], 0, 0)
    now = told.likelihood(sums[stops - 1])
    ours, theirs = starts[exchanges.first], starts[exchanges.second]
    moved = sums[theirs + exchanges.second_stop] - sums[theirs + exchanges.second_start]
    moved -= sums[ours + exchanges.first_stop] - sums[ours + exchanges.first_start]
    after = told.likelihood(sums[stops[exchanges.first] - 1] + moved)
    after += told.likelihood(sums[stops[exchanges.second] - 1] - moved)
    return after - now[exchanges.first] - now[exchanges.second]


def _links_gain(lines: list[_Line], exchanges: _Exchanges, link_costs: LinkCosts) -> np.ndarray:
    """(E,) how much better the beginnings of fragments fit the ends of those before them after exchanges."""
    ours = _ends(lines, exchanges.first, exchanges.first_start, exchanges.first_stop)
    theirs = _ends(lines, exchanges.second, exchanges.second_start, exchanges.second_stop)

    def cost(around: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Of the links between what comes before, the part, if there is any, and what comes after."""
        begin, end = np.where(part[0] > 0, part, around[[1, 0]])
        links = link_costs(np.stack([around[0], end]), np.stack([begin, around[1]]))
        return links[0] + np.where(part[0] > 0, links[1], 0.0)

    now = cost(ours[:2], ours[2:]) + cost(theirs[:2], theirs[2:])
    return now - cost(ours[:2], theirs[2:]) - cost(theirs[:2], ours[2:])


def _ends(lines: list[_Line], line: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """(4, E) numbers of the fragments before and after a part of a line, and of its first and last; 0 = none."""
    numbers = np.array([number for line in lines for number in (0, *line.numbers, 0)])
    begins = np.cumsum([0] + [len(line.numbers) + 2 for line in lines])[line]
    start, stop = begins + start, begins + stop
    part = np.stack([numbers[start + 1], numbers[stop]])
    return np.concatenate([[numbers[start], numbers[stop + 1]], np.where(start < stop, part, 0)])
