"""The camera: where the film camera stood, with its lens and the footage behind the people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from aios_core.geometry.rotations import continuous_quat_wxyz, rotmat_to_quat_wxyz
from aios_core.mocap import Mocap

from .. import compat
from ..coordinates import camera_matrices, lens
from .custom_properties import set_property
from .keyframes import LINEAR, write_curves

FAR = 1000.0


def new_camera(name: str, mocap: Mocap, times: np.ndarray, collection: Any) -> Any:
    """A camera whose picture is the footage's, keyed at Blender frames times (T,) if the film camera moves."""
    data = bpy.data.cameras.new(name)
    data.sensor_fit = "HORIZONTAL"
    data.lens, data.shift_x, data.shift_y = lens(
        mocap.camera.focal_px, mocap.camera.center_px, mocap.width, mocap.height, data.sensor_width
    )
    data.clip_end = FAR
    set_property(data, "aios_focal_px", mocap.camera.focal_px)
    camera = bpy.data.objects.new(name, data)
    matrices = camera_matrices(mocap.camera_to_world)
    camera.rotation_mode = "QUATERNION"
    camera.matrix_world = Matrix(matrices[0])
    collection.objects.link(camera)
    if len(matrices) > 1:
        _key_path(name, camera, matrices, times)
    return camera


def _key_path(name: str, camera: Any, matrices: np.ndarray, times: np.ndarray) -> None:
    bag = compat.channelbag(camera, compat.actions_for(f"{name}_action", 1)[0], name)
    modes = np.full(len(times), LINEAR, np.uint8)
    write_curves(bag, "location", "camera", times, matrices[:, :3, 3], modes)
    quaternions = continuous_quat_wxyz(rotmat_to_quat_wxyz(matrices[:, :3, :3]))
    write_curves(bag, "rotation_quaternion", "camera", times, quaternions, modes)


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
    clip = _movie_clip(path, first_frame)
    background.source = "MOVIE_CLIP"
    background.clip = clip
    background.clip_user.use_render_undistorted = False


def _movie_clip(path: Path, first_frame: int) -> Any:
    """The clip of a file that begins at this frame; one that the user has elsewhere on the timeline is left alone."""
    for clip in bpy.data.movieclips:
        if clip.frame_start == first_frame and Path(bpy.path.abspath(clip.filepath)) == path:
            return clip
    clip = bpy.data.movieclips.load(str(path))
    clip.frame_start = first_frame
    return clip


def _first_picture(path: Path) -> Path:
    """The first file of a sequence given as a folder or a pattern."""
    if path.is_dir():
        return min(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    pattern = path.name.replace("#", "?")
    if "%" in pattern:
        pattern = pattern[: pattern.index("%")] + "*" + path.suffix
    return min(path.parent.glob(pattern), default=path)
