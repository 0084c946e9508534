"""Ten people x 300 frames built, keyed, played and saved in Blender: python -m benchmarks.blender_build [--write]"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import bpy
import numpy as np

from aios_blender import compat
from aios_blender.scene import BuiltScene, SceneSettings, build
from aios_blender.scene.armature import key_pose
from aios_blender.scene.keyframes import fill_curve
from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.body.joints import JOINT_NAMES
from aios_core.mocap import Mocap, Track
from benchmarks.tables import column, parser, show
from tests.mocaps import make_mocap, make_track

PEOPLE, FRAMES, EXPRESSIONS = 10, 300, 10
PLAYED = 40
"""Frames that are played to time them."""


@dataclass(frozen=True)
class Row:
    """One step of making the scene."""

    what: str = column("10 people x 300 frames, 55 bones, 10 expressions")
    seconds: float = column("seconds", ".2f")
    inserted: float | None = column("by `keyframe_insert`", ".2f")
    ratio: float | None = column("ratio", ".0f")


@dataclass(frozen=True)
class Playback:
    """What one person costs in every frame that is played."""

    what: str = column("playing a frame")
    ms: float = column("ms a person", ".2f")
    rate: float = column("frames a second with 10 people", ".0f")


@dataclass(frozen=True)
class Saved:
    """A .blend of everybody."""

    what: str = column("the .blend")
    megabytes: float = column("MB", ".0f")
    seconds: float = column("seconds", ".2f")


def big_mocap(people: int = PEOPLE, frames: int = FRAMES) -> Mocap:
    """People without gaps."""
    rng = np.random.default_rng(0)
    tracks = tuple(make_track(i + 1, np.arange(frames), rng, i - people / 2) for i in range(people))
    return replace(make_mocap(length=frames), tracks=tracks)


def seconds_of(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def insert_keys(armature: bpy.types.Object, mesh: bpy.types.Object) -> None:
    """Key the pelvis' place, 55 rotations and the expressions of every frame by keyframe_insert, the usual way."""
    bones = [armature.pose.bones[name] for name in JOINT_NAMES]
    expressions = [mesh.data.shape_keys.key_blocks[f"Exp{k:03d}"] for k in range(EXPRESSIONS)]
    for frame in range(1, FRAMES + 1):
        for bone in bones:
            assert bone.keyframe_insert("rotation_quaternion", frame=frame)
        assert bones[0].keyframe_insert("location", frame=frame)
        for key in expressions:
            assert key.keyframe_insert("value", frame=frame)


def write_keys(armature: bpy.types.Object, mesh: bpy.types.Object, track: Track, camera_to_world: np.ndarray) -> None:
    """The same keys as whole curves."""
    times, types = 1.0 + track.frames, np.zeros(len(track), np.uint8)
    actions = compat.actions_for("bulk", 2)
    key_pose(compat.channelbag(armature, actions[0], "bones"), track, np.zeros(3), camera_to_world, times, types)
    bag = compat.channelbag(mesh.data.shape_keys, actions[1], "expression")
    for k in range(EXPRESSIONS):
        curve = compat.new_fcurve(bag, f'key_blocks["Exp{k:03d}"].value', 0, "expression")
        fill_curve(curve, times, track.expression[:, k], np.ones(len(track), np.uint8), types)


def without_keys(built: BuiltScene) -> list[tuple[bpy.types.Object, bpy.types.Object]]:
    """Everybody's armature and mesh after their keys were taken away."""
    for person in built.people:
        for owner in (person.armature, person.mesh.data.shape_keys):
            owner.animation_data_clear()
    return [(person.armature, person.mesh) for person in built.people]


def measure_keys(mocap: Mocap, body: BodyModel) -> list[Row]:
    """Building everything, and keys alone both ways."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    built: list[BuiltScene] = []
    whole = seconds_of(lambda: built.append(build(mocap, body)))
    cameras = np.broadcast_to(mocap.camera_to_world, (FRAMES, 4, 4))
    pairs = without_keys(built[0])
    bulk = seconds_of(lambda: [write_keys(*pair, t, cameras) for pair, t in zip(pairs, mocap.tracks, strict=True)])
    inserted = seconds_of(lambda: [insert_keys(*pair) for pair in without_keys(built[0])])
    return [
        Row("all keys", bulk, inserted, inserted / bulk),
        Row("everything: meshes, armatures, keys, camera", whole, None, None),
    ]


def measure_playback(mocap: Mocap, body: BodyModel) -> list[Playback]:
    """What a frame costs, for bones alone, with the mesh, and with pose correctives (of two people)."""
    rows = []
    for what, people, settings in (
        ("bones alone", PEOPLE, SceneSettings(with_mesh=False)),
        ("bones, mesh and expression (default)", PEOPLE, SceneSettings()),
        ("with pose correctives", 2, SceneSettings(with_correctives=True)),
    ):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        build(replace(mocap, tracks=mocap.tracks[:people]), body, settings)
        scene = bpy.context.scene
        scene.frame_set(1)
        spent = [seconds_of(partial(scene.frame_set, frame)) for frame in range(2, 2 + PLAYED)]
        ms = 1e3 * float(np.median(spent)) / people
        rows.append(Playback(what, ms, 1e3 / (ms * PEOPLE)))
    return rows


def measure_saving(mocap: Mocap, body: BodyModel) -> list[Saved]:
    """Size and time of the .blend, plain, and compressed as `aios run` saves it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build(mocap, body)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what, compress in (("plain", False), ("compressed, as `aios run` saves it", True)):
            path = Path(folder) / f"{compress}.blend"
            seconds = seconds_of(lambda p=path, c=compress: bpy.ops.wm.save_as_mainfile(filepath=str(p), compress=c))
            rows.append(Saved(what, path.stat().st_size / 1e6, seconds))
    return rows


def measure() -> dict[str, Sequence[object]]:
    """All tables by their names."""
    mocap, body = big_mocap(), open_body()
    return {
        "blender": measure_keys(mocap, body),
        "playback": measure_playback(mocap, body),
        "saving": measure_saving(mocap, body),
    }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    for name, rows in measure().items():
        show(name, rows, options.write)


if __name__ == "__main__":
    main()
