"""Boxes in torch, for any leading shape, with broadcasting (numpy's twin is `boxes`)."""

from __future__ import annotations

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Corner boxes (..., 4) of centre boxes (..., 4)."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def intersection(first: Tensor, second: Tensor) -> Tensor:
    """Area (...) that corner boxes (..., 4) share."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp_min(0).prod(-1)
