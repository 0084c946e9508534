"""What a network makes of pictures of another size than those it began to learn on.

What it reads off its features is in pixels: how tall somebody is, how far off an elbow lies. Its heads say it in shares
of one canvas, `ModelConfig.heads_canvas`, and on another the same features mean other shares. Moves are steps of
logits, and a small step at x moves x by x (1 - x) times as much: where the canvas is s times as wide, steps are s times
smaller. The encoder's boxes are anchors times a factor; anchors are shares of the picture too, so factors are s times
smaller. All later sizes are factors on those. Where a box is about as large as the picture, logits are no logarithms,
and this is not exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aios_core.config import ModelConfig


def step_factors(picture_size: Tensor, config: ModelConfig) -> Tensor:
    """(B, 1, 1, 2) what steps to the right and down are multiplied by in pictures (B, 2) of this width and height."""
    if config.heads_canvas is None:
        return torch.ones_like(picture_size)[:, None, None]
    width, height = config.heads_canvas
    return torch.stack((width / picture_size[:, 0], height / picture_size[:, 1]), dim=-1)[:, None, None]
