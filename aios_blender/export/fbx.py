"""FBX for Unity and Unreal: an upright rig without leaf bones or scaled nodes, every frame keyed, shape keys kept.

Both presets: y up, -z forward, so that the armature's node, whose rest axes are SMPL-X's own, has no rotation.
Unity: metres, scale 1 on every node. Unreal: the data themselves in centimetres, and a skeleton named 'Armature', a
node that Unreal leaves out, so that `root` is the root bone; one file a person.
The animation starts at time 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from aios_core.errors import ExportError

from .duplicates import DuplicateSettings, duplicates
from .motion import Motion
from .people import Person
from .run import exporter, run


@dataclass(frozen=True)
class FbxPreset:
    """What an engine wants."""

    unit_metres: float
    """Length of the file's unit."""
    scale_option: str
    """Where Blender's FBX exporter puts the unit's factor."""
    armature_name: str | None = None
    one_file_each: bool = False


PRESETS = {
    "unity": FbxPreset(1.0, "FBX_SCALE_ALL"),
    "unreal": FbxPreset(0.01, "FBX_SCALE_NONE", armature_name="Armature", one_file_each=True),
}


def preset_named(name: str) -> FbxPreset:
    """The preset of that name.

    Raises:
        ExportError: there is none.
    """
    if name not in PRESETS:
        raise ExportError(f"There is no FBX preset '{name}': choose {' or '.join(PRESETS)}.")
    return PRESETS[name]


def write_fbx(
    scene: Any,
    people: Sequence[Person],
    motions: Sequence[Motion],
    path: Path,
    title: str,
    preset: FbxPreset,
    with_mesh: bool = True,
) -> None:
    """Write an FBX file of these people.

    Raises:
        OutputError: Blender cannot write it.
    """
    settings = DuplicateSettings(title, 0, with_mesh, 1 / preset.unit_metres, preset.armature_name)
    exporter("io_scene_fbx")
    with duplicates(scene, people, motions, settings) as own:
        own.unit_settings.scale_length = preset.unit_metres
        run(
            own, bpy.ops.export_scene.fbx, filepath=str(path), check_existing=False,
            object_types={"ARMATURE", "MESH"}, axis_forward="-Z", axis_up="Y",
            apply_unit_scale=True, apply_scale_options=preset.scale_option, global_scale=1.0,
            use_mesh_modifiers=False, mesh_smooth_type="FACE", add_leaf_bones=False, use_custom_props=True,
            primary_bone_axis="Y", secondary_bone_axis="X", use_armature_deform_only=False,
            bake_anim=True, bake_anim_use_all_bones=True, bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False, bake_anim_force_startend_keying=True, bake_anim_step=1.0,
            bake_anim_simplify_factor=0.0,
        )  # fmt: skip
