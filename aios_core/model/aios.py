"""AiOS: one network that finds everyone in a picture and their SMPL-X parameters (Sun et al., CVPR 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aios_core.config import ModelConfig
from aios_core.model.attention import PersonAttention
from aios_core.model.backbone import ResNet, fold_norms
from aios_core.model.decoder import Decoder, People
from aios_core.model.denoising import DenoisingQueries
from aios_core.model.encoder import Encoder, Levels, describe_levels
from aios_core.model.heads import Heads
from aios_core.model.parts import BOX_STAGE
from aios_core.model.predictions import Predictions
from aios_core.model.proposals import ProposalHead, Selection

DENOISING_LABELS = 101
"""Rows of the label embedding that denoising queries start from."""


class AiOS(nn.Module):
    """The whole network; `config` gives every size."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        self.backbone = ResNet(config.backbone)
        channels = [self.backbone.channels[stride] for stride in config.feature_strides]
        self.input_proj = nn.ModuleList(_projection(nn.Conv2d(c, dim, 1), dim) for c in channels)
        self.input_proj.append(_projection(nn.Conv2d(channels[-1], dim, 3, stride=2, padding=1), dim))
        self.level_embed = nn.Parameter(torch.randn(config.levels, dim))
        self.encoder = Encoder(config)
        self.proposals = ProposalHead(config)
        self.query_content = nn.Embedding(config.queries, dim) if config.learned_content else None
        self.decoder = Decoder(config)
        self.heads = Heads(config)
        self.label_enc = nn.Embedding(DENOISING_LABELS, dim)

    def for_inference(self, precision: torch.dtype = torch.float32) -> AiOS:
        """Itself in eval mode with its norms folded into convolutions: the same numbers sooner, no further training.

        Args:
            precision: of the autocast in which it will be called; weights of products are held as that would cast them.
        """
        fold_norms(self.backbone)
        if precision != torch.float32:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear | PersonAttention):
                    module.to(precision)
        return self.eval().to(memory_format=torch.channels_last)

    def forward(
        self,
        images: Tensor,
        padding_mask: Tensor,
        denoising: DenoisingQueries | None = None,
        all_layers: bool = False,
        least_score: float = 0.0,
    ) -> Predictions:
        """Everybody in the pictures.

        Args:
            images: (B, 3, H, W) normalised, padded right and below with zeros (see `preprocess`).
            padding_mask: (B, H, W) bool, True = padding.
            denoising: queries that ride along in training.
            all_layers: return every layer's predictions and the encoder's, as training needs.
            least_score: queries whose score after the box stage is less do not become people, so that there are
                fewer people than the configuration says; 0 keeps them all.
        """
        memory, levels = self.encode(images, padding_mask)
        return self.decode(memory, levels, denoising, all_layers, least_score)

    def decode(
        self, memory: Tensor, levels: Levels, denoising: DenoisingQueries | None = None, all_layers: bool = False,
        least_score: float = 0.0,
    ) -> Predictions:  # fmt: skip
        """Everybody in the pictures that `encode` has described; see `forward`."""
        selection = self.proposals(memory, levels, all_tokens=all_layers)
        people = People(BOX_STAGE, self._content(selection)[:, :, None], selection.references[:, :, None])
        copies = same_group = None
        if denoising is not None:
            copies, same_group = self._copies(denoising, memory.dtype)
        layers, copy_layers = self.decoder(
            people, copies, same_group, denoising.keypoints if denoising is not None else None,
            memory, levels, self.heads, all_layers, least_score,
        )  # fmt: skip
        return Predictions(
            final=layers[-1],
            layers=tuple(layers),
            proposals=selection.proposals,
            encoder=selection.encoder,
            denoising=tuple(copy_layers) if denoising is not None else None,
        )

    def encode(self, images: Tensor, padding_mask: Tensor) -> tuple[Tensor, Levels]:
        """The memory (B, S, C) of pictures (see `forward`), and what its tokens are."""
        tokens, levels = self._feature_tokens(images, padding_mask)
        position = levels.position.to(tokens.dtype) + self._level_embedding(levels)
        return self.encoder(tokens, position, levels), levels

    def _feature_tokens(self, images: Tensor, padding_mask: Tensor) -> tuple[Tensor, Levels]:
        """All levels' places as tokens (B, S, C), row by row, and the description of the levels."""
        maps = self.backbone(images)
        strides = self.config.feature_strides
        sources = [maps[stride] for stride in strides] + [maps[strides[-1]]]
        # The norms and everything behind them work in the picture's precision, also under autocast.
        projected = [norm(conv(x).to(images.dtype)) for (conv, norm), x in zip(self.input_proj, sources, strict=True)]
        shapes = tuple(tuple(x.shape[-2:]) for x in projected)
        levels = describe_levels(shapes, (*strides, 2 * strides[-1]), padding_mask, self.config)
        return torch.cat([x.flatten(2).transpose(1, 2) for x in projected], dim=1), levels

    def _level_embedding(self, levels: Levels) -> Tensor:
        """(S, C): the learned vector of every token's level."""
        rows = [row.expand(count, -1) for row, count in zip(self.level_embed, levels.counts, strict=True)]
        return torch.cat(rows)

    def _content(self, selection: Selection) -> Tensor:
        """(B, Q, C): what the first queries start from."""
        if self.query_content is None:
            return selection.content
        batch, count, _ = selection.content.shape
        return self.query_content.weight[:count].expand(batch, -1, -1)

    def _copies(self, denoising: DenoisingQueries, dtype: torch.dtype) -> tuple[People, Tensor]:
        """The denoising queries as box tokens, and (B or 1, M, M) which of them see each other."""
        content = self.label_enc(denoising.labels)[:, :, None]
        group = denoising.group if denoising.group.ndim == 2 else denoising.group[None]
        copies = People(BOX_STAGE, content, denoising.boxes[:, :, None].to(dtype))
        return copies, group[:, :, None] == group[:, None, :]


def _projection(conv: nn.Conv2d, dim: int) -> nn.Sequential:
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.GroupNorm(32, dim))
