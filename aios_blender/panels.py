"""The panels in the sidebars of the 3D view and the Movie Clip Editor. Drawing only shows what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from aios_core.errors import AiosError
from aios_core.mocap import PARTS

from .operators import AIOS_OT_cancel, AIOS_OT_capture, AIOS_OT_finish_early, AIOS_OT_import_mocap, AIOS_OT_use_clip
from .people import (
    AIOS_OT_delete_person,
    AIOS_OT_key_rest_pose,
    AIOS_OT_merge_people,
    AIOS_OT_rename_person,
    AIOS_OT_split_person,
    active_person,
)
from .people_list import AIOS_OT_select_person, person_of
from .preferences import preferences
from .queue import (
    AIOS_OT_queue_clip,
    AIOS_OT_queue_files,
    AIOS_OT_requeue,
    AIOS_OT_run_queue,
    AIOS_OT_submit_queue,
    AIOS_OT_unqueue,
)
from .refining import AIOS_OT_follow_camera, AIOS_OT_refine, AIOS_OT_shape_person
from .runtime.operators import AIOS_OT_check_setup, AIOS_OT_remove_runtime, AIOS_OT_setup_runtime
from .scene import GRAPH
from .take import armatures_of, take_of, takes

EXPLANATION = (
    "Captures run outside Blender, in a Python of their own with PyTorch. Setting it up downloads 0.3 to 3 GB into "
    "this add-on's user folder; nothing is installed into Blender."
)


def draw_runtime(layout: Any, context: bpy.types.Context, stored: Any) -> None:
    """What captures run in, and how to get it."""
    job = context.window_manager.aios_job
    box = layout.box()
    if stored.python:
        box.label(text="Runtime: an existing Python", icon="CHECKMARK")
    else:
        box.label(text=f"Runtime: {job.runtime}", icon="CHECKMARK" if job.has_runtime else "INFO")
        draw_own_runtime(box, context, stored)
    column = box.column(align=True)
    column.label(text="Use existing Python:")
    column.prop(stored, "python", text="")
    row = box.row(align=True)
    row.operator(AIOS_OT_check_setup.bl_idname)
    row.operator(AIOS_OT_remove_runtime.bl_idname, text="Remove")
    if job.verdict:
        draw_text(box, context, job.verdict, "CHECKMARK" if job.is_sound else "ERROR")


def draw_own_runtime(layout: Any, context: bpy.types.Context, stored: Any) -> None:
    """The button that sets up the runtime, and what it needs to know."""
    job = context.window_manager.aios_job
    if not job.has_runtime:
        draw_text(layout, context, EXPLANATION)
        if not bpy.app.online_access and not stored.wheels_folder:
            layout.prop(context.preferences.system, "use_online_access")
    row = layout.row()
    row.scale_y = 1.0 if job.has_runtime else 1.4
    row.operator(AIOS_OT_setup_runtime.bl_idname, text="Repair Runtime" if job.has_runtime else "Set Up Runtime")
    column = layout.column(align=True)
    column.prop(stored, "torch_build")
    column.label(text="Without a network, packages in:")
    column.prop(stored, "wheels_folder", text="")


def draw_models(layout: Any, context: bpy.types.Context, stored: Any) -> None:
    """Weights and body, with what their licences say in plain words."""
    box = layout.box()
    box.row().prop(stored, "weights_kind", expand=True)
    if stored.weights_kind == "aios":
        column = box.column(align=True)
        column.label(text="Checkpoint (aios_checkpoint.pth):")
        column.prop(stored, "weights", text="")
        draw_text(
            box, context,
            "The published AiOS checkpoint is your own download from its authors' page, for non-commercial use only. "
            "It predicts SMPL-X: choose your SMPL-X file too.",
        )  # fmt: skip
        box.operator("wm.url_open", text="AiOS Downloads", icon="URL").url = "https://github.com/ttxskk/AiOS"
    else:
        draw_text(box, context, "Open weights come along. They may be used for anything, also commercially.")
    column = box.column(align=True)
    column.label(text="SMPL-X file (empty: the open body):")
    column.prop(stored, "body", text="")
    if stored.body or stored.weights_kind == "aios":
        draw_text(box, context, "SMPL-X is your own download from its authors' page, for non-commercial use only.")
        box.operator("wm.url_open", text="SMPL-X Downloads", icon="URL").url = "https://smpl-x.is.tue.mpg.de"
    else:
        draw_text(box, context, "The open body comes along and may be used for anything.")


def draw_job(layout: Any, context: bpy.types.Context) -> None:
    """What runs now, or what came of what ran last."""
    job = context.window_manager.aios_job
    if job.is_running:
        layout.progress(factor=job.progress, text=f"{job.progress:.0%}")
        draw_text(layout, context, job.status)
        if job.thumbnail:
            layout.template_icon(job.thumbnail, scale=8)
        row = layout.row(align=True)
        row.operator(AIOS_OT_cancel.bl_idname, icon="X")
        if job.thumbnail:
            row.operator(AIOS_OT_finish_early.bl_idname, icon="CHECKMARK")
    else:
        draw_text(layout, context, job.status, "ERROR" if job.failed else "NONE")
    if job.log:
        layout.operator("wm.path_open", text="Open Log", icon="TEXT").filepath = job.log


def draw_text(layout: Any, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """A text in as many lines as the region's width takes."""
    letter = 6.5 * context.preferences.system.ui_scale
    column = layout.column(align=True)
    for i, line in enumerate(wrapped(text, max(int((context.region.width - 60) / letter), 20))):
        column.label(text=line, icon=icon if i == 0 else "NONE")


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` letters; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


class _Sidebar:
    """A panel in the tab AiOS of a sidebar."""

    bl_region_type = "UI"
    bl_category = "AiOS"


class _CapturePanel(_Sidebar):
    """Footage to people, in whichever editor."""

    bl_label = "AiOS"

    def draw(self, context: bpy.types.Context) -> None:
        """Show settings, progress and buttons."""
        layout, stored = self.layout, preferences()
        job = context.window_manager.aios_job
        settings = context.scene.aios
        can_capture = stored is None or job.has_runtime or stored.python
        if can_capture:
            draw_footage(layout, settings, context)
            if not job.is_running:
                row = layout.row(align=True)
                row.scale_y = 1.4
                row.operator(AIOS_OT_capture.bl_idname, icon="ARMATURE_DATA")
        else:
            draw_runtime(layout, context, stored)
        draw_job(layout, context)
        layout.operator(AIOS_OT_import_mocap.bl_idname, text="Open Mocap File", icon="IMPORT")
        if can_capture:
            draw_capture_settings(layout, settings, "capture")


def draw_footage(layout: Any, settings: Any, context: bpy.types.Context) -> None:
    """What is captured."""
    column = _settings_column(layout)
    column.prop(settings, "source")
    if settings.source in ("FILE", "SEQUENCE"):
        column.prop(settings, "footage", text="First Picture" if settings.source == "SEQUENCE" else "Footage")
    elif settings.source == "CLIP":
        column.prop(settings, "clip")
    if settings.source == "SEQUENCE":
        column.prop(settings, "sequence_fps")
    if context.area.type == "CLIP_EDITOR":
        column.operator(AIOS_OT_use_clip.bl_idname)
    column.prop(settings, "use_range")
    if settings.use_range:
        row = column.row(align=True)
        row.prop(settings, "first_frame", text="Frames")
        row.prop(settings, "last_frame", text="")


def draw_capture_settings(layout: Any, settings: Any, idname: str) -> None:
    """How people are found, how they move, and what is built: sections that open, with a name of their own each."""
    finding = _section(layout, f"AIOS_PT_{idname}_finding", "Finding People")
    if finding is not None:
        for name in ("step", "quality", "max_people", "threshold"):
            finding.prop(settings, name)
    refining = _section(layout, f"AIOS_PT_{idname}_refining", "Clean Motion")
    if refining is not None:
        draw_refining(refining, settings)
    building = _section(layout, f"AIOS_PT_{idname}_building", "What to Build")
    if building is not None:
        for name in ("with_mesh", "with_correctives", "with_camera", "with_scene"):
            row = building.row()
            row.active = name != "with_correctives" or settings.with_mesh
            row.prop(settings, name)
        if settings.source in ("FILE", "SEQUENCE"):
            building.prop(settings, "start_frame")


def _section(layout: Any, idname: str, title: str) -> Any | None:
    """A part of a panel that is closed at first; None while it is."""
    header, body = layout.panel(idname, default_closed=True)
    header.label(text=title)
    return _settings_column(body) if body is not None else None


def draw_refining(layout: Any, settings: Any) -> None:
    """How measurements become clean motion."""
    for name in ("smoothing", "lock_feet", "fit_picture", "level_camera"):
        layout.prop(settings, name)


def _settings_column(layout: Any) -> Any:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


class _PeoplePanel(_Sidebar):
    """Who was found, and what can be changed without capturing again."""

    bl_label = "People"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With a take."""
        del context
        return bool(takes())

    def draw(self, context: bpy.types.Context) -> None:
        """One row a person, then what can be done."""
        layout, scene = self.layout, context.scene
        take = draw_take_choice(layout, context)
        if take is None:
            return
        layout.template_list("AIOS_UL_people", "", take.collection, "children", scene, "aios_person", rows=3)
        person = person_of(take, context.active_object)
        if person is not None:
            draw_confidence(layout, person)
        row = layout.row(align=True)
        row.operator(AIOS_OT_rename_person.bl_idname, text="Rename")
        row.operator(AIOS_OT_delete_person.bl_idname, text="Delete")
        row = layout.row(align=True)
        row.operator(AIOS_OT_split_person.bl_idname, text="Split Here")
        row.operator(AIOS_OT_merge_people.bl_idname, text="Merge Marked")


def draw_take_choice(layout: Any, context: bpy.types.Context) -> Any | None:
    """The take of the active object; where there are several, and it belongs to none of them, a button for each."""
    try:
        return take_of(context.active_object)
    except AiosError:
        draw_text(layout, context, "There are several takes. Choose one:")
    for take in takes():
        for armature in armatures_of(take)[:1]:
            button = layout.operator(AIOS_OT_select_person.bl_idname, text=take.collection.name)
            button.armature = armature.name
    return None


def draw_confidence(layout: Any, person: Any) -> None:
    """How far each part of the active person can be trusted from the clip's first frame to its last."""
    column = layout.column(align=True)
    column.scale_y = 0.75
    if "aios_first_frame" in person:
        trust, first, last = (person[f"aios_{key}"] for key in ("mean_confidence", "first_frame", "last_frame"))
        column.label(text=f"Frames {first} to {last}, {trust:.0%} sure")
    for part in PARTS:
        row = column.split(factor=0.33)
        row.label(text=part.capitalize())
        row.label(text=person.get(f"{GRAPH}_{part}", ""))


class _MotionPanel(_Sidebar):
    """The motion of the take, made anew."""

    bl_label = "Motion"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """How measurements become clean motion, and buttons that do it again."""
        draw_refining(_settings_column(self.layout), context.scene.aios)
        self.layout.operator(AIOS_OT_refine.bl_idname, icon="MOD_SMOOTH")
        self.layout.operator(AIOS_OT_shape_person.bl_idname, icon="MOD_CLOTH")
        self.layout.operator(AIOS_OT_follow_camera.bl_idname, icon="CAMERA_DATA")


class _RigPanel(_Sidebar):
    """The active person's armature."""

    bl_label = "Rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Rest poses, bone collections and how bones are drawn."""
        layout = self.layout
        try:
            armature = active_person(context)
        except AiosError as error:
            draw_text(layout, context, str(error))
            return
        layout.row().prop(armature.data, "pose_position", expand=True)
        row = layout.row(align=True)
        for pose in ("T", "A"):
            row.operator(AIOS_OT_key_rest_pose.bl_idname, text=f"Key {pose}-Pose").pose = pose
        row = layout.row(align=True)
        for bones in armature.data.collections:
            row.prop(bones, "is_visible", text=bones.name.capitalize(), toggle=True)
        column = _settings_column(layout)
        column.prop(armature.data, "show_bone_custom_shapes", text="Bones as Limbs")
        column.prop(armature, "show_in_front")
        if "aios_height" in armature:
            column.prop(armature, '["aios_height"]', text="Height")


class _QueuePanel(_Sidebar):
    """Many clips, one after the other."""

    bl_label = "Queue"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The clips, and what can be done with them."""
        layout, scene = self.layout, context.scene
        row = layout.row()
        row.template_list("AIOS_UL_queue", "", scene, "aios_queue", scene, "aios_queue_index", rows=4)
        column = row.column(align=True)
        for operator, icon in (
            (AIOS_OT_queue_clip, "ADD"), (AIOS_OT_queue_files, "FILE_FOLDER"), (AIOS_OT_unqueue, "REMOVE"),
            (AIOS_OT_requeue, "FILE_REFRESH"),
        ):  # fmt: skip
            column.operator(operator.bl_idname, text="", icon=icon)
        layout.operator(AIOS_OT_run_queue.bl_idname, icon="PLAY")
        layout.operator(AIOS_OT_submit_queue.bl_idname, icon="NETWORK_DRIVE")
        if 0 <= scene.aios_queue_index < len(scene.aios_queue):
            clip = scene.aios_queue[scene.aios_queue_index]
            draw_text(layout, context, f"Settings of {Path(clip.name).name}:")
            draw_footage(layout, clip.settings, context)
            draw_capture_settings(layout, clip.settings, "queue")


class _SetupPanel(_Sidebar):
    """The runtime, the weights and the body."""

    bl_label = "Setup"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Where the extension is installed."""
        del context
        return preferences() is not None

    def draw(self, context: bpy.types.Context) -> None:
        """What the preferences show."""
        stored = preferences()
        draw_models(self.layout, context, stored)
        if context.window_manager.aios_job.has_runtime or stored.python:
            draw_runtime(self.layout, context, stored)


def _panels(space: str, suffix: str) -> list[type]:
    """The tab's panels for one editor, with those that hang on others after them."""
    classes = []
    for name, base, parent in (
        ("capture", _CapturePanel, ""), ("people", _PeoplePanel, "capture"), ("motion", _MotionPanel, "people"),
        ("rig", _RigPanel, "people"), ("queue", _QueuePanel, "capture"), ("setup", _SetupPanel, "capture"),
    ):  # fmt: skip
        idname = f"AIOS_PT_{name}{suffix}"
        about = {"bl_idname": idname, "bl_space_type": space, "__doc__": base.__doc__}
        about |= {"bl_parent_id": f"AIOS_PT_{parent}{suffix}"} if parent else {}
        classes.append(type(idname, (base, bpy.types.Panel), about))
    return classes


CLASSES = (*_panels("VIEW_3D", ""), *_panels("CLIP_EDITOR", "_clip"))
