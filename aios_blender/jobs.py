"""The running worker process, and what to do when it is done: one at a time, pumped by a timer or by a loop."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
from bpy.app.handlers import persistent

from aios_core.client import FINAL_EVENTS, Job, progress_text
from aios_core.errors import AiosError

PUMP_SECONDS = 0.2


class AIOS_JobStatus(bpy.types.PropertyGroup):
    """What runs now, or what came of what ran last; not saved in files."""

    is_running: bpy.props.BoolProperty(name="Running")
    status: bpy.props.StringProperty(name="Status")
    progress: bpy.props.FloatProperty(name="Progress", min=0, max=1)
    failed: bpy.props.BoolProperty(name="Failed")
    log: bpy.props.StringProperty(name="Log", description="File with all that the job has said, if it writes one")
    thumbnail: bpy.props.IntProperty(name="Thumbnail", description="Icon of a small picture of the work; 0 = none")
    verdict: bpy.props.StringProperty(name="Verdict", description="What the last check of the set-up has found")
    is_sound: bpy.props.BoolProperty(name="Sound", description="Whether the verdict is that captures can run")
    has_runtime: bpy.props.BoolProperty(name="Runtime Ready")
    runtime: bpy.props.StringProperty(name="Runtime", description="What there is of the runtime")


@dataclass
class _Running:
    """A job and what follows it. Processes cannot be kept in Blender's data."""

    job: Job
    done: Callable[[dict], str | None]
    ended: Callable[[dict], None]
    thumbnail: str
    log: str
    of_file: bool


_running: list[_Running] = []


def is_busy() -> bool:
    """Whether a job is running."""
    return bool(_running)


def start(
    window_manager: Any, job: Job, done: Callable[[dict], str | None], ended: Callable[[dict], None] = lambda _: None,
    log: str = "", thumbnail: str = "", of_file: bool = True,
) -> None:  # fmt: skip
    """Follow a job, in Blender's main thread.

    `done` gets its "done" event and may return what to say of it; `ended` gets its last event, whatever that is; log:
    the file in which the job tells all; thumbnail: the file in which it keeps a small picture of its work; of_file:
    what it makes belongs into the .blend that is open, so that it ends when another one is opened.
    """
    if thumbnail:
        Path(thumbnail).unlink(missing_ok=True)  # an earlier capture's
    _running.append(_Running(job, done, ended, thumbnail, log, of_file))
    show_start(window_manager.aios_job, "Starting", log)
    if not bpy.app.background and not bpy.app.timers.is_registered(_pump_timer):
        bpy.app.timers.register(_pump_timer, first_interval=PUMP_SECONDS, persistent=True)


def show_start(status: AIOS_JobStatus, text: str, log: str) -> None:
    """Show that a job is running."""
    status.is_running, status.failed, status.progress, status.status, status.log = True, False, 0.0, text, log


def cancel() -> None:
    """Ask the running job to stop."""
    for running in _running:
        running.job.cancel()


def finish_early() -> None:
    """Let the running capture end with what it has seen."""
    for running in _running:
        running.job.finish_early()


def is_capturing() -> bool:
    """Whether what is running is a capture, which can finish early."""
    return any(running.thumbnail for running in _running)


def pump() -> bool:
    """Take in what the job has said since the last call; True while it, or one that followed it, goes on."""
    if not _running:
        return False
    status, running = bpy.context.window_manager.aios_job, _running[0]
    last = None
    for event in running.job.poll():
        show_event(status, event)
        last = event if event["event"] in FINAL_EVENTS else last
    show_thumbnail(status, running.thumbnail if last is None else "")
    if last is None:
        return True
    if last["event"] == "done":
        try:
            status.status = running.done(last) or status.status
        except AiosError as error:
            last = {"event": "error", "message": str(error)}
            show_event(status, last)
        except Exception as error:  # the job is over all the same, and a timer that raises is never called again
            traceback.print_exc()
            last = {"event": "error", "message": f"Building failed: {error}"}
            show_event(status, last)
    if last["event"] == "cancelled" and running.thumbnail:
        status.status = "Cancelled. Started again, it goes on from there"
    status.is_running = False
    status.log = running.log if running.log and Path(running.log).exists() else ""
    _running.remove(running)
    running.ended(last)
    return bool(_running)


def show_event(status: AIOS_JobStatus, event: dict) -> None:
    """Put an event of the worker into words for the panel."""
    kind = event["event"]
    status.failed = kind == "error"
    if kind == "progress":
        total = event.get("total")
        status.progress = event["done"] / total if total else 0.0
        status.status = progress_text(event)
    elif kind == "done":
        status.progress = 1.0
        status.status = f"{event['people']} people found"
    else:
        status.status = event.get("message", "Cancelled")


@dataclass(frozen=True)
class _Thumbnail:
    """The picture that is shown. Previews cannot be kept in Blender's data."""

    previews: Any
    written: int
    """When its file was, nanoseconds."""


_shown: list[_Thumbnail] = []


def show_thumbnail(status: AIOS_JobStatus, path: str) -> None:
    """Show the picture at this path if it is new; an empty path shows none."""
    if bpy.app.background:
        return
    written = Path(path).stat().st_mtime_ns if path and Path(path).exists() else 0
    if _shown and _shown[0].written == written:
        return
    while _shown:
        bpy.utils.previews.remove(_shown.pop().previews)
    status.thumbnail = 0
    if written:
        _shown.append(_Thumbnail(bpy.utils.previews.new(), written))
        status.thumbnail = _shown[0].previews.load("thumbnail", path, "IMAGE").icon_id


def stop() -> None:
    """End the running job when the add-on goes."""
    _end(_running[:])
    if bpy.app.timers.is_registered(_pump_timer):
        bpy.app.timers.unregister(_pump_timer)


_stopped: list[_Running] = []
"""Ended by opening another file, which is to say so."""


def _end(jobs: list[_Running]) -> None:
    for running in jobs:
        running.job.cancel(grace_seconds=0.5)
        _running.remove(running)
    if jobs:
        show_thumbnail(bpy.context.window_manager.aios_job, "")


@persistent
def end_jobs_of_file(*_: object) -> None:
    """Before another .blend is opened: what a capture has seen is kept, but its people belong into this one."""
    ending = [running for running in _running if running.of_file]
    _end(ending)
    _stopped.extend(ending)


@persistent
def show_again(*_: object) -> None:
    """After another .blend was opened, which brings the panels' texts as they were when it was saved."""
    from .runtime import show_state

    status = bpy.context.window_manager.aios_job
    status.is_running, status.failed, status.status, status.log, status.thumbnail = False, False, "", "", 0
    status.verdict = ""
    if _stopped:
        status.status = "Stopped, as another file was opened. Start it again there: what it has seen is kept"
        _stopped.clear()
    for running in _running:
        show_start(status, "Running", running.log)
    show_state()


def attach() -> None:
    """Notice when another .blend is opened."""
    bpy.app.handlers.load_pre.append(end_jobs_of_file)
    bpy.app.handlers.load_post.append(show_again)


def detach() -> None:
    """Notice it no longer."""
    bpy.app.handlers.load_pre.remove(end_jobs_of_file)
    bpy.app.handlers.load_post.remove(show_again)


def _pump_timer() -> float | None:
    if in_the_middle(bpy.context.window_manager):
        return PUMP_SECONDS
    going_on = pump()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "CLIP_EDITOR", "PREFERENCES"):
                area.tag_redraw()
    return PUMP_SECONDS if going_on else None


def in_the_middle(window_manager: Any) -> bool:
    """Whether somebody is just moving or drawing something: people are built, and undo is noted, after that."""
    busy = ("TRANSFORM_OT", "VIEW3D_OT", "SCULPT_OT", "PAINT_OT", "GPENCIL_OT", "MESH_OT", "WM_OT_drag")
    return any(m.bl_idname.startswith(busy) for w in window_manager.windows for m in w.modal_operators)


CLASSES = (AIOS_JobStatus,)
