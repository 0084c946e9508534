"""Detections on disk, chunk by chunk: what was seen is never lost, and the network never looks twice.

A run is a folder: `run.json` says of what footage, weights and settings; `chunk-000000.npz`, ... hold the people of
some frames each, written whole or not at all; `lock` is held by the process that writes. A run that broke off goes on
behind its last whole chunk; a damaged chunk, and what follows it, is looked at again.
"""

from __future__ import annotations

import contextlib
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO

import numpy as np

from aios_core.errors import OutputError
from aios_core.output import locked_file, whole_file
from aios_core.pipeline.people import FramePeople

CHUNK_FRAMES = 128
CHUNK_SECONDS = 15.0
"""A chunk is written at the latest after so much work."""
FORMAT = 2


@dataclass(frozen=True)
class FrameDetections:
    """The people of one frame."""

    index: int
    """Number of the frame in the footage."""
    timestamp: float
    """Seconds from the footage's first frame."""
    people: FramePeople


@dataclass
class DetectionRun:
    """An open run. Use `open_run`; `close` it, or let it be the value of a `with` block."""

    folder: Path
    settings: dict[str, object]
    chunks: int = 0
    """Number of whole chunks on disk."""
    frames_done: int = 0
    """Frames in those."""
    last_index: int = -1
    """The last of those in the footage."""
    _lock: IO | None = None
    _waiting: list[FrameDetections] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def add(self, frame: FrameDetections) -> None:
        """Keep the people of the next frame; on disk as soon as a chunk is full.

        Raises:
            OutputError: the chunk cannot be written (disk full, say); the chunks before it are kept.
        """
        self._waiting.append(frame)
        if len(self._waiting) >= CHUNK_FRAMES or time.monotonic() - self._since >= CHUNK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a chunk."""
        if self._waiting:
            save_chunk(self._waiting, chunk_path(self.folder, self.chunks))
            self.chunks += 1
            self.frames_done += len(self._waiting)
            self.last_index = self._waiting[-1].index
            self._waiting = []
        self._since = time.monotonic()

    def read_chunks(self) -> Iterator[list[FrameDetections]]:
        """The frames of every chunk on disk in order."""
        for number in range(self.chunks):
            yield load_chunk(chunk_path(self.folder, number))

    def finish(self, facts: dict[str, object]) -> None:
        """Note that the footage has been looked at to its end, with facts (JSON values) that belong to the result."""
        self.flush()
        with whole_file(self.folder / "finished.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=1))

    def finished(self) -> dict[str, object] | None:
        """The facts of a run that came to its end, else None."""
        stated = _stated(self.folder / "finished.json")
        return stated if isinstance(stated, dict) else None

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete the run's files, and its folder if nothing else is in it."""
        self.close()
        names = ("run.json", "finished.json", "lock")
        for path in [*self.folder.glob("chunk-*.npz"), *(self.folder / name for name in names)]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def __enter__(self) -> DetectionRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(
    folder: Path, settings: dict[str, object], fresh: bool = False, on_warning: Callable[[str], None] = lambda _: None
) -> DetectionRun:
    """The run in `folder`, continued if it has the same settings (JSON values), else begun.

    Raises:
        OutputError: the folder cannot be written, or another process is writing there.
    """
    try:
        folder.mkdir(exist_ok=True)
        lock = locked_file(folder / "lock")
    except OSError as error:
        raise OutputError(f"Cannot write {folder}: {error.strerror or error}.") from error
    if lock is None:
        raise OutputError(f"Another run is writing to {folder}: wait for it, or choose another output.")
    run = DetectionRun(folder, settings, _lock=lock)
    stated = {"format": FORMAT, **settings}
    if not fresh and _stated(folder / "run.json") == json.loads(json.dumps(stated)):
        _count_chunks(run, on_warning)
        return run
    for path in [*folder.glob("chunk-*.npz"), folder / "finished.json"]:
        path.unlink(missing_ok=True)
    with whole_file(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(stated, indent=1))
    return run


def chunk_path(folder: Path, number: int) -> Path:
    """Where a chunk lies."""
    return folder / f"chunk-{number:06d}.npz"


def save_chunk(frames: list[FrameDetections], path: Path) -> None:
    """Write frames in order, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays = {
        "index": np.array([f.index for f in frames], np.int64),
        "timestamp": np.array([f.timestamp for f in frames], np.float64),
        "people": np.array([len(f.people) for f in frames], np.int32),
    }
    for f in fields(FramePeople):
        arrays[f.name] = np.concatenate([getattr(frame.people, f.name) for frame in frames]).astype(np.float32)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_chunk(path: Path) -> list[FrameDetections]:
    """The frames of a chunk.

    Raises:
        ValueError, OSError, KeyError, zipfile.BadZipFile: it is damaged.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    stops = np.cumsum(arrays["people"])
    everybody = FramePeople(**{f.name: arrays[f.name] for f in fields(FramePeople)})
    starts = stops - arrays["people"]
    return [
        FrameDetections(int(index), float(timestamp), everybody.select(slice(int(start), int(stop))))
        for index, timestamp, start, stop in zip(arrays["index"], arrays["timestamp"], starts, stops, strict=True)
    ]


def _count_chunks(run: DetectionRun, on_warning: Callable[[str], None]) -> None:
    for number, path in enumerate(sorted(run.folder.glob("chunk-*.npz"))):
        try:
            if path != chunk_path(run.folder, number):
                raise ValueError("a chunk is missing")
            frames = load_chunk(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            on_warning(f"{path} is damaged: what it held, and what followed, is looked at again.")
            for later in [*sorted(run.folder.glob("chunk-*.npz"))[number:], run.folder / "finished.json"]:
                later.unlink(missing_ok=True)
            return
        run.chunks, run.frames_done, run.last_index = number + 1, run.frames_done + len(frames), frames[-1].index


def _stated(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
