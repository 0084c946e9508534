"""Deformable attention's sampling with a gradient, for training on CUDA: two kernels written in Triton.

Torch would store 4 rows and weights for every sample and sort them for the gradient; the kernels store nothing. They
are compiled once for pictures of all sizes, of which training shows many.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from aios_core.model.device import sent
from aios_core.model.sampling_triton import LANES, corner_of


@triton.jit
def sums_kernel(
    value, x, y, weights, output, sizes, lanes_of_picture, tokens,
    levels: tl.constexpr, heads: tl.constexpr, points: tl.constexpr, channels: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Weighted sums of bilinear samples of levels whose heights and widths are in `sizes`; a lane is one head of one
    query, the second grid index one picture."""
    picture = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * lanes + tl.arange(0, lanes)
    is_lane = lane < lanes_of_picture
    first = (picture * lanes_of_picture + lane) * (levels * points)
    channel = tl.arange(0, channels)[None, :]
    total = tl.zeros((lanes, channels), dtype=tl.float32)
    start = 0
    for level in tl.static_range(levels):
        height = tl.load(sizes + 2 * level)
        width = tl.load(sizes + 2 * level + 1)
        for k in range(points):
            sample = first + level * points + k
            px = tl.load(x + sample, mask=is_lane, other=0.0) - 0.5
            py = tl.load(y + sample, mask=is_lane, other=0.0) - 0.5
            weight = tl.load(weights + sample, mask=is_lane, other=0.0)
            for corner in tl.static_range(4):
                exists, share_x, share_y, address = corner_of(
                    px, py, corner, is_lane, start, width, height, tokens, picture, lane, heads, channels
                )
                read = tl.load(value + address[:, None] + channel, mask=exists[:, None], other=0.0)
                total += (share_x * share_y * weight)[:, None] * read.to(tl.float32)
        start += height * width
    address = (picture * lanes_of_picture + lane) * channels
    tl.store(output + address[:, None] + channel, total, mask=is_lane[:, None])


@triton.jit
def gradient_kernel(
    grad, value, x, y, weights, grad_value, grad_x, grad_y, grad_weights, sizes, lanes_of_picture, tokens,
    levels: tl.constexpr, heads: tl.constexpr, points: tl.constexpr, channels: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """What `grad`, the gradient of the sums, is of everything they are made of; grad_value starts at zero."""
    picture = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * lanes + tl.arange(0, lanes)
    is_lane = lane < lanes_of_picture
    first = (picture * lanes_of_picture + lane) * (levels * points)
    channel = tl.arange(0, channels)[None, :]
    address = (picture * lanes_of_picture + lane) * channels
    wanted = tl.load(grad + address[:, None] + channel, mask=is_lane[:, None], other=0.0).to(tl.float32)
    start = 0
    for level in tl.static_range(levels):
        height = tl.load(sizes + 2 * level)
        width = tl.load(sizes + 2 * level + 1)
        for k in range(points):
            sample = first + level * points + k
            px = tl.load(x + sample, mask=is_lane, other=0.0) - 0.5
            py = tl.load(y + sample, mask=is_lane, other=0.0) - 0.5
            weight = tl.load(weights + sample, mask=is_lane, other=0.0)
            of_weight = tl.zeros((lanes,), dtype=tl.float32)
            along_x = tl.zeros((lanes,), dtype=tl.float32)
            along_y = tl.zeros((lanes,), dtype=tl.float32)
            for corner in tl.static_range(4):
                exists, share_x, share_y, address = corner_of(
                    px, py, corner, is_lane, start, width, height, tokens, picture, lane, heads, channels
                )
                read = tl.load(value + address[:, None] + channel, mask=exists[:, None], other=0.0)
                product = tl.sum(read.to(tl.float32) * wanted, axis=1)
                of_weight += share_x * share_y * product
                along_x += (2 * (corner % 2) - 1) * share_y * product
                along_y += (2 * (corner // 2) - 1) * share_x * product
                change = (share_x * share_y * weight)[:, None] * wanted
                tl.atomic_add(grad_value + address[:, None] + channel, change, mask=exists[:, None], sem="relaxed")
            tl.store(grad_weights + sample, of_weight, mask=is_lane)
            tl.store(grad_x + sample, along_x * weight, mask=is_lane)
            tl.store(grad_y + sample, along_y * weight, mask=is_lane)
        start += height * width


def sample_with_gradient(
    value: Tensor, shapes: tuple[tuple[int, int], ...], x: Tensor, y: Tensor, weights: Tensor
) -> Tensor:
    """The same as `sampling.sample_by_grid`, on CUDA; channels are a power of two. Sums are float32 inside."""
    return _Sample.apply(value, x, y, weights, sent(torch.tensor(shapes, dtype=torch.int32), value.device))


class _Sample(Function):
    @staticmethod
    def forward(context, value, x, y, weights, sizes):
        value, x, y, weights = (tensor.contiguous() for tensor in (value, x, y, weights))
        context.save_for_backward(value, x, y, weights, sizes)
        batch, count, heads, levels, points = x.shape
        output = torch.empty(batch, count, heads, value.shape[-1], dtype=value.dtype, device=value.device)
        sums_kernel[triton.cdiv(count * heads, LANES), batch](
            value, x, y, weights, output, sizes, count * heads, value.shape[1],
            levels=levels, heads=heads, points=points, channels=value.shape[-1], lanes=LANES,
        )  # fmt: skip
        return output

    @staticmethod
    def backward(context, grad):
        value, x, y, weights, sizes = context.saved_tensors
        batch, count, heads, levels, points = x.shape
        grad_value = torch.zeros_like(value, dtype=torch.float32)
        grads = [torch.empty_like(tensor) for tensor in (x, y, weights)]
        gradient_kernel[triton.cdiv(count * heads, LANES), batch](
            grad.contiguous(), value, x, y, weights, grad_value, *grads, sizes, count * heads, value.shape[1],
            levels=levels, heads=heads, points=points, channels=value.shape[-1], lanes=LANES,
        )  # fmt: skip
        return grad_value.to(value.dtype), *grads, None
