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
    if settings.source == "FILE":
        if not settings.footage:
            raise FootageError("Choose the footage first.")
        return bpy.path.abspath(settings.footage)
    if settings.source == "CLIP":
        if settings.clip is None:
            raise FootageError("Choose the movie clip first.")
        return path_of_clip(settings.clip)
    if scene.camera is None:
        raise FootageError("The scene has no camera.")
    for background in scene.camera.data.background_images:
        if background.source == "MOVIE_CLIP" and background.clip:
            return path_of_clip(background.clip)
        if background.source == "IMAGE" and background.image and background.image.filepath:
            return _path(background.image, background.image.source == "SEQUENCE")
    raise FootageError(f"The camera '{scene.camera.name}' has no clip or picture behind it.")


def path_of_clip(clip: Any) -> str:
    """The file, or the pattern of the files, of a movie clip."""
    return _path(clip, clip.source == "SEQUENCE")


def _path(data: Any, is_sequence: bool) -> str:
    path = bpy.path.abspath(data.filepath, library=data.library)
    return sequence_pattern(path) if is_sequence else path


def sequence_pattern(path: str) -> str:
    """The pattern of a sequence of which this is one picture: shot_0001.png becomes shot_####.png."""
    place = Path(path)
    name = re.sub(r"\d+(?=\D*$)", lambda digits: "#" * len(digits[0]), place.name)
    return str(place.with_name(name))


def clip_in_editor(context: Any) -> Any | None:
    """The clip open in the editor in which something was pressed."""
    return getattr(context.space_data, "clip", None) if context.space_data else None
