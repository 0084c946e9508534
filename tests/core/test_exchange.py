"""Confused people are told apart again by what comes later, and nobody is ever seen twice at a time."""

from itertools import pairwise

import numpy as np
import pytest

from aios_core.pipeline.exchange import WINDOW_SECONDS, exchanged
from aios_core.pipeline.looks import NOTHING, Look, Telling

TOLD = Telling("shape", np.eye(3), within=0.3, between=3.0, usual=np.zeros(3))
TALL, SMALL = np.array([1.5, 0.0, 0.0]), np.array([-1.5, 0.5, 0.0])


def looks_of(*means) -> dict[int, dict[str, Look]]:
    """Of the numbers from 1 on; None = never seen alone."""
    return {n: {"shape": NOTHING if m is None else Look(m, 3.0)} for n, m in enumerate(means, 1)}


def free(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Any fragment may go on as any other."""
    return np.where((before > 0) & (after > 0), -1.0, 0.0)


def people(answer: dict[int, int]) -> set[frozenset[int]]:
    return {frozenset(n for n in answer if answer[n] == p) for p in answer.values()}


def test_two_who_were_confused_get_their_later_fragments_back():
    times = {1: (0, 2), 2: (0, 2), 3: (3, 5), 4: (3, 5), 5: (6, 8), 6: (6, 8)}
    looks = looks_of(TALL, SMALL, None, None, SMALL, TALL)
    found = exchanged({1: 1, 3: 1, 5: 1, 2: 2, 4: 2, 6: 2}, times, looks, [TOLD], free)
    assert found[6] == found[1] == 1 and found[5] == found[2] == 2


def test_somebody_new_who_looks_like_somebody_gone_is_that_person():
    times = {1: (0, 2), 2: (0, 8), 3: (4, 8)}
    found = exchanged({1: 1, 2: 2, 3: 3}, times, looks_of(TALL, SMALL, TALL), [TOLD], free)
    assert people(found) == {frozenset({1, 3}), frozenset({2})}
    found = exchanged({1: 1, 2: 2, 3: 3}, times, looks_of(TALL, SMALL, SMALL), [TOLD], free)
    assert len(people(found)) == 3, "the small one is there all the time"


def test_a_fragment_in_the_middle_goes_to_whom_it_looks_like():
    times = {1: (0, 2), 2: (3, 4), 3: (5, 8), 4: (0, 2), 5: (5, 8)}
    looks = looks_of(TALL, SMALL, TALL, SMALL, SMALL)
    found = exchanged({1: 1, 2: 1, 3: 1, 4: 4, 5: 4}, times, looks, [TOLD], free)
    assert people(found) == {frozenset({1, 3}), frozenset({4, 2, 5})}


def test_what_fits_and_is_likely_stays():
    times = {1: (0, 2), 2: (0, 2), 3: (3, 5), 4: (3, 5)}
    before = {1: 1, 3: 1, 2: 2, 4: 2}
    assert exchanged(before, times, looks_of(TALL, SMALL, TALL, SMALL), [TOLD], free) == before
    # Looks that say little do not outweigh where people are.
    nearly = looks_of(TALL, TALL * 0.98, TALL * 0.98, TALL)

    def by_place(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        person = np.array([0, *(before[n] for n in sorted(before))])
        return np.where((a > 0) & (b > 0), np.where(person[a] == person[b], -3.0, 3.0), 0.0)

    assert exchanged(before, times, nearly, [TOLD], by_place) == before


def test_a_clip_without_people_stays_one():
    assert exchanged({}, {}, {}, [TOLD], free) == {}


def random_case(seed: int, count: int = 24, seconds: float = 80.0):
    """Numbers of three people, seen at their own times, looking like themselves, linked at random."""
    rng = np.random.default_rng(seed)
    truth, times, looks, begun = {}, {}, [], []
    for p in range(3):
        ends = np.sort(rng.uniform(0, seconds, 2 * (count // 3)))
        begun += [(float(a), float(b), p) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    for n, (a, b, p) in enumerate(sorted(begun), 1):
        truth[n], times[n] = p, (a, b)
        looks.append(np.eye(3)[p] * 3 + rng.normal(0, 0.15, 3))
    linked, busy = {}, {}
    for n in truth:
        may = [p for p, until in busy.items() if until < times[n][0]]
        linked[n] = int(rng.choice(may)) if may and rng.random() < 0.8 else n
        busy[linked[n]] = times[n][1]
    return truth, times, looks_of(*looks), linked


@pytest.mark.parametrize("seed", range(6))
def test_whatever_it_starts_from_nobody_is_seen_twice_at_a_time(seed):
    truth, times, looks, linked = random_case(seed)
    found = exchanged(linked, times, looks, [TOLD], free)
    for person in people(found):
        rows = sorted(times[n] for n in person)
        assert all(a[1] < b[0] for a, b in pairwise(rows))
        assert len({found[n] for n in person}) == 1 and found[min(person, key=lambda n: times[n])] in person

    def right(answer):
        """Share of pairs of numbers that are rightly one person or two."""
        pairs = [(a, b) for a in truth for b in truth if a < b]
        return np.mean([(truth[a] == truth[b]) == (answer[a] == answer[b]) for a, b in pairs])

    assert right(found) > 0.9 > 0.75 > right(linked), (right(linked), right(found))


def test_the_clock_may_start_anywhere():
    _, times, looks, linked = random_case(1)
    later = {n: (a + 1000 + WINDOW_SECONDS, b + 1000 + WINDOW_SECONDS) for n, (a, b) in times.items()}
    assert exchanged(linked, times, looks, [TOLD], free) == exchanged(linked, later, looks, [TOLD], free)
