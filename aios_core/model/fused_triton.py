"""What follows a matrix product or a convolution, as one CUDA kernel each, written in Triton.

On a GPU such steps cost the time it takes to read and write their numbers: one step in place of three is three times
as fast. They round where the separate steps do.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 8
"""Tokens of a program of `added_norm_kernel`;"""
NUMBERS = 2048
"""numbers of one of `biased_kernel`."""


@triton.jit
def added_norm_kernel(
    x, y, weight, bias, output, count, eps, channels: tl.constexpr, padded: tl.constexpr, rows: tl.constexpr
):
    """A layer norm of x + y: `count` rows of channels; padded is a power of two for those."""
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    channel = tl.arange(0, padded)[None, :]
    is_channel = channel < channels
    place = row[:, None] * channels + channel
    exists = (row < count)[:, None] & is_channel
    total = tl.load(x + place, mask=exists, other=0.0).to(tl.float32)
    total += tl.load(y + place, mask=exists, other=0.0).to(tl.float32)
    centred = tl.where(is_channel, total - (tl.sum(total, axis=1) / channels)[:, None], 0.0)
    deviation = tl.sqrt(tl.sum(centred * centred, axis=1) / channels + eps)
    scale = tl.load(weight + channel, mask=is_channel, other=0.0)
    shift = tl.load(bias + channel, mask=is_channel, other=0.0)
    tl.store(output + place, centred / deviation[:, None] * scale + shift, mask=exists)


@triton.jit
def biased_kernel(x, bias, shortcut, count, channels: tl.constexpr, has_shortcut: tl.constexpr, numbers: tl.constexpr):
    """In place: the positive part of x plus a bias for each channel (plus a shortcut); channels lie side by side."""
    place = tl.program_id(0).to(tl.int64) * numbers + tl.arange(0, numbers)
    exists = place < count
    kind = x.dtype.element_ty
    read = tl.load(x + place, mask=exists, other=0.0)
    shift = tl.load(bias + place % channels, mask=exists, other=0.0).to(kind)
    total = (read.to(tl.float32) + shift.to(tl.float32)).to(kind)
    if has_shortcut:
        other = tl.load(shortcut + place, mask=exists, other=0.0)
        total = (total.to(tl.float32) + other.to(tl.float32)).to(kind)
    total = tl.where(total.to(tl.float32) < 0.0, 0.0, total.to(tl.float32))
    tl.store(x + place, total.to(kind), mask=exists)


def added_norm_by_kernel(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """layer_norm(x + y) over the last axis, in the precision of x."""
    x, y = x.contiguous(), y.contiguous()
    output = torch.empty_like(x)
    channels = x.shape[-1]
    count = x.numel() // channels
    added_norm_kernel[(triton.cdiv(count, ROWS),)](
        x, y, weight, bias, output, count, eps,
        channels=channels, padded=triton.next_power_of_2(channels), rows=ROWS, num_warps=4,
    )  # fmt: skip
    return output


def biased_by_kernel(x: Tensor, bias: Tensor, shortcut: Tensor | None) -> Tensor:
    """relu(x + bias + shortcut) in place, for maps (B, C, H, W) whose channels lie side by side in memory."""
    for maps in (x,) if shortcut is None else (x, shortcut):
        assert maps.is_contiguous(memory_format=torch.channels_last), f"{tuple(maps.shape)} has strides {maps.stride()}"
    biased_kernel[(triton.cdiv(x.numel(), NUMBERS),)](
        x, bias, x if shortcut is None else shortcut, x.numel(),
        channels=x.shape[1], has_shortcut=shortcut is not None, numbers=NUMBERS, num_warps=8,
    )  # fmt: skip
    return x
