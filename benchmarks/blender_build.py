"""Five people x 150 frames built in Blender, against `keyframe_insert`: python -m benchmarks.blender_build"""

from __future__ import annotations

import time
from dataclasses import replace

import bpy
import numpy as np

from aios_blender.scene import build
from aios_core.body.files import open_body
from aios_core.body.joints import JOINT_NAMES
from aios_core.mocap import Mocap
from tests.mocaps import make_mocap, make_track

PEOPLE, FRAMES = 5, 150
SAMPLE_FRAMES = 15
"""keyframe_insert is measured on so many frames and scaled up."""


def big_mocap() -> Mocap:
    """Five people without gaps."""
    rng = np.random.default_rng(0)
    tracks = tuple(make_track(i + 1, np.arange(FRAMES), rng, i - 2.0) for i in range(PEOPLE))
    return replace(make_mocap(length=FRAMES), tracks=tracks)


def keyframe_insert_seconds(armature: bpy.types.Object) -> float:
    """Seconds that keying one person by keyframe_insert would take."""
    armature.animation_data_clear()
    begun = time.perf_counter()
    for frame in range(SAMPLE_FRAMES):
        for name in JOINT_NAMES:
            armature.pose.bones[name].keyframe_insert("rotation_quaternion", frame=frame)
        armature.pose.bones["pelvis"].keyframe_insert("location", frame=frame)
    return (time.perf_counter() - begun) * FRAMES / SAMPLE_FRAMES


def main() -> None:
    """Measure and print."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mocap, body = big_mocap(), open_body()
    begun = time.perf_counter()
    built = build(mocap, body)
    seconds = time.perf_counter() - begun
    baseline = keyframe_insert_seconds(built.people[0].armature) * PEOPLE
    print(
        f"{PEOPLE} people x {FRAMES} frames: whole build {seconds:.2f} s;"
        f" their bones' keys alone by keyframe_insert {baseline:.2f} s; ratio {baseline / seconds:.1f}"
    )


if __name__ == "__main__":
    main()
