"""Motion as plain arrays: what Blender plays for an armature, frame by frame, whatever makes it move.

Everything is read from copies in a scene of its own, so that the user's scene keeps its frame and its poses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from .. import compat
from .people import Person


@dataclass(frozen=True)
class Motion:
    """One armature over T frames; J bones, parents before children. Matrices are float64 and act on columns."""

    frames: np.ndarray
    """(T,) int, consecutive Blender frames."""
    fps: float
    bones: tuple[str, ...]
    parents: np.ndarray
    """(J,) int, -1 for roots."""
    rest: np.ndarray
    """(J, 4, 4) bones at rest, armature space."""
    pose: np.ndarray
    """(T, J, 4, 4) posed bones, armature space."""
    world: np.ndarray
    """(T, 4, 4) the armature object in the world."""
    visible: np.ndarray
    """(T,) bool: False where the person is not there; the pose of the last frame before is held."""

    def world_pose(self, bones: Sequence[str]) -> np.ndarray:
        """(T, K, 4, 4) posed bones in the world."""
        return self.world[:, None] @ self.pose[:, [self.bones.index(b) for b in bones]]

    def world_rest(self, bones: Sequence[str]) -> np.ndarray:
        """(K, 4, 4) resting bones in the world, with the object as in the first frame."""
        return self.world[0] @ self.rest[[self.bones.index(b) for b in bones]]

    def gaps(self) -> list[tuple[int, int]]:
        """First and last frame of every stretch in which the person is not there."""
        hidden = np.r_[False, ~self.visible, False].astype(int)
        starts, stops = np.flatnonzero(np.diff(hidden) == 1), np.flatnonzero(np.diff(hidden) == -1)
        return [(int(self.frames[a]), int(self.frames[b - 1])) for a, b in zip(starts, stops, strict=True)]


def sample(people: Sequence[Person], scene: Any, frames: np.ndarray | None = None) -> list[Motion]:
    """Everybody's motion over the scene's frame range, or over consecutive whole frames (T,)."""
    if frames is None:
        frames = np.arange(scene.frame_start, scene.frame_end + 1)
    with scene_like(scene) as own:
        copies = [_copy(person.armature, own) for person in people]
        bones = [[bone.name for bone in copy.data.bones] for copy in copies]
        poses = [np.empty((len(frames), len(names), 4, 4)) for names in bones]
        worlds = np.empty((len(people), len(frames), 4, 4))
        for t, frame in enumerate(frames):
            own.frame_set(int(frame))
            depsgraph = own.view_layers[0].depsgraph
            for copy, names, pose, world in zip(copies, bones, poses, worlds, strict=True):
                evaluated = copy.evaluated_get(depsgraph)
                pose[t] = [evaluated.pose.bones[name].matrix for name in names]
                world[t] = evaluated.matrix_world
    fps = scene.render.fps / scene.render.fps_base
    return [
        _motion(person.armature, frames, fps, names, pose, world)
        for person, names, pose, world in zip(people, bones, poses, worlds, strict=True)
    ]


def _motion(
    armature: Any, frames: np.ndarray, fps: float, names: list[str], pose: np.ndarray, world: np.ndarray
) -> Motion:
    bones = armature.data.bones
    visible = visible_frames(armature, frames)
    held = _last_visible(visible)
    return Motion(
        frames=np.asarray(frames),
        fps=fps,
        bones=tuple(names),
        parents=np.array([names.index(bones[n].parent.name) if bones[n].parent else -1 for n in names]),
        rest=np.array([bones[n].matrix_local for n in names], np.float64),
        pose=pose[held],
        world=world[held],
        visible=visible,
    )


def visible_frames(armature: Any, frames: np.ndarray) -> np.ndarray:
    """(T,) bool: where the armature's keys do not hide it."""
    hidden = np.zeros(len(frames), bool)
    for curve in compat.fcurves_of(armature):
        if curve.data_path in ("hide_viewport", "hide_render"):
            hidden |= np.array([curve.evaluate(float(frame)) > 0.5 for frame in frames])
    return ~hidden


def _last_visible(visible: np.ndarray) -> np.ndarray:
    """(T,) index of the visible frame to show: itself, else the one before, else the first."""
    if not visible.any():
        return np.arange(len(visible))
    last = np.maximum.accumulate(np.where(visible, np.arange(len(visible)), -1))
    return np.where(last < 0, np.argmax(visible), last)


def shape_key_values(mesh: Any, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Values (T,) of every shape key but the basis, not clamped to their sliders."""
    keys = mesh.data.shape_keys
    if keys is None:
        return {}
    blocks = [block for block in keys.key_blocks if block != keys.reference_key]
    curves = {curve.data_path: curve for curve in compat.fcurves_of(keys)}
    values = {}
    for block in blocks:
        curve = curves.get(block.path_from_id("value"))
        values[block.name] = (
            np.full(len(frames), block.value) if curve is None else np.array([curve.evaluate(float(f)) for f in frames])
        )
    return values


def held_values(values: dict[str, np.ndarray], visible: np.ndarray) -> dict[str, np.ndarray]:
    """The values (T,) with those before a gap held through it."""
    held = _last_visible(visible)
    return {name: column[held] for name, column in values.items()}


@contextmanager
def scene_like(scene: Any) -> Iterator[Any]:
    """An empty scene with the same clock; it and everything new in it are removed at the end."""
    own = bpy.data.scenes.new("aios_export")
    try:
        own.render.fps, own.render.fps_base = scene.render.fps, scene.render.fps_base
        own.frame_start, own.frame_end = scene.frame_start, scene.frame_end
        yield own
    finally:
        for thing in list(own.collection.objects):
            bpy.data.objects.remove(thing)
        bpy.data.scenes.remove(own)


def _copy(armature: Any, scene: Any) -> Any:
    copy = armature.copy()
    scene.collection.objects.link(copy)
    return copy
