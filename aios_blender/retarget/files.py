"""Retargeting without a window: a Mocap's track and a rig's file in, a .blend with the moving rig out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from aios_core import mocap
from aios_core.body.files import load_body, open_body
from aios_core.errors import ExportError
from aios_core.mocap import Mocap

from . import Retargeted, RetargetSettings, armature_named, retarget
from .bone_map import choose_map, save_bone_map
from .source import performance_of_track

SUFFIXES = (".blend", ".fbx", ".glb", ".gltf")


def retarget_file(
    mocap_path: str | Path, number: int | None, body_path: str | None, rig_path: str | Path, armature: str | None,
    settings: RetargetSettings, map_path: str | None = None,
) -> Retargeted:  # fmt: skip
    """Open the rig's file in Blender and move its armature by a Mocap's track, with the footage's clock.

    body_path: of the body model, None for the open body; map_path: where to write the bone map that is used, even if
    it lacks bones, to be edited.

    Raises:
        AiosError: a file cannot be read, or the rig cannot be retargeted to.
    """
    found = mocap.load(mocap_path)
    body = load_body(body_path) if body_path else open_body(found.gender if found.body_family == "open" else "neutral")
    performance = performance_of_track(found, number, body)
    open_rig(rig_path)
    rig = armature_named(armature)
    if map_path:
        save_bone_map(choose_map(settings.bone_map, [bone.name for bone in rig.data.bones]), map_path)
    done = retarget(performance, rig, settings)
    _take_clock(found)
    return done


def open_rig(path: str | Path) -> None:
    """Open a .blend, or import an FBX or glTF file into an empty one.

    Raises:
        ExportError: it cannot be opened.
    """
    from ..command_line import open_blend

    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ExportError(f"{path}: a rig comes in a file ending in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if suffix == ".blend":
        open_blend(path)
        return
    if not Path(path).is_file():
        raise ExportError(f"No such file: {path}.")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    operator: Any = bpy.ops.import_scene.fbx if suffix == ".fbx" else bpy.ops.import_scene.gltf
    try:
        operator(filepath=str(Path(path).absolute()))
    except RuntimeError as error:
        raise ExportError(f"{path} cannot be imported: {str(error).strip().splitlines()[-1]}") from error


def _take_clock(found: Mocap) -> None:
    scene = bpy.context.scene
    scene.render.fps = max(round(found.fps), 1)
    scene.render.fps_base = scene.render.fps / float(found.fps)
    scene.frame_start = 1
    scene.frame_end = max(round(float(found.timestamps[-1]) * float(found.fps)) + 1, 1)
    scene.frame_set(1)
