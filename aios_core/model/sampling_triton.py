"""Deformable attention's sampling as one CUDA kernel, written in Triton: no sample, place or weight is ever stored.

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
WARPS = 4


@triton.jit
def corner_of(
    px, py, number: tl.constexpr, is_lane, first_row, width, height, tokens, picture, lane, heads: tl.constexpr,
    channels: tl.constexpr,
):  # fmt: skip
    """One of the four pixels around (px, py): whether it exists, the two factors of its share (0 where it does not),
    and the address of its channels in the values, which is not to be read where it does not exist."""
    column = tl.floor(px) + number % 2
    row = tl.floor(py) + number // 2
    exists = is_lane & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    share_x = tl.where(exists, 1.0 - tl.abs(px - column), 0.0)
    share_y = tl.where(exists, 1.0 - tl.abs(py - row), 0.0)
    place = first_row + (row * width + column).to(tl.int64)
    return exists, share_x, share_y, ((picture * tokens + place) * heads + lane % heads) * channels


@triton.jit
def sampling_kernel(
    value, offsets, logits, references, output, lanes_of_picture, tokens,
    shapes: tl.constexpr, heads: tl.constexpr, points: tl.constexpr, channels: tl.constexpr, sides: tl.constexpr,
    padded: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Arguments as `sample_by_kernel` has them, one picture a second grid index; sides are 2 numbers of a reference or
    4, padded is a power of two for levels * points."""
    picture = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * lanes + tl.arange(0, lanes)
    is_lane = lane < lanes_of_picture
    levels: tl.constexpr = len(shapes)
    first = (picture * lanes_of_picture + lane) * (levels * points)
    reference = references + (picture * (lanes_of_picture // heads) + lane // heads) * (levels * sides)
    number = tl.arange(0, padded)[None, :]
    is_number = number < levels * points
    together = tl.load(logits + first[:, None] + number, mask=is_lane[:, None] & is_number, other=0.0).to(tl.float32)
    together = tl.where(is_number, together, float("-inf"))
    greatest = tl.max(together, axis=1)
    whole = tl.sum(tl.exp(together - greatest[:, None]), axis=1)
    channel = tl.arange(0, channels)[None, :]
    total = tl.zeros((lanes, channels), dtype=tl.float32)
    start = 0
    for level in tl.static_range(levels):
        height = shapes[level][0]
        width = shapes[level][1]
        center_x = tl.load(reference + level * sides, mask=is_lane, other=0.0) * width - 0.5
        center_y = tl.load(reference + level * sides + 1, mask=is_lane, other=0.0) * height - 0.5
        if sides == 4:
            step_x = tl.load(reference + level * sides + 2, mask=is_lane, other=0.0) * width * (0.5 / points)
            step_y = tl.load(reference + level * sides + 3, mask=is_lane, other=0.0) * height * (0.5 / points)
        else:
            step_x = 1.0
            step_y = 1.0
        for k in range(points):
            sample = first + level * points + k
            px = center_x + step_x * tl.load(offsets + 2 * sample, mask=is_lane, other=0.0).to(tl.float32)
            py = center_y + step_y * tl.load(offsets + 2 * sample + 1, mask=is_lane, other=0.0).to(tl.float32)
            logit = tl.load(logits + sample, mask=is_lane, other=0.0).to(tl.float32)
            weight = tl.exp(logit - greatest) / whole
            for corner in tl.static_range(4):
                exists, share_x, share_y, address = corner_of(
                    px, py, corner, is_lane, start, width, height, tokens, picture, lane, heads, channels
                )
                read = tl.load(value + address[:, None] + channel, mask=exists[:, None], other=0.0)
                total += (share_x * share_y * weight)[:, None] * read.to(tl.float32)
        start += height * width
    address = (picture * lanes_of_picture + lane) * channels
    tl.store(output + address[:, None] + channel, total, mask=is_lane[:, None])


def sample_by_kernel(
    value: Tensor, shapes: tuple[tuple[int, int], ...], offsets: Tensor, logits: Tensor, references: Tensor,
    lanes: int = LANES, warps: int = WARPS,
) -> Tensor:  # fmt: skip
    """What queries see of the values: weighted sums (B, N, heads, channels) of bilinear samples, forwards only.

    Places and weights are made of what the layers return (see `DeformableAttention`), in float32 whatever they are.

    Args:
        value: (B, S, heads, channels); channels are a power of two.
        offsets: (B, N, heads, levels, K, 2) from the references, in pixels of points, in shares of boxes.
        logits: (B, N, heads, levels, K) of the weights.
        references: (B, N, levels, 2) points or (B, N, levels, 4) boxes in 0..1 of each level.
        lanes, warps: of a program; they change the time alone.
    """
    batch, count, heads, levels, points = logits.shape
    value, offsets, logits, references = (tensor.contiguous() for tensor in (value, offsets, logits, references))
    output = torch.empty(batch, count, heads, value.shape[-1], dtype=value.dtype, device=value.device)
    grid = (triton.cdiv(count * heads, lanes), batch)
    sampling_kernel[grid](
        value, offsets, logits, references, output, count * heads, value.shape[1],
        shapes=shapes, heads=heads, points=points, channels=value.shape[-1], sides=references.shape[-1],
        padded=triton.next_power_of_2(levels * points), lanes=lanes, num_warps=warps,
    )  # fmt: skip
    return output
