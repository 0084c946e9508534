"""Opening footage of any kind, and reading its frames one at a time."""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from aios_core.errors import FootageError
from aios_core.media.image import IMAGE_SUFFIXES, image_size, read_image
from aios_core.media.video import VIDEO_SUFFIXES, VideoInfo, probe_video, video_frames

SEQUENCE_FPS = Fraction(24)
"""Image sequences carry no frame rate; film's is assumed (Blender's default too)."""
AHEAD = 4
"""Frames decoded ahead of the consumer."""


@dataclass(frozen=True)
class Frame:
    """One upright picture."""

    index: int
    """Number of the frame in the footage, counted from 0."""
    timestamp: float
    """Seconds from the footage's first frame."""
    rgb: np.ndarray
    """(H, W, 3) uint8."""


@dataclass(frozen=True)
class Footage:
    """An image, a sequence or a video, and which of its frames to read. Iterate over it for frames."""

    path: Path
    kind: str
    """'image', 'sequence' or 'video'."""
    width: int
    height: int
    fps: Fraction
    frame_count: int | None
    """Frames that iterating yields; None when the container does not say."""
    start: int = 0
    stop: int | None = None
    step: int = 1
    files: tuple[Path, ...] = ()
    """The pictures of a sequence."""
    warnings: list[str] = field(default_factory=list)
    """What went wrong without ending the reading, such as a truncated video; filled while reading."""

    def __iter__(self) -> Iterator[Frame]:
        return _ahead(self._frames())

    def _frames(self) -> Iterator[Frame]:
        if self.kind == "video":
            yield from (
                Frame(*frame) for frame in video_frames(self.path, self.start, self.stop, self.step, self.warnings)
            )
            return
        numbers = range(len(self.files))[self.start : self.stop : self.step]
        for number in numbers:
            rgb = read_image(self.files[number])
            if rgb.shape[:2] != (self.height, self.width):
                raise FootageError(
                    f"{self.files[number]} is {rgb.shape[1]}x{rgb.shape[0]}, unlike the sequence's first picture "
                    f"({self.width}x{self.height})."
                )
            yield Frame(number, float(number / self.fps), rgb)


def open_footage(path: str | os.PathLike, start: int = 0, stop: int | None = None, step: int = 1) -> Footage:
    """The footage at `path`: a picture, a folder or pattern (shot_####.png, shot_%04d.png) of pictures, or a video.

    start, stop and step choose frames, counted from 0.

    Raises:
        FootageError: nothing there, not a picture or video, or no frame in the range.
    """
    if start < 0 or step < 1 or (stop is not None and stop <= start):
        raise FootageError(f"No frame lies between start {start} and stop {stop} with step {step}.")
    path = Path(path)
    files = sequence_files(path)
    if files is not None:
        footage = _sequence(path, files, start, stop, step)
    elif not path.exists():
        raise FootageError(f"No such footage: {path}.")
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        width, height = image_size(path)
        footage = Footage(path, "image", width, height, SEQUENCE_FPS, 1, files=(path,))
    else:
        footage = _video(path, probe_video(path), start, stop, step)
    if footage.frame_count == 0:
        raise FootageError(f"{path} has no frame in the range {start} to {stop if stop is not None else 'the end'}.")
    return footage


def sequence_files(path: Path) -> tuple[Path, ...] | None:
    """The pictures of a sequence in order, or None when `path` names no sequence.

    Raises:
        FootageError: a folder without pictures, or a pattern that nothing fits.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
        if not files:
            raise FootageError(f"The folder {path} holds no pictures.")
        return tuple(files)
    pattern = re.escape(path.name)
    pattern, count = re.subn(r"(?:\\#)+|%(?:0\d+)?d", r"(\\d+)", pattern)
    if count != 1:
        return None
    numbered = (
        [(m, p) for p in path.parent.glob("*") if (m := re.fullmatch(pattern, p.name))] if path.parent.is_dir() else []
    )
    if not numbered:
        raise FootageError(f"No picture fits the pattern {path}.")
    return tuple(p for _, p in sorted(numbered, key=lambda pair: int(pair[0][1])))


def _sequence(path: Path, files: tuple[Path, ...], start: int, stop: int | None, step: int) -> Footage:
    width, height = image_size(files[0])
    count = len(range(len(files))[start:stop:step])
    return Footage(path, "sequence", width, height, SEQUENCE_FPS, count, start, stop, step, files)


def _video(path: Path, info: VideoInfo, start: int, stop: int | None, step: int) -> Footage:
    count = None if info.frame_count is None else len(range(info.frame_count)[start:stop:step])
    return Footage(path, "video", info.width, info.height, info.fps, count, start, stop, step)


def _ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, read by a thread a few frames ahead; errors arrive where the frame would have."""
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for frame in frames:
                if not put(frame):
                    return
            put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            put(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()


__all__ = ["VIDEO_SUFFIXES", "Footage", "Frame", "open_footage", "sequence_files"]
