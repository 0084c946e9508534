"""Parts that several panels show: texts in lines, the running job, the runtime and its verdict, weights and body."""

from __future__ import annotations

from typing import Any

import bpy

from .operators import AIOS_OT_cancel, AIOS_OT_finish_early
from .runtime.operators import AIOS_OT_check_setup, AIOS_OT_remove_runtime, AIOS_OT_setup_runtime

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
