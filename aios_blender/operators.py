"""Operators: they read properties, call one plain function and report."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy_extras.io_utils import ImportHelper

from aios_core.client import Job, estimate_command
from aios_core.errors import AiosError

from .jobs import cancel, is_busy, start
from .people import chosen_body, refine_options
from .preferences import preferences, runtime_python
from .scene import SceneSettings
from .take import build_take


class AIOS_OT_import_mocap(bpy.types.Operator, ImportHelper):
    """Build rigged, keyframed people and the camera from a saved Mocap file"""

    bl_idname = "aios.import_mocap"
    bl_label = "AiOS Mocap (.npz)"
    bl_options = {"REGISTER", "UNDO"}
    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})
    footage: bpy.props.StringProperty(
        name="Footage", description="Where the footage is now; empty: where it was captured", subtype="FILE_PATH"
    )
    with_mesh: bpy.props.BoolProperty(name="Skinned Meshes", description="Build a mesh for everybody", default=True)
    with_camera: bpy.props.BoolProperty(name="Camera", description="Build the matching camera", default=True)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Building needs object mode."""
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to object mode first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Build the scene."""
        del context
        settings = SceneSettings(self.footage or None, with_camera=self.with_camera, with_mesh=self.with_mesh)
        try:
            built = build_file(self.filepath, settings)
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in built.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{len(built.people)} people built")
        return {"FINISHED"}


class AIOS_OT_capture(bpy.types.Operator):
    """Find everybody in the footage and build them; Blender stays usable meanwhile"""

    bl_idname = "aios.capture"
    bl_label = "Capture"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """One capture at a time, and only with footage."""
        if is_busy():
            cls.poll_message_set("A capture is running")
            return False
        if not context.scene.aios.footage:
            cls.poll_message_set("Choose the footage first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the worker process."""
        try:
            job = Job(capture_command(context.scene.aios))
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        start(context.scene.aios, job, lambda event: build_file(event["output"], SceneSettings()))
        return {"FINISHED"}


class AIOS_OT_cancel(bpy.types.Operator):
    """Stop the running capture"""

    bl_idname = "aios.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while a capture runs."""
        del context
        if not is_busy():
            cls.poll_message_set("No capture is running")
        return is_busy()

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the process to end."""
        del context
        cancel()
        return {"FINISHED"}


def build_file(path: str, settings: SceneSettings):
    """Build the scene of a Mocap file with the body of the preferences."""
    return build_take(bpy.path.abspath(path), chosen_body(), settings)


def capture_command(settings) -> list[str]:
    """The command of the capture that the panel's settings describe; its Mocap lies in the add-on's own folder."""
    stored = preferences()
    footage = bpy.path.abspath(settings.footage)
    options = ["--threshold", f"{settings.threshold:.3f}"]
    options += refine_options(settings)
    options += ["--max-people", str(settings.max_people)] if settings.max_people else []
    options += ["--weights", stored.weights] if stored and stored.weights else []
    options += ["--body", bpy.path.abspath(stored.body)] if stored and stored.body else []
    return estimate_command(runtime_python(), footage, mocap_path(footage), options)


def mocap_path(footage: str) -> Path:
    """Where the Mocap of footage is kept: the extension's user folder."""
    folder = bpy.utils.extension_path_user(__package__, path="mocap", create=True)
    return Path(folder) / f"{Path(footage).stem or 'capture'}.npz"


def draw_import_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """File > Import."""
    menu.layout.operator(AIOS_OT_import_mocap.bl_idname, text=AIOS_OT_import_mocap.bl_label)


CLASSES = (AIOS_OT_import_mocap, AIOS_OT_capture, AIOS_OT_cancel)
