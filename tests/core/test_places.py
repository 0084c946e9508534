"""A fragment fits who was last where it begins, the less the longer ago, and whoever it must be after an encounter."""

import numpy as np
import pytest

from aios_core.pipeline.places import ACCEPTED, ACCEPTED_AFTER_ENCOUNTER, SWAPPED, places
from aios_core.pipeline.track import Fragment, Seen


def seen(time: float, x: float, velocity: float = 0.0) -> Seen:
    """Somebody 200 pixels tall at x, on the way to the right, pixels a second."""
    box = np.array([x - 40, 100, x + 40, 300.0])
    nothing = np.zeros(3)
    return Seen(0, time, box, np.zeros((17, 2)), 1.5, *[nothing] * 4, np.array([x, 200.0]),
                np.array([velocity, 0.0]))  # fmt: skip


def fragment(begin: tuple[float, float], end: tuple[float, float], velocity: float = 0.0, **known) -> Fragment:
    """From a (time, x) to another."""
    first_velocity = np.array([velocity, 0.0])
    return Fragment(seen(*begin, velocity), seen(*end, velocity), 10, first_velocity=first_velocity, **known)


def cost(before: Fragment, after: Fragment) -> float:
    return float(places({5: before, 9: after}).link_costs(np.array(5), np.array(9)))


def test_who_begins_where_another_ended_is_cheap_and_who_begins_elsewhere_is_not():
    there = fragment((0, 100), (2, 300))
    at_once, later, elsewhere = (cost(there, fragment((t, x), (9, x))) for t, x in ((2.1, 300), (4, 300), (2.1, 500)))
    assert at_once == pytest.approx(-ACCEPTED, abs=0.5)
    assert at_once < later < 0 < elsewhere


def test_whoever_walks_is_expected_farther_on():
    walking = fragment((0, 100), (2, 300), velocity=100)
    on, back = (cost(walking, fragment((2.5, x), (5, x), velocity=100)) for x in (350, 150))
    assert on < 0 < back


def test_nobody_comes_back_after_a_quarter_of_a_minute():
    there = fragment((0, 100), (2, 100))
    assert np.isfinite(cost(there, fragment((16.9, 100), (20, 100))))
    assert cost(there, fragment((17.1, 100), (20, 100))) == np.inf


def test_after_an_encounter_it_is_one_of_those_who_met_wherever_they_were():
    before, other = fragment((0, 100), (2, 300)), fragment((0, 500), (2, 310))
    after = fragment((2.1, 900), (4, 900), continues=1, met=frozenset({1, 2}))
    known = places({1: before, 2: other, 3: after})
    costs = known.link_costs(np.array([1, 2, 0]), np.array([3, 3, 3]))
    assert costs.tolist() == [-ACCEPTED_AFTER_ENCOUNTER, SWAPPED - ACCEPTED_AFTER_ENCOUNTER, 0.0]
