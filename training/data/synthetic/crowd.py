"""Crowds far behind the people of a scene: rows of spectators, each too small to be labelled, over a ground."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

TALLEST = 0.13
"""Height of the largest spectators as a share of the picture's: people of a scene are larger."""
STANDING_PX = 80
"""Height of somebody of 1.7 m in the pictures that spectators are cut from."""
ROW_OF = 40
"""Spectators in the strip that every row repeats from another place."""


def cut_out(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8 RGBA: what covers a share (H, W) of the pixels of a picture (H, W, 3) in linear light."""
    rows, columns = np.flatnonzero(share.any(1)), np.flatnonzero(share.any(0))
    colour = np.sqrt(np.clip(picture, 0, 1))
    rgba = (np.dstack([colour, share]) * 255).astype(np.uint8)
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def crowd(
    picture: np.ndarray, spectators: Sequence[np.ndarray], ground: np.ndarray, boards: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """The picture (H, W, 3) with rows of spectators (h, w, 4) on it, from its top down to where the ground begins.

    The nearer, the lower and the larger; those in front hide most of those behind. `boards` (h, w, 3) are stretched
    between them and the ground, half of the time.
    """
    height, width = picture.shape[:2]
    picture = picture * np.float32(rng.uniform(0.1, 0.9))
    tall = height * np.exp(rng.uniform(np.log(0.4 * TALLEST), np.log(0.8 * TALLEST)))
    end, rise = rng.uniform(0.3, 1.1) * height, rng.uniform(0.35, 0.7)
    growth = (TALLEST * height / tall) ** (rng.random() * tall * rise / height)
    strip = _strip(spectators, tall, rng.uniform(0.2, 0.5) * tall, rng) * np.append(rng.uniform(0.85, 1.15, 3), 1)
    y, zoom = -0.5 * tall, 1.0
    while y < end:
        row = np.roll(strip[:, :: rng.choice((-1, 1))], rng.integers(strip.shape[1]), 1)
        row = cv2.resize(row, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
        row = np.tile(row, (1, -(-width // row.shape[1]), 1))[:, :width]
        top = int(y)
        place = picture[max(top, 0) : top + len(row)]
        row = row[max(-top, 0) :][: len(place)]
        place[:] = place * (1 - row[..., 3:] / 255) + row[..., :3] * rng.uniform(0.8, 1.1)
        y, zoom = y + rise * tall * zoom, zoom * growth
    picture = picture.clip(0, 255).astype(np.uint8)
    end = int(end)
    if end < height:
        picture[end:] = cv2.resize(ground, (width, height - end), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            low = min(end + max(int(tall * rng.uniform(0.4, 1.2)), 1), height)
            picture[end:low] = cv2.resize(boards, (width, low - end), interpolation=cv2.INTER_AREA)
    return picture


def _strip(spectators: Sequence[np.ndarray], tall: float, step: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 4) float32: spectators beside each other, colours times their share of the pixel, as it can be repeated.

    tall: height in pixels of somebody of 1.7 m, all are cut from one distance; step: pixels from one to the next.
    """
    strip = np.zeros((int(1.5 * tall) + 1, int(ROW_OF * step), 4), np.float32)
    for i in range(ROW_OF):
        figure = spectators[rng.integers(len(spectators))]
        size = np.maximum(np.round(np.array(figure.shape[1::-1]) * (tall / STANDING_PX)), 1).astype(int)
        figure = cv2.resize(figure, size.tolist(), interpolation=cv2.INTER_AREA)[: len(strip)].astype(np.float32)
        share = figure[..., 3:] / 255
        figure[..., :3] *= share * rng.uniform(0.6, 1.3)
        columns = (int(i * step) + np.arange(figure.shape[1])) % strip.shape[1]
        y = int((len(strip) - len(figure)) * rng.uniform(0.3, 0.6))
        place = slice(y, y + len(figure))
        strip[place, columns] = strip[place, columns] * (1 - share) + figure
    return strip
