"""The straight line from footage to Mocap: frames, network, people on disk, tracks, clean motion."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.body.transfer import body_for_shape
from aios_core.camera_path import load_camera_path, with_camera_path
from aios_core.config import CaptureConfig, ModelConfig
from aios_core.media import Footage, Frame, open_footage
from aios_core.mocap import LEVEL, Measured, Mocap
from aios_core.model.checkpoint import config_from_json, config_to_json, weights_path
from aios_core.pipeline.detections import DetectionRun, FrameDetections, open_run
from aios_core.pipeline.link import is_somebody, whole_people
from aios_core.pipeline.network import Network, detect, load_network
from aios_core.pipeline.people import FramePeople, joined
from aios_core.pipeline.refine import raw_track, refine
from aios_core.pipeline.shot import network_joints_px, shot_camera
from aios_core.pipeline.track import Tracker

WEAK_SHARE = 0.5
"""In videos, detections down to this share of the threshold continue people who were seen before."""


@dataclass(frozen=True)
class Progress:
    """How far a capture has come."""

    stage: str
    done: int
    total: int | None
    people: int
    """In the frame looked at last."""
    frames_per_second: float
    seconds_left: float | None


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
        mocap = raw_mocap(run, footage, body, network, config)
        if not mocap.tracks:
            on_warning(f"Nobody was found in {path} (a lower --threshold finds more).")
        if camera_path is not None:
            mocap = with_camera_path(mocap, camera_path)
        mocap = refine(mocap, body, config.refine, on_warning)
        if run.finished() is not None and not storage.keep:
            run.remove()
    return mocap


def iterate_people(path: str | os.PathLike, config: CaptureConfig | None = None) -> Iterator[tuple[Frame, FramePeople]]:
    """(frame, its people) one after the other, without tracking."""
    config = config or CaptureConfig()
    footage = open_footage(path, config.start, config.stop, config.step, config.sequence_fps)
    body = load_body(config.body) if config.body else open_body()
    network = load_network(config, body)
    yield from _people_of(footage, network, config, network.threshold)


@dataclass(frozen=True)
class NetworkFacts:
    """What the rest of a capture needs to know of the network that looked."""

    threshold: float
    config: ModelConfig


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
        for frame, people in _people_of(footage, network, config, threshold):
            run.add(FrameDetections(frame.index, frame.timestamp, people))
            done += 1
            sure = people.select(np.flatnonzero(people.scores >= network.threshold))
            if on_frame is not None:
                on_frame(frame, sure)
            on_progress(_progress(done, earlier, total, len(sure), time.monotonic() - begun))
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
        **{name: getattr(config, name) for name in ("threshold", "max_people", "duplicate_overlap", "scale")},
    }


def _people_of(
    footage: Footage, network: Network, config: CaptureConfig, threshold: float
) -> Iterator[tuple[Frame, FramePeople]]:
    frames = iter(footage)
    while batch := list(islice(frames, config.batch)):
        yield from zip(batch, detect(network, batch, config, threshold), strict=True)


def _progress(done: int, earlier: int, total: int | None, people: int, seconds: float) -> Progress:
    rate = (done - earlier) / max(seconds, 1e-9)
    left = None if total is None else max(total - done, 0) / max(rate, 1e-9)
    return Progress("capture", done, total, people, rate, left)


def raw_mocap(
    run: DetectionRun, footage: Footage, body: BodyModel, network: NetworkFacts, config: CaptureConfig
) -> Mocap:
    """What was seen of everybody, person by person, not yet cleaned; level camera."""
    tracker = Tracker(config.memory_seconds)
    ids, timestamps = [], []
    for chunk in run.read_chunks():
        for frame in chunk:
            ids.append(tracker.update(frame.people, frame.timestamp, network.threshold))
            timestamps.append(frame.timestamp)
    seen = measured_tracks(run, ids, whole_people(tracker), body, network.config, footage)
    return Mocap(
        source=str(footage.path.absolute()),
        source_kind=footage.kind,
        width=footage.width,
        height=footage.height,
        fps=footage.fps,
        timestamps=np.array(timestamps, np.float64),
        camera=shot_camera(footage, config),
        camera_to_world=LEVEL[None],
        weights=str(config.weights),
        body_family=network.config.body_family,
        gender=body.gender,
        tracks=tuple(raw_track(i, measured) for i, measured in enumerate(seen, 1)),
    )


def measured_tracks(
    run: DetectionRun,
    ids: Sequence[np.ndarray],
    person: Mapping[int, int],
    body: BodyModel,
    model: ModelConfig,
    footage: Footage,
) -> list[Measured]:
    """What the network saw of everybody, those seen longest and largest first.

    ids: the tracker's numbers of the people of every frame; person: for every number the person's.
    """
    rows: dict[int, list[np.ndarray]] = {}
    parts: dict[int, list[FramePeople]] = {}
    first = 0
    for chunk in run.read_chunks():
        everybody = joined([frame.people for frame in chunk])
        numbers = [person.get(int(i), 0) for row in ids[first : first + len(chunk)] for i in row]
        frames = np.repeat(np.arange(first, first + len(chunk)), [len(frame.people) for frame in chunk])
        for number in set(numbers) - {0}:
            which = best_of_frames(np.flatnonzero(np.array(numbers) == number), frames, everybody.scores)
            rows.setdefault(number, []).append(frames[which])
            parts.setdefault(number, []).append(everybody.select(which))
        first += len(chunk)
    is_clip = footage.kind != "image" and len(ids) > 1
    found = []
    for number in sorted(rows):
        frames = np.concatenate(rows.pop(number))
        if not is_clip or is_somebody(frames, float(footage.step / footage.fps)):
            size = (footage.width, footage.height)
            found.append(measure(frames, joined(parts[number]), body, model, size))
        del parts[number]
    return sorted(found, key=lambda seen: -float(np.sqrt(_area(seen.boxes_xyxy_px)).sum()))


def best_of_frames(which: np.ndarray, frames: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of detections `which` (K,) the best scored of each frame, in order; frames, scores: of all detections."""
    which = which[np.lexsort([-scores[which], frames[which]])]
    return which[np.unique(frames[which], return_index=True)[1]]


def measure(
    frames: np.ndarray, people: FramePeople, body: BodyModel, model: ModelConfig, size: tuple[int, int]
) -> Measured:
    """One person's sights in Mocap frames (M,), with the joints where the network's own camera sees them."""
    mean = np.average(people.betas, axis=0, weights=people.scores).astype(np.float32)
    fitted, usable, _ = body_for_shape(body, mean, model.body_family)
    own = people.betas if fitted.family == model.body_family else np.broadcast_to(usable, people.betas.shape)
    kept = {f.name for f in fields(Measured)} & {f.name for f in fields(FramePeople)}
    return Measured(
        frames=frames.astype(np.int32),
        joints_px=network_joints_px(people, fitted, own, size, model).astype(np.float32),
        **{name: getattr(people, name) for name in kept},
    )


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
