"""Cleaning a take's motion again, in the runtime but without the network: smoothing, feet, shape, another camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from aios_core import mocap
from aios_core.camera_path import save_camera_path
from aios_core.client import Job, refine_command
from aios_core.errors import AiosError

from .jobs import start
from .people import active_person, chosen_body
from .polls import is_idle, is_there
from .preferences import runtime_python
from .take import MOCAP, SHAPES, camera_path, known_shapes, next_path, rebuild, take_in, take_of, take_times


class _RefineOperator:
    """What operators that clean the take's motion again share."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With a take, while nothing else runs."""
        return is_idle(cls) and is_there(cls, take_of, context.active_object)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the worker process; the take is built again when it is done."""
        try:
            take = take_of(context.active_object)
            output, shapes = next_path(take.path), self.shapes(context, take)
            options = [*refine_options(context.scene.aios), *shape_options(shapes), *self.further(context, take)]
            command = refine_command(runtime_python(), take.path, output, options)
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        name, label = take.collection.name, self.bl_label  # the operator is gone when the job is done
        start(context.window_manager, Job(command), lambda _: build_refined(name, take.path, output, shapes, label))
        return {"FINISHED"}

    def shapes(self, _context: bpy.types.Context, take: Any) -> dict[int, list[float]]:
        """Betas (10) of people whose shape is known, by number."""
        return known_shapes(take)

    def further(self, _context: bpy.types.Context, _take: Any) -> list[str]:
        """Further options of `aios refine`."""
        return []


def build_refined(name: str, before: Path, output: Path, shapes: dict[int, list[float]], label: str) -> str:
    """Build the take of this collection again from what was refined, as one step of undo; what to say of it.

    Raises:
        AiosError: the take is not there any more, or was changed meanwhile.
    """
    collection = bpy.data.collections.get(name)
    if collection is None or not collection.get(MOCAP):
        raise AiosError(f"The take {name} is not there any more; what was asked for lies in {output}.")
    take = take_in(collection)
    if take.path != before:
        raise AiosError(f"The take {name} was changed meanwhile: press {label} again.")
    built = rebuild(take, output, chosen_body())
    built.collection[SHAPES] = {str(number): betas for number, betas in shapes.items()}
    bpy.ops.ed.undo_push(message=label)
    return f"{label}: done"


class AIOS_OT_refine(_RefineOperator, bpy.types.Operator):
    """Make the take's motion anew from what the network saw, with these settings; the network itself is not needed.

    Keys and objects of the take that were changed by hand are made anew too; undo brings them back"""

    bl_idname = "aios.refine"
    bl_label = "Smooth Again"


class AIOS_OT_shape_person(_RefineOperator, bpy.types.Operator):
    """Change the active person's build, such as the height; places and feet are fitted to it anew"""

    bl_idname = "aios.shape_person"
    bl_label = "Change Shape"
    betas: bpy.props.FloatVectorProperty(
        name="Shape", description="Coefficients of the body's shape; the first is mostly height or size", size=10,
        soft_min=-4, soft_max=4, min=-10, max=10,
    )  # fmt: skip

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Begin with the shape as it is."""
        try:
            self.betas = active_person(context)["aios_betas"]
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def shapes(self, context: bpy.types.Context, take: Any) -> dict[int, list[float]]:
        """The shapes that are known, with this one."""
        return known_shapes(take) | {int(active_person(context)["aios_track"]): list(self.betas)}


class AIOS_OT_follow_camera(_RefineOperator, bpy.types.Operator):
    """Move the people into the world of the scene's camera: one that was solved by tracking, or animated by hand"""

    bl_idname = "aios.follow_camera"
    bl_label = "Use the Scene's Camera"

    def further(self, context: bpy.types.Context, take: Any) -> list[str]:
        """The camera's path, written beside the Mocap."""
        camera = context.scene.camera
        if camera is None:
            raise AiosError("The scene has no camera.")
        if camera.name in take.collection.all_objects:
            raise AiosError("The scene's camera is the take's own: make the solved camera the active one.")
        path = camera_path(camera, take_times(take, mocap.load(take.path)))
        return ["--camera-path", str(save_camera_path(path, take.path.with_suffix(".camera.npz")))]


class AIOS_OT_turn_person(_RefineOperator, bpy.types.Operator):
    """Turn the active person about for some frames: seen from behind, not from the front, or the other way round"""

    bl_idname = "aios.turn_person"
    bl_label = "Turn About"
    first: bpy.props.IntProperty(name="First Frame", description="First frame in which the person is to turn about")
    last: bpy.props.IntProperty(name="Last Frame", description="Last frame in which the person is to turn about")

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Begin with the preview range, else with all of the scene."""
        scene = context.scene
        preview = scene.use_preview_range
        self.first = scene.frame_preview_start if preview else scene.frame_start
        self.last = scene.frame_preview_end if preview else scene.frame_end
        return context.window_manager.invoke_props_dialog(self)

    def further(self, context: bpy.types.Context, take: Any) -> list[str]:
        """Which person and which frames of the Mocap."""
        if self.first > self.last:
            raise AiosError("The first frame comes after the last.")
        number = active_person(context)["aios_track"]
        times = take_times(take, mocap.load(take.path))
        inside = np.flatnonzero((times > self.first - 0.5) & (times < self.last + 0.5))
        if not len(inside):
            raise AiosError(f"The take has no frames from {self.first} to {self.last}.")
        return [f"--turn={number}={inside[0]}-{inside[-1]}"]


def shape_options(shapes: dict[int, list[float]]) -> list[str]:
    """Options of `aios refine` for shapes that are known."""
    return [f"--shape={number}={','.join(f'{value:.5f}' for value in betas)}" for number, betas in shapes.items()]


def refine_options(settings: Any) -> list[str]:
    """Options of `aios refine` and `aios estimate` for the panel's settings."""
    options = ["--smooth", f"{settings.smoothing:.3f}"]
    options += [] if settings.lock_feet else ["--no-foot-lock"]
    options += ["--level-camera"] if settings.level_camera else []
    options += ["--fit"] if settings.fit_picture else []
    return options


CLASSES = (AIOS_OT_refine, AIOS_OT_follow_camera, AIOS_OT_shape_person, AIOS_OT_turn_person)
