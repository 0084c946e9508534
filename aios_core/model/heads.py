"""The prediction heads: logits, boxes, keypoints, and the SMPL-X parameters of each person (paper section 3.4).

Heads are lists with one entry per decoder layer, under the published names; `parts.py` says which head serves
which token and what each SMPL-X head reads.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios_core.config import ModelConfig
from aios_core.geometry.rotations_torch import rot6d_to_rotmat
from aios_core.model.attention import by_slot, take
from aios_core.model.canvas import Canvas
from aios_core.model.linear import Linear
from aios_core.model.parts import BODY, LAYOUTS, PARTS, REGRESSORS, Regressor, Slot
from aios_core.model.position import inverse_sigmoid
from aios_core.model.predictions import LayerPredictions

CLASS_PRIOR = 0.01
"""Score of every query before training."""
BODY_HEIGHT = 1.7
"""Metres: the person whose box a box-relative camera starts from."""
CAMERA_SCALE = 0.05
"""First guess of s for cameras that are not box-relative: a person at 20 metres of 5000 pixels' focal length."""


class MLP(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *sizes: int):
        super().__init__()
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()  # a product of slices is done person by person
        for layer in self.layers[:-1]:
            x = layer(x, rectified=True)
        return self.layers[-1](x)

    def start_at(self, bias: Tensor | float = 0.0, gain: float = 0.0) -> MLP:
        """Itself, its last layer starting at a bias, with weights `gain` times the usual size."""
        last = self.layers[-1]
        with torch.no_grad():
            last.weight.mul_(gain)
            last.bias.copy_(torch.as_tensor(bias).expand_as(last.bias))
        return self


def class_head(config: ModelConfig) -> Linear:
    """A linear layer whose scores start at CLASS_PRIOR."""
    head = Linear(config.hidden_dim, config.classes)
    nn.init.constant_(head.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
    return head


def stage_starts(config: ModelConfig) -> tuple[int, int, int]:
    """Number of the first decoder layer of each stage."""
    return 0, config.box_layers, config.box_layers + config.body_layers


class Heads(nn.Module):
    """All heads behind the decoder, as lists of one entry per layer in which the head is used.

    Lists of heads that also place new tokens have one more entry, the last, for that purpose.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.starts = stage_starts(config)
        dim, total = config.hidden_dim, config.decoder_layers
        self.class_embed = nn.ModuleList(class_head(config) for _ in range(total))
        for part in PARTS:
            boxes, points = (total - self.starts[stage] for stage in (part.box_stage, part.points_stage))
            size = 4 if part.box_size_embed is None else 2
            self._add(part.box_embed, boxes + (part is not BODY), dim, dim, dim, size)
            if part.box_size_embed is not None:
                self._add(part.box_size_embed, boxes, dim, dim, dim, 2)
            self._add(part.point_embed, points + 1, dim, dim, dim, 2)
            if not hasattr(self, part.point_size_embed):
                self.add_module(part.point_size_embed, MLP(dim, dim, dim, 2).start_at())  # one for all layers
        for regressor in REGRESSORS:
            if not hasattr(self, regressor.embed):
                self.add_module(regressor.embed, self._regressors(regressor))
        self.identity_embed = Linear(dim, config.identity_dim) if config.identity_dim else None

    def _add(self, name: str, count: int, *sizes: int) -> None:
        if not hasattr(self, name):
            self.add_module(name, nn.ModuleList(MLP(*sizes).start_at() for _ in range(count)))

    def _regressors(self, regressor: Regressor) -> nn.ModuleList:
        config, heads = self.config, []
        for layer in range(self.starts[1], config.decoder_layers):
            slots = regressor.slots(self.stage_of(layer))
            inputs = config.hidden_dim * sum(slot.stop - slot.start for slot in slots)
            head = MLP(inputs, config.mlp_dim, config.mlp_dim, regressor.outputs)
            if regressor.is_rotation:
                identity = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(regressor.outputs // 6)
                head.start_at(identity, gain=0.01)
            elif regressor.field == "camera" and not config.box_relative_camera:
                head.start_at(torch.tensor([CAMERA_SCALE, 0.0, 0.0]))
            else:
                head.start_at()
            heads.append(head)
        return nn.ModuleList(heads)

    def stage_of(self, layer: int) -> int:
        """Stage of a decoder layer."""
        return sum(layer >= start for start in self.starts[1:])

    def scores(self, tokens: Tensor, layer: int) -> Tensor:
        """Class logits of body box tokens (..., C), in float32."""
        return self.class_embed[layer](tokens).to(_wide(tokens))

    def refine(
        self,
        tokens: Tensor,
        references: Tensor,
        layer: int,
        slots: tuple[Slot, ...],
        canvas: Canvas,
        point_sizes: bool = True,
    ) -> Tensor:
        """Moved boxes (B, P, T, 4) of tokens (B, P, T, C): sigmoid(head(token) + logit(reference)).

        Args:
            point_sizes: False leaves the sizes of points as they are.
        """
        tokens, references = by_slot(tokens), by_slot(references)
        shares = canvas.shares[:, None, None]
        moved = [
            self._refine_slot(tokens[slot.name], references[slot.name], layer, slot, shares, point_sizes)
            for slot in slots
        ]
        return torch.cat(moved, dim=-2)

    def _refine_slot(
        self, tokens: Tensor, references: Tensor, layer: int, slot: Slot, shares: Tensor, point_sizes: bool
    ) -> Tensor:
        part = slot.part
        logits = inverse_sigmoid(references)
        if slot.is_box:
            index = layer - self.starts[part.box_stage]
            delta = getattr(self, part.box_embed)[index](tokens)
            if part.box_size_embed is not None:
                delta = torch.cat((delta, getattr(self, part.box_size_embed)[index](tokens)), dim=-1)
            delta = delta.to(logits.dtype)
            return (logits + torch.cat((delta[..., :2] / shares, delta[..., 2:]), dim=-1)).sigmoid()
        index = layer - self.starts[part.points_stage]
        center = _moved(references, getattr(self, part.point_embed)[index](tokens), shares)
        size = references[..., 2:]
        if point_sizes:
            delta = getattr(self, part.point_size_embed)(tokens)
            size = (logits[..., 2:] + delta.to(logits.dtype)).sigmoid()
        return torch.cat((center, size), dim=-1)

    def place(self, name: str, tokens: Tensor, boxes: Tensor, canvas: Canvas) -> Tensor:
        """Centres (B, P, N, 2) of new tokens (B, P, N, C) by the head `name`, from the boxes (B, P, 1, 4) they are
        of."""
        return _moved(boxes, getattr(self, name)[-1](tokens), canvas.shares[:, None, None])

    def predict(self, tokens: Tensor, references: Tensor, layer: int, canvas: Canvas) -> LayerPredictions:
        """What the layer predicts from its normed tokens and the references that went into it.

        Args:
            tokens: (B, P, T, C); references: (B, P, T, 4).
        """
        slots = next(layout for layout in LAYOUTS if layout[-1].stop == tokens.shape[2])
        moved = self.refine(tokens, references, layer, slots, canvas, point_sizes=False)
        fields, pieces = {}, by_slot(moved)
        for slot in slots:
            boxes = pieces[slot.name]
            fields.update(
                {slot.part.box_field: boxes[:, :, 0]} if slot.is_box else {slot.part.points_field: boxes[..., :2]}
            )
        predictions = LayerPredictions(logits=self.scores(tokens[:, :, 0], layer), **fields)
        if len(slots) == 1:
            return predictions
        return replace(
            predictions,
            person_tokens=self.identify(tokens[:, :, 0]),
            **self._regress(tokens, layer, predictions.boxes, canvas.size),
        )

    def identify(self, tokens: Tensor) -> Tensor:
        """What tells people apart in their body box tokens (..., C), read at length 1: (..., identity_dim); or all."""
        return tokens if self.identity_embed is None else self.identity_embed(F.normalize(tokens, dim=-1))

    def _regress(self, tokens: Tensor, layer: int, boxes: Tensor, picture_size: Tensor) -> dict[str, Tensor]:
        stage, values = self.stage_of(layer), {}
        for regressor in REGRESSORS:
            read = take(tokens, regressor.slots(stage)).flatten(2)
            output = getattr(self, regressor.embed)[layer - self.starts[1]](read).to(_wide(read))
            if regressor.is_rotation:
                output = rot6d_to_rotmat(output.unflatten(-1, (-1, 6)))
            elif regressor.field == "camera" and self.config.box_relative_camera:
                output = box_relative_camera(output, boxes.detach(), picture_size, self.config.camera_focal_px)
            values[regressor.field] = output
        return values


def _moved(boxes: Tensor, steps: Tensor, shares: Tensor) -> Tensor:
    """Centres (..., 2) of boxes (..., 4) after steps (..., 2), which heads give in shares of the network's canvas."""
    return (inverse_sigmoid(boxes[..., :2]) + steps.to(boxes.dtype) / shares).sigmoid()


def box_relative_camera(numbers: Tensor, boxes: Tensor, picture_size: Tensor, focal_px: float) -> Tensor:
    """The camera (s, tx, ty) from three numbers (a, b, c) that are relative to the person's box.

    The depth is that of someone 1.7 m long who fills the box's longer side, times exp(-a); (b, c) is the shift in
    metres from the point of the box's centre at that depth. The translation is (tx/s, ty/s, 1/s).

    Args:
        numbers: (B, P, 3).
        boxes: (B, P, 4) cxcywh in 0..1 of the picture.
        picture_size: (B, 2) width and height in pixels.
    """
    size = picture_size[:, None].to(numbers.dtype)
    center, extent = boxes[..., :2] * size, boxes[..., 2:] * size
    longer = extent.amax(-1, keepdim=True).clamp(min=1.0)
    scale = longer * numbers[..., :1].exp() / (focal_px * BODY_HEIGHT)
    return torch.cat((scale, (center - size / 2) / focal_px + numbers[..., 1:] * scale), dim=-1)


def _wide(x: Tensor) -> torch.dtype:
    """float32, or float64 for float64 tokens: the precision in which boxes and rotations are computed."""
    return torch.promote_types(x.dtype, torch.float32)
