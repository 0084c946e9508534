"""Two-stage query selection: the encoder's tokens with the best scores become the first queries (paper 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aios_core.config import ModelConfig
from aios_core.geometry.boxes_torch import cxcywh_to_xyxy, intersection
from aios_core.model.encoder import Levels
from aios_core.model.heads import MLP, class_head
from aios_core.model.linear import Linear
from aios_core.model.predictions import EncoderPredictions, Proposals
from aios_core.model.selection import rows_at

ANCHOR_PER_STRIDE = 0.05 / 8
"""Side of a token's anchor box, as a fraction of the picture, per pixel of the level's stride."""
MARGIN = 0.01
"""Anchors nearer to 0 or 1 than this in any of their numbers are not valid."""
CANDIDATES_PER_QUERY = 6
"""Best tokens among which those of one person are told apart."""
DOUBLE_PENALTY = 3.0
"""Taken from the logit of a token whose box a better one's overlaps."""
NOWHERE = 1.0
"""All four numbers of the box of queries that are left over, in the picture's last corner: that of tokens without a
valid anchor, too."""


@dataclass(frozen=True)
class Selection:
    """The first queries."""

    content: Tensor
    """(B, Q, C), detached."""
    references: Tensor
    """(B, Q, 4) cxcywh, detached. Where proposals of one person are told apart, only the first of them starts there:
    the others would find the same person again."""
    proposals: Proposals
    encoder: EncoderPredictions | None


def anchor_logits(levels: Levels) -> tuple[Tensor, Tensor]:
    """Logits (B, S, 4) of every token's anchor box, +inf where it is not valid, and (B, S, 1) whether it is."""
    sizes = [
        levels.centers.new_full((count, 2), ANCHOR_PER_STRIDE * stride)
        for count, stride in zip(levels.counts, levels.strides, strict=True)
    ]
    sizes = torch.cat(sizes).expand_as(levels.centers)
    anchors = torch.cat((levels.centers, sizes), dim=-1)
    valid = ((anchors > MARGIN) & (anchors < 1 - MARGIN)).all(-1) & ~levels.padding
    logits = torch.log(anchors / (1 - anchors)).masked_fill(~valid[..., None], torch.inf)
    return logits, valid[..., None]


def candidates(config: ModelConfig) -> int:
    """How many tokens are looked at to choose the queries from, if there are so many."""
    return config.queries if config.proposal_overlap is None else CANDIDATES_PER_QUERY * config.queries


def overlapped_by_better(boxes: Tensor, greatest: float) -> Tensor:
    """Whether each of the boxes (B, N, 4) cxcywh, best first, overlaps one before it by an IoU above `greatest`; (B, N)
    bool. A box that is itself overlapped counts as one."""
    area = boxes[..., 2:].prod(-1)
    corners = cxcywh_to_xyxy(boxes).transpose(1, 2).contiguous().transpose(1, 2)  # one side of all boxes, then the next
    shared = intersection(corners[:, :, None], corners[:, None])
    either = area[:, :, None] + area[:, None] - shared
    return (shared > greatest * either).tril(-1).any(-1)


class ProposalHead(nn.Module):
    """Scores every token and places a box at it."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.hidden_dim
        self.queries, self.candidates = config.queries, candidates(config)
        self.greatest_overlap = config.proposal_overlap
        self.enc_output = Linear(dim, dim)
        self.enc_output_norm = nn.LayerNorm(dim)
        self.enc_out_class_embed = class_head(config)
        self.enc_out_bbox_embed = MLP(dim, dim, dim, 4).start_at()
        nn.init.xavier_uniform_(self.enc_output.weight)

    def forward(self, memory: Tensor, levels: Levels, all_tokens: bool = False) -> Selection:
        """The best `queries` tokens (fewer if there are fewer), with boxes at all tokens only if wanted."""
        anchors, valid = anchor_logits(levels)
        anchors = anchors.to(memory.dtype)
        shares = levels.canvas.shares[:, None].to(memory.dtype)
        tokens = self.enc_output_norm(self.enc_output(memory.masked_fill(~valid, 0)).to(memory.dtype))
        logits = self.enc_out_class_embed(tokens).to(memory.dtype)
        scores = logits.detach().amax(-1)
        if self.greatest_overlap is not None:  # the published model may choose tokens without a valid anchor too
            scores = scores.masked_fill(~valid[..., 0], -torch.inf)
        best, chosen = scores.topk(min(self.candidates, tokens.shape[1]), dim=1)
        encoder = None
        if all_tokens:
            boxes = self._boxes(tokens, anchors, shares)
            encoder = EncoderPredictions(logits, boxes, memory, levels.shapes, valid[..., 0])
            boxes = rows_at(boxes, chosen)
        else:
            boxes = self._boxes(rows_at(tokens, chosen), rows_at(anchors, chosen), shares)
        references = boxes
        if self.greatest_overlap is not None:
            doubles = overlapped_by_better(boxes.detach(), self.greatest_overlap)
            count = min(self.queries, tokens.shape[1])
            first = (best - DOUBLE_PENALTY * doubles).topk(count, dim=1).indices
            chosen, boxes = rows_at(chosen, first), rows_at(boxes, first)
            references = boxes.masked_fill(rows_at(doubles[..., None], first), NOWHERE)
        proposals = Proposals(rows_at(logits, chosen), boxes)
        return Selection(rows_at(tokens, chosen).detach(), references.detach(), proposals, encoder)

    def _boxes(self, tokens: Tensor, anchors: Tensor, shares: Tensor) -> Tensor:
        delta = self.enc_out_bbox_embed(tokens).to(anchors.dtype)
        delta = torch.cat((delta[..., :2] / shares, delta[..., 2:] - shares.log()), dim=-1)
        return (delta + anchors).sigmoid()
