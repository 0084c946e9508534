"""The decoder: queries become people, and people grow from a box to a whole body (paper sections 3.2-3.4).

Each layer lets the tokens see each other and the picture, and moves their boxes. After the box stage the best
queries are kept and get joints and part boxes; after the body stage the part boxes get joints of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aios_core.config import ModelConfig
from aios_core.model.attention import DeformableAttention, PersonAttention, by_slot, take
from aios_core.model.canvas import Canvas
from aios_core.model.encoder import Levels
from aios_core.model.fused import added_norm
from aios_core.model.heads import MLP, Heads
from aios_core.model.linear import Linear
from aios_core.model.parts import BODY, BODY_STAGE, LAYOUTS, PARTS, Slot
from aios_core.model.pieces import in_pieces
from aios_core.model.position import box_position
from aios_core.model.predictions import LayerPredictions
from aios_core.model.selection import rows_at

FEWEST_PEOPLE = 4
"""Queries that become people however hopeless they are, so that no picture is left without any."""


@dataclass(frozen=True)
class People:
    """The tokens of P people (or queries, or denoising copies), T each, laid out as in LAYOUTS[stage]."""

    stage: int
    content: Tensor
    """(B, P, T, C)"""
    references: Tensor
    """(B, P, T, 4) the box of every token, cxcywh. They carry a gradient to the heads that moved them last, so
    that a layer's loss also trains the move before it (DINO's 'look forward twice')."""

    def places(self) -> Tensor:
        """The references as the layer looks at the picture through them: detached, but for the sizes of points,
        which no loss supervises and which learn only through what their token sees."""
        parts, pieces = [], by_slot(self.references)
        for slot in LAYOUTS[self.stage]:
            boxes = pieces[slot.name]
            parts.append(boxes.detach() if slot.is_box else torch.cat((boxes[..., :2].detach(), boxes[..., 2:]), -1))
        return torch.cat(parts, dim=2)


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = PersonAttention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attn = DeformableAttention(dim, config.heads, config.levels, config.sampling_points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = Linear(dim, config.feedforward_dim)
        self.linear2 = Linear(config.feedforward_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, content: list[Tensor], position: list[Tensor], references: list[Tensor], same_group: Tensor | None,
        memory: Tensor, levels: Levels,
    ) -> list[Tensor]:  # fmt: skip
        """The new content. Lists hold the people (B, P, T, C) and, with denoising, the copies (B, M, Tc, C)."""
        copies = (content[1], position[1], same_group) if len(content) > 1 else ()
        attended = self.self_attn(content[0], position[0], *copies)
        content = [added_norm(self.norm2, x, y) for x, y in zip(content, attended, strict=False)]
        shapes = [x.shape[:3] for x in content]
        x, position, references = (
            torch.cat([part.flatten(1, 2) for part in parts], dim=1) for parts in (content, position, references)
        )
        scaled = references[:, :, None] * levels.valid_ratios.repeat(1, 1, 2)[:, None].to(references.dtype)
        sample = self.cross_attn.sampler(memory, levels.padding[..., None], levels.shapes)

        def look(x: Tensor, position: Tensor, scaled: Tensor) -> Tensor:
            x = added_norm(self.norm1, x, self.cross_attn(x + position, scaled, sample, levels.shapes))
            return added_norm(self.norm3, x, self.linear2(self.linear1(x, rectified=True)))

        x = in_pieces(look, x, position, scaled)
        parts = x.split([people * tokens for _, people, tokens in shapes], dim=1)
        return [part.unflatten(1, tuple(shape[1:])) for part, shape in zip(parts, shapes, strict=True)]


def _sizes(count: int) -> nn.Embedding:
    """Logits of widths and heights."""
    table = nn.Embedding(count, 2)
    nn.init.xavier_uniform_(table.weight)
    return table


class Decoder(nn.Module):
    """Six layers in three stages; `tables` holds what new tokens add to the content they grow from."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.hidden_dim
        self.people = config.people
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(dim)
        self.ref_point_head = MLP(2 * dim, dim, dim)
        self.tables = nn.ModuleDict()
        # Contents start as large as what they are added to: by them alone the tokens of one box differ, and with
        # smaller ones a network learns left from right much later (training/LOG.md).
        for part in PARTS:
            if part is not BODY:
                self.tables[part.box_content] = nn.Embedding(1, dim)
                self.tables[part.box_size] = _sizes(1)
            self.tables[part.point_content] = nn.Embedding(part.points, dim)
            self.tables[part.point_size] = _sizes(part.points)

    def forward(
        self,
        people: People,
        copies: People | None,
        same_group: Tensor | None,
        keypoints: Tensor | None,
        memory: Tensor,
        levels: Levels,
        heads: Heads,
        all_layers: bool,
        least_score: float = 0.0,
    ) -> tuple[list[LayerPredictions], list[LayerPredictions]]:
        """Predictions of the people and of the copies, of every layer or of the last one alone.

        Args:
            people: the first queries, in the box stage.
            copies: denoising queries in the box stage, or None.
            same_group: (B or 1, M, M) bool: which copies see each other.
            keypoints: (B, M, 17, 2) places of the copies' joints; None leaves the copies boxes throughout.
            least_score: queries that score less after the box stage are not made people (see `_select`).
        """
        predictions, copy_predictions, canvas = [], [], levels.canvas
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            if index in heads.starts[1:]:
                people, copies = self._next_stage(people, copies, keypoints, index, heads, canvas, least_score)
            everyone = [people] if copies is None else [people, copies]
            references = [group.places() for group in everyone]
            position = [self._position(boxes, levels) for boxes in references]
            content = layer([group.content for group in everyone], position, references, same_group, memory, levels)
            if all_layers or index == last:
                for group, x, found in zip(everyone, content, (predictions, copy_predictions), strict=False):
                    found.append(heads.predict(self.norm(x), group.references, index, canvas))
            if index < last:
                everyone = [
                    People(group.stage, x, heads.refine(x, boxes.detach(), index, LAYOUTS[group.stage], canvas))
                    for group, x, boxes in zip(everyone, content, references, strict=True)
                ]
                people, copies = everyone[0], everyone[1] if copies is not None else None
        return predictions, copy_predictions

    def _position(self, references: Tensor, levels: Levels) -> Tensor:
        """(B, P, T, C) from the sine encoding of the boxes as fractions of the padded first level."""
        ratios = levels.valid_ratios[:, 0] * levels.canvas.shares
        boxes = references * ratios.repeat(1, 2)[:, None, None].to(references.dtype)
        return self.ref_point_head(box_position(boxes, self.norm.weight.numel()).to(boxes.dtype))

    def _next_stage(
        self, people: People, copies: People | None, keypoints: Tensor | None, index: int, heads: Heads,
        canvas: Canvas, least_score: float,
    ) -> tuple[People, People | None]:  # fmt: skip
        stage = people.stage + 1
        if stage == BODY_STAGE:
            people = self._select(people, heads, index - 1, least_score)
        people = self._expand(people, stage, heads, canvas)
        if copies is not None and keypoints is not None:
            copies = self._expand(copies, stage, heads, canvas, keypoints if stage == BODY_STAGE else None)
        return people, copies

    def _select(self, queries: People, heads: Heads, layer: int, least_score: float) -> People:
        """The queries with the best scores of a layer's class head, best first.

        As many of each picture as reach least_score in the picture with most of them; at least FEWEST_PEOPLE, at
        most the model's number of people. Counting them waits for the device.
        """
        scores = heads.scores(queries.content.detach()[:, :, 0], layer).amax(-1)
        count = min(self.people, scores.shape[1])
        if least_score > 0:
            promising = int((scores.sigmoid() >= least_score).sum(1).max())
            count = min(max(promising, FEWEST_PEOPLE), count)
        chosen = scores.topk(count, dim=1).indices
        return People(queries.stage, rows_at(queries.content, chosen), rows_at(queries.references, chosen))

    def _expand(
        self, people: People, stage: int, heads: Heads, canvas: Canvas, keypoints: Tensor | None = None
    ) -> People:
        """The same people with the tokens of the next stage.

        Args:
            keypoints: (B, P, 17, 2) where the body's joints start; None lets the heads place them.
        """
        old = {slot.name: slot for slot in LAYOUTS[people.stage]}
        content, references = [], []
        for slot in LAYOUTS[stage]:
            if slot.name in old:
                new = take(people.content, [old[slot.name]]), take(people.references, [old[slot.name]])
            else:
                parent = old["body box" if slot.is_box else f"{slot.part.name} box"]
                box = take(people.content, [parent]), take(people.references, [parent])
                new = self._grow(*box, slot, heads, canvas)
                if keypoints is not None and slot.part is BODY:
                    new = new[0], torch.cat((keypoints.to(new[1].dtype), new[1][..., 2:]), dim=-1)
            content.append(new[0])
            references.append(new[1])
        return People(stage, torch.cat(content, dim=2), torch.cat(references, dim=2))

    def _grow(self, content: Tensor, boxes: Tensor, slot: Slot, heads: Heads, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Content and boxes of a new slot's tokens, from the token (B, P, 1, C) of the box they lie in."""
        part = slot.part
        if slot.is_box:
            names = part.box_content, part.box_size, part.box_embed
        else:
            names = part.point_content, part.point_size, part.point_embed
        content = content + self.tables[names[0]].weight
        center = heads.place(names[2], content, boxes, canvas)
        size = self.tables[names[1]].weight.sigmoid() * boxes[..., 2:]
        return content, torch.cat((center, size), dim=-1)
