"""A queue of clips, captured one after the other while Blender is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ImportHelper

from aios_core.client import Job
from aios_core.errors import AiosError

from .flamenco import job_of, submit
from .footage import PICTURES, VIDEOS, bare_name, footage_of, sequence_fps_of, start_frame_of
from .jobs import start
from .operators import build_captured, capture_command, capture_options, thumbnail_of, wanted_of
from .polls import is_idle, is_there
from .properties import copy_settings
from .scene import SceneSettings


def waiting(scene: Any) -> list[Any]:
    """The clips of a scene's queue whose turn is to come."""
    return [clip for clip in scene.aios_queue if clip.state == "WAITING"]


def enqueue(scene: Any, footage: str, settings: Any) -> Any:
    """Add a clip to the queue, with a copy of these settings."""
    clip = scene.aios_queue.add()
    copy_settings(settings, clip.settings)
    clip.settings.source, clip.settings.footage = "FILE", footage
    clip.name = footage
    scene.aios_queue_index = len(scene.aios_queue) - 1
    return clip


def run_next(scene: Any) -> bool:
    """Start the next waiting clip that can be started; whether there was one."""
    for clip in waiting(scene):
        try:
            command, wanted = capture_command(clip.settings, scene), wanted_of(clip.settings, scene)
        except AiosError as error:
            clip.state, clip.message = "FAILED", str(error)
            continue
        clip.state, clip.message = "RUNNING", ""
        _follow(scene.name, clip.name, Job(command), wanted)
        return True
    return False


def new_scene(clip: Any, like: Any) -> Any:
    """A scene of a clip's own, in another's world and renderer, with the clip's settings in its panel."""
    scene = bpy.data.scenes.new(bare_name(clip.name) or "Clip")
    scene.world, scene.render.engine = like.world, like.render.engine
    copy_settings(clip.settings, scene.aios)
    return scene


def _follow(scene_name: str, clip_name: str, job: Job, wanted: SceneSettings) -> None:
    """Names, because undo may put other data in the place of what a reference points at."""

    def found() -> tuple[Any, Any]:
        scene = bpy.data.scenes.get(scene_name)
        clips = scene.aios_queue if scene else ()
        return scene, next((c for c in clips if c.name == clip_name and c.state == "RUNNING"), None)

    def done(event: dict) -> str | None:
        scene, clip = found()
        if clip is None:
            return None
        if not scene.aios_queue_scenes:
            return build_captured(event, wanted, scene)
        own = new_scene(clip, scene)
        try:
            return build_captured(event, wanted, own)
        except Exception:
            bpy.data.scenes.remove(own)
            raise

    def ended(event: dict) -> None:
        scene, clip = found()
        states = {"done": "DONE", "cancelled": "CANCELLED"}
        if clip is not None:
            clip.state = states.get(event["event"], "FAILED")
            people = f"{event['people']} people" if event["event"] == "done" else ""
            clip.message = event.get("message", people)
        if scene is not None and event["event"] != "cancelled":
            run_next(scene)

    start(bpy.context.window_manager, job, done, ended, thumbnail=thumbnail_of(job.command))


class AIOS_OT_queue_clip(bpy.types.Operator):
    """Put the footage chosen above into the queue, with the settings above"""

    bl_idname = "aios.queue_clip"
    bl_label = "Add to Queue"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With footage."""
        return is_there(cls, footage_of, context.scene.aios, context.scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add one clip."""
        scene = context.scene
        clip = enqueue(scene, footage_of(scene.aios, scene), scene.aios)
        clip.settings.start_frame, fps = start_frame_of(scene.aios, scene), sequence_fps_of(scene.aios, scene)
        if fps is not None:
            clip.settings.source, clip.settings.sequence_fps = "SEQUENCE", fps
        return {"FINISHED"}


class AIOS_OT_queue_files(bpy.types.Operator, ImportHelper):
    """Choose many videos and pictures at once and put each into the queue, with the settings above"""

    bl_idname = "aios.queue_files"
    bl_label = "Add Files"
    bl_options = {"REGISTER", "UNDO"}
    filter_glob: bpy.props.StringProperty(
        default=";".join(f"*{suffix}" for suffix in VIDEOS + PICTURES), options={"HIDDEN"}
    )
    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN"})
    files: bpy.props.CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add them all."""
        paths = [str(Path(self.directory) / file.name) for file in self.files if file.name] or [self.filepath]
        for path in paths:
            enqueue(context.scene, path, context.scene.aios)
        self.report({"INFO"}, f"{len(paths)} clips in the queue")
        return {"FINISHED"}


class AIOS_OT_unqueue(bpy.types.Operator):
    """Take the chosen clip out of the queue"""

    bl_idname = "aios.unqueue"
    bl_label = "Remove from Queue"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With a chosen clip that is not running."""
        scene = context.scene
        if not 0 <= scene.aios_queue_index < len(scene.aios_queue):
            cls.poll_message_set("The queue is empty")
            return False
        if scene.aios_queue[scene.aios_queue_index].state == "RUNNING":
            cls.poll_message_set("This clip is being captured: cancel it first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        scene = context.scene
        scene.aios_queue.remove(scene.aios_queue_index)
        scene.aios_queue_index = max(0, min(scene.aios_queue_index, len(scene.aios_queue) - 1))
        return {"FINISHED"}


class AIOS_OT_requeue(bpy.types.Operator):
    """Let clips that failed or were cancelled wait for their turn again; what they have already is kept"""

    bl_idname = "aios.requeue"
    bl_label = "Try Failed Again"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With such clips."""
        if not any(clip.state in ("FAILED", "CANCELLED") for clip in context.scene.aios_queue):
            cls.poll_message_set("No clip has failed")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make them wait."""
        for clip in context.scene.aios_queue:
            if clip.state in ("FAILED", "CANCELLED"):
                clip.state, clip.message = "WAITING", ""
        return {"FINISHED"}


class AIOS_OT_run_queue(bpy.types.Operator):
    """Capture the waiting clips one after the other; Blender stays usable meanwhile"""

    bl_idname = "aios.run_queue"
    bl_label = "Run Queue"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With waiting clips, while nothing runs."""
        if not is_idle(cls):
            return False
        if not waiting(context.scene):
            cls.poll_message_set("No clip is waiting")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the first."""
        for clip in context.scene.aios_queue:
            if clip.state == "RUNNING":  # of a session that has ended
                clip.state = "WAITING"
        if not run_next(context.scene):
            failed = [clip.message for clip in context.scene.aios_queue if clip.state == "FAILED"]
            self.report({"ERROR"}, failed[-1])
            return {"CANCELLED"}
        return {"FINISHED"}


class AIOS_OT_submit_queue(bpy.types.Operator):
    """Hand the waiting clips to a Flamenco Manager, whose workers capture them; all paths must be ones they know"""

    bl_idname = "aios.submit_queue"
    bl_label = "Submit to Flamenco"
    manager: bpy.props.StringProperty(
        name="Manager", description="Address of the Flamenco Manager", default="http://localhost:8080"
    )
    output: bpy.props.StringProperty(
        name="Output", description="Folder on shared storage for what is captured", subtype="DIR_PATH"
    )
    python: bpy.props.StringProperty(
        name="Python", description="Python with aios-core on the workers", default="python"
    )
    blend: bpy.props.BoolProperty(
        name="Scenes",
        description="Also write a .blend for every clip; the workers need bpy, or Blender with this add-on",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With waiting clips and leave to use the network."""
        if not waiting(context.scene):
            cls.poll_message_set("No clip is waiting")
            return False
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in Preferences > System")
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask where to."""
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """One job for all clips whose settings are the same."""
        groups: dict[tuple[str, ...], list[Any]] = {}
        for clip in waiting(context.scene):
            groups.setdefault(tuple(capture_options(clip.settings, context.scene)), []).append(clip)
        try:
            if not self.output:
                raise AiosError("Choose a folder for what is captured.")
            for options, clips in groups.items():
                paths = [footage_of(clip.settings, context.scene) for clip in clips]
                name = f"AiOS: {len(clips)} clips"
                output = bpy.path.abspath(self.output)
                job = submit(self.manager, job_of(paths, output, self.python, options, name, self.blend))
                for clip in clips:
                    clip.state, clip.message = "DONE", f"Flamenco job {job[:8]}"
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(groups)} jobs handed over")
        return {"FINISHED"}


class AIOS_UL_queue(bpy.types.UIList):
    """The queue: a clip and its state in a row."""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flags=0):
        """One clip."""
        icon = bpy.types.UILayout.enum_item_icon(item, "state", item.state)
        row = layout.row(align=True)
        row.label(text=Path(item.name).name, icon_value=icon)
        row.label(text=item.message)


CLASSES = (
    AIOS_OT_queue_clip, AIOS_OT_queue_files, AIOS_OT_unqueue, AIOS_OT_requeue, AIOS_OT_run_queue,
    AIOS_OT_submit_queue, AIOS_UL_queue,
)  # fmt: skip
