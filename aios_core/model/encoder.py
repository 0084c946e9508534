"""The encoder: deformable self-attention over the tokens of all feature levels (paper section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aios_core.config import ModelConfig
from aios_core.model.attention import DeformableAttention
from aios_core.model.canvas import Canvas, canvas_of
from aios_core.model.fused import added_norm
from aios_core.model.linear import Linear
from aios_core.model.pieces import in_pieces
from aios_core.model.position import image_position, pixel_centers, resize_mask, valid_extent
from aios_core.model.sampling import LevelShapes


@dataclass(frozen=True)
class Levels:
    """What the transformer needs to know about the feature levels. S tokens, all levels row by row."""

    shapes: LevelShapes
    """(height, width) of each level."""
    strides: tuple[int, ...]
    padding: Tensor
    """(B, S) bool, True = padding."""
    canvas: Canvas
    valid_size: Tensor
    """(B, L, 2) unpadded width and height of each level."""
    valid_ratios: Tensor
    """(B, L, 2) the same as a fraction of the level."""
    centers: Tensor
    """(B, S, 2) every token's place in 0..1 of the unpadded picture."""
    position: Tensor
    """(B, S, C) sine encoding of every token."""

    @property
    def counts(self) -> list[int]:
        """Number of tokens of each level."""
        return [height * width for height, width in self.shapes]


def describe_levels(shapes: LevelShapes, strides: tuple[int, ...], padding_mask: Tensor, config: ModelConfig) -> Levels:
    """The Levels of feature maps of these shapes, for pictures with padding_mask (B, H, W)."""
    canvas = canvas_of(padding_mask, config)
    masks = [resize_mask(padding_mask, *shape) for shape in shapes]
    valid_size = torch.stack([valid_extent(mask) for mask in masks], dim=1)
    whole_size = torch.stack([valid_extent(torch.zeros_like(mask)) for mask in masks], dim=1)
    centers = [
        pixel_centers(*shape, padding_mask.device) / valid_size[:, level, None] for level, shape in enumerate(shapes)
    ]
    return Levels(
        shapes=shapes,
        strides=strides,
        padding=torch.cat([mask.flatten(1) for mask in masks], dim=1),
        canvas=canvas,
        valid_size=valid_size,
        valid_ratios=valid_size / whole_size,
        centers=torch.cat(centers, dim=1),
        position=torch.cat(
            [image_position(mask, config.hidden_dim, canvas.shares).flatten(1, 2) for mask in masks], dim=1
        ),
    )


class EncoderLayer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = DeformableAttention(dim, config.heads, config.levels, config.sampling_points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = Linear(dim, config.feedforward_dim)
        self.linear2 = Linear(config.feedforward_dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, position: Tensor, references: Tensor, levels: Levels) -> Tensor:
        sample = self.self_attn.sampler(x, levels.padding[..., None], levels.shapes)

        def look(x: Tensor, position: Tensor, references: Tensor) -> Tensor:
            x = added_norm(self.norm1, x, self.self_attn(x + position, references, sample, levels.shapes))
            return added_norm(self.norm2, x, self.linear2(self.linear1(x, rectified=True)))

        return in_pieces(look, x, position, references)


class Encoder(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, tokens: Tensor, position: Tensor, levels: Levels) -> Tensor:
        """The memory (B, S, C): tokens that have looked at each other."""
        references = levels.centers[:, :, None] * levels.valid_ratios[:, None]  # (B, S, L, 2)
        references = references.to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, position, references, levels)
        return tokens
