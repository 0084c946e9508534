"""Takes: what was built of one Mocap file, and building it again after the file's people have changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from aios_core import mocap
from aios_core.body.body_model import BodyModel
from aios_core.errors import AiosError
from aios_core.mocap import Mocap

from .scene import BuiltScene, SceneSettings, build

MOCAP, FOOTAGE, MESHES, CAMERA = "aios_mocap", "aios_footage", "aios_meshes", "aios_camera"
CORRECTIVES, SHAPES, PEOPLE = "aios_correctives", "aios_shapes", "aios_people"
"""Custom properties of a take's collection: its Mocap file, and what of it was built."""


@dataclass(frozen=True)
class Take:
    """The collection that a Mocap file was built into."""

    collection: Any
    path: Path


def build_take(path: str | Path, body: BodyModel, settings: SceneSettings) -> BuiltScene:
    """Build a Mocap file, and note in its collection what it was built from.

    Raises:
        AiosError: the file is missing or damaged.
    """
    built = build(mocap.load(path), body, settings)
    built.collection[MOCAP] = str(path)
    built.collection[FOOTAGE] = settings.footage or ""
    built.collection[MESHES], built.collection[CAMERA] = settings.with_mesh, settings.with_camera
    built.collection[CORRECTIVES] = settings.with_correctives
    if settings.people is not None:
        built.collection[PEOPLE] = list(settings.people)
    return built


def take_of(thing: Any | None) -> Take:
    """The take that an object belongs to; without one, the only take there is.

    Raises:
        AiosError: there is none, or it cannot be said which.
    """
    takes = [c for c in bpy.data.collections if c.get(MOCAP)]
    of_thing = [c for c in takes if thing is not None and thing.name in c.all_objects]
    chosen = of_thing or takes
    if len(chosen) != 1:
        raise AiosError("Select a person of the take first." if takes else "Capture or import people first.")
    return Take(chosen[0], Path(bpy.path.abspath(chosen[0][MOCAP])))


def armatures_of(take: Take) -> list[Any]:
    """The people's armatures by their number."""
    found = [o for o in take.collection.all_objects if o.type == "ARMATURE" and "aios_track" in o]
    return sorted(found, key=lambda armature: armature["aios_track"])


def rebuild(take: Take, path: Path, body: BodyModel) -> BuiltScene:
    """Build a take again from a Mocap file, in place of what was built before; the scene's settings stay."""
    footage = take.collection.get(FOOTAGE) or None
    settings = SceneSettings(
        footage, with_camera=bool(take.collection[CAMERA]), with_mesh=bool(take.collection[MESHES]),
        with_correctives=bool(take.collection.get(CORRECTIVES)), set_scene=False,
        people=tuple(take.collection[PEOPLE]) if PEOPLE in take.collection else None,
    )  # fmt: skip
    name, shapes = take.collection.name, known_shapes(take)
    scene_camera = bpy.context.scene.camera
    owned = scene_camera is not None and scene_camera.name in take.collection.all_objects
    mocap.load(path)  # nothing is removed for a file that cannot be read
    active = bpy.context.view_layer.objects.active
    selected = [a["aios_track"] for a in armatures_of(take) if a.select_get()]
    selected += [active["aios_track"]] if active is not None and active in armatures_of(take) else []
    remove(take)
    built = build_take(path, body, settings)
    built.collection.name = name
    built.collection[SHAPES] = {str(number): betas for number, betas in shapes.items()}
    for armature in (person.armature for person in built.people):
        if armature["aios_track"] in selected and armature.name in bpy.context.view_layer.objects:
            armature.select_set(True)
            if armature["aios_track"] == selected[-1]:
                bpy.context.view_layer.objects.active = armature
    if owned and built.camera is not None:
        bpy.context.scene.camera = built.camera
    return built


def known_shapes(take: Take) -> dict[int, list[float]]:
    """Betas (10) that were set by hand, by the number of the person."""
    return {int(number): list(betas) for number, betas in dict(take.collection.get(SHAPES, {})).items()}


def remove(take: Take) -> None:
    """Take everything of a take out of the file."""
    for thing in list(take.collection.all_objects):
        data = thing.data
        animated = (thing, getattr(data, "shape_keys", None))
        actions = [a.animation_data.action for a in animated if a is not None and a.animation_data is not None]
        bpy.data.objects.remove(thing)
        if data is not None and data.users == 0:
            bpy.data.batch_remove([data])
        for action in {action.name: action for action in actions if action is not None}.values():
            if action.users == 0:
                bpy.data.actions.remove(action)
    for child in list(take.collection.children_recursive):
        bpy.data.collections.remove(child)
    bpy.data.collections.remove(take.collection)


def edit(take: Take, change: Callable[[Mocap], Mocap], body: BodyModel) -> BuiltScene:
    """Change who is who in a take and build it again.

    The changed Mocap is a new file beside the old one, so that undoing the operator leads back to the old one.

    Raises:
        AiosError: the change cannot be made; nothing has happened then.
    """
    path = mocap.save(change(mocap.load(take.path)), next_path(take.path))
    return rebuild(take, path, body)


def next_path(path: Path) -> Path:
    """The first free name for a further version of a Mocap file: clip.npz, clip.v2.npz, clip.v3.npz, ..."""
    match = re.fullmatch(r"(.*)\.v(\d+)", path.stem)
    stem, number = (match[1], int(match[2])) if match else (path.stem, 1)
    while True:
        number += 1
        candidate = path.with_name(f"{stem}.v{number}{path.suffix}")
        if not candidate.exists():
            return candidate


def frame_of_mocap(take: Take, scene_frame: float) -> int:
    """The Mocap's frame nearest to a frame of Blender's timeline."""
    from .coordinates import frame_numbers
    from .scene import FIRST_FRAME

    found = mocap.load(take.path)
    times = frame_numbers(found.timestamps, float(found.fps), FIRST_FRAME)
    return int(np.abs(times - scene_frame).argmin())


def camera_path(camera: Any, found: Mocap) -> np.ndarray:
    """(T, 4, 4) where a Blender camera, solved or animated, is at every frame of a Mocap, as a film camera's matrix."""
    from .coordinates import FILM_FROM_BLENDER_CAMERA, frame_numbers
    from .scene import FIRST_FRAME

    scene = bpy.context.scene
    before = scene.frame_current_final
    matrices = []
    for time in frame_numbers(found.timestamps, float(found.fps), FIRST_FRAME):
        scene.frame_set(int(time), subframe=float(time) % 1)
        place, turn, _ = camera.matrix_world.decompose()
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = np.array(turn.to_matrix()), np.array(place)
        matrices.append(matrix @ FILM_FROM_BLENDER_CAMERA)
    scene.frame_set(int(before), subframe=float(before) % 1)
    return np.stack(matrices)


def described(armature: Any) -> str:
    """One line about a built person for lists: how far the body can be trusted over the clip, and on the whole."""
    return f"{armature.get('aios_confidence_bars', '')} {armature['aios_mean_confidence']:.0%}"


def detailed(armature: Any) -> str:
    """One line about the person that is chosen."""
    return f"{armature['aios_name']}: frames {armature['aios_first_frame']} to {armature['aios_last_frame']}"
