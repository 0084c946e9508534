"""Pictures as the network wants them: resized, normalised, padded into batches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from aios_core.config import ModelConfig

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
"""Of ImageNet, RGB, on 0..255."""


def resize_size(width: int, height: int, short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) in which the shorter side is `short_side`, or less where the longer would pass `long_side`.

    The rounding is the published model's; the longer side can exceed `long_side` by one pixel.
    """
    low, high = min(width, height), max(width, height)
    if high / low * short_side > long_side:
        short_side = max(round(long_side * low / high), 1)
    if low == short_side:
        return width, height
    if width < height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def resize(rgb: np.ndarray, width: int, height: int, antialias: bool) -> np.ndarray:
    """The picture (H, W, 3) at another size, float32 in 0..255.

    Args:
        antialias: average over areas where the picture shrinks. Without, it is sampled bilinearly at
            x' = x width / W in pixel indices, as the published model does it: dark beyond the last pixel.
    """
    if antialias:
        shrinks = width < rgb.shape[1]
        resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return resized.astype(np.float32)
    return _sample(_sample(rgb, height, axis=0), width, axis=1)


def _sample(rgb: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Linear samples at x' scaled to the old size, zero beyond the last pixel (OpenCV's warps round the places)."""
    old = rgb.shape[axis]
    places = np.arange(size) * (old / size)
    first = np.minimum(places.astype(np.int64), old - 1)
    part = (places - first).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(rgb.ndim)]
    near = (1 - part).reshape(shape)
    far = np.where(first + 1 < old, part, 0).astype(np.float32).reshape(shape)
    return rgb.take(first, axis) * near + rgb.take(np.minimum(first + 1, old - 1), axis) * far


def normalise(rgb: np.ndarray) -> Tensor:
    """(3, H, W) float32 from a picture (H, W, 3) in 0..255."""
    return torch.from_numpy(np.ascontiguousarray(((rgb - MEAN) / STD).transpose(2, 0, 1), np.float32))


def preprocess(rgb: np.ndarray, config: ModelConfig) -> Tensor:
    """(3, h, w) float32 for the network from an upright picture (H, W, 3) uint8."""
    size = resize_size(rgb.shape[1], rgb.shape[0], config.short_side, config.long_side)
    return normalise(resize(rgb, *size, config.antialias))


def pad_batch(pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) pictures padded right and below with zeros to the largest, and (B, H, W) where they are padding."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))
    images = pictures[0].new_zeros(len(pictures), 3, height, width)
    padding_mask = torch.ones(len(pictures), height, width, dtype=torch.bool, device=images.device)
    for i, picture in enumerate(pictures):
        _, h, w = picture.shape
        images[i, :, :h, :w] = picture
        padding_mask[i, :h, :w] = False
    return images, padding_mask
