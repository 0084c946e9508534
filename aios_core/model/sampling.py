"""Bilinear samples of feature levels, weighted and summed: the inner loop of deformable attention.

`sample` chooses between an embedding bag (CPU and CUDA), grid_sample (Apple's GPU, ONNX) and, for training on the CPU,
compiled loops. All compute the same; tests hold them against each other.
"""

from __future__ import annotations

import importlib.util

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_NUMBA = importlib.util.find_spec("numba") is not None
LevelShapes = tuple[tuple[int, int], ...]
"""(height, width) of each feature level."""


def level_sizes(shapes: LevelShapes, like: Tensor) -> Tensor:
    """(L, 2) width and height of each level, with the dtype and device of `like`."""
    if torch.onnx.is_in_onnx_export():  # where they are read off the picture, and no constants
        sides = torch.stack([torch.as_tensor(side) for shape in shapes for side in shape])
        return sides.view(-1, 2).flip(-1).to(like)
    return like.new_tensor(shapes).flip(-1)


def with_borders(value: Tensor, shapes: LevelShapes) -> Tensor:
    """The levels (B, S, heads, channels) with zeros around them, so that reading outside needs no test.

    A level becomes H + 2 rows of W + 1 places: the zero before a row also ends the row above it. What lies
    beyond the last level is only read with weight zero.
    """
    counts = [(height + 2) * (width + 1) for height, width in shapes]
    table = value.new_zeros(value.shape[0], sum(counts) + shapes[-1][1] + 3, *value.shape[2:])
    levels = value.split([height * width for height, width in shapes], dim=1)
    start = 0
    for level, count, (height, width) in zip(levels, counts, shapes, strict=True):
        rows = table[:, start : start + count].unflatten(1, (height + 2, width + 1))
        rows[:, 1:-1, 1:] = level.unflatten(1, (height, width))
        start += count
    return table


def sampled_rows(locations: Tensor, weights: Tensor, shapes: LevelShapes) -> tuple[Tensor, Tensor]:
    """Rows of the table of `with_borders`, one for every place and head, and their weights.

    Args:
        locations: (B, N, heads, levels, K, 2) places (x, y) in 0..1 of each level.
        weights: (B, N, heads, levels, K) attention.

    Returns:
        int32 rows (B, N, heads, levels, K, 4) and their weights: corners top left, top right, bottom ones.
    """
    width, height = locations.new_tensor(shapes).flip(-1)[:, None].unbind(-1)  # (levels, 1)
    # fmin and fmax turn what is not a number into a place outside.
    x = torch.fmax(torch.fmin(locations[..., 0] * width - 0.5, width), -torch.ones_like(width))
    y = torch.fmax(torch.fmin(locations[..., 1] * height - 0.5, height), -torch.ones_like(height))
    left, upper = x.detach().floor(), y.detach().floor()
    right, bottom = x - left, (y - upper) * weights
    bottom_right = bottom * right
    top = weights - bottom
    top_right = top * right
    corner_weights = torch.stack((top - top_right, top_right, bottom - bottom_right, bottom_right), dim=-1)
    batch, _, heads, *_ = locations.shape
    *starts, places = (sum((h + 2) * (w + 1) for h, w in shapes[:level]) for level in range(len(shapes) + 1))
    places += shapes[-1][1] + 3
    corners = [
        [start + w + 2, start + w + 3, start + 2 * w + 3, start + 2 * w + 4]
        for start, (_, w) in zip(starts, shapes, strict=True)
    ]
    corners = heads * torch.tensor(corners, dtype=torch.int32, device=x.device)[:, None]
    head = torch.arange(heads, dtype=torch.int32, device=x.device)[:, None, None]
    image = torch.arange(batch, dtype=torch.int32, device=x.device)[:, None, None, None, None]
    rows = torch.addcmul(left, upper, width + 1).int().mul_(heads).add_(head + image * (places * heads))
    return rows[..., None] + corners, corner_weights


def sample_by_bag(value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
    """Weighted sums of bilinear samples, (B, N, heads, channels), as one embedding bag over the value's rows.

    A row is one head's channels at one place, so that every read is contiguous and no sample is ever stored.

    Args:
        value: (B, S, heads, channels), the levels one after the other.
    """
    table = with_borders(value, shapes)
    rows, corner_weights = (x.flatten(0, 2).flatten(1) for x in sampled_rows(locations, weights, shapes))
    bags = F.embedding_bag(rows, table.flatten(0, 2), per_sample_weights=corner_weights, mode="sum")
    return bags.view(*locations.shape[:3], -1)


def sample_by_grid(value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
    """The same as sample_by_bag through grid_sample, for devices without embedding bags."""
    grids = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5)  # (B, heads, levels, N, K, 2)
    weights = weights.permute(0, 2, 3, 1, 4)  # (B, heads, levels, N, K)
    batch, heads, levels = grids.shape[:3]
    parts = value.permute(0, 2, 3, 1).split([height * width for height, width in shapes], dim=-1)
    total = 0
    for level in range(levels):
        image = parts[level].unflatten(-1, shapes[level]).flatten(0, 1)
        samples = F.grid_sample(image, grids[:, :, level].flatten(0, 1), align_corners=False)
        total = total + (samples * weights[:, :, level].flatten(0, 1)[:, None]).sum(-1)
    return total.view(batch, heads, -1, total.shape[-1]).permute(0, 3, 1, 2)


def sample(value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
    """Weighted sums of bilinear samples, (B, N, heads, channels), in the fastest way there is."""
    if value.device.type == "mps" or torch.onnx.is_in_onnx_export():
        return sample_by_grid(value, locations, weights, shapes)
    needs_gradient = torch.is_grad_enabled() and (value.requires_grad or locations.requires_grad)
    if torch.compiler.is_compiling():  # which cannot see into compiled loops
        return sample_by_bag(value, locations, weights, shapes)
    if needs_gradient and HAS_NUMBA and value.device.type == "cpu" and value.dtype == torch.float32:
        from aios_core.model.sampling_numba import sample_by_loop  # numba takes a second to import

        return sample_by_loop(value, locations, weights, shapes)
    return sample_by_bag(value, locations, weights, shapes)
