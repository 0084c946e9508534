"""Bilinear samples of feature levels, weighted and summed: the inner loop of deformable attention.

`sampler` chooses between an embedding bag (CPU), grid_sample (Apple's GPU, ONNX) and, in training, compiled loops (CPU)
or kernels with a gradient (CUDA with Triton); without one, a kernel does more than they there (`sampling_triton`). All
compute the same; tests hold them against each other. Places are in pixels of each level, x to the right and y down: the
first pixel's centre lies at 0.5, what lies outside is zero.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_NUMBA = importlib.util.find_spec("numba") is not None
LevelShapes = tuple[tuple[int, int], ...]
"""(height, width) of each feature level."""
Sampler = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From x, y and weights (B, N, heads, levels, K) to weighted sums of samples (B, N, heads, channels)."""


def sampler(value: Tensor, shapes: LevelShapes, points: int) -> Sampler:
    """What takes K = `points` samples a level of values (B, S, heads, channels), in the fastest way there is."""
    if value.device.type == "mps" or torch.onnx.is_in_onnx_export():
        return partial(sample_by_grid, value, shapes)
    device, needs_gradient = value.device.type, torch.is_grad_enabled()
    is_plain = not torch.compiler.is_compiling()  # compilers cannot see into compiled loops
    if device == "cpu" and needs_gradient and is_plain and HAS_NUMBA and value.dtype == torch.float32:
        from aios_core.model.sampling_numba import sample_by_loop  # numba takes a second to import

        return partial(sample_by_loop, value, shapes)
    if device == "cuda" and needs_gradient and is_plain:
        if not kernel_runs(value.shape[-1], with_gradient=True):
            return partial(sample_by_grid, value, shapes)  # a bag's gradient sorts all samples
        from aios_core.model.sampling_gradient_triton import sample_with_gradient

        return partial(sample_with_gradient, value, shapes)
    return partial(sample_by_bag, bordered_table(value, shapes, points))


@dataclass(frozen=True)
class KernelValues:
    """Values that one kernel samples, softmax and places included."""

    value: Tensor
    """(B, S, heads, channels)"""
    shapes: LevelShapes

    def seen(self, offsets: Tensor, logits: Tensor, references: Tensor) -> Tensor:
        """Weighted sums of samples (B, N, heads, channels); arguments as `sample_by_kernel` has them."""
        from aios_core.model.sampling_triton import sample_by_kernel

        return sample_by_kernel(self.value, self.shapes, offsets, logits, references)


@cache
def kernel_runs(channels: int, with_gradient: bool = False) -> bool:
    """Whether kernels can be built here for so many channels, a power of two: Triton needs a C compiler for it."""
    if importlib.util.find_spec("triton") is None or channels & (channels - 1):
        return False
    try:
        if with_gradient:
            from aios_core.model.sampling_gradient_triton import sample_with_gradient

            value, places = (torch.zeros(1, 1, 1, *shape, device="cuda") for shape in ((channels,), (1, 1)))
            sample_with_gradient(value.requires_grad_(), ((1, 1),), places, places, places).sum().backward()
        else:
            from aios_core.model.sampling_triton import sample_by_kernel

            value, offsets = (torch.zeros(1, 1, 1, *shape, device="cuda") for shape in ((channels,), (1, 1, 2)))
            sample_by_kernel(value, ((1, 1),), offsets, offsets[..., 0], offsets[:, :, 0, :, 0])
    except Exception as error:  # whatever Triton, the compiler it calls or the driver say
        warnings.warn(f"Sampling without Triton, which is slower: {error}", stacklevel=2)
        return False
    return True


@dataclass(frozen=True)
class BorderedTable:
    """Feature levels with zeros around them, so that reading outside needs no test, and what finds places in it.

    A level becomes H + 2 rows of W + 1 places: the zero before a row also ends the row above it. What lies beyond the
    last level is only read with weight zero. D = heads * levels * K samples are a query's.
    """

    rows: Tensor
    """(B * places * heads, channels): a row is one head's channels at one place, so that every read is contiguous."""
    width: Tensor
    """(D,) of each sample's level,"""
    height: Tensor
    """(D,)"""
    corners: Tensor
    """(B, 1, heads, 4, levels * K) int32: what leads from a place's row in the first head of the first level of the
    first picture to the rows of the corners top left, top right, bottom left and bottom right."""


def bordered_table(value: Tensor, shapes: LevelShapes, points: int) -> BorderedTable:
    """The levels (B, S, heads, channels) as a table for K = `points` samples a level."""
    batch, _, heads, _ = value.shape
    starts = [0]
    for height, width in shapes:
        starts.append(starts[-1] + (height + 2) * (width + 1))
    places = starts[-1] + shapes[-1][1] + 3
    table = value.new_zeros(batch, places, *value.shape[2:])
    levels = value.split([height * width for height, width in shapes], dim=1)
    for level, start, (height, width) in zip(levels, starts, shapes, strict=False):
        rows = table[:, start : start + (height + 2) * (width + 1)].unflatten(1, (height + 2, width + 1))
        rows[:, 1:-1, 1:] = level.unflatten(1, (height, width))
    height, width = (_by_sample(sizes, points, value).repeat(heads) for sizes in zip(*shapes, strict=True))
    first = [start + width + 2 for start, (_, width) in zip(starts, shapes, strict=False)]
    by_corner = zip(*((i, i + 1, i + w + 1, i + w + 2) for i, (_, w) in zip(first, shapes, strict=True)), strict=True)
    head = torch.arange(heads, dtype=torch.int32, device=value.device)
    image = torch.arange(batch, dtype=torch.int32, device=value.device) * (places * heads)
    corners = torch.stack([_by_sample(rows, points, head) for rows in by_corner]) * heads + head[:, None, None]
    corners = corners + image[:, None, None, None, None]
    return BorderedTable(table.flatten(0, 2), width, height, corners)


def _by_sample(numbers: tuple[int, ...], points: int, like: Tensor) -> Tensor:
    """(levels * points,) each level's number, made where `like` is: a copy from the processor would stop a GPU."""
    return torch.cat([like.new_full((points,), number) for number in numbers])


def sampled_rows(table: BorderedTable, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of the table that samples are made of, and their weights.

    Every step is one pass over numbers that lie side by side: this is most of what sampling costs on a CPU.

    Args:
        x, y, weights: (B, N, heads, levels, K).

    Returns:
        int32 rows and weights, each (B, N, heads, 4, levels * K).
    """
    heads = x.shape[2]
    left, right = _split(x.flatten(2), table.width)
    upper, lower = _split(y.flatten(2), table.height)
    weights = weights.flatten(2)
    bottom = lower * weights
    top = weights - bottom
    top_right, bottom_right = top * right, bottom * right
    parts = (top - top_right, top_right, bottom - bottom_right, bottom_right)
    corner_weights = torch.stack([part.unflatten(2, (heads, -1)) for part in parts], dim=3)
    rows = torch.addcmul(left, upper, table.width + 1).mul_(heads).int()
    return rows.unflatten(2, (heads, 1, -1)) + table.corners, corner_weights


def _split(places: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel index -1..size below places (B, N, D), and by what share of a pixel they lie beyond its centre."""
    places = torch.minimum((places - 0.5).nan_to_num_(nan=-1.0).clamp_(min=-1.0), size)
    below = places.detach().floor()
    return below, places - below


def sample_by_bag(table: BorderedTable, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of bilinear samples, (B, N, heads, channels), as one embedding bag; no sample is ever stored."""
    rows, corner_weights = (part.flatten(0, 2).flatten(1) for part in sampled_rows(table, x, y, weights))
    bags = F.embedding_bag(rows, table.rows, per_sample_weights=corner_weights, mode="sum")
    return bags.view(*x.shape[:3], -1)


def sample_by_grid(value: Tensor, shapes: LevelShapes, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The same of values (B, S, heads, channels) through grid_sample, for devices without embedding bags."""
    batch, _, heads, _, _ = x.shape
    parts = value.permute(0, 2, 3, 1).split([height * width for height, width in shapes], dim=-1)
    total = 0
    for level, (height, width) in enumerate(shapes):
        places = torch.stack((x[:, :, :, level] * (2 / width) - 1, y[:, :, :, level] * (2 / height) - 1), dim=-1)
        image = parts[level].unflatten(-1, (height, width)).flatten(0, 1)
        samples = F.grid_sample(image, places.transpose(1, 2).flatten(0, 1), align_corners=False)  # (B heads, C, N, K)
        total = total + (samples * weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
    return total.view(batch, heads, -1, total.shape[-1]).permute(0, 3, 1, 2)
