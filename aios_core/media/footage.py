"""Opening footage of any kind, and reading its frames one at a time."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import VideoFrame

from aios_core.errors import FootageError
from aios_core.media.image import IMAGE_SUFFIXES, image_size, read_image, resized
from aios_core.media.read_ahead import read_ahead
from aios_core.media.video import VIDEO_SUFFIXES, Reformatters, VideoInfo, probe_video, upright, video_frames

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
    """(H, W, 3) uint8, of the footage's size or of the one asked for."""
    size: tuple[int, int]
    """(width, height) of the footage."""


@dataclass(frozen=True)
class Footage:
    """An image, a sequence or a video, and which of its frames to read. Iterate over it for frames."""

    path: Path
    kind: str
    """'image', 'sequence' or 'video'."""
    width: int
    height: int
    fps: Fraction
    """Frames a second; the mean where the clock varies."""
    frame_count: int | None
    """Frames that iterating yields; None when the container does not say."""
    start: int = 0
    stop: int | None = None
    step: int = 1
    files: tuple[Path, ...] = ()
    """The pictures of a sequence ..."""
    numbers: tuple[int, ...] = ()
    """... and their places in it, from 0 on; a place that is left out is a hole in time."""
    warnings: list[str] = field(default_factory=list)
    """What went wrong without ending the reading, such as a truncated video; filled while reading."""

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(
        self, size: tuple[int, int] | None = None, ahead: int = AHEAD, may_read: threading.Event | None = None
    ) -> Iterator[Frame]:
        """The frames, decoded in threads `ahead` of the consumer; at a size (width, height) resized there as well.

        They are resized by averaging areas, so that nothing of a frame's own size is kept; pixels between are
        interpolated where they grow. While `may_read` is not set the threads rest.
        """
        if self.kind == "video":
            decoded = video_frames(self.path, self.start, self.stop, self.step, self.warnings)
            reformatters = Reformatters()

            def picture(decoded: tuple[int, float, VideoFrame]) -> Frame:
                index, time, frame = decoded
                return self._frame(index, time, upright(frame, size, reformatters.mine))

            return read_ahead(decoded, picture, ahead, may_read)
        read = read_ahead(self._chosen(), lambda row: self._picture(row, size), ahead, may_read)
        return (frame for frame in read if frame is not None)

    def _frame(self, index: int, timestamp: float, rgb: np.ndarray) -> Frame:
        return Frame(index, timestamp, rgb, (self.width, self.height))

    def after(self, index: int) -> Footage:
        """The frames that come behind the one with this index."""
        steps = (index - self.start) // self.step + 1
        rest = replace(self, start=self.start + steps * self.step)
        if self.kind != "video":
            return replace(rest, frame_count=len(rest._chosen()))
        return replace(rest, frame_count=None if self.frame_count is None else max(self.frame_count - steps, 0))

    def _chosen(self) -> list[int]:
        """Rows of `files` that are to be read."""
        stop = self.numbers[-1] + 1 if self.stop is None else self.stop
        wanted = range(self.start, stop, self.step)
        return [row for row, number in enumerate(self.numbers) if number in wanted]

    def _picture(self, row: int, size: tuple[int, int] | None) -> Frame | None:
        """The frame in a row of `files`, or None with a warning for one of a sequence that cannot be read."""
        path = self.files[row]
        try:
            rgb = read_image(path)
        except FootageError as error:
            if self.kind == "image":
                raise
            self.warnings.append(f"{error} It is left out.")
            return None
        if rgb.shape[:2] != (self.height, self.width):
            raise FootageError(
                f"{path} is {rgb.shape[1]}x{rgb.shape[0]}, unlike the sequence's first picture "
                f"({self.width}x{self.height})."
            )
        number = self.numbers[row]
        return self._frame(number, float(number / self.fps), rgb if size is None else resized(rgb, *size))


def open_footage(
    path: str | os.PathLike,
    start: int = 0,
    stop: int | None = None,
    step: int = 1,
    sequence_fps: Fraction | float = SEQUENCE_FPS,
) -> Footage:
    """The footage at `path`: a picture, a folder or pattern (shot_####.png, shot_%04d.png) of pictures, or a video.

    start, stop and step choose frames, counted from 0. The numbers in a sequence's names are its frames, so that a
    picture that is missing is a hole in time; pictures without numbers follow one another by name.

    Raises:
        FootageError: nothing there, not a picture or video, several sequences, or no frame in the range.
    """
    if start < 0 or step < 1 or (stop is not None and stop <= start):
        raise FootageError(f"No frame lies between start {start} and stop {stop} with step {step}.")
    if not sequence_fps > 0:
        raise FootageError(f"A sequence cannot have {sequence_fps} frames a second.")
    path = Path(path)
    files = sequence_files(path)
    if files is not None:
        footage = _sequence(path, files, start, stop, step, exact_rate(sequence_fps))
    elif not path.exists():
        raise FootageError(f"No such footage: {path}.")
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        width, height = image_size(path)
        footage = Footage(path, "image", width, height, SEQUENCE_FPS, 1, files=(path,), numbers=(0,))
    else:
        footage = _video(path, probe_video(path), start, stop, step)
    if footage.frame_count == 0:
        raise FootageError(f"{path} has no frame in the range {start} to {stop if stop is not None else 'the end'}.")
    return footage


def exact_rate(fps: float | Fraction) -> Fraction:
    """The frame rate that is meant: 29.97 is 30000/1001, 23.976 is 24000/1001."""
    ntsc = Fraction(round(float(fps) * 1.001) * 1000, 1001)
    return ntsc if 0 < abs(float(ntsc) - float(fps)) < 0.005 else Fraction(fps).limit_denominator(1001)


def sequence_files(path: Path) -> dict[int, Path] | None:
    """The pictures of a sequence by their numbers, or None when `path` names no sequence.

    Raises:
        FootageError: a folder without pictures or with several sequences, or a pattern that nothing fits.
    """
    if path.is_dir():
        return _folder_files(path)
    pattern = re.escape(path.name)
    pattern, count = re.subn(r"(?:\\#)+|%(?:0\d+)?d", r"(\\d+)", pattern)
    if count != 1:
        return None
    names = sorted(path.parent.glob("*")) if path.parent.is_dir() else []
    numbered = {int(m[1]): p for p in names if (m := re.fullmatch(pattern, p.name))}
    if not numbered:
        raise FootageError(f"No picture fits the pattern {path}.")
    return numbered


def _folder_files(folder: Path) -> dict[int, Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    if not files:
        raise FootageError(f"The folder {folder} holds no pictures.")
    parts = [re.fullmatch(r"(.*?)(\d+)", p.stem) for p in files]
    if not all(parts):
        return dict(enumerate(files))
    sequences: dict[tuple[str, str], dict[int, Path]] = {}
    for part, file in zip(parts, files, strict=True):
        sequences.setdefault((part[1], file.suffix.lower()), {})[int(part[2])] = file
    if len(sequences) == 1:
        return next(iter(sequences.values()))
    if all(len(numbered) == 1 for numbered in sequences.values()):
        return dict(enumerate(files))
    names = ", ".join(f"{stem}#{suffix}" for stem, suffix in sorted(sequences))
    raise FootageError(f"The folder {folder} holds several sequences ({names}): give one as a pattern.")


def _sequence(path: Path, files: dict[int, Path], start: int, stop: int | None, step: int, fps: Fraction) -> Footage:
    numbers = sorted(files)
    pictures = tuple(files[number] for number in numbers)
    width, height = _first_size(pictures)
    places = tuple(number - numbers[0] for number in numbers)
    footage = Footage(path, "sequence", width, height, fps, 0, start, stop, step, pictures, places)
    return replace(footage, frame_count=len(footage._chosen()))


def _first_size(pictures: tuple[Path, ...]) -> tuple[int, int]:
    """(width, height) of the first picture that can be read."""
    for path in pictures[:-1]:
        try:
            return image_size(path)
        except FootageError:
            continue
    return image_size(pictures[-1])


def _video(path: Path, info: VideoInfo, start: int, stop: int | None, step: int) -> Footage:
    count = None if info.frame_count is None else len(range(info.frame_count)[start:stop:step])
    return Footage(path, "video", info.width, info.height, info.fps, count, start, stop, step)


__all__ = ["VIDEO_SUFFIXES", "Footage", "Frame", "open_footage", "sequence_files"]
