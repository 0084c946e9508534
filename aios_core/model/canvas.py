"""A network's weights for a canvas of another size, on which the same pixels are another share of the picture.

What a network reads off its features is in pixels: how tall somebody is, how far off an elbow lies. Its heads say it in
shares of the picture, so that on another canvas the same features mean other numbers. Moves are steps of logits, and a
small step at x moves x by x (1 - x) times as much: where the canvas is s times as wide, steps are s times smaller. The
encoder's boxes are anchors times a factor; anchors are shares of the picture too, so factors are s times smaller. All
later sizes are factors on those. Where a box is about as large as the picture, logits are no logarithms, and this is
not exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from aios_core.config import ModelConfig
from aios_core.model.checkpoint import Checkpoint
from aios_core.model.parts import PARTS

ENCODER_HEAD = "enc_out_bbox_embed"
HEADS = {ENCODER_HEAD, *(part.box_embed for part in PARTS), *(part.point_embed for part in PARTS)}
LAST_LAYER = re.compile(rf"(?:^|\.)({'|'.join(sorted(HEADS))})\.(?:\d+\.)?layers\.2\.(weight|bias)$")
"""Of the names of tensors, in a model or a file."""


def for_canvas(tensors: Mapping[str, Tensor], trained: tuple[int, int], canvas: tuple[int, int]) -> dict[str, Tensor]:
    """A network's tensors by name for another canvas than the one it was trained on, (width, height) in pixels.

    What stays the same is not copied.
    """
    factor = torch.tensor(canvas, dtype=torch.float64) / torch.tensor(trained, dtype=torch.float64)
    return {name: _for_canvas(name, tensor, factor) for name, tensor in tensors.items()}


def _for_canvas(name: str, tensor: Tensor, factor: Tensor) -> Tensor:
    found = LAST_LAYER.search(name)
    if found is None or (factor == 1).all():
        return tensor
    rows = tensor.to(torch.promote_types(tensor.dtype, torch.float32), copy=True)
    factor = factor.to(rows)
    rows[:2] /= factor if found[2] == "bias" else factor[:, None]
    if found[1] == ENCODER_HEAD and found[2] == "bias":
        rows[2:] -= factor.log()
    return rows


def on_canvas(checkpoint: Checkpoint, config: ModelConfig) -> Checkpoint:
    """A weights file's network of one canvas, for the canvas of another configuration; others, which know pictures of
    many sizes, as they are."""
    trained = checkpoint.config
    if trained is None or not (trained.letterbox and config.letterbox):
        return checkpoint
    tensors = for_canvas(
        checkpoint.state_dict, (trained.long_side, trained.short_side), (config.long_side, config.short_side)
    )
    config = replace(trained, long_side=config.long_side, short_side=config.short_side)
    return replace(checkpoint, state_dict=tensors, config=config)
