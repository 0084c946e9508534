"""A network small enough for tests, with weights that make every head say something."""

from __future__ import annotations

import torch

from aios_core.config import BackboneConfig, ModelConfig, replace
from aios_core.model.aios import AiOS
from aios_core.model.denoising import DenoisingQueries

TOY = ModelConfig(
    backbone=BackboneConfig(block="basic", depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), stem_width=8, frozen_norm=False),
    hidden_dim=64, heads=4, sampling_points=2, feedforward_dim=48, encoder_layers=1, queries=12, people=5, mlp_dim=16,
    short_side=64, long_side=96,
)  # fmt: skip


def toy_model(seed: int = 0, **changes) -> AiOS:
    """A toy network in eval mode whose every parameter is random, with fields of TOY changed."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = AiOS(replace(TOY, **changes)).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def pictures(batch: int = 2, height: int = 64, width: int = 96, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random normalised pictures (B, 3, H, W) and a mask without padding."""
    images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return images, torch.zeros(batch, height, width, dtype=torch.bool)


def copies(batch: int = 2, people: int = 3, groups: int = 2, with_keypoints: bool = True) -> DenoisingQueries:
    """Random denoising queries: `groups` copies of `people`."""
    generator = torch.Generator().manual_seed(1)
    count = people * groups
    return DenoisingQueries(
        labels=torch.randint(0, 100, (batch, count), generator=generator),
        boxes=torch.rand(batch, count, 4, generator=generator) * 0.5 + 0.2,
        group=torch.arange(count) // people,
        keypoints=torch.rand(batch, count, 17, 2, generator=generator) if with_keypoints else None,
    )
