"""Captured motion onto any rig: `retarget` keys a Rigify rig, a Mixamo character or whatever a bone map describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np

from aios_core.body.joints import JOINT_NAMES
from aios_core.errors import ExportError

from .baking import Clock, bake
from .bone_map import BoneMap, choose_map, require_complete
from .controls import controls_of, rig_motion
from .rig import rig_of
from .source import Performance

BAD_DEGREES = 1.0
"""Controls that are further off are reported."""


@dataclass(frozen=True)
class RetargetSettings:
    """How to retarget."""

    bone_map: str = "auto"
    """'auto', a preset's name or a JSON file."""
    lock_feet: bool = True
    """Planted feet rest on the ground."""


@dataclass(frozen=True)
class Retargeted:
    """What was made."""

    action: Any
    bone_map: BoneMap
    warnings: list[str] = field(default_factory=list)


def retarget(performance: Performance, armature: Any, settings: RetargetSettings | None = None) -> Retargeted:
    """Key an armature object with a person's motion: one action, a key for every bone in every frame.

    The rig stays what it is: bones, rest pose, rotation modes and place of the object; earlier actions are kept.

    Raises:
        ExportError: the bone map leaves out what is needed, or the rig cannot be moved.
    """
    settings = settings or RetargetSettings()
    bone_map = choose_map(settings.bone_map, [bone.name for bone in armature.data.bones])
    require_complete(bone_map, armature.name)
    rig = rig_of(armature, bone_map)
    motion = rig_motion(performance, rig, settings.lock_feet)
    with_feet = settings.lock_feet and len(bone_map.feet) == 2
    controls = controls_of(motion, rig, with_feet)
    properties = dict(bone_map.properties)
    for feet in bone_map.feet.values():
        properties |= feet.locked if with_feet else feet.free
    baked = bake(rig, controls, motion, Clock(performance.times, performance.frames), properties)
    return Retargeted(baked.action, bone_map, _warnings(performance, bone_map, settings, baked.errors))


def _warnings(
    performance: Performance, bone_map: BoneMap, settings: RetargetSettings, errors: dict[str, float]
) -> list[str]:
    warnings = []
    left_out = [n for n in JOINT_NAMES if n not in bone_map.bones and "eye" not in n and n != "jaw"]
    if left_out:
        warnings.append(f"No bones for {', '.join(left_out)}: they are left out.")
    if settings.lock_feet and not performance.contacts.any():
        warnings.append(f"It is not known when the feet of {performance.name} stand: they are not locked.")
    gaps = np.flatnonzero(np.diff(performance.frames) > 1)
    if len(gaps):
        times = [(int(performance.times[i]) + 1, int(np.ceil(performance.times[i + 1])) - 1) for i in gaps]
        stretches = ", ".join(f"{first}-{last}" for first, last in times)
        warnings.append(f"{performance.name} is not there in frames {stretches}: the pose before is held.")
    degrees = {bone: np.degrees(error) for bone, error in errors.items()}
    bad = [f"'{bone}' ({off:.0f} degrees)" for bone, off in degrees.items() if off > BAD_DEGREES]
    if bad:
        warnings.append(f"Constraints hold back {', '.join(bad)}.")
    return warnings


def armature_named(name: str | None) -> Any:
    """The armature object called `name`; without one the only one, or the only one that Rigify has generated.

    Raises:
        ExportError: there is none, or it cannot be said which.
    """
    found = [o for o in bpy.data.objects if o.type == "ARMATURE"]
    rigs = [o for o in found if (o.name == name if name else "aios_track" not in o)]
    generated = [o for o in rigs if "rig_id" in o.data]
    for chosen in (rigs, generated):
        if len(chosen) == 1:
            return chosen[0]
    names = ", ".join(f"'{o.name}'" for o in found) or "none"
    if name:
        raise ExportError(f"There is no armature '{name}' (there are {names}).")
    raise ExportError(f"Say with --armature which armature to retarget to (there are {names}).")
