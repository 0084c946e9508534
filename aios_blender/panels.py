"""The panels in the sidebars of the 3D view and the Movie Clip Editor. Drawing only shows what is known."""

from __future__ import annotations

from typing import Any

import bpy

from .operators import AIOS_OT_cancel, AIOS_OT_capture, AIOS_OT_import_mocap, AIOS_OT_use_clip
from .preferences import preferences
from .queue import (
    AIOS_OT_queue_clip,
    AIOS_OT_queue_files,
    AIOS_OT_requeue,
    AIOS_OT_run_queue,
    AIOS_OT_submit_queue,
    AIOS_OT_unqueue,
)
from .runtime.operators import AIOS_OT_check_setup, AIOS_OT_remove_runtime, AIOS_OT_setup_runtime

EXPLANATION = (
    "Captures run outside Blender, in a Python of their own with PyTorch. Setting it up downloads 0.3 to 3 GB into "
    "this add-on's user folder; nothing is installed into Blender."
)


def draw_runtime(layout: Any, context: bpy.types.Context, stored: Any) -> None:
    """What captures run in, and how to get it."""
    job = context.window_manager.aios_job
    box = layout.box()
    box.label(text=f"Runtime: {job.runtime}", icon="CHECKMARK" if job.has_runtime else "INFO")
    if not job.has_runtime:
        draw_text(box, context, EXPLANATION)
        if not bpy.app.online_access and not stored.wheels_folder:
            box.prop(context.preferences.system, "use_online_access")
    box.operator(AIOS_OT_setup_runtime.bl_idname, text="Repair Runtime" if job.has_runtime else "Set Up Runtime")
    column = box.column()
    column.use_property_split = True
    column.prop(stored, "torch_build")
    column.prop(stored, "wheels_folder")
    column.prop(stored, "python")
    row = box.row(align=True)
    row.operator(AIOS_OT_check_setup.bl_idname)
    row.operator(AIOS_OT_remove_runtime.bl_idname)


def draw_models(layout: Any, context: bpy.types.Context, stored: Any) -> None:
    """Weights and body, with what their licences say in plain words."""
    box = layout.box()
    column = box.column()
    column.use_property_split = True
    column.prop(stored, "weights_kind")
    if stored.weights_kind == "aios":
        column.prop(stored, "weights")
        draw_text(
            box, context,
            "The published AiOS checkpoint is your own download from its authors' page, for non-commercial use only. "
            "It predicts SMPL-X: choose your SMPL-X file too.",
        )  # fmt: skip
    else:
        draw_text(box, context, "The open weights may be used for anything, also commercially.")
    column = box.column()
    column.use_property_split = True
    column.prop(stored, "body")
    if stored.body or stored.weights_kind == "aios":
        draw_text(box, context, "SMPL-X is your own download from its authors' page, for non-commercial use only.")
        box.operator("wm.url_open", text="SMPL-X Downloads", icon="URL").url = "https://smpl-x.is.tue.mpg.de"


def draw_job(layout: Any, context: bpy.types.Context) -> None:
    """What runs now, or what came of what ran last."""
    job = context.window_manager.aios_job
    if job.is_running:
        layout.progress(factor=job.progress, text=f"{job.progress:.0%}")
        draw_text(layout, context, job.status)
        if job.thumbnail:
            layout.template_icon(job.thumbnail, scale=6)
        layout.operator(AIOS_OT_cancel.bl_idname, icon="X")
        return
    draw_text(layout, context, job.status, "ERROR" if job.failed else "NONE")
    if job.failed and job.log:
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


class _CapturePanel:
    """Footage to people, in whichever editor."""

    bl_label = "AiOS"
    bl_region_type = "UI"
    bl_category = "AiOS"

    def draw(self, context: bpy.types.Context) -> None:
        """Show settings, progress and buttons."""
        layout, stored = self.layout, preferences()
        if stored is not None and not (context.window_manager.aios_job.has_runtime or stored.python):
            draw_runtime(layout, context, stored)
        settings = context.scene.aios
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "source")
        if settings.source == "FILE":
            column.prop(settings, "footage")
        elif settings.source == "CLIP":
            column.prop(settings, "clip")
        if context.area.type == "CLIP_EDITOR":
            column.operator(AIOS_OT_use_clip.bl_idname)
        column.prop(settings, "use_range")
        if settings.use_range:
            row = column.row(align=True)
            row.prop(settings, "first_frame", text="Frames")
            row.prop(settings, "last_frame", text="")
        column.prop(settings, "step")
        column.prop(settings, "quality")
        column.prop(settings, "max_people")
        column.prop(settings, "threshold")
        draw_refining(column, settings)
        row = column.row(heading="Build", align=True)
        row.prop(settings, "with_mesh", text="Meshes", toggle=True)
        row.prop(settings, "with_camera", toggle=True)
        if settings.with_mesh:
            column.prop(settings, "with_correctives")
        if not context.window_manager.aios_job.is_running:
            row = layout.row(align=True)
            row.scale_y = 1.4
            row.operator(AIOS_OT_capture.bl_idname, icon="ARMATURE_DATA")
        draw_job(layout, context)
        layout.operator(AIOS_OT_import_mocap.bl_idname, text="Open Mocap File", icon="IMPORT")


def draw_refining(layout: Any, settings: Any) -> None:
    """How measurements become clean motion."""
    for name in ("smoothing", "lock_feet", "fit_picture", "level_camera"):
        layout.prop(settings, name)


class AIOS_PT_capture(_CapturePanel, bpy.types.Panel):
    """In the 3D view."""

    bl_idname = "AIOS_PT_capture"
    bl_space_type = "VIEW_3D"


class AIOS_PT_capture_clip(_CapturePanel, bpy.types.Panel):
    """In the Movie Clip Editor."""

    bl_idname = "AIOS_PT_capture_clip"
    bl_space_type = "CLIP_EDITOR"


class AIOS_PT_queue(bpy.types.Panel):
    """Many clips, one after the other."""

    bl_label = "Queue"
    bl_idname = "AIOS_PT_queue"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "AiOS"
    bl_parent_id = "AIOS_PT_capture"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The clips, and what can be done with them."""
        layout, scene = self.layout, context.scene
        row = layout.row()
        row.template_list("AIOS_UL_queue", "", scene, "aios_queue", scene, "aios_queue_index", rows=4)
        column = row.column(align=True)
        column.operator(AIOS_OT_queue_clip.bl_idname, text="", icon="ADD")
        column.operator(AIOS_OT_queue_files.bl_idname, text="", icon="FILE_FOLDER")
        column.operator(AIOS_OT_unqueue.bl_idname, text="", icon="REMOVE")
        column.operator(AIOS_OT_requeue.bl_idname, text="", icon="FILE_REFRESH")
        if 0 <= scene.aios_queue_index < len(scene.aios_queue):
            settings = scene.aios_queue[scene.aios_queue_index].settings
            column = layout.column()
            column.use_property_split = True
            column.use_property_decorate = False
            for name in ("footage", "quality", "threshold", "max_people", "step"):
                column.prop(settings, name)
            draw_refining(column, settings)
        layout.operator(AIOS_OT_run_queue.bl_idname, icon="PLAY")
        layout.operator(AIOS_OT_submit_queue.bl_idname, icon="NETWORK_DRIVE")


CLASSES = (AIOS_PT_capture, AIOS_PT_capture_clip, AIOS_PT_queue)
