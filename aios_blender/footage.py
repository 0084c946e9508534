"""Where the footage of a capture is: a file, a movie clip of this Blender file, or what is behind the camera."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bpy

from aios_core.errors import FootageError

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")


def footage_of(settings: Any, scene: Any) -> str:
    """The path of the footage that the settings mean.

    Raises:
        FootageError: nothing is chosen, or it is not a file that can be read from outside Blender.
    """
    if settings.source in ("FILE", "SEQUENCE"):
        if not settings.footage:
            raise FootageError("Choose the footage first.")
        path = bpy.path.abspath(settings.footage)
        return sequence_pattern(path) if settings.source == "SEQUENCE" and not Path(path).is_dir() else path
    data = data_of(settings, scene)
    return _path(data, data.source == "SEQUENCE")


def bare_name(footage: str) -> str:
    """The footage's name without folder, ending and what counts a sequence's pictures; may be empty."""
    return Path(footage).stem.strip("#_.- ")


def data_of(settings: Any, scene: Any) -> Any:
    """The movie clip or the picture of this Blender file that the settings mean.

    Raises:
        FootageError: there is none.
    """
    if settings.source == "CLIP":
        if settings.clip is None:
            raise FootageError("Choose the movie clip first.")
        return settings.clip
    if scene.camera is None:
        raise FootageError("The scene has no camera.")
    for background in scene.camera.data.background_images:
        if background.source == "MOVIE_CLIP" and background.clip:
            return background.clip
        if background.source == "IMAGE" and background.image and background.image.filepath:
            return background.image
    raise FootageError(f"The camera '{scene.camera.name}' has no clip or picture behind it.")


def start_frame_of(settings: Any, scene: Any) -> int:
    """Frame of the timeline at which the footage begins: a movie clip's own, else the settings'."""
    if settings.source in ("FILE", "SEQUENCE"):
        return settings.start_frame
    return int(getattr(data_of(settings, scene), "frame_start", 1))


def sequence_fps_of(settings: Any, scene: Any) -> float | None:
    """Pictures a second, where the footage is a sequence: a movie clip's is the scene's; None where it is none."""
    if settings.source == "SEQUENCE":
        return settings.sequence_fps
    if settings.source == "FILE" or data_of(settings, scene).source != "SEQUENCE":
        return None
    return scene.render.fps / scene.render.fps_base


def _path(data: Any, is_sequence: bool) -> str:
    path = bpy.path.abspath(data.filepath, library=data.library)
    return sequence_pattern(path) if is_sequence else path


def sequence_pattern(path: str) -> str:
    """The pattern of a sequence of which this is one picture: shot_0001.png becomes shot_####.png."""
    place = Path(path)
    if "#" in place.name:
        return path
    name = re.sub(r"\d+(?=\D*$)", lambda digits: "#" * len(digits[0]), place.name)
    return str(place.with_name(name))


def clip_in_editor(context: Any) -> Any | None:
    """The clip open in the editor in which something was pressed."""
    return getattr(context.space_data, "clip", None) if context.space_data else None
