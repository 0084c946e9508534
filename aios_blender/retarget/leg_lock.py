"""Feet that stay locked on another body: the rig's planted soles rest on the ground, its legs bend to reach them.

As in `aios_core.pipeline.refine.foot_lock`, corrections are least squares over the whole motion, so that nothing pops
when a contact begins or ends. numpy only: Blender has no scipy.

S = 2 sides, left and right; soles are heel and toe of either. World with z up, ground at z = 0, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aios_core.geometry.rotations import rotation_between

from .least_squares import sample_spans, smooth_pull

PERSON_LEG = 0.8
"""Metres: the lengths below are those of a person with such legs and grow with the rig's."""
SOLE_SIGMA = 0.04
"""How far a sole's place relative to the hips may be off; planted soles pull at the hips no harder than this."""
SHIFT_SIGMA = 0.1
"""How far the hips may be moved, ..."""
SHIFT_ACCELERATION = 1.0
"""and how sharply, metres a second squared."""
HELD_SIGMA = 0.0003
"""How far a planted sole may be from its place in the end."""
FOOT_SIGMA = 0.1
"""How far a swinging foot may be moved, ..."""
FOOT_ACCELERATION = 4.0
"""how sharply, metres a second squared, and ..."""
TOE_HEEL_SIGMA = 0.03
"""how differently its heel and toe."""
REACH = 0.998
"""Share of its length to which a leg may be stretched."""
DROP_SECONDS = 0.25
"""So long before and after a leg that cannot reach, the hips begin and end to sink."""


@dataclass(frozen=True)
class LegRest:
    """Both legs of the rig at rest, (S, 3) each, world axes."""

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    heel: np.ndarray
    toe: np.ndarray
    """Under the ball of the foot, on the sole as the heel."""
    front: np.ndarray
    """(3,) where the knees point."""

    @property
    def length(self) -> float:
        """Of a leg, the mean of both."""
        thighs, shins = np.linalg.norm(self.knee - self.hip, axis=1), np.linalg.norm(self.ankle - self.knee, axis=1)
        return float((thighs + shins).mean())


@dataclass(frozen=True)
class LegMotion:
    """Both legs over N frames."""

    hips: np.ndarray
    """(N, 3) the middle between the hip joints."""
    pelvis: np.ndarray
    """(N, 3, 3) turns, from rest to posed."""
    thigh: np.ndarray
    """(N, S, 3, 3)"""
    shin: np.ndarray
    """(N, S, 3, 3)"""
    foot: np.ndarray
    """(N, S, 3, 3)"""


@dataclass(frozen=True)
class LegPlaces:
    """Where the legs are, (N, S, 3) each, soles (N, S, 2, 3)."""

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    soles: np.ndarray
    """Heel and toe."""


def leg_places(rest: LegRest, motion: LegMotion) -> LegPlaces:
    """Forward kinematics of both legs."""
    middle = rest.hip.mean(0)
    hip = motion.hips[:, None] + np.einsum("nij,sj->nsi", motion.pelvis, rest.hip - middle)
    knee = hip + np.einsum("nsij,sj->nsi", motion.thigh, rest.knee - rest.hip)
    ankle = knee + np.einsum("nsij,sj->nsi", motion.shin, rest.ankle - rest.knee)
    local = np.stack([rest.heel, rest.toe], 1) - rest.ankle[:, None]
    return LegPlaces(hip, knee, ankle, ankle[:, :, None] + np.einsum("nsij,spj->nspi", motion.foot, local))


def lock_legs(rest: LegRest, motion: LegMotion, contacts: np.ndarray, seconds: np.ndarray) -> LegMotion:
    """The motion with its planted soles at rest on the ground.

    contacts: (N, S, 2) bool, heels and toes; seconds: (N,) increasing, one stretch without gaps.
    """
    if not contacts.any():
        return motion
    size = rest.length / PERSON_LEG
    soles = leg_places(rest, motion).soles
    shift = hips_shift(soles, contacts, seconds, size)
    motion = replace(motion, hips=motion.hips + shift)
    places = leg_places(rest, motion)
    targets = sole_targets(places.soles, contacts, seconds, size)
    foot, ankle = foot_goals(rest, motion.foot, targets, contacts)
    drop = hips_drop(rest, places, ankle, seconds)
    motion = replace(motion, hips=motion.hips - drop[:, None] * [0, 0, 1])
    thigh, shin = bend_legs(rest, motion, leg_places(rest, motion), ankle)
    return replace(motion, thigh=thigh, shin=shin, foot=foot)


def anchors(soles: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """(N, S, 2, 3) where each planted sole rests on the ground through its contact; zero elsewhere.

    Heel and toe that are planted at once rest as far apart as they are on the foot.
    """
    answer = np.zeros_like(soles)
    length = np.linalg.norm(soles[:1, :, 1] - soles[:1, :, 0], axis=-1)[0]
    for side in range(2):
        found = [[(a, b) for a, b in runs(contacts[:, side, p])] for p in range(2)]
        places = [[soles[a:b, side, p].mean(0) * [1, 1, 0] for a, b in found[p]] for p in range(2)]
        pairs = [
            (i, j)
            for i, (a, b) in enumerate(found[0])
            for j, (c, d) in enumerate(found[1])
            if max(a, c) < min(b, d)
        ]  # fmt: skip
        for _ in range(20 if pairs else 0):
            for i, j in pairs:
                way = places[1][j] - places[0][i]
                change = way * (1 - length[side] / max(np.linalg.norm(way), 1e-9)) / 2
                places[0][i], places[1][j] = places[0][i] + change, places[1][j] - change
        for p in range(2):
            for (a, b), place in zip(found[p], places[p], strict=True):
                answer[a:b, side, p] = place
    return answer


def hips_shift(soles: np.ndarray, contacts: np.ndarray, seconds: np.ndarray, size: float) -> np.ndarray:
    """(N, 3) smooth shifts of the whole person towards where its planted soles rest."""
    count = np.maximum(contacts.sum((1, 2)), 1)[:, None]
    pull = ((anchors(soles, contacts) - soles) * contacts[..., None]).sum((1, 2)) / count
    span = sample_spans(seconds)
    held = np.where(contacts.any((1, 2)), span / (SOLE_SIGMA * size) ** 2, 0.0)
    free = span / (SHIFT_SIGMA * size) ** 2
    return smooth_pull(pull[:, None], held[:, None], free, None, seconds, SHIFT_ACCELERATION * size)[:, 0]


def sole_targets(soles: np.ndarray, contacts: np.ndarray, seconds: np.ndarray, size: float) -> np.ndarray:
    """(N, S, 2, 3) where heels and toes shall be: planted ones at their anchors, others near where they were.

    Swinging soles that would be under the ground are lifted onto it.
    """
    answer = soles.copy()
    span, rest_at = sample_spans(seconds), anchors(soles, contacts)
    free, couple = span / (FOOT_SIGMA * size) ** 2, span / (TOE_HEEL_SIGMA * size) ** 2
    for side in range(2):
        held, pull = contacts[:, side], rest_at[:, side] - soles[:, side]
        firm = held * (span / (HELD_SIGMA * size) ** 2)[:, None]
        way = smooth_pull(pull, firm, free, couple, seconds, FOOT_ACCELERATION * size)
        under = ~held & (soles[:, side, :, 2] + way[..., 2] < 0)
        if under.any():
            height = np.where(under, -soles[:, side, :, 2], pull[..., 2])[..., None]
            firm = (held | under) * (span / (HELD_SIGMA * size) ** 2)[:, None]
            way[..., 2:] = smooth_pull(height, firm, free, couple, seconds, FOOT_ACCELERATION * size)
        answer[:, side] += way
    return answer


def foot_goals(
    rest: LegRest, foot: np.ndarray, targets: np.ndarray, contacts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turns (N, S, 3, 3) of the feet and places (N, S, 3) of the ankles that bring heels and toes to their targets.

    The planted end is met exactly; with both planted the toe is, since it leaves last.
    """
    turns, ankles = foot.copy(), np.empty((*foot.shape[:2], 3))
    for side in range(2):
        local = np.stack([rest.heel[side], rest.toe[side]]) - rest.ankle[side]
        along = foot[:, side] @ (local[1] - local[0])
        turns[:, side] = rotation_between(along, targets[:, side, 1] - targets[:, side, 0]) @ foot[:, side]
        lead = np.where(contacts[:, side, 0] & ~contacts[:, side, 1], 0, 1)
        met = targets[np.arange(len(foot)), side, lead]
        ankles[:, side] = met - np.einsum("nij,nj->ni", turns[:, side], local[lead])
    return turns, ankles


def hips_drop(rest: LegRest, places: LegPlaces, ankles: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(N,) how far the hips sink, smoothly, so that both legs reach ankles (N, S, 3)."""
    way = places.hip - ankles
    aside = np.linalg.norm(way[..., :2], axis=-1)
    height = np.sqrt(np.maximum(_most(rest, places) ** 2 - aside**2, 0))
    needed = np.maximum(way[..., 2] - height, 0).max(1)
    return soft_envelope(needed, seconds)


def soft_envelope(needed: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(N,) a smooth curve that is nowhere below `needed` (N,) >= 0."""
    if not needed.any():
        return needed
    first = np.searchsorted(seconds, seconds - DROP_SECONDS - 1e-9)
    last = np.searchsorted(seconds, seconds + DROP_SECONDS + 1e-9)
    widest = np.array([needed[a:b].max() for a, b in zip(first, last, strict=True)])
    answer = np.empty_like(needed)
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        weights = 1 + np.cos(np.pi * (seconds[a:b] - seconds[i]) / DROP_SECONDS) + 1e-12
        answer[i] = weights @ widest[a:b] / weights.sum()
    return answer


def bend_legs(rest: LegRest, motion: LegMotion, places: LegPlaces, ankles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns (N, S, 3, 3) of thighs and shins that bring the ankles to (N, S, 3); knees stay in their planes."""
    thighs, shins = motion.thigh.copy(), motion.shin.copy()
    most = _most(rest, places)
    for side in range(2):
        start, old_knee, old_ankle = places.hip[:, side], places.knee[:, side], places.ankle[:, side]
        knee, ankle = _two_bones(
            start, old_knee, old_ankle, ankles[:, side], most[:, side, None], motion.thigh[:, side] @ rest.front
        )
        thighs[:, side] = rotation_between(old_knee - start, knee - start) @ motion.thigh[:, side]
        shins[:, side] = rotation_between(old_ankle - old_knee, ankle - knee) @ motion.shin[:, side]
    return thighs, shins


def _most(rest: LegRest, places: LegPlaces) -> np.ndarray:
    """(N, S) how far legs may reach: as far as they do already, or nearly their length."""
    thigh, shin = np.linalg.norm(rest.knee - rest.hip, axis=1), np.linalg.norm(rest.ankle - rest.knee, axis=1)
    return np.maximum(np.linalg.norm(places.ankle - places.hip, axis=-1), REACH * (thigh + shin))


def _two_bones(
    start: np.ndarray,
    old_knee: np.ndarray,
    old_ankle: np.ndarray,
    goal: np.ndarray,
    most: np.ndarray,
    front: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Knees and ankles (N, 3) with the ankle at the goal, or as near as `most` (N, 1) allows.

    front: (N, 3) where the knee of a straight leg would bend to.
    """
    thigh = np.linalg.norm(old_knee - start, axis=-1, keepdims=True)
    shin = np.linalg.norm(old_ankle - old_knee, axis=-1, keepdims=True)
    way = goal - start
    reach = np.clip(np.linalg.norm(way, axis=-1, keepdims=True), np.abs(thigh - shin) + 1e-3 * thigh, most)
    ahead = _unit(way)
    line = _unit(old_ankle - start)
    off = old_knee - start - ((old_knee - start) * line).sum(-1, keepdims=True) * line
    off = off + 0.02 * thigh * (front - (front * line).sum(-1, keepdims=True) * line)
    pole = np.einsum("nij,nj->ni", rotation_between(line, ahead), off)
    pole = _unit(pole - (pole * ahead).sum(-1, keepdims=True) * ahead)
    near = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    return start + near * ahead + np.sqrt(np.maximum(thigh**2 - near**2, 0)) * pole, start + reach * ahead


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
