"""Calling Blender's own exporters: in another scene than the user's, with errors in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import addon_utils
import bpy

from aios_core.errors import OutputError


def exporter(module: str) -> None:
    """Make sure that an add-on that ships with Blender is enabled.

    Raises:
        OutputError: this Blender does not have it.
    """
    if addon_utils.check(module)[1]:
        return
    if addon_utils.enable(module) is None:
        raise OutputError(f"This Blender lacks the add-on {module}, which writes this format.")


def run(scene: Any, operator: Callable, **options: Any) -> None:
    """Call an exporter as if `scene` were the open one.

    Raises:
        OutputError: it cannot write.
    """
    layer = scene.view_layers[0]
    try:
        with _open_scene_kept(), bpy.context.temp_override(scene=scene, view_layer=layer):
            result = operator(**options)
    except RuntimeError as error:
        raise OutputError(f"Blender's exporter failed: {str(error).strip()}") from error
    if "FINISHED" not in result:
        raise OutputError(f"Blender's exporter wrote nothing ({', '.join(result)}).")


CHANNELS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")


@contextmanager
def _open_scene_kept() -> Iterator[None]:
    """The glTF exporter opens the scene that it exports, and coming back replays keys over poses made by hand."""
    window = bpy.context.window
    if window is None:
        yield
        return
    scene = window.scene
    posed = _posed_values(scene)
    try:
        yield
    finally:
        if window.scene != scene:
            window.scene = scene
            for owner, channel, value in posed:
                setattr(owner, channel, value)
            scene.view_layers[0].update()


def _posed_values(scene: Any) -> list[tuple[Any, str, Any]]:
    """Owner, channel and value of everything that keys could replay."""
    values = []
    for thing in scene.objects:
        for owner in (thing, *(thing.pose.bones if thing.pose else ())):
            values += [(owner, channel, tuple(getattr(owner, channel))) for channel in CHANNELS]
        keys = getattr(thing.data, "shape_keys", None)
        values += [(block, "value", block.value) for block in keys.key_blocks] if keys else []
    return values
