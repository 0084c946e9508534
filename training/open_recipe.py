"""The recipe of the shipped weights: synthetic people, every copy a whole person, dense help for the encoder."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset, get_worker_info

from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.config import ModelConfig
from aios_core.model.aios import AiOS
from aios_core.model.denoising import DenoisingQueries
from aios_core.model.preprocess import normalised
from training.config import TrainConfig, at_progress
from training.data.sample import MAX_PEOPLE, Sample, Shard, list_shards, read_shard
from training.denoising import noised_copies
from training.dense import HeatmapHead, encoder_loss, heatmap_loss, side_loss
from training.losses import decoder_losses
from training.recipe import Randomness, Recipe, in_each_tensor, loader
from training.targets import Targets, batch, first_people, undrawn_batch
from training.views import Undrawn, drawn_where_they_are

NARROWEST_MATRIX = 16
"""Rows and columns of a matrix that Muon trains."""


@dataclass(frozen=True)
class OpenBatch:
    """Pictures with their people and noised copies of them."""

    images: Tensor | Undrawn
    """(B, H, W, 3) uint8"""
    targets: Targets
    copies: DenoisingQueries | None
    """None = backbone and encoder learn alone."""

    def __len__(self) -> int:
        return len(self.targets.valid)

    def pin_memory(self) -> OpenBatch:
        """The same in memory that a GPU reads by itself."""
        return in_each_tensor(self, Tensor.pin_memory)


class OpenRecipe(Recipe):
    """Trains on a folder of shards, which may still be growing."""

    betas = (0.9, 0.98)

    def __init__(self, config: TrainConfig, model_config: ModelConfig, data: Path):
        super().__init__()
        torch.manual_seed(config.seed)  # of the weights, which torch draws from its one generator
        self.config, self.data = config, data
        self.network = AiOS(model_config).to(memory_format=torch.channels_last)
        self.network.decoder.people = min(config.kept_people, model_config.people)
        self.heatmap = HeatmapHead(model_config.hidden_dim)
        self.body = TorchBody(open_body())
        self.samples: Iterator[Sample] | None = None
        self.loader: Iterator[OpenBatch] | None = None
        self.progress = torch.zeros((), dtype=torch.float64).share_memory_()  # loaders read it

    def draw(self, step: int, randomness: Randomness, progress: float = 0.0) -> OpenBatch:
        if self.config.loader_workers:
            self.progress.fill_(progress)
            if self.loader is None:
                self.loader = self._load(step, randomness)
            return next(self.loader)
        if self.samples is None:
            self.samples = shuffled_samples(self.data, randomness.numpy)
        return draw_batch(step, progress, self.config, self.network.config, self.samples, randomness)

    def _load(self, step: int, randomness: Randomness) -> Iterator[OpenBatch]:
        """Batches from a step on, which other processes prepare."""
        seeds = randomness.numpy.integers(2**63, size=self.config.loader_workers).tolist()
        batches = Batches(self.config, self.network.config, self.data, step, seeds, self.progress)
        on_gpu = next(self.network.parameters()).is_cuda
        return iter(loader(batches, len(seeds), batch_size=None, pin_memory=on_gpu))

    def forward(self, batch: OpenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        config, weights, targets = self.config, self.config.weights, batch.targets
        pictures = batch.images
        images = normalised(drawn_where_they_are(pictures) if isinstance(pictures, Undrawn) else pictures)
        size = torch.tensor(images.shape[:1:-1], dtype=torch.float32, device=images.device)
        mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
        predictions, device = None, images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.bfloat16):
            memory, levels = self.network.encode(images, mask)
        # On a GPU the decoder's products are so small that half precision costs more calls than it saves time.
        with torch.autocast(device, torch.bfloat16, enabled=config.bfloat16 and device == "cpu"):
            if batch.copies is None:
                encoder = self.network.proposals(memory, levels, all_tokens=True).encoder
            else:
                predictions = self.network.decode(memory, levels, batch.copies, all_layers=True)
                encoder = predictions.encoder
            heatmaps = self.heatmap(encoder)
        dense = weights.encoder * encoder_loss(encoder, targets, weights, config.tokens_per_person)
        heat = weights.heatmap * heatmap_loss(heatmaps.float(), targets)
        side = weights.side * side_loss(heatmaps.float(), targets)
        total, terms = dense + heat + side, {"encoder": dense.detach(), "heatmap": heat.detach(), "side": side.detach()}
        if predictions is None:
            return total, terms
        focal_px = self.network.config.camera_focal_px
        found = decoder_losses(predictions.layers, targets, self.body, weights, focal_px, size)
        nearest = first_people(targets, config.denoised_people)
        copied = decoder_losses(
            predictions.denoising, nearest, self.body, weights, focal_px, size, config.denoising_groups
        )
        terms |= found.terms | {f"copies_{k}": v for k, v in copied.terms.items() if k in ("box", "keypoints")}
        return total + found.total + weights.denoising * copied.total, terms

    def base_rate(self, name: str, parameter: nn.Parameter) -> float:
        """One rate for the matrices that Muon trains, one for what is left of the trunk and one for the rest; offsets
        at three tenths."""
        if self.uses_muon(name, parameter):
            return self.config.matrix_rate
        rate = self.config.trunk_rate if name.startswith(("backbone", "heatmap")) else self.config.transformer_rate
        return rate * 0.3 if "sampling_offsets" in name else rate

    def uses_muon(self, name: str, parameter: nn.Parameter) -> bool:
        """The matrices and filters inside the network: not what enters or leaves it, nor the widest heads, for which
        Muon takes too long."""
        if parameter.ndim < 2 or min(parameter.flatten(1).shape) < NARROWEST_MATRIX:
            return False
        return not any(part in name for part in ("smpl_", "tables", "label_enc", "query_content", "sampling_offsets"))

    def weight_decay(self, parameter: nn.Parameter) -> float:
        """None on vectors."""
        return self.config.weight_decay if parameter.ndim > 1 else 0.0

    def rate(self, step: int, progress: float) -> float:
        """Linear warm-up, constant, then a cosine to 2 %."""
        warm = min(1.0, (step + 1) / self.config.warmup_steps)
        late = max(0.0, progress - self.config.decay_from) / max(1 - self.config.decay_from, 1e-9)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, late))))


def draw_batch(
    step: int, progress: float, config: TrainConfig, model: ModelConfig, samples: Iterator[Sample],
    randomness: Randomness,
) -> OpenBatch:  # fmt: skip
    """A batch of a step, drawn when so much of the run has passed."""
    config = at_progress(config, progress)
    pictures = [_picture(config, samples, randomness.numpy) for _ in range(config.batch)]
    prepare = undrawn_batch if config.draw_on_device else batch
    images, targets = prepare(pictures, config, model.at_scale(drawn_scale(config, step)), randomness.numpy)
    targets = first_people(targets, MAX_PEOPLE)
    if step < config.dense_steps:
        return OpenBatch(images, targets, None)
    nearest = first_people(targets, config.denoised_people)
    noise = config.box_noise, config.keypoint_noise
    copies = noised_copies(nearest, config.denoising_groups, *noise, randomness.torch)
    return OpenBatch(images, targets, copies)


def _picture(config: TrainConfig, samples: Iterator[Sample], rng: np.random.Generator) -> tuple[Sample, ...]:
    """The samples that share the next picture: one, or two side by side, of which the network learns more."""
    count = 2 if rng.random() < config.paired_share else 1
    return tuple(next(samples) for _ in range(count))


class Batches(IterableDataset):
    """A run's batches from a first step on; of as many processes as there are seeds, each draws some, in turn.

    progress: in memory that all of them see, how much of the run has passed.
    """

    def __init__(
        self, config: TrainConfig, model: ModelConfig, data: Path, first_step: int, seeds: list[int], progress: Tensor
    ):
        self.config, self.model, self.data, self.first_step, self.seeds = config, model, data, first_step, seeds
        self.progress = progress

    def __iter__(self) -> Iterator[OpenBatch]:
        worker = get_worker_info()
        seed = self.seeds[worker.id]
        randomness = Randomness(np.random.default_rng(seed), torch.Generator().manual_seed(seed))
        samples = shuffled_samples(self.data, randomness.numpy)
        for number in itertools.count(worker.id, worker.num_workers):
            step = self.first_step + number // self.config.accumulate
            yield draw_batch(step, float(self.progress), self.config, self.model, samples, randomness)


def drawn_scale(config: TrainConfig, step: int) -> float:
    """How large the pictures of a step are shown: the same in all processes, so that none waits for another."""
    return float(np.random.default_rng((config.seed, step)).uniform(*config.scales))


def shuffled_samples(folder: Path, rng: np.random.Generator) -> Iterator[Sample]:
    """Samples for ever, drawn from all shards there are; new shards join as they appear."""
    shards: dict[int, Shard] = {}
    while True:
        for number in list_shards(folder):
            if number not in shards:
                shards[number] = read_shard(folder, number)
        if not shards:
            time.sleep(2)
            continue
        for _ in range(1000):
            shard = shards[int(rng.choice(list(shards)))]
            yield shard.sample(int(rng.integers(len(shard))))
