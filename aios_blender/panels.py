"""The panels in the sidebars of the 3D view and the Movie Clip Editor. Drawing only shows what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from aios_core.errors import AiosError
from aios_core.mocap import PARTS

from .drawing import draw_job, draw_models, draw_runtime, draw_text
from .operators import AIOS_OT_capture, AIOS_OT_import_mocap, AIOS_OT_use_clip
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
from .refining import AIOS_OT_follow_camera, AIOS_OT_refine, AIOS_OT_shape_person, AIOS_OT_turn_person
from .scene import GRAPH
from .take import armatures_of, take_of, takes


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
        self.layout.operator(AIOS_OT_turn_person.bl_idname, icon="MOD_MIRROR")
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
            column.label(text=f"Height at rest: {armature['aios_height']:.2f} m")


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
        layout.prop(scene, "aios_queue_scenes")
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
