"""Noised copies of the truth as denoising queries: boxes and joints (paper section 3.5)."""

from __future__ import annotations

import torch

from aios_core.model.denoising import DenoisingQueries
from training.targets import Targets

COPY_LABEL = 1


def noised_copies(
    targets: Targets, groups: int, box_noise: float, keypoint_noise: float, generator: torch.Generator
) -> DenoisingQueries:
    """`groups` copies of every person; padding people get random boxes and are left out of the losses.

    Centres move by up to box_noise of the box, sides change by up to a factor of about 1.5; joints get Gaussian noise
    of keypoint_noise box sides.
    """

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    batch, people = targets.valid.shape
    count = groups * people
    boxes = targets.boxes.repeat(1, groups, 1)
    centres = boxes[..., :2] + (uniform(batch, count, 2) * 2 - 1) * box_noise * boxes[..., 2:]
    sides = boxes[..., 2:] * (0.65 + 0.8 * uniform(batch, count, 2))
    noised = torch.cat([centres, sides], -1)
    anywhere = torch.cat([uniform(batch, count, 2), 0.1 + 0.4 * uniform(batch, count, 2)], -1)
    valid = targets.valid.repeat(1, groups)[..., None]
    noised = torch.where(valid, noised, anywhere).clamp(0.01, 0.99)
    keypoints = targets.keypoints.repeat(1, groups, 1, 1)
    jitter = torch.randn(batch, count, 17, 2, generator=generator) * keypoint_noise * boxes[:, :, None, 2:]
    keypoints = torch.where(valid[..., None], keypoints + jitter, anywhere[:, :, None, :2]).clamp(0.01, 0.99)
    return DenoisingQueries(
        labels=torch.full((batch, count), COPY_LABEL),
        boxes=noised,
        group=torch.arange(groups).repeat_interleave(people),
        keypoints=keypoints,
    )
