"""Five people x 150 frames built in Blender, against `keyframe_insert`: python -m benchmarks.blender_build"""

from __future__ import annotations

import time
from dataclasses import replace

import bpy
import numpy as np

from aios_blender import compat
from aios_blender.scene import build
from aios_blender.scene.armature import key_pose
from aios_core.body.files import open_body
from aios_core.body.joints import JOINT_NAMES
from aios_core.mocap import Mocap
from tests.mocaps import make_mocap, make_track

PEOPLE, FRAMES = 5, 150


def big_mocap() -> Mocap:
    """Five people without gaps."""
    rng = np.random.default_rng(0)
    tracks = tuple(make_track(i + 1, np.arange(FRAMES), rng, i - 2.0) for i in range(PEOPLE))
    return replace(make_mocap(length=FRAMES), tracks=tracks)


def keyframe_insert_seconds(armature: bpy.types.Object) -> float:
    """Seconds of keying one person's pelvis and 55 rotations by keyframe_insert, the usual way."""
    armature.animation_data_clear()
    bones = [armature.pose.bones[name] for name in JOINT_NAMES]
    begun = time.perf_counter()
    for frame in range(1, FRAMES + 1):
        for bone in bones:
            assert bone.keyframe_insert("rotation_quaternion", frame=frame)
        assert bones[0].keyframe_insert("location", frame=frame)
    return time.perf_counter() - begun


def bulk_seconds(armature: bpy.types.Object, mocap: Mocap) -> float:
    """Seconds of the same keys, written as whole curves."""
    armature.animation_data_clear()
    bag = compat.channelbag(armature, bpy.data.actions.new("bulk"), "bulk")
    track = mocap.tracks[0]
    begun = time.perf_counter()
    key_pose(bag, track, np.zeros(3), 1.0 + track.frames, np.zeros(len(track), np.uint8))
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mocap, body = big_mocap(), open_body()
    begun = time.perf_counter()
    built = build(mocap, body)
    seconds = time.perf_counter() - begun
    armature = built.people[0].armature
    bulk, inserted = bulk_seconds(armature, mocap), keyframe_insert_seconds(armature)
    print(f"{PEOPLE} people x {FRAMES} frames, meshes, expressions and camera included: {seconds:.2f} s")
    print(f"one person's keys: {bulk * 1e3:.0f} ms; by keyframe_insert {inserted * 1e3:.0f} ms: {inserted / bulk:.0f}x")


if __name__ == "__main__":
    main()
