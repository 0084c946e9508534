"""The published recipe as the training loop runs it (paper sections 3.5 and 4; SPEC section 13)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from aios_core.body.body_model import BodyModel
from aios_core.config import ModelConfig
from aios_core.errors import DataSetError
from aios_core.model.aios import AiOS
from aios_core.model.denoising import DenoisingQueries
from aios_core.model.parts import PARTS
from aios_core.model.preprocess import pad_batch
from training.paper.config import PaperConfig
from training.paper.criterion import in_float32, total_loss
from training.paper.denoising import noised_copies
from training.paper.joints import PredictedJoints
from training.paper.normalisers import normalisers
from training.paper.targets import BatchTargets, PictureTargets, join
from training.recipe import Randomness, Recipe, loader

Picture = tuple[Tensor, PictureTargets]
ENDLESS = 2**60
SPARES, FAR = 3, 2**40
"""Where a picture cannot be read: how many others are tried, and how far their numbers are from its own."""


class Pictures(Protocol):
    """Training pictures: `training.data.humandata.mixture.Mixture`, or anything like it."""

    def __len__(self) -> int:
        """Pictures of an epoch on one device."""

    def sample(self, index: int) -> Picture:
        """The index-th picture of this device (3, h, w), normalised, always the same."""


class _Numbered(Dataset):
    """Pictures by number, as torch's loader wants them.

    A picture that cannot be read is told of, and another takes its place: a long run does not end at a damaged file.
    Where the others cannot be read either, the error comes instead; a loader would wrap it if it were raised.
    """

    def __init__(self, pictures: Pictures):
        self.pictures = pictures

    def __getitem__(self, index: int) -> Picture | DataSetError:
        for spare in range(SPARES + 1):
            try:
                return self.pictures.sample(index + spare * FAR)
            except DataSetError as error:
                found = error
                print(f"training: {error} Another picture takes its place.", file=sys.stderr)
        return found


@dataclass(frozen=True)
class PaperBatch:
    """Pictures (B, 3, H, W), where they are padding (B, H, W), their people and copies, and the copies' clean boxes."""

    images: Tensor
    padding_mask: Tensor
    targets: BatchTargets
    copies: DenoisingQueries
    clean_boxes: Tensor
    divisors: dict[str, Tensor] | None = None
    """What terms are divided by, which depends on the other batches of a step."""

    def __len__(self) -> int:
        return len(self.images)


class PaperRecipe(Recipe):
    """Trains on pictures with HumanData annotations. The stem's convolution and all batch norms are frozen."""

    def __init__(self, config: PaperConfig, model_config: ModelConfig, pictures: Pictures, body: BodyModel):
        super().__init__()
        torch.manual_seed(config.seed)  # of the weights, which torch draws from its one generator
        self.config, self.pictures = config, pictures
        self.network = initialised(AiOS(model_config))
        self.network.backbone.conv1.requires_grad_(False)
        self.joints = PredictedJoints(body, model_config.hands_relative_to_mean)
        self.loader: Iterator[list[Picture | DataSetError]] | None = None

    def draw(self, step: int, randomness: Randomness, progress: float = 0.0) -> PaperBatch:
        if self.loader is None:
            self.loader = self._load(step * self.pictures_of_a_step)
        pictures = next(self.loader)
        for picture in pictures:
            if isinstance(picture, DataSetError):
                raise picture
        images, targets = zip(*pictures, strict=True)
        copies, clean_boxes = noised_copies(targets, self.config, randomness.torch)
        return PaperBatch(*pad_batch(images), join(targets), copies, clean_boxes)

    def told_of_each_other(self, batches: list[PaperBatch]) -> list[PaperBatch]:
        """With counts of everybody."""
        divisors = normalisers([batch.targets for batch in batches], self.config)
        return [replace(batch, divisors=own) for batch, own in zip(batches, divisors, strict=True)]

    @property
    def pictures_of_a_step(self) -> int:
        """On this device."""
        return self.config.batch * self.config.accumulate

    def _load(self, start: int) -> Iterator[list[Picture | DataSetError]]:
        """Batches from the picture with number `start` on."""
        return iter(
            loader(
                _Numbered(self.pictures), self.config.loader_workers, batch_size=self.config.batch,
                sampler=range(start, ENDLESS), collate_fn=list,
            )
        )  # fmt: skip

    def forward(self, batch: PaperBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            predictions = self.network(batch.images, batch.padding_mask, denoising=batch.copies, all_layers=True)
        losses = total_loss(
            in_float32(predictions), batch.targets, batch.divisors, batch.clean_boxes, self.config, self.joints,
            self.network.config.camera_focal_px,
        )  # fmt: skip
        return losses.total, losses.terms

    def base_rate(self, name: str, parameter: nn.Parameter) -> float:
        return self.config.backbone_rate if name.startswith("backbone") else self.config.rate

    def weight_decay(self, parameter: nn.Parameter) -> float:
        return self.config.weight_decay

    def rate(self, step: int, progress: float) -> float:
        """A step down after each milestone."""
        epoch = step * self.pictures_of_a_step // max(len(self.pictures), 1)
        return self.config.milestone_factor ** sum(epoch >= milestone for milestone in self.config.milestones)

    def is_finished(self, step: int) -> bool:
        return step * self.pictures_of_a_step >= self.config.epochs * len(self.pictures)


def initialised(network: AiOS) -> AiOS:
    """The network as published before training (SPEC section 13.1).

    It is made that way but for the heads that change the sizes of points, which the published program leaves random.
    """
    for part in PARTS:
        nn.init.xavier_uniform_(getattr(network.heads, part.point_size_embed).layers[-1].weight)
    return network
