"""What the network returns: one `LayerPredictions` per decoder layer, gathered in `Predictions`.

B batch, Q queries (900 in the box stage), P people (100 after it), C classes. Boxes are (cx, cy, w, h) and
points (x, y), both in 0..1 of the unpadded picture. Rotation matrices act on column vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerPredictions:
    """Predictions of one decoder layer; None where the layer has no such output.

    Layers of the box stage have logits and boxes only (Q queries); later layers have P people; hand and face
    keypoints come with the whole-body stage.
    """

    logits: Tensor
    """(B, Q or P, C); the score is the sigmoid of the largest."""
    boxes: Tensor
    """(B, Q or P, 4) body boxes."""
    left_hand_boxes: Tensor | None = None
    """(B, P, 4)"""
    right_hand_boxes: Tensor | None = None
    """(B, P, 4)"""
    face_boxes: Tensor | None = None
    """(B, P, 4)"""
    keypoints: Tensor | None = None
    """(B, P, 17, 2) in COCO order."""
    left_hand_keypoints: Tensor | None = None
    """(B, P, 6, 2): wrist and the tips of thumb, index, middle, ring, pinky."""
    right_hand_keypoints: Tensor | None = None
    """(B, P, 6, 2)"""
    face_keypoints: Tensor | None = None
    """(B, P, 6, 2): nose, upper mouth, jaw, right contour, chin, left contour."""
    body_rotmats: Tensor | None = None
    """(B, P, 22, 3, 3): global_orient, then SMPL-X joints 1..21."""
    left_hand_rotmats: Tensor | None = None
    """(B, P, 15, 3, 3); relative to the mean hand if ModelConfig.hands_relative_to_mean."""
    right_hand_rotmats: Tensor | None = None
    """(B, P, 15, 3, 3); as the left."""
    jaw_rotmats: Tensor | None = None
    """(B, P, 1, 3, 3)"""
    betas: Tensor | None = None
    """(B, P, 10)"""
    expression: Tensor | None = None
    """(B, P, 10)"""
    person_tokens: Tensor | None = None
    """(B, P, ModelConfig.identity_dim) what tells people apart; without a layer for that (0) the normed body tokens
    (B, P, hidden_dim)."""
    camera: Tensor | None = None
    """(B, P, 3) = (s, tx, ty): the translation is (tx/s, ty/s, 1/s) metres for ModelConfig.camera_focal_px."""


def copied_to_cpu(predictions: LayerPredictions) -> LayerPredictions:
    """The same predictions in the CPU's memory, float32, in one copy, which may still be under way from a GPU."""
    tensors = {f.name: getattr(predictions, f.name) for f in fields(predictions)}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if predictions.logits.device.type == "cpu":
        return LayerPredictions(**{name: tensor.float() for name, tensor in tensors.items()})
    flat = torch.cat([tensor.float().flatten(2) for tensor in tensors.values()], -1)
    if flat.is_cuda:
        flat = torch.empty(flat.shape, pin_memory=True).copy_(flat, non_blocking=True)
    pieces = flat.cpu().split([tensor[0, 0].numel() for tensor in tensors.values()], -1)
    shapes = [tensor.shape for tensor in tensors.values()]
    return LayerPredictions(
        **{name: piece.reshape(shape) for name, piece, shape in zip(tensors, pieces, shapes, strict=True)}
    )


@dataclass(frozen=True)
class Proposals:
    """The selected queries as the encoder predicted them."""

    logits: Tensor
    """(B, Q, C)"""
    boxes: Tensor
    """(B, Q, 4)"""


@dataclass(frozen=True)
class EncoderPredictions:
    """The encoder's predictions at every token, for dense supervision. N tokens, all levels row by row."""

    logits: Tensor
    """(B, N, C)"""
    boxes: Tensor
    """(B, N, 4); all ones where the token is not valid."""
    memory: Tensor
    """(B, N, hidden_dim)"""
    level_shapes: tuple[tuple[int, int], ...]
    """(height, width) of each level."""
    valid: Tensor
    """(B, N) bool: not padding, and its anchor box lies inside the picture."""


@dataclass(frozen=True)
class Predictions:
    """Everything one forward pass returns."""

    final: LayerPredictions
    """The last decoder layer: the model's output."""
    layers: tuple[LayerPredictions, ...]
    """Every decoder layer in order if all_layers was asked for, else the last alone."""
    proposals: Proposals
    encoder: EncoderPredictions | None = None
    """Only with all_layers."""
    denoising: tuple[LayerPredictions, ...] | None = None
    """Every decoder layer's predictions for the denoising queries (B, M), if there were any."""
