"""The camera: where the film camera stood, with its lens and the footage behind the people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from aios_core.mocap import Mocap

from ..coordinates import CAMERA_EULER, lens

FAR = 1000.0


def new_camera(name: str, mocap: Mocap, height: float, collection: Any) -> Any:
    """A level camera `height` metres above the ground whose picture is the footage's."""
    data = bpy.data.cameras.new(name)
    data.sensor_fit = "HORIZONTAL"
    data.lens, data.shift_x, data.shift_y = lens(
        mocap.camera.focal_px, mocap.camera.center_px, mocap.width, mocap.height, data.sensor_width
    )
    data.clip_end = FAR
    camera = bpy.data.objects.new(name, data)
    camera.location = (0, 0, height)
    camera.rotation_euler = CAMERA_EULER
    collection.objects.link(camera)
    return camera


def show_footage(camera: Any, mocap: Mocap, path: Path, first_frame: int) -> None:
    """Put the footage behind the camera's view.

    first_frame: Blender frame of the footage's first picture.
    """
    camera.data.show_background_images = True
    background = camera.data.background_images.new()
    background.display_depth = "BACK"
    background.frame_method = "FIT"
    background.alpha = 1.0
    if mocap.source_kind == "image":
        background.image = bpy.data.images.load(str(path), check_existing=True)
        return
    if path.is_dir() or mocap.source_kind == "sequence":
        path = _first_picture(path)
    clip = bpy.data.movieclips.load(str(path), check_existing=True)
    clip.frame_start = first_frame
    background.source = "MOVIE_CLIP"
    background.clip = clip
    background.clip_user.use_render_undistorted = False


def _first_picture(path: Path) -> Path:
    """The first file of a sequence given as a folder or a pattern."""
    if path.is_dir():
        return min(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    pattern = path.name.replace("#", "?")
    if "%" in pattern:
        pattern = pattern[: pattern.index("%")] + "*" + path.suffix
    return min(path.parent.glob(pattern), default=path)
