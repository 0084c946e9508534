"""The straight line from footage to Mocap: frames, network, people, tracks, one shape each, translations."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
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
from aios_core.pipeline.link import is_somebody, whole_people
from aios_core.pipeline.network import Network, detect, load_network
from aios_core.pipeline.people import FramePeople
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
    camera_path = load_camera_path(config.camera_path) if config.camera_path else None
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
    seen = measured_tracks(sights, whole_people(tracker), timestamps, body, network, footage, config)
    if not seen:
        on_warning(f"Nobody was found in {path} (a lower --threshold finds more).")
    raw = Mocap(
        source=str(Path(path).absolute()),
        source_kind=footage.kind,
        width=footage.width,
        height=footage.height,
        fps=footage.fps,
        timestamps=np.array(timestamps, np.float64),
        camera=camera,
        camera_to_world=LEVEL[None],
        weights=str(config.weights),
        body_family=network.config.body_family,
        gender=body.gender,
        tracks=tuple(raw_track(i, measured) for i, measured in enumerate(seen, 1)),
    )
    if camera_path is not None:
        raw = with_camera_path(raw, camera_path)
    return refine(raw, body, config.refine, on_warning)


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
    shapes = {"scores": (), "boxes_xyxy_px": (4,), "keypoints_px": (17, 2), "left_hand_keypoints_px": (6, 2),
              "right_hand_keypoints_px": (6, 2), "face_keypoints_px": (6, 2), "global_orient": (3,),
              "body_pose": (21, 3), "left_hand_pose": (15, 3), "right_hand_pose": (15, 3), "jaw_pose": (3,),
              "expression": (10,), "betas": (10,), "camera": (3,)}  # fmt: skip
    shapes["tokens"] = (packed.shape[1] - sum(int(np.prod(shape)) for shape in shapes.values()),)
    stops = np.cumsum([int(np.prod(shapes[name])) for name in PACKED])
    columns = np.split(packed, stops[:-1], axis=1)
    return FramePeople(**{name: c.reshape(len(packed), *shapes[name]) for name, c in zip(PACKED, columns, strict=True)})


def measured_tracks(
    sights: list[_Sight],
    person: Mapping[int, int],
    timestamps: list[float],
    body: BodyModel,
    network: Network,
    footage: Footage,
    config: CaptureConfig,
) -> list[Measured]:
    """What the network saw of everybody, those seen longest and largest first.

    person: for every number of the tracker that is somebody, the number of the person.
    """
    rows = np.concatenate([np.full(len(s.ids), s.row) for s in sights]) if sights else np.zeros(0, int)
    ids = np.concatenate([s.ids for s in sights]) if sights else np.zeros(0, int)
    packed = np.concatenate([s.packed for s in sights]) if sights else np.zeros((0, 0), np.float32)
    people = np.array([person.get(int(i), 0) for i in ids], int)
    found = []
    scores = packed[:, PACKED.index("scores")] if len(packed) else np.zeros(0)
    for number in np.unique(people[people > 0]):
        which = np.flatnonzero(people == number)
        # Somebody seen twice in a frame is taken as seen better.
        which = which[np.lexsort([-scores[which], rows[which]])]
        which = which[np.unique(rows[which], return_index=True)[1]]
        is_clip = footage.kind != "image" and len(timestamps) > 1
        if is_clip and not is_somebody(rows[which], float(config.step / footage.fps)):
            continue
        size = (footage.width, footage.height)
        found.append(measure(rows[which], unpack(packed[which]), body, network.config, size))
    return sorted(found, key=lambda seen: -float(np.sqrt(_area(seen.boxes_xyxy_px)).sum()))


def measure(
    frames: np.ndarray, people: FramePeople, body: BodyModel, model: ModelConfig, size: tuple[int, int]
) -> Measured:
    """One person's sights in Mocap frames (M,), with the joints where the network's own camera sees them."""
    mean = np.average(people.betas, axis=0, weights=people.scores).astype(np.float32)
    fitted, usable, _ = body_for_shape(body, mean, model.body_family)
    own = people.betas if fitted.family == model.body_family else np.broadcast_to(usable, people.betas.shape)
    kept = {f.name for f in fields(Measured)} & set(PACKED)
    return Measured(
        frames=frames.astype(np.int32),
        joints_px=network_joints_px(people, fitted, own, size, model).astype(np.float32),
        **{name: getattr(people, name) for name in kept},
    )


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
