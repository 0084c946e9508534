"""The running worker process, and what to do when it is done: one at a time, pumped by a timer or by a loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy

from aios_core.client import Job
from aios_core.errors import AiosError

PUMP_SECONDS = 0.2


@dataclass
class _Running:
    """A job and what follows it. Processes cannot be kept in Blender's data."""

    job: Job
    then: Callable[[dict], None]


_running: list[_Running] = []


def is_busy() -> bool:
    """Whether a job is running."""
    return bool(_running)


def start(settings: Any, job: Job, then: Callable[[dict], None]) -> None:
    """Follow a job; `then` gets its "done" event, in Blender's main thread."""
    _running.append(_Running(job, then))
    settings.is_running = True
    settings.status = "Starting"
    if not bpy.app.background:
        bpy.app.timers.register(_pump_timer, first_interval=PUMP_SECONDS)


def cancel() -> None:
    """Ask the running job to stop."""
    for running in _running:
        running.job.cancel()


def pump() -> bool:
    """Take in what the job has said since the last call; True while it goes on."""
    if not _running:
        return False
    settings, running = bpy.context.scene.aios, _running[0]
    for event in running.job.poll():
        show_event(settings, event)
        if event["event"] == "done":
            try:
                running.then(event)
            except AiosError as error:
                settings.status = str(error)
    if running.job.running:
        return True
    settings.is_running = False
    _running.clear()
    return False


def show_event(settings: Any, event: dict) -> None:
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


def stop() -> None:
    """End the running job when the add-on goes."""
    for running in _running:
        running.job.cancel(grace_seconds=0.5)
    _running.clear()
    if bpy.app.timers.is_registered(_pump_timer):
        bpy.app.timers.unregister(_pump_timer)


def _pump_timer() -> float | None:
    going_on = pump()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
    return PUMP_SECONDS if going_on else None
