"""The whole line on a 30-second clip against its network alone: python -m benchmarks.line [--write]

Frames are decoded, shrunk, looked at by preset `open`, read, tracked and refined, all in one process; the network alone
sees the same pictures, ready in memory, half of them before the line runs and half after. Everything is loaded before.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from aios_core.body.files import open_body
from aios_core.config import CaptureConfig
from aios_core.media import open_footage
from aios_core.model.predictions import Predictions
from aios_core.model.preprocess import pad_batch, preprocess, preprocess_batch
from aios_core.pipeline import capture
from aios_core.pipeline.network import Network, load_network
from aios_core.pipeline.people import people_from_predictions, without_duplicates
from benchmarks.clips import PLAZA, write_clip
from benchmarks.tables import column, parser, show

SECONDS, FPS, SIZE = 30, 30, (1280, 720)
CONFIG = CaptureConfig(threshold=0.1, max_people=4)


@dataclass(frozen=True)
class Row:
    """How fast one way through the clip is."""

    what: str = column("30 seconds of 1280x720, preset `open`")
    rate: float = column("frames a second", ".1f")
    share: float | None = column("of the network alone", ".0%")


class NoTime(nn.Module):
    """A network that has its answer ready."""

    def __init__(self, network: Network, images: torch.Tensor):
        super().__init__()
        self.config = network.config
        self.answer: Predictions = network.model(images, torch.zeros_like(images[:, 0], dtype=torch.bool))

    def forward(self, images: torch.Tensor, padding_mask: torch.Tensor) -> Predictions:
        """The answer to other pictures."""
        return self.answer


def network_seconds(network: Network, images: torch.Tensor, batches: int) -> float:
    """Seconds of so many forward passes."""
    padding = torch.zeros_like(images[:, 0], dtype=torch.bool)
    begun = time.perf_counter()
    for _ in range(batches):
        network.model(images, padding)
    return time.perf_counter() - begun


def capture_seconds(path: Path, network: Network) -> tuple[float, float]:
    """Seconds until everything was looked at, and of the whole capture, network and body loaded before."""
    finished = []
    with patch.object(capture, "load_network", lambda *_: network):
        begun = time.perf_counter()
        capture.estimate(path, CONFIG, on_progress=lambda _: finished.append(time.perf_counter()))
        return finished[-1] - begun, time.perf_counter() - begun


def plain_seconds(path: Path, network: Network, count: int) -> float:
    """Seconds of `count` frames one after the other in one thread: decode, shrink, look, read."""
    begun = time.perf_counter()
    frames = islice(open_footage(path).frames(ahead=1), count)
    while batch := list(islice(frames, CONFIG.batch)):
        found = network.model(*pad_batch([preprocess(frame.rgb, network.config) for frame in batch])).final
        for i in range(len(batch)):
            without_duplicates(people_from_predictions(found, i, *SIZE, network.hand_means, 0.05), 0.4)
    return time.perf_counter() - begun


@torch.inference_mode()
def measure() -> list[Row]:
    """All rows; the network alone is measured before and after the others."""
    network = load_network(CONFIG, open_body())
    with tempfile.TemporaryDirectory() as folder:
        path, count = Path(folder) / "clip.mp4", SECONDS * FPS
        write_clip(path, PLAZA, SECONDS, FPS, SIZE)
        footage = open_footage(path)
        frames = list(islice(footage.frames(network.picture_size(footage)), CONFIG.batch))
        pixels = torch.from_numpy(np.stack([frame.rgb for frame in frames]))
        images = preprocess_batch(pixels, network.picture_size(footage))
        network_seconds(network, images, 5)
        batches = count // CONFIG.batch // 2
        alone = network_seconds(network, images, batches)
        looked, captured = capture_seconds(path, network)
        alone += network_seconds(network, images, batches)
        plain = plain_seconds(path, network, count // 4) * 4
        ready, _ = capture_seconds(path, replace(network, model=NoTime(network, images)))
    alone *= count / (2 * batches * CONFIG.batch)
    return [
        Row("the network alone", count / alone, None),
        Row("from footage to people on disk", count / looked, alone / looked),
        Row("the whole capture, tracked and refined", count / captured, alone / captured),
        Row("decode, shrink, look and read one after the other", count / plain, alone / plain),
        Row("from footage to people on disk, by a network that takes no time", count / ready, None),
    ]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    show("line", measure(), options.write)


if __name__ == "__main__":
    main()
