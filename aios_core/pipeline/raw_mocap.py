"""Raw Mocaps: who is who among the people of all frames, and what was measured of each, not yet cleaned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.transfer import body_for_shape
from aios_core.config import CaptureConfig, ModelConfig
from aios_core.media import Footage
from aios_core.mocap import LEVEL, Measured, Mocap
from aios_core.pipeline.detections import DetectionRun
from aios_core.pipeline.link import is_somebody, whole_people
from aios_core.pipeline.network import NetworkFacts
from aios_core.pipeline.people import FramePeople, joined
from aios_core.pipeline.refine import raw_track
from aios_core.pipeline.shot import network_joints_px, shot_camera
from aios_core.pipeline.track import Tracker


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
