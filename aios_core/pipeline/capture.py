"""The straight line from footage to Mocap: frames, network, people, tracks, one shape each, translations."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.body.transfer import body_for_shape
from aios_core.config import CaptureConfig
from aios_core.media import Footage, Frame, open_footage
from aios_core.mocap import MEASURED, Camera, Mocap, Track
from aios_core.pipeline.network import Network, detect, load_network
from aios_core.pipeline.people import FramePeople
from aios_core.pipeline.placement import place, shot_camera
from aios_core.pipeline.track import Tracker

SHORTEST_TRACK_SECONDS = 0.2
"""In videos, somebody seen for less is taken for an error of the network."""
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


@dataclass(frozen=True)
class _Sight:
    """The people of one frame, packed into one array to keep long clips small."""

    row: int
    """Frame of the Mocap."""
    ids: np.ndarray
    packed: np.ndarray
    """(P, D) float32."""


def _ignore(_: object) -> None:
    """Nobody wants to know."""


def estimate(
    path: str | os.PathLike,
    config: CaptureConfig | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
    on_warning: Callable[[str], None] = _ignore,
) -> Mocap:
    """Everybody in the footage at `path`.

    Raises:
        AiosError: the footage, the weights or the body cannot be used; the message says what to do.
    """
    config = config or CaptureConfig()
    footage = open_footage(path, config.start, config.stop, config.step)
    body = load_body(config.body) if config.body else open_body()
    network = load_network(config, body)
    camera = shot_camera(footage, config)
    tracker = Tracker(config.memory_seconds)
    sights, timestamps = [], []
    begun = time.monotonic()
    threshold = network.threshold * (1 if footage.kind == "image" else WEAK_SHARE)
    for frame, people in _people_of(footage, network, config, threshold):
        ids = tracker.update(people, frame.timestamp, network.threshold)
        people, ids = people.select(ids > 0), ids[ids > 0]
        sights.append(_Sight(len(timestamps), ids, pack(people)))
        timestamps.append(frame.timestamp)
        on_progress(_progress(len(timestamps), footage.frame_count, len(people), time.monotonic() - begun))
    for warning in footage.warnings:
        on_warning(warning)
    tracks = assemble(sights, timestamps, body, network, camera, footage, config, on_warning)
    if not tracks:
        on_warning(f"Nobody was found in {path} (a lower --threshold finds more).")
    return Mocap(
        source=str(Path(path).absolute()),
        source_kind=footage.kind,
        width=footage.width,
        height=footage.height,
        fps=footage.fps,
        timestamps=np.array(timestamps, np.float64),
        camera=camera,
        weights=str(config.weights),
        body_family=network.config.body_family,
        gender=body.gender,
        tracks=tuple(tracks),
    )


def iterate_people(path: str | os.PathLike, config: CaptureConfig | None = None) -> Iterator[tuple[Frame, FramePeople]]:
    """(frame, its people) one after the other, without tracking."""
    config = config or CaptureConfig()
    footage = open_footage(path, config.start, config.stop, config.step)
    body = load_body(config.body) if config.body else open_body()
    network = load_network(config, body)
    yield from _people_of(footage, network, config, network.threshold)


def _people_of(
    footage: Footage, network: Network, config: CaptureConfig, threshold: float
) -> Iterator[tuple[Frame, FramePeople]]:
    frames = iter(footage)
    while batch := list(islice(frames, config.batch)):
        yield from zip(batch, detect(network, batch, config, threshold), strict=True)


def _progress(done: int, total: int | None, people: int, seconds: float) -> Progress:
    rate = done / max(seconds, 1e-9)
    left = None if total is None else max(total - done, 0) / rate
    return Progress("capture", done, total, people, rate, left)


PACKED = tuple(f.name for f in fields(FramePeople))


def pack(people: FramePeople) -> np.ndarray:
    """(P, D) float32: all fields of the people side by side."""
    columns = [getattr(people, name) for name in PACKED]
    flat = [c.reshape(len(people), int(np.prod(c.shape[1:]))) for c in columns]
    return np.concatenate(flat, 1).astype(np.float32)


def unpack(packed: np.ndarray) -> FramePeople:
    """The people of packed rows (P, D)."""
    shapes = {"scores": (), "boxes_xyxy_px": (4,), "keypoints_px": (17, 2), "global_orient": (3,), "body_pose": (21, 3),
              "left_hand_pose": (15, 3), "right_hand_pose": (15, 3), "jaw_pose": (3,), "expression": (10,),
              "betas": (10,), "camera": (3,)}  # fmt: skip
    stops = np.cumsum([int(np.prod(shapes[name])) for name in PACKED])
    columns = np.split(packed, stops[:-1], axis=1)
    return FramePeople(**{name: c.reshape(len(packed), *shapes[name]) for name, c in zip(PACKED, columns, strict=True)})


def assemble(
    sights: list[_Sight],
    timestamps: list[float],
    body: BodyModel,
    network: Network,
    camera: Camera,
    footage: Footage,
    config: CaptureConfig,
    on_warning: Callable[[str], None] = _ignore,
) -> list[Track]:
    """One Track for every number, those seen longest and largest first."""
    rows = np.concatenate([np.full(len(s.ids), s.row) for s in sights]) if sights else np.zeros(0, int)
    ids = np.concatenate([s.ids for s in sights]) if sights else np.zeros(0, int)
    found, warned = [], False
    for number in np.unique(ids):
        frames = rows[ids == number]
        seen_for = (timestamps[frames[-1]] - timestamps[frames[0]]) + float(config.step / footage.fps)
        if footage.kind != "image" and len(timestamps) > 1 and seen_for < SHORTEST_TRACK_SECONDS:
            continue
        packed = np.concatenate([s.packed[s.ids == number] for s in sights if number in s.ids])
        track, warning = _track(int(number), frames, unpack(packed), body, network, camera, footage, config)
        found.append(track)
        if warning and not warned:
            on_warning(warning)
            warned = True
    found.sort(key=lambda track: -float(np.sqrt(_area(track.boxes_xyxy_px)).sum()))
    return [replace(track, id=i, name=f"Person {i}") for i, track in enumerate(found, 1)]


def _track(
    number: int,
    frames: np.ndarray,
    people: FramePeople,
    body: BodyModel,
    network: Network,
    camera: Camera,
    footage: Footage,
    config: CaptureConfig,
) -> tuple[Track, str | None]:
    """A track with one shape, the score-weighted mean, and translations refitted to it."""
    betas = np.average(people.betas, axis=0, weights=people.scores).astype(np.float32)
    fitted, usable, warning = body_for_shape(body, betas, network.config.body_family)
    same_family = fitted.family == network.config.body_family
    network_betas = people.betas if same_family else np.broadcast_to(usable, people.betas.shape)
    transl = place(
        people, fitted, network_betas, np.broadcast_to(usable, people.betas.shape), camera,
        (footage.width, footage.height), network.config, config.keypoint_weight,
    )  # fmt: skip
    track = Track(
        id=number,
        name=f"Person {number}",
        frames=frames.astype(np.int32),
        betas=betas,
        transl=transl.astype(np.float32),
        key_kinds=np.full(len(frames), MEASURED, np.uint8),
        **{name: getattr(people, name) for name in PACKED if name not in ("betas", "camera")},
    )
    return track, warning


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
