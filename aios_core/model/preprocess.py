"""Pictures as the network wants them: resized, normalised, padded into batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aios_core.config import ModelConfig
from aios_core.media.image import resized
from aios_core.model.device import sent
from aios_core.model.framing import Framing, framing

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
"""Of ImageNet, RGB, on 0..255."""


def resize(rgb: np.ndarray, width: int, height: int, antialias: bool) -> np.ndarray:
    """The picture (H, W, 3) at another size, float32 in 0..255.

    Args:
        antialias: average over areas where the picture shrinks. Without, it is sampled bilinearly at
            x' = x width / W in pixel indices, as the published model does it: dark beyond the last pixel.
    """
    if antialias:
        return resized(rgb, width, height).astype(np.float32)
    return sample(torch.from_numpy(np.ascontiguousarray(rgb)), width, height).numpy()


def sample(rgb: Tensor, width: int, height: int) -> Tensor:
    """Pictures (..., H, W, 3) at another size, float32: linear samples at x' scaled to the old size.

    They are zero beyond the last pixel. OpenCV's warps round the places, grid_sample's are not exact enough.
    """
    return _sample(_sample(rgb, height, rgb.ndim - 3), width, rgb.ndim - 2)


def _sample(rgb: Tensor, size: int, axis: int) -> Tensor:
    old = rgb.shape[axis]
    places = np.arange(size) * (old / size)
    first = np.minimum(places.astype(np.int64), old - 1)
    part = (places - first).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(rgb.ndim)]
    near, far = (1 - part).reshape(shape), np.where(first + 1 < old, part, 0).astype(np.float32).reshape(shape)
    second = np.minimum(first + 1, old - 1)
    first, second, near, far = (sent(torch.from_numpy(array), rgb.device) for array in (first, second, near, far))
    return rgb.index_select(axis, first) * near + rgb.index_select(axis, second) * far


def normalise(rgb: np.ndarray) -> Tensor:
    """(3, H, W) float32 from a picture (H, W, 3) in 0..255."""
    return normalised(torch.from_numpy(np.ascontiguousarray(rgb))).contiguous()


def normalised(rgb: Tensor) -> Tensor:
    """(..., 3, H, W) float32 from pictures (..., H, W, 3) in 0..255, channels last in memory as those are."""
    mean, std = (sent(torch.from_numpy(array), rgb.device) for array in (MEAN, STD))
    return rgb.float().sub(mean).div_(std).movedim(-1, -3)


def preprocess(rgb: np.ndarray, config: ModelConfig) -> Tensor:
    """(3, h, w) float32 for the network from an upright picture (H, W, 3) uint8."""
    placed = framing(rgb.shape[1], rgb.shape[0], config)
    return on_canvas(normalise(resize(rgb, *placed.resized, config.antialias)), placed)


def preprocess_batch(rgb: Tensor, placed: Framing) -> Tensor:
    """(B, 3, h, w) float32 for the network, on their device, from upright pictures (B, H, W, 3) uint8.

    They have the framing's resized size, or another, from which they are sampled as the published model does it.
    """
    width, height = placed.resized
    resized = rgb if rgb.shape[1:3] == (height, width) else sample(rgb, width, height)
    return on_canvas(normalised(resized), placed)


def on_canvas(pictures: Tensor, placed: Framing) -> Tensor:
    """Normalised pictures (..., 3, h, w) in the middle of the canvas: zeros around them are ImageNet's mean grey."""
    if placed.resized == placed.canvas:
        return pictures
    (left, top), (width, height) = placed.corner, placed.resized
    right, below = placed.canvas[0] - width - left, placed.canvas[1] - height - top
    return F.pad(pictures, (left, right, top, below))


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
