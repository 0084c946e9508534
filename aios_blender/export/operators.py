"""Operators of export and retargeting: they read properties, call one plain function and report."""

from __future__ import annotations

import bpy
from bpy_extras.io_utils import ExportHelper

from aios_core.errors import AiosError

from ..polls import is_in_object_mode
from . import SUFFIXES, ExportSettings, export_people
from .fbx import PRESETS
from .people import built_people, selected_people
from .shape_key_ranges import fix_shape_key_ranges

FORMATS = [
    (".fbx", "FBX", "For Unity, Unreal and other animation software"),
    (".glb", "GLB", "For the web and game engines"),
    (".usdc", "USD", "UsdSkel, for film pipelines"),
    (".bvh", "BVH", "Bones alone, one file a person, centimetres, y up"),
    (".npz", "SMPL-X (.npz)", "AMASS's layout, one file a person"),
]


class AIOS_OT_export_people(bpy.types.Operator, ExportHelper):
    """Export captured people with their motion over the scene's frame range; the scene stays as it is"""

    bl_idname = "aios.export_people"
    bl_label = "AiOS People"
    bl_options = {"REGISTER", "PRESET"}
    filename_ext = ""
    check_extension = None
    filter_glob: bpy.props.StringProperty(default=";".join(f"*{s}" for s in SUFFIXES), options={"HIDDEN"})
    file_format: bpy.props.EnumProperty(name="Format", items=FORMATS)
    preset: bpy.props.EnumProperty(
        name="Preset", description="FBX conventions", items=[(n, n.capitalize(), "") for n in PRESETS]
    )
    who: bpy.props.EnumProperty(
        name="People",
        items=[("ALL", "Everybody", ""), ("SELECTED", "Selected", "Those of whom the armature or mesh is selected")],
    )
    with_mesh: bpy.props.BoolProperty(name="Meshes", description="Export skinned meshes, not bones alone", default=True)
    one_file_each: bpy.props.BoolProperty(name="One File Each", description="A file for every person")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Exporting needs object mode."""
        return is_in_object_mode(cls, context)

    def check(self, _context: bpy.types.Context) -> bool:
        """The file's name follows the format."""
        wanted = bpy.path.ensure_ext(_without_suffix(self.filepath), self.file_format)
        changed, self.filepath = wanted != self.filepath, wanted
        return changed

    def draw(self, _context: bpy.types.Context) -> None:
        """Only what the format knows."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "file_format")
        if self.file_format == ".fbx":
            layout.prop(self, "preset")
        layout.prop(self, "who")
        if self.file_format in (".fbx", ".glb", ".usdc"):
            layout.prop(self, "with_mesh")
            layout.prop(self, "one_file_each")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write the files."""
        path = bpy.path.ensure_ext(_without_suffix(bpy.path.abspath(self.filepath)), self.file_format)
        settings = ExportSettings(self.preset, self.with_mesh, self.one_file_each)
        scene = context.scene
        try:
            chosen = self.who == "SELECTED"
            people = selected_people(scene, context.selected_objects) if chosen else built_people(scene)
            done = export_people(scene, people, path, settings)
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in done.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{len(people)} people exported to {', '.join(p.name for p in done.paths)}")
        return {"FINISHED"}


class AIOS_OT_fix_shape_key_ranges(bpy.types.Operator):
    """Let shape keys of the selected meshes (of all where none is) reach beyond 0..1, as expressions need"""

    bl_idname = "aios.fix_shape_key_ranges"
    bl_label = "Fix Shape Key Ranges"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With something that has shape keys."""
        if not any(thing.type == "MESH" and thing.data.shape_keys for thing in context.scene.objects):
            cls.poll_message_set("No mesh in this scene has shape keys")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Widen the sliders."""
        chosen = [o for o in context.selected_objects if o.type == "MESH"] or context.scene.objects
        widened = fix_shape_key_ranges(chosen)
        self.report({"INFO"}, f"{widened} shape keys widened")
        return {"FINISHED"}


def _without_suffix(path: str) -> str:
    """The path without a suffix of ours; names with other dots stay whole."""
    return next((path[: -len(s)] for s in SUFFIXES if path.lower().endswith(s)), path)


def draw_export_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """File > Export."""
    menu.layout.operator(AIOS_OT_export_people.bl_idname, text="AiOS People (.fbx/.glb/.usd/.bvh/.npz)")


CLASSES = (AIOS_OT_export_people, AIOS_OT_fix_shape_key_ranges)
