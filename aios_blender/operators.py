"""Operators: they read properties, call one plain function and report."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bpy
from bpy_extras.io_utils import ImportHelper

from aios_core.client import Job, estimate_command
from aios_core.errors import AiosError

from .footage import PICTURES, VIDEOS, bare_name, clip_in_editor, footage_of, sequence_fps_of, start_frame_of
from .jobs import cancel, finish_early, is_busy, is_capturing, start
from .people import chosen_body
from .polls import is_idle, is_in_object_mode, is_there
from .preferences import preferences, runtime_python
from .refining import refine_options
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
    people: bpy.props.StringProperty(
        name="People", description="Numbers of the people to build, with commas; empty builds everybody"
    )
    with_mesh: bpy.props.BoolProperty(name="Skinned Meshes", description="Build a mesh for everybody", default=True)
    with_correctives: bpy.props.BoolProperty(
        name="Pose Correctives", description="Shape keys that mend bent joints; plays some ten times slower"
    )
    with_camera: bpy.props.BoolProperty(name="Camera", description="Build the matching camera", default=True)
    with_scene: bpy.props.BoolProperty(
        name="Scene Settings", default=True,
        description="Give the scene the footage's frame rate, length, size and camera",
    )  # fmt: skip
    start_frame: bpy.props.IntProperty(
        name="Start Frame", description="Frame of the timeline at which the footage begins", default=1
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Building needs object mode."""
        return is_in_object_mode(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Build the scene."""
        del context
        try:
            settings = SceneSettings(
                self.footage or None, with_camera=self.with_camera, with_mesh=self.with_mesh,
                with_correctives=self.with_correctives, people=chosen_people(self.people), set_scene=self.with_scene,
                first_frame=self.start_frame,
            )  # fmt: skip
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
        return is_idle(cls) and is_there(cls, footage_of, context.scene.aios, context.scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the worker process."""
        scene = context.scene
        try:
            job, wanted = Job(capture_command(scene.aios, scene)), wanted_of(scene.aios, scene)
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        thumbnail = thumbnail_of(job.command)
        start(context.window_manager, job, lambda event: build_captured(event, wanted), thumbnail=thumbnail)
        return {"FINISHED"}


class AIOS_OT_use_clip(bpy.types.Operator):
    """Take the clip that is open in this editor as the footage"""

    bl_idname = "aios.use_clip"
    bl_label = "Use This Clip"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """In a Movie Clip Editor that shows one."""
        if clip_in_editor(context) is None:
            cls.poll_message_set("Open a clip in this editor first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Choose it."""
        context.scene.aios.source, context.scene.aios.clip = "CLIP", clip_in_editor(context)
        return {"FINISHED"}


class AIOS_OT_drop_footage(bpy.types.Operator):
    """Capture everybody in the video or picture that was dropped on the viewport"""

    bl_idname = "aios.drop_footage"
    bl_label = "Capture People (AiOS)"
    bl_options = {"INTERNAL"}
    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Choose the footage and, if nothing stands in the way, start."""
        context.scene.aios.source, context.scene.aios.footage = "FILE", self.filepath
        return bpy.ops.aios.capture() if bpy.ops.aios.capture.poll() else {"FINISHED"}


class AIOS_FH_footage(bpy.types.FileHandler):
    """Videos and pictures dropped on a viewport."""

    bl_idname = "AIOS_FH_footage"
    bl_label = "Capture People (AiOS)"
    bl_import_operator = "aios.drop_footage"
    bl_file_extensions = ";".join(VIDEOS + PICTURES)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """On a 3D viewport."""
        return context.area is not None and context.area.type == "VIEW_3D"


class AIOS_OT_cancel(bpy.types.Operator):
    """Stop what is running; a capture that is started again continues where it was"""

    bl_idname = "aios.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while something runs."""
        del context
        if not is_busy():
            cls.poll_message_set("Nothing is running")
        return is_busy()

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the process to end."""
        del context
        cancel()
        return {"FINISHED"}


class AIOS_OT_finish_early(bpy.types.Operator):
    """Look no further and build the people seen so far; Capture goes on from there"""

    bl_idname = "aios.finish_early"
    bl_label = "Stop and Build"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while a capture runs."""
        if not is_capturing():
            cls.poll_message_set("No capture is running")
            return False
        if not context.window_manager.aios_job.progress:
            cls.poll_message_set("Nothing was looked at yet")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask the process to come to an end."""
        finish_early()
        return {"FINISHED"}


def chosen_people(text: str) -> tuple[int, ...] | None:
    """Numbers with commas; None for none.

    Raises:
        AiosError: something is no number.
    """
    try:
        return tuple(int(number) for number in text.split(",") if number.strip()) or None
    except ValueError as error:
        raise AiosError(f"People: '{text}' are not numbers with commas, such as 1, 3.") from error


def build_file(path: str, settings: SceneSettings, scene=None):
    """Build a Mocap file into a scene, by default the current one, with the body of the preferences."""
    return build_take(bpy.path.abspath(path), chosen_body(), settings, scene)


def wanted_of(settings, scene) -> SceneSettings:
    """What a capture with the panel's settings is to build."""
    return SceneSettings(
        with_camera=settings.with_camera, with_mesh=settings.with_mesh, with_correctives=settings.with_correctives,
        set_scene=settings.with_scene, first_frame=start_frame_of(settings, scene),
    )  # fmt: skip


def build_captured(event: dict, wanted: SceneSettings, scene=None) -> str:
    """Build what a capture has found into a scene (None = the current one), as one step of undo; what to say of it."""
    built = build_file(event["output"], wanted, scene)
    bpy.ops.ed.undo_push(message="Capture")
    count = len(built.people)
    return "; ".join([f"{count} {'person' if count == 1 else 'people'} found", *built.warnings])


def capture_command(settings, scene) -> list[str]:
    """The command of the capture that the panel's settings describe; its Mocap lies in the add-on's own folder."""
    stored, python, footage = preferences(), runtime_python(), footage_of(settings, scene)
    options = capture_options(settings, scene)
    options += ["--weights", stored.chosen_weights()] if stored else []
    options += ["--body", bpy.path.abspath(stored.body)] if stored and stored.body else []
    output = mocap_path(footage)
    options += ["--thumbnail", str(output.with_suffix(".jpg"))]
    return estimate_command(python, footage, output, options)


def thumbnail_of(command: list[str]) -> str:
    """Where the job of a capture's command keeps its thumbnail."""
    return command[command.index("--thumbnail") + 1]


def capture_options(settings, scene) -> list[str]:
    """Options of `aios estimate` and `aios run` for the panel's settings."""
    fps = sequence_fps_of(settings, scene)
    options = ["--step", str(settings.step)]
    options += ["--threshold", f"{settings.threshold:.3f}"] if settings.threshold else []
    options += [f"--{settings.quality}"] if settings.quality != "full" else []
    if settings.use_range:
        options += ["--start", str(settings.first_frame - 1), "--stop", str(settings.last_frame)]
    options += refine_options(settings)
    options += ["--fps", f"{fps:.6g}"] if fps else []
    return [*options, *(["--max-people", str(settings.max_people)] if settings.max_people else [])]


def mocap_path(footage: str) -> Path:
    """Where the Mocap of footage is kept: the extension's user folder."""
    folder = bpy.utils.extension_path_user(__package__, path="mocap", create=True)
    place = hashlib.sha256(footage.encode()).hexdigest()[:8]  # clips of one name in two folders are two clips
    return Path(folder) / f"{bare_name(footage) or 'capture'}-{place}.npz"


def draw_import_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """File > Import."""
    menu.layout.operator(AIOS_OT_import_mocap.bl_idname, text=AIOS_OT_import_mocap.bl_label)


CLASSES = (
    AIOS_OT_import_mocap, AIOS_OT_capture, AIOS_OT_cancel, AIOS_OT_finish_early, AIOS_OT_use_clip,
    AIOS_OT_drop_footage, AIOS_FH_footage,
)  # fmt: skip
