"""The state of a run on disk: everything a resumed run needs to go on exactly as if it had not stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from aios_core.errors import CheckpointError


@dataclass
class RunState:
    """What changes during a run."""

    model: nn.Module
    ema: nn.Module
    heatmap: nn.Module
    optimizer: Optimizer
    rng: np.random.Generator
    torch_rng: torch.Generator
    step: int = 0
    seconds: float = 0.0


def save_state(state: RunState, path: Path) -> None:
    """Write the state to `path`, whole or not at all."""
    temporary = path.with_suffix(".partial")
    torch.save(
        {
            "model": state.model.state_dict(), "ema": state.ema.state_dict(), "heatmap": state.heatmap.state_dict(),
            "optimizer": state.optimizer.state_dict(), "rng": state.rng.bit_generator.state,
            "torch_rng": state.torch_rng.get_state(), "step": state.step, "seconds": state.seconds,
        },
        temporary,
    )  # fmt: skip
    temporary.replace(path)


def load_state(state: RunState, path: Path) -> None:
    """Continue from `path`.

    Raises:
        CheckpointError: the file is not a run's state.
    """
    try:
        saved = torch.load(path, weights_only=True)
        for name in ("model", "ema", "heatmap", "optimizer"):
            getattr(state, name).load_state_dict(saved[name])
        state.rng.bit_generator.state = saved["rng"]
        state.torch_rng.set_state(saved["torch_rng"])
        state.step, state.seconds = saved["step"], saved["seconds"]
    except (KeyError, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} is not the state of a run with these settings: {error}.") from error


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's; early steps count more."""
    decay = min(decay, (step + 1) / (step + 30))
    for average, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)
