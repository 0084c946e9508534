"""How cost grows with people and with the frames a batch holds, part by part: python -m benchmarks.growth [--write]"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np
import torch

from aios_blender.scene import build
from aios_core.body.files import open_body
from aios_core.config import AIOS, RefineConfig
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.mocap import Mocap
from aios_core.model.framing import framing
from aios_core.model.predictions import LayerPredictions
from aios_core.pipeline.people import people_from_predictions, without_duplicates
from aios_core.pipeline.refine import refine
from benchmarks import line
from benchmarks.clips import PLAZA, write_clip
from benchmarks.crowds import tracking_ms
from benchmarks.tables import column, parser, show
from tests.mocaps import make_measured, make_mocap, make_track

COUNTS = (1, 10, 30, 100)
FRAMES = 60
BATCHES = (1, 4)


@dataclass(frozen=True)
class People:
    """What so many people cost in every frame."""

    people: int = column("people in the frame")
    read: float = column("reading the network's answer, ms a frame", ".2f")
    track: float = column("tracking, ms a frame", ".2f")
    refine: float = column("refining, ms a frame", ".1f")
    build: float = column("building in Blender, ms a frame", ".2f")


@dataclass(frozen=True)
class Batch:
    """What frames cost that are looked at together."""

    batch: int = column("frames in a batch")
    alone: float = column("the network alone, frames a second", ".1f")
    whole: float = column("footage to people on disk, frames a second", ".1f")


def seconds_of(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def predictions(people: int, queries: int = 100) -> LayerPredictions:
    """A network's answer to one picture in which the first so many queries have found somebody."""
    rng = np.random.default_rng(0)

    def rotations(count: int) -> torch.Tensor:
        return torch.tensor(axis_angle_to_rotmat(rng.normal(0, 0.4, (1, queries, count, 3))), dtype=torch.float32)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.random((1, queries, *shape)), dtype=torch.float32)

    logits = torch.full((1, queries, 2), -5.0)
    logits[:, :people] = 2.0
    return LayerPredictions(
        logits=logits, boxes=uniform(4) * 0.3, keypoints=uniform(17, 2), body_rotmats=rotations(22),
        left_hand_rotmats=rotations(15), right_hand_rotmats=rotations(15), jaw_rotmats=rotations(1), betas=uniform(10),
        expression=uniform(10), camera=0.2 + uniform(3), person_tokens=uniform(256), left_hand_keypoints=uniform(6, 2),
        right_hand_keypoints=uniform(6, 2), face_keypoints=uniform(6, 2),
    )  # fmt: skip


def reading_ms(count: int) -> float:
    """Median milliseconds from the network's answer to so many people."""
    found, placed = predictions(count), framing(1280, 720, AIOS)

    def read() -> None:
        people = without_duplicates(people_from_predictions(found, [placed], None, 0.3)[0], 0.9)
        assert len(people) == count

    return 1e3 * float(np.median([seconds_of(read) for _ in range(10)]))


def crowd_mocap(count: int) -> Mocap:
    """So many people, each in every frame, with what was measured of them."""
    rng = np.random.default_rng(0)
    tracks = [make_track(i + 1, np.arange(FRAMES), rng, (i - count / 2) / 4) for i in range(count)]
    tracks = tuple(replace(track, measured=make_measured(track, rng)) for track in tracks)
    return replace(make_mocap(length=FRAMES), tracks=tracks)


def measure_people(count: int) -> People:
    """A row of the table."""
    body, mocap = open_body(), crowd_mocap(count)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    building = seconds_of(lambda: build(mocap, body))
    refining = seconds_of(lambda: refine(mocap, body, RefineConfig()))
    per_frame = 1e3 / FRAMES
    return People(count, reading_ms(count), tracking_ms(count), refining * per_frame, building * per_frame)


@torch.inference_mode()
def measure_batches(seconds: float = 10.0) -> list[Batch]:
    """The network alone and the line, by the size of the batch, on a short clip."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, PLAZA, seconds, line.FPS, line.SIZE)
        for batch in BATCHES:
            race = line.race(path, replace(line.CONFIG, batch=batch))
            rows.append(Batch(batch, 1 / race.alone, 1 / race.looked))
    return rows


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    show("people", [measure_people(count) for count in COUNTS], options.write)
    show("batch", measure_batches(), options.write)


if __name__ == "__main__":
    main()
