"""The straight line from footage to Mocap: frames, network, people on disk, tracks, clean motion.

What comes behind the network is imported when it is needed: scipy takes half a second, and the network need not wait.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.camera_path import load_camera_path, with_camera_path
from aios_core.config import CaptureConfig
from aios_core.media import Footage, Frame, open_footage
from aios_core.media.read_ahead import open_gate
from aios_core.mocap import Mocap
from aios_core.model.checkpoint import config_from_json, config_to_json, weights_path
from aios_core.pipeline.detections import DetectionRun, FrameDetections, open_run
from aios_core.pipeline.network import Looking, Network, NetworkFacts, load_network, people_in, start_looking
from aios_core.pipeline.people import FramePeople
from aios_core.pipeline.progress import Progress, fit_progress, progress_of

Item = TypeVar("Item")

WEAK_SHARE = 0.5
"""In videos, detections down to this share of the threshold continue people who were seen before."""


def _ignore(_: object) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class DetectionStorage:
    """Where detections are kept while a capture runs."""

    folder: Path | None = None
    """None = a temporary folder, so that a capture that breaks off starts anew."""
    fresh: bool = False
    """Look at everything again, whatever an earlier run has left."""
    keep: bool = False
    """Leave the detections there, so that a later capture with other tracking settings needs no network."""


def estimate(
    path: str | os.PathLike,
    config: CaptureConfig | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
    on_warning: Callable[[str], None] = _ignore,
    storage: DetectionStorage | None = None,
    on_frame: Callable[[Frame, FramePeople], None] | None = None,
    is_stopping: Callable[[], bool] | None = None,
) -> Mocap:
    """Everybody in the footage at `path`; on_frame gets each frame that the network looks at, and who is in it.

    is_stopping: asked after every frame; once it is true the rest is left for a later capture with the same storage.

    Raises:
        AiosError: the footage, the weights or the body cannot be used; the message says what to do.
    """
    config, storage = config or CaptureConfig(), storage or DetectionStorage()
    footage = open_footage(path, config.start, config.stop, config.step, config.sequence_fps)
    body = load_body(config.body) if config.body else open_body()
    camera_path = load_camera_path(config.camera_path) if config.camera_path else None
    with ExitStack() as stack:
        folder = storage.folder or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "detections"
        run = stack.enter_context(open_run(folder, run_settings(footage, config), storage.fresh, on_warning))
        network = look(run, footage, body, config, on_progress, on_warning, on_frame, is_stopping)
        from aios_core.pipeline.focal import with_estimated_focal  # and scipy: not before the network looks
        from aios_core.pipeline.raw_mocap import raw_mocap
        from aios_core.pipeline.refine import refine

        mocap = raw_mocap(run, footage, body, network, config)
        if not mocap.tracks:
            on_warning(f"Nobody was found in {path} (a lower --threshold finds more).")
        if camera_path is not None:
            mocap = with_camera_path(mocap, camera_path)
        elif mocap.tracks:
            mocap = with_estimated_focal(mocap, body, on_warning)
        fitting = fit_progress(on_progress, len(mocap.tracks))
        mocap = refine(mocap, body, config.refine, on_warning, on_progress=fitting)
        if run.finished() is not None and not storage.keep:
            run.remove()
    return mocap


def iterate_people(path: str | os.PathLike, config: CaptureConfig | None = None) -> Iterator[tuple[Frame, FramePeople]]:
    """(frame, its people) one after the other, without tracking."""
    config = config or CaptureConfig()
    footage = open_footage(path, config.start, config.stop, config.step, config.sequence_fps)
    body = load_body(config.body) if config.body else open_body()
    network = load_network(config, body)
    yield from people_of(footage, network, config, network.threshold)


def look(
    run: DetectionRun,
    footage: Footage,
    body: BodyModel,
    config: CaptureConfig,
    on_progress: Callable[[Progress], None] = _ignore,
    on_warning: Callable[[str], None] = _ignore,
    on_frame: Callable[[Frame, FramePeople], None] | None = None,
    is_stopping: Callable[[], bool] | None = None,
) -> NetworkFacts:
    """Put the people of every frame that is not there yet into the run; the network is loaded only for those."""
    finished = run.finished()
    if finished is not None:
        return NetworkFacts(float(finished["threshold"]), config_from_json(finished["model"], run.folder))
    if run.frames_done:
        on_warning(f"Going on behind the {run.frames_done} frames that an earlier run has looked at.")
        footage = footage.after(run.last_index)
    network = load_network(config, body)
    threshold = network.threshold * (1 if footage.kind == "image" else WEAK_SHARE)
    total = None if footage.frame_count is None else run.frames_done + footage.frame_count
    done, earlier, begun = run.frames_done, run.frames_done, time.monotonic()
    try:
        for frame, people in people_of(footage, network, config, threshold):
            run.add(FrameDetections(frame.index, frame.timestamp, people))
            done += 1
            sure = people.select(np.flatnonzero(people.scores >= network.threshold))
            if on_frame is not None:
                on_frame(frame, sure)
            on_progress(progress_of("capture", done - earlier, done, total, len(sure), begun))
            if is_stopping is not None and is_stopping() and done != total:
                on_warning(f"Stopped after {done} frames; the same capture started again goes on from there.")
                return NetworkFacts(network.threshold, network.config)
    finally:
        run.flush()
    for warning in footage.warnings:
        on_warning(warning)
    run.finish({"threshold": network.threshold, "model": config_to_json(network.config)})
    return NetworkFacts(network.threshold, network.config)


def run_settings(footage: Footage, config: CaptureConfig) -> dict[str, object]:
    """Everything that detections depend on, as JSON values: another value makes another run."""
    files = footage.files or (footage.path,)
    weights = weights_path(config.weights)
    return {
        "footage": str(footage.path.absolute()),
        "footage_state": [len(files), sum(p.stat().st_size for p in files), max(p.stat().st_mtime for p in files)],
        "weights": str(weights),
        "weights_state": [weights.stat().st_size, weights.stat().st_mtime] if weights.exists() else None,
        "body": config.body,
        **{name: getattr(config, name) for name in ("start", "stop", "step", "sequence_fps")},
        **{name: getattr(config, name) for name in ("threshold", "max_people", "duplicate_overlap")},
        **{name: getattr(config, name) for name in ("scale", "fast", "thorough", "precision")},
    }


def people_of(
    footage: Footage, network: Network, config: CaptureConfig, threshold: float
) -> Iterator[tuple[Frame, FramePeople]]:
    """(frame, its people) in order; reading, the network and the reading of its answers overlap.

    Threads decode and shrink the frames ahead. A GPU is already at work on a batch when the one before is read. Where
    the network takes all cores they rest while it looks: its threads would wait for the one that shares a core.
    """
    placed = network.framing(footage)
    count = config.batch or network.frames_at_once(placed.canvas)
    may_read = open_gate()
    frames = footage.frames(placed.resized if network.config.antialias else None, 2 * count, may_read)

    def begin(batch: list[Frame]) -> Looking:
        if network.takes_all_cores():
            may_read.clear()
        looking = start_looking(network, batch, placed)
        may_read.set()
        return looking

    with closing(frames):
        batches = iter(lambda: list(islice(frames, count)), [])
        begun = ((batch, begin(batch)) for batch in batches)
        for batch, looking in _one_ahead(begun):
            yield from zip(batch, people_in(batch, looking, network, placed, config, threshold), strict=True)


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each only when the next has been begun."""
    item = next(items, None)
    while item is not None:
        after = next(items, None)
        yield item
        item = after
