"""The whole line on a 30-second clip against its network alone: python -m benchmarks.line [--write]

Frames are decoded, shrunk, looked at by preset `open`, read, tracked and refined, all in one process. The line and the
network alone, which sees the same pictures ready in memory, take turns every second or two, so that other work on the
machine disturbs both alike; the frames that wait decoded at the end of a turn are not counted in the next.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aios_core.body.files import open_body
from aios_core.config import CaptureConfig
from aios_core.media import Footage, open_footage
from aios_core.model.predictions import LayerPredictions, Predictions
from aios_core.model.preprocess import pad_batch, preprocess, preprocess_batch
from aios_core.pipeline.capture import DetectionStorage, estimate, people_of
from aios_core.pipeline.detections import FrameDetections, open_run
from aios_core.pipeline.network import Network, load_network
from aios_core.pipeline.people import people_from_predictions, without_duplicates
from benchmarks.clips import PLAZA, write_clip
from benchmarks.tables import column, parser, show

SECONDS, FPS, SIZE = 30, 10, (1280, 720)
CONFIG = CaptureConfig(threshold=0.1, max_people=4)
TURN, SHORT_TURN = 9, 2
"""Batches that the line, and each other way through the clip, is timed for before the next takes its turn."""


@dataclass(frozen=True)
class Row:
    """How fast one way through the clip is."""

    what: str = column("30 seconds of 1280x720, preset `open`")
    rate: float = column("frames a second", ".1f")
    share: float | None = column("of the network alone", ".0%")


@dataclass(frozen=True)
class Race:
    """Median seconds a frame."""

    alone: float
    """Of the network alone."""
    looked: float
    """From footage to people on disk."""
    plain: float
    """Decode, shrink, look and read, one after the other in one thread."""


class NoTime(nn.Module):
    """A network that has its answer ready."""

    def __init__(self, network: Network, images: torch.Tensor):
        super().__init__()
        self.config = network.config
        self.answer: Predictions = network.model(images, no_padding(images))

    def forward(self, images: torch.Tensor, padding_mask: torch.Tensor, least_score: float = 0.0) -> Predictions:
        """The answer to other pictures."""
        final = {k: None if v is None else v[: len(images)] for k, v in vars(self.answer.final).items()}
        return replace(self.answer, final=LayerPredictions(**final))


def with_batch(config: CaptureConfig, network: Network, footage: Footage) -> CaptureConfig:
    """With the batch that a capture of this footage takes."""
    return replace(config, batch=config.batch or network.frames_at_once(network.framing(footage).canvas))


def no_padding(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) of a batch of pictures that are all of one size."""
    return torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)


def first_batch(footage: Footage, network: Network, batch: int) -> torch.Tensor:
    """(B, 3, h, w) the footage's first frames as the network wants them."""
    placed = network.framing(footage)
    with closing(footage.frames(placed.resized)) as frames:
        pixels = np.stack([frame.rgb for frame in islice(frames, batch)])
    return preprocess_batch(torch.from_numpy(pixels), placed)


def turns_alone(network: Network, images: torch.Tensor) -> Iterator[None]:
    """A step for every picture that the network alone has seen."""
    padding = no_padding(images)
    while True:
        network.model(images, padding)
        yield from [None] * len(images)


def turns_of_line(footage: Footage, network: Network, config: CaptureConfig) -> Iterator[None]:
    """A step for every frame whose people are on their way to the disk."""
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder) / "run", {}) as run:
        for frame, people in people_of(footage, network, config, network.threshold):
            run.add(FrameDetections(frame.index, frame.timestamp, people))
            yield


def turns_one_by_one(footage: Footage, network: Network, config: CaptureConfig) -> Iterator[None]:
    """A step for every frame that was decoded, shrunk, looked at and read, one after the other."""
    frames, placed = footage.frames(ahead=1), network.framing(footage)
    while batch := list(islice(frames, config.batch)):
        found = network.model(*pad_batch([preprocess(frame.rgb, network.config) for frame in batch])).final
        for people in people_from_predictions(found, [placed] * len(batch), network.hand_means, network.threshold):
            without_duplicates(people, config.duplicate_overlap)
            yield


def race(path: Path, config: CaptureConfig) -> Race:
    """The three ways through the clip at `path`, taking turns until it ends."""
    network, footage = load_network(config, open_body()), open_footage(path)
    config = with_batch(config, network, footage)
    ways = [
        turns_alone(network, first_batch(footage, network, config.batch)),
        turns_of_line(footage, network, config),
        turns_one_by_one(footage, network, config),
    ]
    waiting = 3 * config.batch
    spent: list[list[float]] = [[] for _ in ways]
    for _ in range(max(footage.frame_count // (TURN * config.batch + waiting), 1)):
        for way, times, turn in zip(ways, spent, (SHORT_TURN, TURN, SHORT_TURN), strict=True):
            for _ in islice(way, waiting if turn == TURN else config.batch):
                pass
            begun = time.perf_counter()
            steps = sum(1 for _ in islice(way, turn * config.batch))
            times.append((time.perf_counter() - begun) / steps)
    for way in ways:
        way.close()
    return Race(*map(float, map(np.median, spent)))


def seconds_behind(path: Path) -> float:
    """Seconds a frame of tracking and refining ten seconds, the network's part done before."""
    config = replace(CONFIG, stop=10 * FPS)
    with tempfile.TemporaryDirectory() as folder:
        storage = DetectionStorage(Path(folder) / "run", keep=True)
        estimate(path, config, storage=storage)
        begun = time.perf_counter()
        mocap = estimate(path, config, storage=storage)
        return (time.perf_counter() - begun) / len(mocap.timestamps)


def seconds_without_network(path: Path) -> float:
    """Seconds a frame of the line with a network that takes no time."""
    network, footage = load_network(CONFIG, open_body()), open_footage(path)
    config = with_batch(CONFIG, network, footage)
    network = replace(network, model=NoTime(network, first_batch(footage, network, config.batch)))
    begun = time.perf_counter()
    count = sum(1 for _ in turns_of_line(footage, network, config))
    return (time.perf_counter() - begun) / count


@torch.inference_mode()
def measure() -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, PLAZA, SECONDS, FPS, SIZE)
        raced, behind, ready = race(path, CONFIG), seconds_behind(path), seconds_without_network(path)
    whole = raced.looked + behind
    return [
        Row("the network alone", 1 / raced.alone, None),
        Row("from footage to people on disk", 1 / raced.looked, raced.alone / raced.looked),
        Row("the whole capture, tracked and refined", 1 / whole, raced.alone / whole),
        Row("decode, shrink, look and read one after the other", 1 / raced.plain, raced.alone / raced.plain),
        Row("from footage to people on disk, by a network that takes no time", 1 / ready, None),
    ]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    show("line", measure(), options.write)


if __name__ == "__main__":
    main()
