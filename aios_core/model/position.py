"""Sine encodings of places and boxes, and the validity bookkeeping of padded feature levels. All in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor

IMAGE_TEMPERATURE = 20
BOX_TEMPERATURE = 10000


def sine_features(values: Tensor, count: int, temperature: float) -> Tensor:
    """(..., count) features of angles (...): sines at even, cosines at odd places, interleaved."""
    exponents = torch.arange(count // 2, device=values.device, dtype=torch.float32) * (2 / count)
    angles = values[..., None] / temperature**exponents
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def image_position(padding_mask: Tensor, dim: int, end: Tensor) -> Tensor:
    """(B, H, W, dim) encoding of every place of a level: dim/2 features of y, then dim/2 of x.

    Args:
        padding_mask: (B, H, W) bool, True = padding; coordinates count unpadded places.
        end: (B, 2) where x and y end, in 2 pi.
    """
    valid = (~padding_mask).float()
    y, x = valid.cumsum(1), valid.cumsum(2)
    right, below = (2 * math.pi * end).unbind(-1)
    y = y / (y[:, -1:, :] + 1e-6) * below[:, None, None]
    x = x / (x[:, :, -1:] + 1e-6) * right[:, None, None]
    return torch.cat([sine_features(v, dim // 2, IMAGE_TEMPERATURE) for v in (y, x)], dim=-1)


def box_position(boxes: Tensor, dim: int) -> Tensor:
    """(..., 2 dim) encoding of boxes (..., 4) cxcywh: dim/2 features each of y, x, w, h in this order."""
    x, y, width, height = boxes.float().unbind(-1)
    angles = torch.stack((y, x, width, height), dim=-1) * (2 * math.pi)
    return sine_features(angles, dim // 2, BOX_TEMPERATURE).flatten(-2)


def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """(B, height, width) nearest neighbours of a mask (B, H, W): the source of i is floor(i H / height)."""
    rows = torch.arange(height, device=mask.device) * mask.shape[1] // height
    columns = torch.arange(width, device=mask.device) * mask.shape[2] // width
    return mask[:, rows][:, :, columns]


def valid_extent(padding_mask: Tensor) -> Tensor:
    """(B, 2) unpadded width and height of masks (B, H, W), counted on the first row and column, float32."""
    return torch.stack(((~padding_mask[:, 0]).sum(1), (~padding_mask[:, :, 0]).sum(1)), dim=-1).float()


def pixel_centers(height: int, width: int, device: torch.device) -> Tensor:
    """(height * width, 2) centres (x + 0.5, y + 0.5) of a level's places, row by row, float32."""
    y = torch.arange(height, device=device, dtype=torch.float32) + 0.5
    x = torch.arange(width, device=device, dtype=torch.float32) + 0.5
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1).flatten(0, 1)


def inverse_sigmoid(x: Tensor, eps: float = 1e-3) -> Tensor:
    """Logit of x clamped to 0..1, with both x and 1 - x at least eps."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
