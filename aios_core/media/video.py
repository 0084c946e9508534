"""Videos through PyAV: upright frames with the container's own clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from aios_core.errors import FootageError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".gif"})

SEEK_FROM = 250
"""Reading that starts later jumps there; up to here decoding from the beginning costs less than finding the place."""


@dataclass(frozen=True)
class VideoInfo:
    """What a container says of its video."""

    width: int
    height: int
    """Size of the upright picture."""
    fps: Fraction
    frame_count: int | None


def probe_video(path: Path) -> VideoInfo:
    """Size, frame rate and length of a video.

    Raises:
        FootageError: it is not a video, or not one frame of it can be decoded.
    """
    with _open(path) as container:
        stream = _stream(path, container)
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        try:
            first = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise FootageError(f"{path} cannot be decoded: {error.strerror}.") from error
        if first is None:
            raise FootageError(f"{path} holds no frame that can be decoded.")
        height, width = upright(first).shape[:2]
        return VideoInfo(width, height, Fraction(fps), _frame_count(stream, container, fps))


def video_frames(
    path: Path, start: int, stop: int | None, step: int, warnings: list[str]
) -> Iterator[tuple[int, float, av.VideoFrame]]:
    """(index, seconds from the first frame, decoded frame) of every step-th frame from start to stop; see `upright`.

    A video that breaks off yields what can be decoded and leaves a warning.
    """
    with _open(path) as container:
        stream = _stream(path, container)
        stream.thread_type = "AUTO"
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        expected = _frame_count(stream, container, fps)
        first_time, index = None, -1
        decoded = enumerate(container.decode(stream))
        if start >= SEEK_FROM:
            times = packet_times(path)
            if times is not None and start < len(times):
                first_time = float(times[0] * stream.time_base)
                decoded = _from(container, stream, times, start)
        try:
            for index, frame in decoded:
                time = frame.time if frame.time is not None else float(index / fps)
                first_time = time if first_time is None else first_time
                if stop is not None and index >= stop:
                    return
                if index >= start and (index - start) % step == 0:
                    yield index, time - first_time, frame
        except av.FFmpegError as error:
            warnings.append(f"{path} breaks off after {index + 1} frames ({error.strerror}): the rest is left out.")
            return
        if stop is None and stream.frames and index + 1 < stream.frames - 1:
            warnings.append(f"{path} breaks off after {index + 1} of {expected} frames: the rest is left out.")


def packet_times(path: Path) -> list[int] | None:
    """The times of all frames in order, in the stream's time base, read without decoding.

    None where the container does not time each frame: frames can then only be counted by decoding.
    """
    with _open(path) as container:
        stream = _stream(path, container)
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
    times = [packet.pts for packet in packets]
    if None in times or len(set(times)) != len(times):
        return None
    return sorted(times)


def _from(
    container: av.container.InputContainer, stream: av.VideoStream, times: list[int], start: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """(index, frame) from the frame `start` on, decoded from the key frame before it."""
    number = {time: index for index, time in enumerate(times)}
    container.seek(times[start], stream=stream, backward=True)
    for frame in container.decode(stream):
        index = number.get(frame.pts)
        if index is not None and index >= start:
            yield index, frame


class Reformatters(threading.local):
    """A converter of frames for every thread: setting one up takes longer than shrinking a frame."""

    def __init__(self) -> None:
        self.mine = VideoReformatter()


def upright(
    frame: av.VideoFrame, size: tuple[int, int] | None = None, reformatter: VideoReformatter | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned by the container's display matrix (counter-clockwise degrees).

    Args:
        size: (width, height) of the answer; areas are averaged where it shrinks. None = the frame's own.
        reformatter: what converts, this thread's own, where many frames alike are converted.
    """
    quarter_turns = round(frame.rotation / 90) % 4
    width, height = size or (None, None)
    if quarter_turns % 2:
        width, height = height, width
    interpolation = "AREA" if width is not None and width < frame.width else "BILINEAR"
    reformatter = reformatter or VideoReformatter()
    rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation=interpolation, threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise FootageError(f"{path} is not a picture or video that can be read.") from error


def _stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise FootageError(f"{path} holds no video.")
    return container.streams.video[0]


def _frame_count(stream: av.VideoStream, container: av.container.InputContainer, fps: Fraction) -> int | None:
    if stream.frames:
        return stream.frames
    if stream.duration is not None and stream.time_base is not None:
        return max(round(stream.duration * stream.time_base * fps), 1)
    if container.duration is not None:
        return max(round(Fraction(container.duration, av.time_base) * fps), 1)
    return None
