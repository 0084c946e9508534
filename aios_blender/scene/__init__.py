"""Mocap in, Blender objects out: `build` makes the collection, the people, the camera and their keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import full_pose, rest_joints, rest_vertices
from aios_core.body.transfer import body_for_shape
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.mocap import CONTACT_POINTS, PARTS, Mocap, Track

from .. import compat
from ..coordinates import frame_numbers
from .armature import key_pose, new_armature
from .camera import new_camera, show_footage
from .custom_properties import CONFIDENCE, CONTACTS, set_property
from .keyframes import CONSTANT, fill_curve, interpolations, key_types, visibility, write_curves
from .mesh import body_mesh, colour_of, corrective_name, new_person_mesh

BARS, BLANK = "▁▂▃▄▅▆▇█", "\u2003"
"""Letters of a graph, and one for where nothing was seen that is as wide as they are in Blender's font."""
GRAPH = "aios_graph"
"""Property of a person's collection: how far the body can be trusted over the clip, as BARS; _PART: of each part."""


@dataclass(frozen=True)
class SceneSettings:
    """What to build."""

    footage: str | None = None
    """Where the footage is now; None = where the Mocap says it was."""
    with_camera: bool = True
    with_mesh: bool = True
    people: tuple[int, ...] | None = None
    """Numbers of the tracks to build; None = everybody."""
    with_correctives: bool = False
    """Shape keys that mend bent joints, keyed; they play some ten times slower than the rest."""
    set_scene: bool = True
    """Take over the scene's frame rate, frame range, render size and camera; else keys follow the scene's own clock."""
    keep_frame_rate: bool = False
    """But not the frame rate: others move by the scene's own clock already."""
    first_frame: int = 1
    """Frame of the timeline at which the footage begins."""
    low_confidence: float = 0.2
    """Keys whose body is trusted less are marked as jitter."""


@dataclass(frozen=True)
class PersonObjects:
    """One person in Blender."""

    armature: Any
    mesh: Any | None


@dataclass(frozen=True)
class BuiltScene:
    """What `build` made."""

    collection: Any
    people: list[PersonObjects]
    camera: Any | None
    warnings: list[str] = field(default_factory=list)


def build(mocap: Mocap, body: BodyModel, settings: SceneSettings | None = None, scene: Any | None = None) -> BuiltScene:
    """Everybody of a Mocap as armatures with skinned meshes under a camera that matches the footage.

    scene: where they are put; None = the current one.
    """
    settings, scene = settings or SceneSettings(), scene or bpy.context.scene
    active = bpy.context.view_layer.objects.active
    everybody = mocap.tracks
    if settings.people is not None:
        mocap = replace(mocap, tracks=tuple(track for track in mocap.tracks if track.id in settings.people))
    name = Path(mocap.source).stem or "mocap"
    collection = bpy.data.collections.new(name)
    first = settings.first_frame
    fps = scene_fps(scene)
    if settings.set_scene and not settings.keep_frame_rate:
        fps = float(mocap.fps)
        set_frame_rate(scene, fps)
    times = frame_numbers(mocap.timestamps, fps, first)
    clip = (float(times[0]), float(times[-1])) if len(times) else (first, first)
    places = {track.id: _person_collection(track, times, collection) for track in everybody}
    bodies = [body_for_shape(body, track.betas, mocap.body_family) for track in mocap.tracks]
    warnings = sorted({warning for *_, warning in bodies if warning})
    template = body_mesh("aios_body", body) if settings.with_mesh and mocap.tracks else None
    people = []
    for track, (fitted, betas, _) in zip(mocap.tracks, bodies, strict=True):
        cameras = mocap.camera_to_world if len(mocap.camera_to_world) == 1 else mocap.camera_to_world[track.frames]
        person = _build_person(track, fitted, betas, cameras, times, clip, template, places[track.id], settings)
        set_property(person.armature, "aios_gender", body.gender)
        set_property(person.armature, "aios_body_family", mocap.body_family)
        people.append(person)
    if template is not None:
        bpy.data.meshes.remove(template)
    # Only now: Blender would evaluate everybody who is there anew whenever another armature is made.
    scene.collection.children.link(collection)
    _activate(scene, active, people)
    camera = new_camera(f"{name}_camera", mocap, times, collection) if settings.with_camera else None
    if camera is not None:
        footage = Path(settings.footage or mocap.source)
        if footage.exists() or (footage.parent.is_dir() and mocap.source_kind == "sequence"):
            show_footage(camera, mocap, footage, first)
        else:
            warnings.append(f"The footage {footage} is not there any more; the camera has no background.")
    if settings.set_scene:
        set_scene(scene, mocap, clip, camera)
    return BuiltScene(collection, people, camera, warnings)


def _activate(scene: Any, before: Any | None, people: list[PersonObjects]) -> None:
    """Whoever is at work in another mode goes on; else the first person is active in their scene."""
    bpy.context.view_layer.objects.active = before
    is_current = scene == bpy.context.scene
    if people and not (is_current and before is not None and before.mode != "OBJECT"):
        (bpy.context.view_layer if is_current else scene.view_layers[0]).objects.active = people[0].armature


def scene_fps(scene: Any) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def set_frame_rate(scene: Any, fps: float) -> None:
    """The footage's frames a second for a scene."""
    scene.render.fps = max(round(fps), 1)
    scene.render.fps_base = scene.render.fps / fps


def set_scene(scene: Any, mocap: Mocap, clip: tuple[float, float], camera: Any | None) -> None:
    """The footage's length, size and camera for a scene."""
    scene.frame_start, scene.frame_end = int(clip[0]), max(int(np.ceil(clip[1])), int(clip[0]))
    scene.frame_set(scene.frame_start)
    scene.render.resolution_x, scene.render.resolution_y = mocap.width, mocap.height
    scene.render.resolution_percentage = 100
    if camera is not None:
        scene.camera = camera


def _person_collection(track: Track, times: np.ndarray, collection: Any) -> Any:
    """The collection of a person, built or not, with what the list of people shows of them."""
    own = bpy.data.collections.new(f"P{track.id:02d} {track.name}")
    collection.children.link(own)
    set_property(own, "aios_track", track.id)
    set_property(own, "aios_name", track.name)
    if len(track):
        first, last = times[track.frames[[0, -1]]]
        set_property(own, "aios_first_frame", int(first))
        set_property(own, "aios_last_frame", int(last))
        set_property(own, "aios_mean_confidence", float(track.confidence[:, 0].mean()))
        own[GRAPH] = confidence_bars(track, len(times), 0, 6)
        for i, part in enumerate(PARTS):
            own[f"{GRAPH}_{part}"] = confidence_bars(track, len(times), i, 13)
    return own


def _build_person(
    track: Track,
    body: BodyModel,
    betas: np.ndarray,
    camera_to_world: np.ndarray,
    times: np.ndarray,
    clip: tuple[float, float],
    template: Any | None,
    own: Any,
    settings: SceneSettings,
) -> PersonObjects:
    name = f"P{track.id:02d}"
    joints = rest_joints(body, betas)
    armature = new_armature(f"{name}_armature", joints, own, colour_of(track.id))
    about = {"track": track.id, "name": track.name, "betas": track.betas.astype(float).tolist()}
    about["height"] = float(np.ptp(rest_vertices(body, betas)[:, 1]))
    about |= {key: own[f"aios_{key}"] for key in ("first_frame", "last_frame", "mean_confidence") if len(track)}
    for key, value in about.items():
        set_property(armature, f"aios_{key}", value)
    mesh = None
    if template is not None:
        mesh = new_person_mesh(
            f"{name}_mesh", template, body, betas, armature, own, track.id, settings.with_correctives
        )
    if len(track):
        cameras = np.broadcast_to(camera_to_world, (len(track), 4, 4))
        _key_person(name, track, joints[0], cameras, times[track.frames], clip, armature, mesh, settings.low_confidence)
    return PersonObjects(armature, mesh)


def _key_person(
    name: str,
    track: Track,
    rest_pelvis: np.ndarray,
    camera_to_world: np.ndarray,
    times: np.ndarray,
    clip: tuple[float, float],
    armature: Any,
    mesh: Any | None,
    low_confidence: float,
) -> None:
    """One action a person, with slots for the armature, the expression and the mesh's visibility."""
    types = key_types(track.key_kinds, track.confidence[:, 0], low_confidence)
    modes = interpolations(track.frames)
    actions = compat.actions_for(f"{name}_action", 3)
    bag = compat.channelbag(armature, actions[0], f"{name}_armature")
    key_pose(bag, track, rest_pelvis, camera_to_world, times, types)
    _key_trust(bag, armature, track, times, modes)
    hidden_times, hidden = visibility(times, track.frames, clip)
    _key_visibility(bag, hidden_times, hidden)
    _mark_gaps(actions[0], times, track.frames)
    if mesh is None:
        return
    keys = mesh.data.shape_keys
    expression_bag = compat.channelbag(keys, actions[1], f"{name}_expression")
    for k in range(track.expression.shape[1]):
        path = f'key_blocks["Exp{k:03d}"].value'
        curve = compat.new_fcurve(expression_bag, path, 0, "expression")
        fill_curve(curve, times, track.expression[:, k], modes, types)
    _key_correctives(expression_bag, keys, track, times, modes, types)
    _key_visibility(compat.channelbag(mesh, actions[2], f"{name}_mesh"), hidden_times, hidden)


def confidence_bars(track: Track, frames: int, part: int, count: int) -> str:
    """A graph of how far a part can be trusted over a clip of so many frames: `count` letters, blank in gaps."""
    shares = np.array_split(np.arange(frames), min(count, frames))
    bars = []
    for share in shares:
        seen = (track.frames >= share[0]) & (track.frames <= share[-1])
        level = track.confidence[seen, part].mean() if seen.any() else None
        bars.append(BLANK if level is None else BARS[min(int(level * len(BARS)), len(BARS) - 1)])
    return "".join(bars)


def _mark_gaps(action: Any, times: np.ndarray, frames: np.ndarray) -> None:
    """Markers of the action where the person is lost and found again."""
    for i in np.flatnonzero(np.diff(frames) > 1):
        for name, frame in (("lost", times[i] + 1), ("found", times[i + 1])):
            action.pose_markers.new(name).frame = int(frame)


def _key_correctives(
    bag: Any, keys: Any, track: Track, times: np.ndarray, modes: np.ndarray, types: np.ndarray
) -> None:
    """Key the pose correctives that the mesh has: entries of the joints' rotation matrices less identity."""
    pose = full_pose(track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose)
    features = (axis_angle_to_rotmat(pose[:, 1:]) - np.eye(3)).reshape(len(track), -1)
    for k in range(features.shape[1]):
        if corrective_name(k) in keys.key_blocks:
            curve = compat.new_fcurve(bag, f'key_blocks["{corrective_name(k)}"].value', 0, "pose correctives")
            fill_curve(curve, times, features[:, k], modes, types)


def _key_trust(bag: Any, armature: Any, track: Track, times: np.ndarray, modes: np.ndarray) -> None:
    """Key the network's score, the confidence of each part, and which soles stand, as custom properties."""
    held = np.full(len(times), CONSTANT, np.uint8)
    values = {"aios_score": (track.scores, modes)}
    values |= {CONFIDENCE[part]: (track.confidence[:, i], modes) for i, part in enumerate(PARTS)}
    contacts = track.contacts.astype(np.float32)
    values |= {CONTACTS[point]: (contacts[:, i], held) for i, point in enumerate(CONTACT_POINTS)}
    for name, (column, interpolation) in values.items():
        set_property(armature, name, float(column[0]))
        write_curves(bag, f'["{name}"]', "trust", times, column[:, None], interpolation)


def _key_visibility(bag: Any, times: np.ndarray, hidden: np.ndarray) -> None:
    if not hidden.any():
        return
    modes = np.full(len(times), CONSTANT, np.uint8)
    for path in ("hide_viewport", "hide_render"):
        fill_curve(compat.new_fcurve(bag, path, 0, "visibility"), times, hidden, modes)
