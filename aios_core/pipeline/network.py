"""The network ready to look at frames: weights, device, and what is needed to read its predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from aios_core.body.body_model import BodyModel
from aios_core.config import AIOS, CaptureConfig, ModelConfig
from aios_core.errors import AiosError, CheckpointError
from aios_core.media import Footage, Frame
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import load_checkpoint, model_of, weights_path
from aios_core.model.cuda_graph import Replayer
from aios_core.model.device import sent
from aios_core.model.framing import Framing, framing
from aios_core.model.predictions import LayerPredictions, copied_to_cpu
from aios_core.model.preprocess import preprocess_batch
from aios_core.pipeline.colours import with_colours
from aios_core.pipeline.mirror import seen_twice
from aios_core.pipeline.people import DEFAULT_THRESHOLD, FramePeople, people_from_predictions, without_duplicates

LEAST_SCALE, MOST_SCALE = 0.25, 4.0
"""Factors on the size of the training's pictures."""
FAST_SCALE = 0.7
"""Further factor of fast captures by networks that know pictures of several sizes: half the pixels."""
PIXELS_AT_ONCE = {"cpu": 1_100_000, "cuda": 17_600_000, "mps": 4_400_000}
"""Of a batch: enough to keep the device busy, not so much memory that it is felt. Measured on CPUs and on an H200, in
bfloat16: preset `aios` at 800x1333 takes 8.20 ms a frame alone, 5.01 of 4, 4.47 of 8 and 4.19 of 16 at once, preset
`open` at 552x920 4.26 alone, 0.93 of 8, 0.70 of 16 and 0.58 of 32. Apple's GPUs have not been measured."""
MOST_FRAMES_AT_ONCE = 16
PRECISIONS = ("float32", "bfloat16", "float16")
HOPELESS_SHARE = 0.3
"""In fast captures, queries that score less than this share of the threshold after the box stage are dropped: of the
open weights' people none that reaches the threshold in the end, of those that reach half of it 1.4 %."""
THOROUGH_SHARE = 0.92
"""In thorough captures scores are means of two, which reach less than one does: so much of the weights' threshold finds
as many people with the open weights."""


@dataclass(frozen=True)
class Network:
    """A model with its weights on a device."""

    model: AiOS
    device: torch.device
    hand_means: tuple[np.ndarray, np.ndarray] | None
    """(15, 3) each: what predicted hands are relative to, or None where they are absolute."""
    threshold: float
    least_score: float = 0.0
    """Queries with lower scores after the box stage are dropped (see `AiOS.forward`)."""
    precision: torch.dtype = torch.float32
    """Of matrix products."""
    thorough: bool = False
    """Look at the mirror image of every picture as well."""
    replayer: Replayer = field(default_factory=Replayer, repr=False, compare=False)
    """Of forward passes on CUDA."""

    @property
    def config(self) -> ModelConfig:
        """The model's sizes."""
        return self.model.config

    def framing(self, footage: Footage) -> Framing:
        """How frames of the footage lie in what the model looks at."""
        return framing(footage.width, footage.height, self.config)

    def frames_at_once(self, size: tuple[int, int]) -> int:
        """How many pictures of (width, height) `size` make a good batch: small ones are worth more of them."""
        pixels = PIXELS_AT_ONCE.get(self.device.type, PIXELS_AT_ONCE["cpu"])
        looks = 2 if self.thorough else 1
        return min(max(pixels // (size[0] * size[1] * looks), 1), MOST_FRAMES_AT_ONCE)

    def takes_all_cores(self) -> bool:
        """Whether whatever else the process does takes from what the network computes with."""
        return self.device.type == "cpu" and torch.get_num_threads() >= (os.cpu_count() or 1)


@dataclass(frozen=True)
class NetworkFacts:
    """What the rest of a capture needs to know of the network that looked."""

    threshold: float
    config: ModelConfig


def load_network(config: CaptureConfig, body: BodyModel) -> Network:
    """The network that `config` asks for.

    Raises:
        CheckpointError: the weights are missing or do not fit.
        AiosError: there is no such device or precision, or the scale is out of all reason.
    """
    if not LEAST_SCALE <= config.scale <= MOST_SCALE:
        raise AiosError(f"--scale {config.scale:g}: give a factor from {LEAST_SCALE} to {MOST_SCALE}.")
    if config.precision not in PRECISIONS:
        raise AiosError(f"The precision is one of {', '.join(PRECISIONS)}, not {config.precision}.")
    checkpoint = load_checkpoint(weights_path(config.weights))
    trained = checkpoint.config or AIOS
    model = model_of(checkpoint, trained.at_scale(config.scale * (FAST_SCALE if config.fast else 1)))
    device = choose_device(config.device)
    means = None
    if model.config.hands_relative_to_mean:
        means = _hand_means(checkpoint.pose_mean, body)
    stated = (checkpoint.metadata or {}).get("score_threshold")
    threshold = float(stated or DEFAULT_THRESHOLD) * (THOROUGH_SHARE if config.thorough else 1)
    threshold = threshold if config.threshold is None else config.threshold
    precision = getattr(torch, config.precision)
    model = model.for_inference(precision).to(device, memory_format=torch.channels_last)
    least_score = HOPELESS_SHARE * threshold if config.fast else 0.0
    return Network(model, device, means, threshold, least_score, precision, config.thorough)


def choose_device(name: str | None) -> torch.device:
    """The named device, or the best there is: CUDA, Apple's GPU, CPU."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AiosError(f"The device {name} cannot be used here; try --device cpu.") from error
    return device


def _hand_means(pose_mean: torch.Tensor | None, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    if pose_mean is not None:
        mean = pose_mean.float().reshape(55, 3).numpy()
        return mean[25:40], mean[40:55]
    if body.family == "smplx":
        return body.hands_mean_left, body.hands_mean_right
    raise CheckpointError(
        "These weights predict hands relative to SMPL-X's mean hand, which they do not hold: "
        "give your SMPL-X file with --body."
    )


@dataclass(frozen=True)
class Looking:
    """A batch that the device may still be at work on."""

    predictions: LayerPredictions
    """In the CPU's memory, once `ready`."""
    ready: torch.cuda.Event | None = None
    """None = they are there."""


@torch.inference_mode()
def start_looking(network: Network, frames: Sequence[Frame], placed: Framing) -> Looking:
    """Let the network look at frames of one size, in this framing; on a GPU this returns at once."""
    pixels = torch.from_numpy(np.stack([frame.rgb for frame in frames]))
    if network.thorough:
        pixels = torch.cat([pixels, pixels.flip(2)])  # all mirror images behind all pictures
    on_gpu = network.device.type == "cuda"
    with torch.cuda.device(network.device) if on_gpu else nullcontext():
        predictions = copied_to_cpu(look(network, preprocess_batch(sent(pixels, network.device), placed)))
        return Looking(predictions, torch.cuda.current_stream().record_event() if on_gpu else None)


def look(network: Network, images: Tensor) -> LayerPredictions:
    """The model's predictions for pictures (B, 3, H, W) as it wants them, on its device.

    On CUDA they last until the next call. Counting people, as fast captures do, cannot be recorded.
    """

    def forward(images: Tensor) -> LayerPredictions:
        padding = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool, device=images.device)
        halved = network.precision != torch.float32
        with torch.autocast(network.device.type, network.precision if halved else None, enabled=halved):
            return network.model(images, padding, least_score=network.least_score).final

    if images.is_cuda and not network.least_score:
        return network.replayer.look(forward, images)
    return forward(images)


def people_in(
    frames: Sequence[Frame], looking: Looking, network: Network, placed: Framing, config: CaptureConfig,
    threshold: float,
) -> list[FramePeople]:  # fmt: skip
    """The people of each frame whose score reaches the threshold, best scores first, without duplicates."""
    if looking.ready is not None:
        looking.ready.synchronize()
    framings = [placed] * len(looking.predictions.logits)
    least = threshold / 2 if network.thorough else threshold  # the mean of two answers is to reach it
    found = people_from_predictions(looking.predictions, framings, network.hand_means, least)
    if network.thorough:
        answers = zip(found[: len(frames)], found[len(frames) :], strict=True)
        found = [seen_twice(*pair, placed.picture[0], config.duplicate_overlap) for pair in answers]
        found = [people.select(people.scores >= threshold) for people in found]
    return [
        with_colours(
            without_duplicates(people, config.duplicate_overlap).select(slice(config.max_people or None)),
            frame.rgb, placed.picture[0],
        )
        for frame, people in zip(frames, found, strict=True)
    ]  # fmt: skip
