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
    # One axis after the other: numbers that lie side by side are compared several times as fast as pairs.
    width, height = (
        torch.minimum(first[..., axis + 2], second[..., axis + 2]) - torch.maximum(first[..., axis], second[..., axis])
        for axis in (0, 1)
    )
    return width.clamp_min(0) * height.clamp_min(0)
