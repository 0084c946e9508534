"""The plain network: the baseline that `benchmarks.network` measures against.

It computes the same numbers as `aios_core.model` the straightforward way, as the published network is described:
the decoder attends densely over all tokens under a mask that a Python loop builds at every call, deformable
attention stores every sample that grid_sample gives it, batch norms are steps of their own, and the heads of all
layers are evaluated. A test holds it against the same arrays as the fast one. The published code is under another
licence and is not used here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from aios_core.config import ModelConfig
from aios_core.model import backbone
from aios_core.model.aios import AiOS
from aios_core.model.attention import DeformableAttention, PersonAttention
from aios_core.model.backbone import FrozenBatchNorm, ResNet
from aios_core.model.decoder import DecoderLayer
from aios_core.model.encoder import EncoderLayer, Levels
from aios_core.model.parts import LAYOUTS, tokens_per_person
from aios_core.model.predictions import Predictions
from aios_core.model.sampling import LevelShapes


def dense_mask(people: int, stage: int) -> Tensor:
    """(N, N) bool, True where a token must not see another: all tokens of all people, one after the other."""
    count = tokens_per_person(stage)
    mask = torch.ones(people * count, people * count, dtype=torch.bool)
    boxes = [person * count + slot.start for person in range(people) for slot in LAYOUTS[stage] if slot.is_box]
    for person in range(people):
        own = slice(person * count, (person + 1) * count)
        mask[own, own] = False
    for box in boxes:
        for other in boxes:
            mask[box, other] = False
    return mask


class DenseAttention(PersonAttention):
    """PersonAttention as torch's multi-head attention over all tokens, called as its defaults have it."""

    def forward(self, content: Tensor, position: Tensor) -> tuple[Tensor, None]:
        _, people, count, dim = content.shape
        stage = next(stage for stage in range(len(LAYOUTS)) if tokens_per_person(stage) == count)
        mask = dense_mask(people, stage).to(content.device) if stage else None
        value = content.flatten(1, 2).transpose(0, 1)
        query = (content + position).flatten(1, 2).transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            query, query, value, dim, self.heads, self.in_proj_weight, self.in_proj_bias, None, None, False, 0.0,
            self.out_proj.weight, self.out_proj.bias, training=False, attn_mask=mask,
        )  # fmt: skip
        return attended.transpose(0, 1).unflatten(1, (people, count)), None


def sample_and_store(value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
    """Weighted sums (B, N, heads * channels) through grid_sample, samples of all levels side by side before the sum.

    Args:
        value: (B, S, heads, channels); locations: (B, N, heads, levels, K, 2) in 0..1; weights: without the last axis.
    """
    batch, count, heads, levels, points, _ = locations.shape
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * heads, N, levels, K, 2)
    parts = value.permute(0, 2, 3, 1).flatten(0, 1).split([h * w for h, w in shapes], dim=-1)
    samples = [
        F.grid_sample(part.unflatten(-1, shape), grids[:, :, level], align_corners=False)
        for level, (part, shape) in enumerate(zip(parts, shapes, strict=True))
    ]
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, count, levels * points)
    summed = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)
    return summed.view(batch, heads, -1, count).permute(0, 3, 1, 2).flatten(2)


class StoredSamplesAttention(DeformableAttention):
    """DeformableAttention as a formula: all locations, all samples, all weights of all queries at once."""

    def look(self, query: Tensor, references: Tensor, memory: Tensor, levels: Levels) -> Tensor:
        batch, count, _ = query.shape
        value = self.value_proj(memory).masked_fill(levels.padding[..., None], 0).unflatten(-1, (self.heads, -1))
        offsets = self.sampling_offsets(query).view(batch, count, self.heads, self.levels, self.points, 2)
        weights = self.attention_weights(query).view(batch, count, self.heads, -1).softmax(-1)
        weights = weights.view(offsets.shape[:-1])
        references = references[:, :, None, :, None]
        if references.shape[-1] == 4:
            locations = references[..., :2] + offsets / self.points * references[..., 2:] * 0.5
        else:
            locations = references + offsets / references.new_tensor(levels.shapes).flip(-1)[:, None]
        return self.output_proj(sample_and_store(value, locations, weights, levels.shapes))


class PlainEncoderLayer(EncoderLayer):
    def forward(self, x: Tensor, position: Tensor, references: Tensor, levels: Levels) -> Tensor:
        x = self.norm1(x + self.self_attn.look(x + position, references, x, levels))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class PlainDecoderLayer(DecoderLayer):
    def forward(self, content, position, references, same_group, memory: Tensor, levels: Levels) -> list[Tensor]:
        ((content,), (position,), (references,)) = content, position, references
        x = self.norm2(content + self.self_attn(content, position)[0]).flatten(1, 2)
        scaled = references.flatten(1, 2)[:, :, None] * levels.valid_ratios.repeat(1, 1, 2)[:, None]
        x = self.norm1(x + self.cross_attn.look(x + position.flatten(1, 2), scaled, memory, levels))
        x = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        return [x.view_as(content)]


def separate_norm(conv: torch.nn.Conv2d, norm: FrozenBatchNorm, x: Tensor) -> Tensor:
    """backbone.conv_norm in two steps."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    return conv(x) * scale[:, None, None] + shift[:, None, None]


class SeparateNormResNet(ResNet):
    def forward(self, images: Tensor) -> dict[int, Tensor]:
        fast, backbone.conv_norm = backbone.conv_norm, separate_norm
        try:
            return super().forward(images)
        finally:
            backbone.conv_norm = fast


PLAIN = {
    PersonAttention: DenseAttention, DeformableAttention: StoredSamplesAttention, ResNet: SeparateNormResNet,
    EncoderLayer: PlainEncoderLayer, DecoderLayer: PlainDecoderLayer,
}  # fmt: skip


class PlainAiOS(AiOS):
    """AiOS with every module computed the plain way."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        for module in self.modules():
            if type(module) in PLAIN:
                module.__class__ = PLAIN[type(module)]
        self.backbone.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor, padding_mask: Tensor, all_layers: bool = True) -> Predictions:
        return super().forward(images, padding_mask, all_layers=True)
