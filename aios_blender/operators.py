"""Operators: they read properties, call one plain function and report."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy_extras.io_utils import ImportHelper

from aios_core import mocap
from aios_core.body.files import load_body, open_body
from aios_core.client import Job, estimate_command
from aios_core.errors import AiosError

from .preferences import preferences, runtime_python
from .scene import SceneSettings, build

PUMP_SECONDS = 0.2

_jobs: list[Job] = []
"""The running capture, if any: processes cannot be kept in Blender's data."""


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
        if _jobs:
            cls.poll_message_set("A capture is running")
            return False
        if not context.scene.aios.footage:
            cls.poll_message_set("Choose the footage first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the worker process."""
        try:
            _jobs.append(Job(capture_command(context.scene.aios)))
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.scene.aios.is_running = True
        context.scene.aios.status = "Starting"
        if not bpy.app.background:
            bpy.app.timers.register(_pump_timer, first_interval=PUMP_SECONDS)
        return {"FINISHED"}


class AIOS_OT_cancel(bpy.types.Operator):
    """Stop the running capture"""

    bl_idname = "aios.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while a capture runs."""
        del context
        if not _jobs:
            cls.poll_message_set("No capture is running")
        return bool(_jobs)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the process to end."""
        del context
        _jobs[0].cancel()
        return {"FINISHED"}


def build_file(path: str, settings: SceneSettings):
    """Build the scene of a Mocap file with the body of the preferences."""
    found = mocap.load(bpy.path.abspath(path))
    stored = preferences()
    own = bpy.path.abspath(stored.body) if stored and stored.body else None
    return build(found, load_body(own) if own else open_body(), settings)


def capture_command(settings) -> list[str]:
    """The command of the capture that the panel's settings describe; its Mocap lies in the add-on's own folder."""
    stored = preferences()
    footage = bpy.path.abspath(settings.footage)
    options = ["--threshold", f"{settings.threshold:.3f}"]
    options += ["--max-people", str(settings.max_people)] if settings.max_people else []
    options += ["--weights", stored.weights] if stored and stored.weights else []
    options += ["--body", bpy.path.abspath(stored.body)] if stored and stored.body else []
    return estimate_command(runtime_python(), footage, mocap_path(footage), options)


def mocap_path(footage: str) -> Path:
    """Where the Mocap of footage is kept: the extension's user folder."""
    folder = bpy.utils.extension_path_user(__package__, path="mocap", create=True)
    return Path(folder) / f"{Path(footage).stem or 'capture'}.npz"


def pump() -> bool:
    """Take in what the capture has said since the last call; True while it goes on."""
    if not _jobs:
        return False
    settings = bpy.context.scene.aios
    for event in _jobs[0].poll():
        show_event(settings, event)
        if event["event"] == "done":
            build_file(event["output"], SceneSettings())
    if _jobs[0].running:
        return True
    settings.is_running = False
    _jobs.clear()
    return False


def show_event(settings, event: dict) -> None:
    """Put an event of the worker into words for the panel."""
    kind = event["event"]
    if kind == "progress":
        total = event.get("total")
        settings.progress = event["done"] / total if total else 0.0
        left = f", {event['eta']:.0f} s left" if event.get("eta") is not None else ""
        settings.status = (
            f"{event['done']}/{total or '?'} frames, {event['fps']:.1f} a second{left}, {event['people']} people"
        )
    elif kind == "done":
        settings.progress = 1.0
        settings.status = f"{event['people']} people found"
    else:
        settings.status = event.get("message", "Cancelled")


def stop_capture() -> None:
    """End a running capture when the add-on goes."""
    for job in _jobs:
        job.cancel(grace_seconds=0.5)
    _jobs.clear()
    if bpy.app.timers.is_registered(_pump_timer):
        bpy.app.timers.unregister(_pump_timer)


def _pump_timer() -> float | None:
    going_on = pump()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
    return PUMP_SECONDS if going_on else None


def draw_import_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """File > Import."""
    menu.layout.operator(AIOS_OT_import_mocap.bl_idname, text=AIOS_OT_import_mocap.bl_label)


CLASSES = (AIOS_OT_import_mocap, AIOS_OT_capture, AIOS_OT_cancel)
