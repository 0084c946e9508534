"""How samples are seen in training pictures: where, how large, mirrored or not, in which colours.

`drawn` makes a picture on the processor. `drawn_where_they_are` makes those of a whole batch on its device: beside a
GPU, processors cannot keep up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aios_core.model.device import sent
from aios_core.model.framing import Framing
from aios_core.model.preprocess import MEAN

SOFTENED_BELOW = 0.75
"""Samples that are shown smaller than this are averaged over two by two pixels, lest they alias."""
SHARPENING_RADIUS = 3
"""Pixels to each side of the Gaussian (standard deviation 1) that sharpness is measured against."""


@dataclass(frozen=True)
class Colours:
    """Another camera's picture of the same thing."""

    mix: np.ndarray
    """(3, 3) what a pixel's red, green and blue become: gain and saturation."""
    sharpness: float
    gamma: float


def draw_colours(rng: np.random.Generator) -> Colours:
    """Some colours."""
    gain, saturation = rng.uniform(0.8, 1.2, 3), rng.uniform(0.4, 1.4)
    grey = np.array([[0.3, 0.6, 0.1]])
    mix = (saturation * np.eye(3) + (1 - saturation) * grey) * gain
    return Colours(mix, float(rng.uniform(0.3, 2.0)), float(np.exp(rng.normal(0, 0.2))))


AS_IT_IS = Colours(np.eye(3), 1.0, 1.0)


@dataclass(frozen=True)
class View:
    """How a sample fills its part of a picture: x' = zoom * x + shift, of the mirrored sample if so."""

    zoom: float
    shift: np.ndarray
    """(2,) pixels."""
    corner: np.ndarray
    """(2,) x and y of the part's first pixel, ..."""
    size: np.ndarray
    """(2,) ... and its width and height."""
    is_mirrored: bool = False
    colours: Colours = AS_IT_IS

    def of_pixel(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """(2,) factors and (2,) offsets that lead from a pixel of the sample, `width` wide, to one of the picture."""
        scale, shift = np.array([self.zoom, self.zoom]), np.array(self.shift, np.float64)
        if self.is_mirrored:
            scale[0], shift[0] = -self.zoom, shift[0] + self.zoom * (width - 1)
        return scale, shift


def drawn(image: np.ndarray, view: View) -> np.ndarray:
    """A sample's image (H, W, 3) uint8 as seen in its part of the picture."""
    (a, b), (x, y) = view.of_pixel(image.shape[1])
    source = cv2.blur(image, (2, 2)) if view.zoom < SOFTENED_BELOW else image
    picture = cv2.warpAffine(source, np.array([[a, 0, x], [0, b, y]]), view.size.tolist(), flags=cv2.INTER_LINEAR)
    return picture if view.colours is AS_IT_IS else recoloured(picture, view.colours)


def recoloured(image: np.ndarray, colours: Colours) -> np.ndarray:
    """A picture (H, W, 3) uint8 in these colours."""
    image = cv2.transform(image, colours.mix)
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
    image = cv2.addWeighted(image, colours.sharpness, blurred, 1 - colours.sharpness, 0)
    return cv2.LUT(image, np.round((np.arange(256) / 255) ** colours.gamma * 255).astype(np.uint8))


@dataclass(frozen=True)
class Undrawn:
    """The samples of B pictures and how they are seen: each has a first one and, where there is one, another."""

    sources: Tensor
    """(B, 2, H, W, 3) uint8, both beside each other; smaller ones are padded."""
    scale: Tensor
    """(B, 2, 2) and"""
    shift: Tensor
    """(B, 2, 2) lead from a pixel of the picture to one of a source: x' = scale * x + shift, and so y;"""
    last: Tensor
    """(B, 2, 2) x and y of its last pixel;"""
    which: Tensor
    """(B, 2) 0 or 1: which source it is: pictures of one sample show the first in both parts."""
    is_softened: Tensor
    """(B, 2) bool"""
    mix: Tensor
    """(B, 2, 3, 3)"""
    sharpness: Tensor
    """(B, 2)"""
    gamma: Tensor
    """(B, 2)"""
    placed: Framing
    along: int
    """The axis along which the second part follows the first, 0 = x ..."""
    border: int
    """... from this pixel of the canvas on."""


def undrawn(pictures: list[list[tuple[np.ndarray, View]]], placed: Framing, along: int) -> Undrawn:
    """One or two images (H, W, 3) uint8 and their views for each picture; second ones begin at the same place."""
    second = (seen[1][1].corner[along] for seen in pictures if len(seen) > 1)
    border = int(next(second, placed.canvas[along]))
    images = [image for seen in pictures for image, _ in seen]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    sources = np.zeros((len(pictures), 2, height, width, 3), np.uint8)
    scale, shift, last = np.zeros((3, len(pictures), 2, 2), np.float32)
    which, softened = np.zeros((len(pictures), 2), np.int64), np.zeros((len(pictures), 2), bool)
    mix = np.zeros((len(pictures), 2, 3, 3), np.float32)
    sharpness, gamma = np.zeros((2, len(pictures), 2), np.float32)
    for i, seen in enumerate(pictures):
        for part in range(2):
            which[i, part] = number = min(part, len(seen) - 1)
            image, view = seen[number]
            if number == part:
                sources[i, part, : image.shape[0], : image.shape[1]] = image
            forth, offset = view.of_pixel(image.shape[1])
            scale[i, part], shift[i, part] = 1 / forth, -(offset + view.corner) / forth
            last[i, part] = image.shape[1] - 1, image.shape[0] - 1
            softened[i, part] = view.zoom < SOFTENED_BELOW
            mix[i, part], sharpness[i, part] = view.colours.mix, view.colours.sharpness
            gamma[i, part] = view.colours.gamma
    arrays = (sources, scale, shift, last, which, softened, mix, sharpness, gamma)
    return Undrawn(*map(torch.from_numpy, arrays), placed, along, border)


def drawn_where_they_are(pictures: Undrawn) -> Tensor:
    """The pictures (B, H, W, 3) float32 in 0..255, on their device: as `drawn` makes them, but for its roundings."""
    sources, (width, height) = pictures.sources, pictures.placed.canvas
    device, source_width = sources.device, sources.shape[3]
    x, y = torch.arange(width, device=device)[None], torch.arange(height, device=device)[:, None]
    is_second = (y if pictures.along else x) >= pictures.border  # (1, W) or (H, 1)

    def of_part(values: Tensor) -> Tensor:
        """Values (B, 2, ...) of both parts at every pixel: (B, ..., 1 or H, 1 or W)."""
        first, second = (part[..., None, None] for part in values.unbind(1))
        return torch.where(is_second, second, first)

    scale, shift, last = (of_part(part) for part in (pictures.scale, pictures.shift, pictures.last))
    seen_x = (scale[:, 0] * x + shift[:, 0]).clamp(min=0).minimum(last[:, 0])
    seen_x = seen_x + of_part(pictures.which) * source_width
    seen_y = (scale[:, 1] * y + shift[:, 1]).clamp(min=0).minimum(last[:, 1])
    ends = 2 * source_width - 1, max(sources.shape[2] - 1, 1)
    places = [(2 / end * part - 1).expand(-1, height, width) for part, end in zip((seen_x, seen_y), ends, strict=True)]
    images = sources.permute(0, 1, 4, 2, 3).flatten(0, 1).float()  # (2B, 3, H, W)
    average = F.avg_pool2d(F.pad(images, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
    images = torch.where(pictures.is_softened.flatten()[:, None, None, None], average, images)
    images = images.unflatten(0, (-1, 2)).permute(0, 2, 3, 1, 4).flatten(3)  # (B, 3, H, 2W)
    images = F.grid_sample(images, torch.stack(places, -1), align_corners=True)
    images = _recoloured(images, of_part(pictures.mix), of_part(pictures.sharpness), of_part(pictures.gamma))
    low, size = pictures.placed.corner, pictures.placed.resized
    is_seen = (x >= low[0]) & (x < low[0] + size[0]) & (y >= low[1]) & (y < low[1] + size[1])
    return torch.where(is_seen[..., None], images.movedim(1, -1), sent(torch.from_numpy(np.round(MEAN)), device))


def _recoloured(images: Tensor, mix: Tensor, sharpness: Tensor, gamma: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in colours: mix (B, 3, 3, h, w), sharpness and gamma (B, h, w)."""
    images = sum(mix[:, :, k] * images[:, k : k + 1] for k in range(3)).clamp(0, 255)
    radius = SHARPENING_RADIUS
    kernel = torch.exp(-0.5 * torch.arange(-radius, radius + 1, device=images.device).float() ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    blurred = F.conv2d(F.pad(images, (radius, radius, 0, 0), mode="reflect"), kernel, groups=3)
    blurred = F.conv2d(F.pad(blurred, (0, 0, radius, radius), mode="reflect"), kernel.mT, groups=3)
    images = (blurred + (images - blurred) * sharpness[:, None]).clamp(0, 255)
    return (images / 255) ** gamma[:, None] * 255
