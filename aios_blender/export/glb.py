"""GLB: meshes, skins, expressions as morph targets, and one animation that moves bones and morph weights of everybody.

The animation starts at 0 seconds. Blender's exporter divides frames by fps * fps_base, where fps / fps_base is meant,
so at 29.97 its times are 0.2 % short; they are set right in the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .duplicates import DuplicateSettings, duplicates
from .motion import Motion
from .people import Person
from .run import exporter, run

GLB_HEADER, CHUNK_HEADER = 12, 8


def write_glb(
    scene: Any, people: Sequence[Person], motions: Sequence[Motion], path: Path, title: str, with_mesh: bool = True
) -> None:
    """Write a GLB file of these people.

    Raises:
        OutputError: Blender cannot write it.
    """
    exporter("io_scene_gltf2")
    with duplicates(scene, people, motions, DuplicateSettings(title, 0, with_mesh)) as own:
        run(
            own, bpy.ops.export_scene.gltf, filepath=str(path), check_existing=False, export_format="GLB",
            use_active_scene=True, export_yup=True, export_extras=True, export_def_bones=False,
            export_animations=True, export_animation_mode="ACTIVE_ACTIONS", export_force_sampling=True,
            export_nla_strips_merged_animation_name=title, export_frame_range=False,
            export_morph=True, export_morph_normal=False, export_morph_animation=True,
            export_optimize_animation_size=False,
        )  # fmt: skip
    seconds = (len(motions[0].frames) - 1) / motions[0].fps
    path.write_bytes(with_duration(path.read_bytes(), seconds))


def with_duration(glb: bytes, seconds: float) -> bytes:
    """The GLB file with its animations' times stretched to end at `seconds`."""
    size = struct.unpack_from("<I", glb, GLB_HEADER)[0]
    start = GLB_HEADER + CHUNK_HEADER
    document = json.loads(glb[start : start + size])
    binary = bytearray(glb[start + size + CHUNK_HEADER :])
    clocks = {s["input"] for animation in document.get("animations", ()) for s in animation["samplers"]}
    accessors = [document["accessors"][i] for i in sorted(clocks)]
    longest = max((accessor["max"][0] for accessor in accessors), default=0.0)
    if longest == 0 or abs(longest - seconds) < 1e-6:
        return glb
    for accessor in accessors:
        view = document["bufferViews"][accessor["bufferView"]]
        offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        times = np.frombuffer(binary, "<f4", accessor["count"], offset) * np.float32(seconds / longest)
        binary[offset : offset + times.nbytes] = times.astype("<f4").tobytes()
        accessor["min"], accessor["max"] = [float(times[0])], [float(times[-1])]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + bytes(binary)
    return struct.pack("<4sII", b"glTF", 2, GLB_HEADER + len(chunks)) + chunks
