"""Networks that see pictures of every size and shape in one measure: pixels.

What a network reads off its features is in pixels: how tall somebody is, how far off an elbow lies. Where it is told
places and sizes as shares of the picture, and answers in such, the same features mean other numbers in every picture.
A network with a canvas of its own (`ModelConfig.canvas`) is told them, and answers, in shares of that one. Moves are
steps of logits, and a small step at x moves x by x (1 - x) times as much: where the picture is s times as wide as the
canvas, steps are s times smaller. The encoder's boxes are anchors times a factor; anchors are shares of the picture
too, so factors are s times smaller. All later sizes are factors on those. Where a box is about as large as the picture,
logits are no logarithms, and this is not exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aios_core.config import ModelConfig
from aios_core.model.position import valid_extent


@dataclass(frozen=True)
class Canvas:
    """How large the pictures of a batch are."""

    size: Tensor
    """(B, 2) unpadded width and height in pixels, float32;"""
    shares: Tensor
    """(B, 2) the same in those of the network's own canvas; 1 where it has none."""


def canvas_of(padding_mask: Tensor, config: ModelConfig) -> Canvas:
    """The Canvas of pictures with padding_mask (B, H, W)."""
    size = valid_extent(padding_mask)
    if config.canvas is None:
        return Canvas(size, torch.ones_like(size))
    width, height = config.canvas
    return Canvas(size, torch.stack((size[:, 0] / width, size[:, 1] / height), dim=-1))
