"""How a picture lies in what the network looks at: resized, and for some networks in the middle of a grey canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aios_core.config import ModelConfig

CANVAS_STEP = 32
"""All strides divide it but the coarsest, of which half a place may be left over."""


@dataclass(frozen=True)
class Framing:
    """Sizes are (width, height) in pixels."""

    picture: tuple[int, int]
    resized: tuple[int, int]
    """The picture as the network sees it;"""
    canvas: tuple[int, int]
    """it lies in the middle of this, or half a pixel to the left and above."""

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of the resized picture's first pixel in the canvas."""
        return (self.canvas[0] - self.resized[0]) // 2, (self.canvas[1] - self.resized[1]) // 2

    @property
    def pixel(self) -> np.ndarray:
        """(2,) width and height of a pixel of the canvas, in pixels of the picture."""
        return np.array(self.picture, np.float64) / self.resized

    @property
    def extent(self) -> np.ndarray:
        """(2,) width and height of the canvas, in pixels of the picture."""
        return self.canvas * np.array(self.picture, np.float64) / self.resized

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in pixels of the canvas, in pixels of the picture."""
        return (points - np.array(self.corner)) * self.pixel


def framing(width: int, height: int, config: ModelConfig) -> Framing:
    """How a picture of this size lies in what a network of this configuration looks at."""
    if not config.letterbox:
        resized = resize_size(width, height, config.short_side, config.long_side)
        return Framing((width, height), resized, resized)
    canvas = canvas_size(width / height, config.short_side * config.long_side)
    scale = min(canvas[0] / width, canvas[1] / height)
    resized = max(round(width * scale), 1), max(round(height * scale), 1)
    return Framing((width, height), resized, canvas)


def canvas_size(shape: float, pixels: int) -> tuple[int, int]:
    """(width, height) of the canvas for pictures of this width by height: multiples of CANVAS_STEP, about so many
    pixels in all."""
    height = math.sqrt(pixels / shape)
    return tuple(max(round(side / CANVAS_STEP), 1) * CANVAS_STEP for side in (shape * height, height))


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
