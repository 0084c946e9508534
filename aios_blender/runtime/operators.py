"""Buttons that build, check and remove the runtime."""

from __future__ import annotations

import bpy

from aios_core.client import Job, doctor_command
from aios_core.errors import AiosError

from ..jobs import start
from ..polls import is_idle
from ..preferences import preferences, runtime_python
from . import LOG, NOT_SET_UP, remove_runtime, runtime_folder, setup_command, show_state


def _may_change(cls: type) -> bool:
    if not is_idle(cls):
        return False
    if preferences() is None:
        cls.poll_message_set("Only for the installed extension")
        return False
    return True


class AIOS_OT_setup_runtime(bpy.types.Operator):
    """Download and set up what captures need: a Python environment of its own with PyTorch. Blender is left as it is"""

    bl_idname = "aios.setup_runtime"
    bl_label = "Set Up Runtime"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With leave to use the network, or a folder to install from."""
        del context
        if not _may_change(cls):
            return False
        if not (bpy.app.online_access or preferences().wheels_folder):
            cls.poll_message_set("Allow Online Access in Preferences > System, or choose a folder of packages below")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the installer in a process of its own."""
        stored = preferences()
        try:
            command = setup_command(runtime_folder(), stored.torch_build, bpy.path.abspath(stored.wheels_folder))
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        start(
            context.window_manager, Job(command), lambda _event: f"Ready: {show_state().text}",
            lambda _: show_state(), str(runtime_folder() / LOG), of_file=False,
        )  # fmt: skip
        return {"FINISHED"}


class AIOS_OT_remove_runtime(bpy.types.Operator):
    """Delete the environment that was set up for captures, some gigabytes; Mocap files and scenes stay"""

    bl_idname = "aios.remove_runtime"
    bl_label = "Remove Runtime"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """When there is one and nothing runs in it."""
        if not _may_change(cls):
            return False
        if context.window_manager.aios_job.runtime == NOT_SET_UP:
            cls.poll_message_set("There is no runtime")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete the folder."""
        try:
            remove_runtime(runtime_folder())
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        show_state()
        context.window_manager.aios_job.status = "Runtime removed"
        return {"FINISHED"}


class AIOS_OT_check_setup(bpy.types.Operator):
    """Start the runtime once and say whether it, the weights and the body are sound"""

    bl_idname = "aios.check_setup"
    bl_label = "Check Setup"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With something to start, while nothing runs."""
        if not _may_change(cls):
            return False
        if not (context.window_manager.aios_job.has_runtime or preferences().python):
            cls.poll_message_set("Set up the runtime or choose an existing Python first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Run `aios doctor` on what is chosen."""
        stored = preferences()
        try:
            command = doctor_command(runtime_python(), stored.chosen_weights(), bpy.path.abspath(stored.body))
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        start(context.window_manager, Job(command), lambda _: "", show_verdict, of_file=False)
        return {"FINISHED"}


def show_verdict(event: dict) -> None:
    """Keep the last event of a check for the panels."""
    job = bpy.context.window_manager.aios_job
    job.is_sound, job.verdict = event["event"] == "done", event.get("message", "")
    job.status = "" if job.is_sound else job.verdict


CLASSES = (AIOS_OT_setup_runtime, AIOS_OT_remove_runtime, AIOS_OT_check_setup)
