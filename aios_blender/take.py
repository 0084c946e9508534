"""Takes: what was built of one Mocap file, and building it again after the file's people have changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from aios_core import mocap
from aios_core.body.body_model import BodyModel
from aios_core.errors import AiosError
from aios_core.mocap import Mocap

from .coordinates import FILM_FROM_BLENDER_CAMERA, frame_numbers
from .scene import BuiltScene, SceneSettings, build, scene_fps

MOCAP, FOOTAGE, MESHES, CAMERA = "aios_mocap", "aios_footage", "aios_meshes", "aios_camera"
CORRECTIVES, SHAPES, PEOPLE = "aios_correctives", "aios_shapes", "aios_people"
FIRST_FRAME, FPS, BUILT = "aios_first_frame", "aios_fps", "aios_built"
"""Custom properties of a take's collection: its Mocap file, what of it was built, its clock; BUILT marks objects."""
MARKED = "aios_marked"
"""Custom property of a person's collection: they are to be merged."""


@dataclass(frozen=True)
class Take:
    """The collection that a Mocap file was built into."""

    collection: Any
    path: Path


def build_take(path: str | Path, body: BodyModel, settings: SceneSettings, scene: Any | None = None) -> BuiltScene:
    """Build a Mocap file into a scene, by default the current one, and note in its collection what it was built from.

    A scene with other people in it keeps the frame rate by which they move.

    Raises:
        AiosError: the file is missing or damaged.
    """
    found, scene = mocap.load(path), scene or bpy.context.scene
    others = [take.collection.name for take in takes(scene)]
    keep = bool(others) and abs(scene_fps(scene) - float(found.fps)) > 1e-3
    built = build(found, body, replace(settings, keep_frame_rate=keep), scene)
    if keep and settings.set_scene and found.source_kind != "image":
        built.warnings.append(
            f"The scene keeps its {scene_fps(scene):.4g} frames a second, by which {', '.join(others)} moves already; "
            f"the footage has {float(found.fps):.4g}."
        )
    built.collection[MOCAP] = str(path)
    built.collection[FOOTAGE] = settings.footage or ""
    built.collection[MESHES], built.collection[CAMERA] = settings.with_mesh, settings.with_camera
    built.collection[CORRECTIVES] = settings.with_correctives
    built.collection[FIRST_FRAME], built.collection[FPS] = settings.first_frame, scene_fps(scene)
    if settings.people is not None:
        built.collection[PEOPLE] = list(settings.people)
    for thing in built.collection.all_objects:
        thing[BUILT] = True
    return built


def take_of(thing: Any | None) -> Take:
    """The take that an object belongs to; without one, the only take there is.

    Raises:
        AiosError: there is none, or it cannot be said which.
    """
    known = takes()
    chosen = [take for take in known if thing is not None and thing.name in take.collection.all_objects] or known
    if len(chosen) != 1:
        raise AiosError("Select a person of the take first." if known else "Capture or import people first.")
    return chosen[0]


def takes(scene: Any | None = None) -> list[Take]:
    """Every take in a scene, by default the current one."""
    collections = (scene or bpy.context.scene).collection.children_recursive
    return [take_in(collection) for collection in collections if collection.get(MOCAP)]


def scene_of(take: Take) -> Any:
    """The scene that a take is in: the current one if it is, or if it is in none."""
    scenes = (bpy.context.scene, *bpy.data.scenes)
    holding = (scene for scene in scenes if take.collection in scene.collection.children_recursive)
    return next(holding, bpy.context.scene)


def view_layer_of(take: Take) -> Any:
    """The view layer in which a take's people are selected."""
    scene = scene_of(take)
    return bpy.context.view_layer if scene == bpy.context.scene else scene.view_layers[0]


def take_in(collection: Any) -> Take:
    """The take that was built into a collection."""
    return Take(collection, Path(bpy.path.abspath(collection[MOCAP])))


def armatures_of(take: Take) -> list[Any]:
    """The people's armatures by their number."""
    found = [o for o in take.collection.all_objects if o.type == "ARMATURE" and "aios_track" in o]
    return sorted(found, key=lambda armature: armature["aios_track"])


def person_collections(take: Take) -> list[Any]:
    """The collection of everybody in the take's Mocap, built or not, by their number."""
    return sorted((c for c in take.collection.children if "aios_track" in c), key=lambda c: c["aios_track"])


def armature_of(person: Any) -> Any | None:
    """The armature in a person's collection; None where the person is not built."""
    return next((o for o in person.objects if o.type == "ARMATURE" and "aios_track" in o), None)


def settings_of(take: Take) -> SceneSettings:
    """What was built of a take, so that it can be built again; the scene's settings stay."""
    return SceneSettings(
        take.collection.get(FOOTAGE) or None, with_camera=bool(take.collection[CAMERA]),
        with_mesh=bool(take.collection[MESHES]), with_correctives=bool(take.collection.get(CORRECTIVES)),
        set_scene=False, first_frame=int(take.collection.get(FIRST_FRAME, 1)),
        people=tuple(take.collection[PEOPLE]) if PEOPLE in take.collection else None,
    )  # fmt: skip


def rebuild(take: Take, path: Path, body: BodyModel, settings: SceneSettings | None = None) -> BuiltScene:
    """Build a take again from a Mocap file, in place of what was built before: as before, or with other settings."""
    settings = settings or settings_of(take)
    name, shapes, view, scene = take.collection.name, known_shapes(take), view_of(take), scene_of(take)
    owned = scene.camera is not None and scene.camera.name in take.collection.all_objects
    mocap.load(path)  # nothing is removed for a file that cannot be read
    remove(take)
    built = build_take(path, body, settings, scene)
    built.collection.name = name
    built.collection[SHAPES] = {str(number): betas for number, betas in shapes.items()}
    show_as(Take(built.collection, path), view)
    if owned and built.camera is not None:
        scene.camera = built.camera
    return built


@dataclass(frozen=True)
class TakeView:
    """Who of a take is selected and who is hidden, by number."""

    selected: frozenset[int]
    active: int | None
    hidden: frozenset[int]


def view_of(take: Take) -> TakeView:
    """How a take is looked at, to be kept when it is built again."""
    people, layer = armatures_of(take), view_layer_of(take)
    active = layer.objects.active
    return TakeView(
        frozenset(a["aios_track"] for a in people if a.name in layer.objects and a.select_get(view_layer=layer)),
        active["aios_track"] if active in people else None,
        frozenset(c["aios_track"] for c in person_collections(take) if c.hide_viewport),
    )


def show_as(take: Take, view: TakeView) -> None:
    """Select and hide the people of a take."""
    layer = view_layer_of(take)
    for person in person_collections(take):
        armature, number = armature_of(person), person["aios_track"]
        if armature is not None and armature.name in layer.objects:
            armature.select_set(number in view.selected, view_layer=layer)
            if number == view.active:
                layer.objects.active = armature
        hide(person, number in view.hidden)


def hide(person: Any, hidden: bool) -> None:
    """Hide a person's collection in viewports and renders, or show it; keys that hide objects in gaps go on working."""
    person.hide_viewport = person.hide_render = hidden


def known_shapes(take: Take) -> dict[int, list[float]]:
    """Betas (10) that were set by hand, by the number of the person."""
    return {int(number): list(betas) for number, betas in dict(take.collection.get(SHAPES, {})).items()}


def remove(take: Take) -> None:
    """Take everything that was built of a take out of the file; what else is in its collections goes to the scene's."""
    scene = scene_of(take)
    for thing in list(take.collection.all_objects):
        if not thing.get(BUILT):
            if thing.name not in scene.collection.objects:
                scene.collection.objects.link(thing)
            continue
        data = thing.data
        animated = (thing, getattr(data, "shape_keys", None))
        actions = [a.animation_data.action for a in animated if a is not None and a.animation_data is not None]
        bpy.data.objects.remove(thing)
        if data is not None and data.users == 0:
            bpy.data.batch_remove([data])
        for action in {action.name: action for action in actions if action is not None}.values():
            if action.users == 0:
                bpy.data.actions.remove(action)
    for person in person_collections(take):
        bpy.data.collections.remove(person)
    for child in take.collection.children:
        scene.collection.children.link(child)
    bpy.data.collections.remove(take.collection)


def edit(take: Take, change: Callable[[Mocap], Mocap], body: BodyModel) -> BuiltScene:
    """Change who is who in a take and build it again; people who are new in it are built.

    The changed Mocap is a new file beside the old one, so that undoing the operator leads back to the old one.

    Raises:
        AiosError: the change cannot be made; nothing has happened then.
    """
    before = mocap.load(take.path)
    after = change(before)
    settings = settings_of(take)
    if settings.people is not None:
        new = {track.id for track in after.tracks} - {track.id for track in before.tracks}
        settings = replace(settings, people=tuple(sorted({*settings.people, *new})))
    return rebuild(take, mocap.save(after, next_path(take.path)), body, settings)


def build_people(take: Take, numbers: Iterable[int], body: BodyModel) -> BuiltScene:
    """Build these people of a take and leave out the others; nothing is captured or smoothed again."""
    return rebuild(take, take.path, body, replace(settings_of(take), people=tuple(sorted(numbers))))


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
    return int(np.abs(take_times(take, mocap.load(take.path)) - scene_frame).argmin())


def take_times(take: Take, found: Mocap) -> np.ndarray:
    """(T,) Blender frames of a take's Mocap, on the clock on which it was built."""
    fps = float(take.collection.get(FPS, found.fps))
    return frame_numbers(found.timestamps, fps, int(take.collection.get(FIRST_FRAME, 1)))


def camera_path(camera: Any, times: np.ndarray) -> np.ndarray:
    """(T, 4, 4) where a Blender camera, solved or animated, is at Blender frames (T,), as a film camera's matrix."""
    scene = bpy.context.scene
    before = scene.frame_current_final
    matrices = []
    for time in times:
        scene.frame_set(int(time), subframe=float(time) % 1)
        place, turn, _ = camera.matrix_world.decompose()
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = np.array(turn.to_matrix()), np.array(place)
        matrices.append(matrix @ FILM_FROM_BLENDER_CAMERA)
    scene.frame_set(int(before), subframe=float(before) % 1)
    return np.stack(matrices)
