"""The rig's controls: which bone turns how and stands where in every frame. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aios_core.geometry.rotations import rotation_between

from .leg_lock import LegMotion, LegRest, lock_legs
from .rig import Rig
from .source import Performance
from .transfer import Build, carrier_of, person_build, spread_turns, transfer_hips, transfer_turns

SIDES = ("left", "right")


@dataclass(frozen=True)
class Control:
    """One bone over N frames."""

    bone: str
    turn: np.ndarray
    """(N, 3, 3) from its rest in the world."""
    place: np.ndarray | None = None
    """(N, 3) its head in the world; None for bones that only turn."""
    carrier: str | None = None
    """The control that carries it in the body, whatever the rig's own hierarchy says."""


@dataclass(frozen=True)
class RigMotion:
    """What the rig shall do."""

    turns: Mapping[str, np.ndarray]
    """Joint -> (N, 3, 3) from rest, world."""
    hips: np.ndarray
    """(N, 3) the middle between the hip joints, world."""


def rig_motion(performance: Performance, rig: Rig, lock_feet: bool) -> RigMotion:
    """A person's motion on the rig's body, with planted feet locked if wanted."""
    person = person_build(performance.rest, performance.sole)
    build = Build(rig.in_smplx_axes(rig.heads), rig.in_smplx_axes(rig.ends), rig.ground)
    ground = np.array([0, 0, performance.ground])
    motion = RigMotion(
        transfer_turns(performance.turns, person, build, rig.axes),
        transfer_hips(performance.hips - ground, person, build),
    )
    if lock_feet:
        motion = lock_rig_feet(motion, leg_rest(rig, person, performance.heels), performance)
    return RigMotion(motion.turns, motion.hips + ground)


def lock_rig_feet(motion: RigMotion, rest: LegRest, performance: Performance) -> RigMotion:
    """The motion with planted soles at rest on the ground, z = 0, each stretch without gaps by itself."""
    legs = leg_motion(motion)
    pieces = np.split(np.arange(len(performance.frames)), np.flatnonzero(np.diff(performance.frames) > 1) + 1)
    locked = [
        lock_legs(
            rest, LegMotion(**{name: values[rows] for name, values in vars(legs).items()}),
            performance.contacts[rows].reshape(-1, 2, 2), performance.times[rows] / performance.fps,
        )
        for rows in pieces
    ]  # fmt: skip
    new = LegMotion(**{name: np.concatenate([vars(piece)[name] for piece in locked]) for name in vars(legs)})
    turns = dict(motion.turns)
    for s, side in enumerate(SIDES):
        toe, ankle = f"{side}_foot", f"{side}_ankle"
        turns[f"{side}_hip"], turns[f"{side}_knee"] = new.thigh[:, s], new.shin[:, s]
        if toe in turns:  # toes keep their bend
            turns[toe] = new.foot[:, s] @ np.swapaxes(turns[ankle], 1, 2) @ turns[toe]
        turns[ankle] = new.foot[:, s]
    return RigMotion(turns, new.hips)


def leg_rest(rig: Rig, person: Build, heels: np.ndarray) -> LegRest:
    """The rig's legs at rest; soles lie under the balls of the feet and under the heels.

    heels: (S, 3) of the person at rest; the rig's are as far behind its ankles, by the length of the foot.
    """
    up = rig.axes[1]

    def both(joint: str) -> np.ndarray:
        return np.stack([rig.heads[f"{side}_{joint}"] for side in SIDES])

    ankle = both("ankle")
    ball = np.stack([rig.heads.get(f"{side}_foot", rig.ends.get(f"{side}_ankle")) for side in SIDES])
    heel = ankle.copy()
    for s, side in enumerate(SIDES):
        own = rig.axes @ (ball[s] - ankle[s]) * [1, 0, 1]
        start = person.heads[f"{side}_ankle"]
        way, back = (person.heads[f"{side}_foot"] - start) * [1, 0, 1], (heels[s] - start) * [1, 0, 1]
        longer = np.linalg.norm(own) / np.linalg.norm(way)
        heel[s] += rig.axes.T @ rotation_between(way[None], own[None])[0] @ back * longer
    down = [points - (points @ up - rig.ground)[:, None] * up for points in (heel, ball)]
    return LegRest(both("hip"), both("knee"), ankle, *down, front=rig.axes[2])


def leg_motion(motion: RigMotion) -> LegMotion:
    """The legs' part of it."""
    thigh, shin, foot = (
        np.stack([motion.turns[f"{side}_{joint}"] for side in SIDES], 1) for joint in ("hip", "knee", "ankle")
    )
    return LegMotion(motion.hips, motion.turns["pelvis"], thigh, shin, foot)


def controls_of(motion: RigMotion, rig: Rig, use_foot_controls: bool) -> list[Control]:
    """Every bone that gets keys."""
    turns, bone_map = motion.turns, rig.bone_map
    middle = (rig.heads["left_hip"] + rig.heads["right_hip"]) / 2
    place = motion.hips + turns["pelvis"] @ (rig.rest_head(bone_map.root_bone) - middle)
    controls = {bone_map.root_bone: Control(bone_map.root_bone, turns["pelvis"], place)}
    for joint, bones in bone_map.bones.items():
        carrier = carrier_of(joint, bone_map.bones)
        before = bone_map.bones[carrier][-1] if carrier else bone_map.root_bone
        for bone, turn in zip(bones, spread_turns(turns, joint, len(bones)), strict=True):
            controls.setdefault(bone, Control(bone, turn, carrier=before))
            before = bone
    if use_foot_controls:
        for side in SIDES:
            controls |= _foot_controls(side, motion, rig)
    return list(controls.values())


def _foot_controls(side: str, motion: RigMotion, rig: Rig) -> dict[str, Control]:
    """Controls of inverse kinematics that put a leg where its own bones would."""
    wanted, turn = rig.bone_map.feet[side], motion.turns[f"{side}_ankle"]
    hip, knee, ankle = leg_joints(side, motion, rig)
    place = ankle + turn @ (rig.rest_head(wanted.foot) - rig.heads[f"{side}_ankle"])
    found = {wanted.foot: Control(wanted.foot, turn, place)}
    if wanted.toe and f"{side}_foot" in motion.turns:
        found[wanted.toe] = Control(wanted.toe, motion.turns[f"{side}_foot"], carrier=wanted.foot)
    if wanted.pole:
        distance = np.linalg.norm(rig.rest_head(wanted.pole) - rig.heads[f"{side}_knee"])
        still = np.broadcast_to(np.eye(3), turn.shape)
        ahead = knee_direction(hip, knee, ankle, motion.turns[f"{side}_hip"] @ rig.axes[2])
        found[wanted.pole] = Control(wanted.pole, still, knee + distance * ahead)
    return found


def leg_joints(side: str, motion: RigMotion, rig: Rig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 3) hip, knee and ankle of one leg in the world."""
    heads = [rig.heads[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")]
    middle = (rig.heads["left_hip"] + rig.heads["right_hip"]) / 2
    hip = motion.hips + motion.turns["pelvis"] @ (heads[0] - middle)
    knee = hip + motion.turns[f"{side}_hip"] @ (heads[1] - heads[0])
    return hip, knee, knee + motion.turns[f"{side}_knee"] @ (heads[2] - heads[1])


def knee_direction(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, front: np.ndarray) -> np.ndarray:
    """(N, 3) where the knee points, off the line from hip to ankle; for a straight leg to its front (N, 3)."""
    line = (ankle - hip) / np.linalg.norm(ankle - hip, axis=1, keepdims=True)
    off = knee - hip + 0.02 * np.linalg.norm(knee - hip, axis=1, keepdims=True) * front
    off -= (off * line).sum(1, keepdims=True) * line
    return off / np.linalg.norm(off, axis=1, keepdims=True)
