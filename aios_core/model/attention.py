"""The two attentions of AiOS.

`DeformableAttention` (Deformable DETR; Zhu et al. 2021) reads a few places of every feature level.
`PersonAttention` is the decoder's self-attention: a token sees its own person's tokens, and the box tokens also
see the box tokens of everybody, in one softmax (paper section 3.4). It never builds a mask over all tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios_core.model.fused import has_kernels
from aios_core.model.linear import Linear, linear, multiplied
from aios_core.model.parts import LAYOUTS, Slot, tokens_per_person
from aios_core.model.sampling import KernelValues, LevelShapes, Sampler, kernel_runs, sampler


def take(tokens: Tensor, slots: tuple[Slot, ...] | list[Slot]) -> Tensor:
    """The tokens (..., T, C) of whole people that lie in these slots, in order."""
    if len(slots) == 1:
        return tokens[..., slots[0].start : slots[0].stop, :]
    pieces = by_slot(tokens)
    return torch.cat([pieces[slot.name] for slot in slots], dim=-2)


def by_slot(tokens: Tensor) -> dict[str, Tensor]:
    """The tokens (..., T, C) of whole people by the name of their slot.

    One split: its gradient is written once, where that of slices is a zero tensor of full size for every slice.
    """
    slots = _slots(tokens.shape[-2])
    pieces = tokens.split([slot.stop - slot.start for slot in slots], dim=-2)
    return {slot.name: piece for slot, piece in zip(slots, pieces, strict=True)}


class DeformableAttention(nn.Module):
    """Every query reads `points` learned places per head and level around its reference."""

    def __init__(self, dim: int, heads: int, levels: int, points: int):
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = Linear(dim, heads * levels * points * 2)
        self.attention_weights = Linear(dim, heads * levels * points)
        self.value_proj = Linear(dim, dim)
        self.output_proj = Linear(dim, dim)
        self._reset()

    def _reset(self) -> None:
        """Offsets start as the compass, one direction a head and one step further a point."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        compass = torch.stack((angles.cos(), angles.sin()), dim=-1)
        compass = compass / compass.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        bias = (compass[:, None, None] * steps[:, None]).expand(-1, self.levels, -1, -1)
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def sampler(self, memory: Tensor, padding: Tensor, shapes: LevelShapes) -> Sampler | KernelValues:
        """What samples the values of the memory (B, S, dim), zero where padding (B, S, 1) is True."""
        value = self.value_proj(memory)  # a view, see `linear`
        by_kernel = has_kernels(value) and kernel_runs(value.shape[-1] // self.heads)
        value = value if by_kernel else value.to(memory.dtype)
        value = value.masked_fill(padding, 0) if torch.is_grad_enabled() else value.masked_fill_(padding, 0)
        value = value.unflatten(-1, (self.heads, -1))
        return KernelValues(value, shapes) if by_kernel else sampler(value, shapes, self.points)

    def forward(self, query: Tensor, references: Tensor, sample: Sampler | KernelValues, shapes: LevelShapes) -> Tensor:
        """(B, N, dim). Queries are independent of each other.

        Args:
            query: (B, N, dim) content plus position.
            references: (B, N, levels, 2) points or (B, N, levels, 4) boxes in 0..1 of each padded level.
            sample: of the memory, from `sampler`.
        """
        shape = (*query.shape[:2], self.heads, self.levels, self.points)
        if isinstance(sample, KernelValues):
            query = multiplied(query)
            offsets, logits = self.sampling_offsets(query).view(*shape, 2), self.attention_weights(query).view(shape)
            return self.output_proj(sample.seen(offsets, logits, references).flatten(2))
        weights = self.attention_weights(query).to(references.dtype)
        weights = weights.unflatten(-1, (self.heads, -1)).softmax(-1).view(shape)
        heights, widths = zip(*shapes, strict=True)
        x, y = (
            self._places(query, references, axis, sizes).view(shape) for axis, sizes in enumerate((widths, heights))
        )
        return self.output_proj(sample(x, y, weights).flatten(2))

    def _places(self, query: Tensor, references: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
        """(B, N, heads, levels * K) where each query looks along an axis (0 = x), in pixels of each level.

        The offsets of both axes take turns in the published layer; along one they lie side by side.
        """
        layer = self.sampling_offsets
        weight, bias = (numbers[axis::2].contiguous() for numbers in (layer.weight, layer.bias))
        offsets = linear(query, weight, bias).to(references.dtype)
        offsets = offsets.unflatten(-1, (self.heads, -1))
        centers = self._by_point(references[..., axis], sizes)
        if references.shape[-1] == 2:
            return offsets + centers
        return torch.addcmul(
            centers, offsets, self._by_point(references[..., 2 + axis], sizes), value=0.5 / self.points
        )

    def _by_point(self, fractions: Tensor, sizes: Sequence[int]) -> Tensor:
        """(B, N, 1, levels * K) fractions (B, N, levels) of each level's size in pixels, the same for all points."""
        pixels = torch.stack([fractions[..., level] * size for level, size in enumerate(sizes)], dim=-1)
        # Not dim=-1: torch 2.13's ONNX exporter adds the rank to it in place, in a constant that others share too.
        return pixels.repeat_interleave(self.points, dim=2)[:, :, None]


def attend(
    query: Tensor, key: Tensor, value: Tensor, slots: tuple[Slot, ...], seen: tuple[Tensor, Tensor],
    may_see: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Attention within each person plus, for its box tokens, over what `seen` holds, in one softmax.

    Args:
        query, key, value: (B, heads, P, T, d) tokens of P people, laid out as `slots` says.
        seen: keys and values (B, heads, N, d) that box tokens see besides their own person's points.
        may_see: (B or 1, P * boxes, N) bool: which of them; None = all.

    Returns:
        (B, heads, P, T, d)
    """
    people, dim = query.shape[2], query.shape[-1]
    boxes = [slot for slot in slots if slot.is_box]
    points = [slot for slot in slots if not slot.is_box]
    may_see = None if may_see is None else may_see[:, None]
    if not points:
        return F.scaled_dot_product_attention(query.flatten(2, 3), *seen, attn_mask=may_see).view_as(query)
    box_query = take(query, boxes) * dim**-0.5  # (B, heads, P, boxes, d)
    scores = box_query.flatten(2, 3) @ seen[0].transpose(-1, -2)  # (B, heads, P * boxes, N)
    if may_see is not None:
        scores = scores.masked_fill(~may_see, -math.inf)
    own = box_query @ take(key, points).transpose(-1, -2)  # (B, heads, P, boxes, points)
    scores = torch.cat((own, scores.unflatten(2, (people, -1))), dim=-1)
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    own, others = weights.split((own.shape[-1], seen[0].shape[-2]), dim=-1)
    box_out = own @ take(value, points) + (others.flatten(2, 3) @ seen[1]).unflatten(2, (people, -1))
    point_out = _within_people(take(query, points), key, value)
    box_parts = iter(box_out.split(1, dim=-2))
    point_parts = iter(point_out.split([slot.stop - slot.start for slot in points], dim=-2))
    return torch.cat([next(box_parts if slot.is_box else point_parts) for slot in slots], dim=-2)


def _within_people(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention (B, heads, P, T, d) of each person's tokens to all of theirs, people as entries of one batch."""
    one_batch = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))
    return F.scaled_dot_product_attention(*one_batch).view_as(query.transpose(1, 2)).transpose(1, 2)


class PersonAttention(nn.Module):
    """Multi-head self-attention of people's tokens and, in training, of denoising copies of people."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def _project(self, content: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dim = content.shape[-1]
        query_key = linear(content + position, self.in_proj_weight[: 2 * dim], self.in_proj_bias[: 2 * dim])
        value = linear(content, self.in_proj_weight[2 * dim :], self.in_proj_bias[2 * dim :])
        return tuple(
            x.unflatten(-1, (self.heads, -1)).permute(0, 3, 1, 2, 4) for x in (*query_key.chunk(2, dim=-1), value)
        )  # each (B, heads, P, T, d)

    def forward(
        self, content: Tensor, position: Tensor, copies: Tensor | None = None,
        copies_position: Tensor | None = None, same_group: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """The attended people (B, P, T, C) and copies (B, M, Tc, C); T and Tc are lengths of layouts.

        Copies see the copies of their own group and all people; people never see copies. A copy that is only a
        box sees every token of the people.

        Args:
            same_group: (B or 1, M, M) bool: which copies see each other.
        """
        query, key, value = self._project(content, position)
        slots = _slots(content.shape[2])
        boxes = [slot for slot in slots if slot.is_box]
        seen = tuple(take(x, boxes).flatten(2, 3) for x in (key, value))
        people = self._merge(attend(query, key, value, slots, seen))
        if copies is None:
            return people, None
        copy_query, copy_key, copy_value = self._project(copies, copies_position)
        copy_slots = _slots(copies.shape[2])
        copy_boxes = [slot for slot in copy_slots if slot.is_box]
        if len(copy_slots) == 1:
            seen = (key.flatten(2, 3), value.flatten(2, 3))
        may_see = same_group.repeat_interleave(len(copy_boxes), 1).repeat_interleave(len(copy_boxes), 2)
        may_see = F.pad(may_see, (0, seen[0].shape[-2]), value=True)
        seen = tuple(
            torch.cat((take(own, copy_boxes).flatten(2, 3), other), dim=-2)
            for own, other in zip((copy_key, copy_value), seen, strict=True)
        )
        attended = attend(copy_query, copy_key, copy_value, copy_slots, seen, may_see)
        return people, self._merge(attended)

    def _merge(self, x: Tensor) -> Tensor:
        return self.out_proj(x.permute(0, 2, 3, 1, 4).flatten(3))


def _slots(tokens: int) -> tuple[Slot, ...]:
    """The layout with this many tokens a person."""
    return next(layout for stage, layout in enumerate(LAYOUTS) if tokens_per_person(stage) == tokens)
