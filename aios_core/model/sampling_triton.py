"""Deformable attention's sampling as one CUDA kernel, written in Triton: no sample and no index is ever stored.

Needs Triton, which PyTorch's CUDA builds for Linux bring; elsewhere `sampling` computes the same by other means. Tests
hold the kernel against those in Triton's interpreter, and compile it for GPUs without one.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 32
"""Lanes of a program; a lane is one head of one query."""


@triton.jit
def sampling_kernel(
    value, x, y, weights, output, lanes_of_picture, tokens,
    shapes: tl.constexpr, heads: tl.constexpr, points: tl.constexpr, channels: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Weighted sums of bilinear samples; arguments as `sample_by_kernel` has them, one picture a second grid index."""
    picture = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * lanes + tl.arange(0, lanes)
    is_lane = lane < lanes_of_picture
    levels: tl.constexpr = len(shapes)
    first = (picture * lanes_of_picture + lane) * (levels * points)
    channel = tl.arange(0, channels)[None, :]
    total = tl.zeros((lanes, channels), dtype=tl.float32)
    start = 0
    for level in tl.static_range(levels):
        height = shapes[level][0]
        width = shapes[level][1]
        for k in range(points):
            sample = first + level * points + k
            px = tl.load(x + sample, mask=is_lane, other=0.0) - 0.5
            py = tl.load(y + sample, mask=is_lane, other=0.0) - 0.5
            weight = tl.load(weights + sample, mask=is_lane, other=0.0)
            left = tl.floor(px)
            upper = tl.floor(py)
            for corner in tl.static_range(4):
                column = left + corner % 2
                row = upper + corner // 2
                share = (1.0 - tl.abs(px - column)) * (1.0 - tl.abs(py - row)) * weight
                exists = is_lane & (column >= 0) & (column < width) & (row >= 0) & (row < height)
                place = start + tl.where(exists, row * width + column, 0.0).to(tl.int64)
                address = ((picture * tokens + place) * heads + lane % heads) * channels
                read = tl.load(value + address[:, None] + channel, mask=exists[:, None], other=0.0)
                total += tl.where(exists, share, 0.0)[:, None] * read.to(tl.float32)
        start += height * width
    address = (picture * lanes_of_picture + lane) * channels
    tl.store(output + address[:, None] + channel, total, mask=is_lane[:, None])


def sample_by_kernel(
    value: Tensor, shapes: tuple[tuple[int, int], ...], x: Tensor, y: Tensor, weights: Tensor
) -> Tensor:
    """The same as `sampling.sample_by_grid`, forwards only; channels are a power of two.

    Sums are float32 whatever the values are.
    """
    batch, count, heads, _, points = x.shape
    value, x, y, weights = (tensor.contiguous() for tensor in (value, x, y, weights))
    output = torch.empty(batch, count, heads, value.shape[-1], dtype=value.dtype, device=value.device)
    grid = (triton.cdiv(count * heads, LANES), batch)
    sampling_kernel[grid](
        value, x, y, weights, output, count * heads, value.shape[1],
        shapes=shapes, heads=heads, points=points, channels=value.shape[-1], lanes=LANES,
    )  # fmt: skip
    return output
