"""What a recipe is to the training loop: it draws batches and says what is wrong with the network's answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sized
from dataclasses import dataclass, fields, is_dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from aios_core.model.aios import AiOS
from training.config import RunConfig
from training.muon import MuonAdamW


@dataclass(frozen=True)
class Randomness:
    """The two random states of one process, which a resumed run continues."""

    numpy: np.random.Generator
    torch: torch.Generator


class Recipe(nn.Module, ABC):
    """The network, whatever else is trained with it, its data and its losses.

    A batch is a frozen dataclass of tensors, made by `draw` on the CPU; its length is its number of pictures.
    `forward` is a function of the batch alone. The gradient of a step is the mean of those of its batches on all
    devices.
    """

    config: RunConfig
    network: AiOS

    @abstractmethod
    def draw(self, step: int, randomness: Randomness, progress: float = 0.0) -> Sized:
        """This process's next batch of a step, which has `config.accumulate` of them. Steps come in order, from any
        first one; progress is the share of the run that has passed."""

    def told_of_each_other(self, batches: list) -> list:
        """The batches of a step, on their device, with what each needs to know of the others, other processes' too."""
        return batches

    @abstractmethod
    def forward(self, batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms as they are to be logged, detached."""

    @abstractmethod
    def base_rate(self, name: str, parameter: nn.Parameter) -> float:
        """Learning rate of a parameter, before any schedule."""

    @abstractmethod
    def weight_decay(self, parameter: nn.Parameter) -> float:
        """Weight decay of a parameter."""

    @abstractmethod
    def rate(self, step: int, progress: float) -> float:
        """Factor on all learning rates at a step; progress is the share of the run that has passed."""

    def is_finished(self, step: int) -> bool:
        """Whether the recipe itself ends before this step."""
        return False

    def uses_muon(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether Muon trains a parameter, and not AdamW."""
        return False

    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""

    def optimizer(self) -> MuonAdamW:
        """AdamW, or Muon where the recipe says so, over all trained parameters, in groups of one rate and decay."""
        groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                name = name.removeprefix("network.")
                rate = self.base_rate(name, parameter) * rate_factor(name, self.config.rate_factors)
                key = rate, self.weight_decay(parameter), self.uses_muon(name, parameter)
                groups.setdefault(key, []).append(parameter)
        return MuonAdamW(
            [
                {"params": parameters, "lr": rate, "base": rate, "weight_decay": decay, "muon": muon}
                for (rate, decay, muon), parameters in groups.items()
            ],
            bfloat16=self.config.bfloat16,
            betas=self.betas,
        )


def rate_factor(name: str, factors: tuple[tuple[str, float], ...]) -> float:
    """The factor of the longest beginning of the name; 1 if there is none."""
    fitting = [(len(beginning), factor) for beginning, factor in factors if name.startswith(beginning)]
    return max(fitting)[1] if fitting else 1.0


def loader(pictures: Dataset, workers: int, **options) -> DataLoader:
    """torch's, with so many processes of one thread each: there is one for every core as it is."""
    if workers:
        # OpenCV's threads do not survive a fork, and a worker that then ends them would wait for ever.
        cv2.setNumThreads(1)
    return DataLoader(pictures, num_workers=workers, worker_init_fn=_use_one_thread, **options)


def _use_one_thread(_worker: int) -> None:
    cv2.setNumThreads(1)


def to_device(value, device: torch.device):
    """A tensor, or a dataclass and all tensors in it, on a device."""
    return in_each_tensor(value, lambda tensor: tensor.to(device, non_blocking=True))


def in_each_tensor(value, change: Callable[[Tensor], Tensor]):
    """A tensor changed, or a dataclass with all tensors in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value):
        return replace(
            value, **{field.name: in_each_tensor(getattr(value, field.name), change) for field in fields(value)}
        )
    return value
