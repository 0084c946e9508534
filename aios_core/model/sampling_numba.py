"""Deformable attention's sampling and its gradient as two compiled loops, for training on the CPU.

Torch would store 4 rows and weights for every sample and sort them for the gradient; the loops store nothing.
Needs numba, which only training has; without it `sampling.sample_by_bag` computes the same.
"""

from __future__ import annotations

from contextlib import contextmanager

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function


@numba.njit(inline="always")
def _corner(x, y, dx, dy, width, height):
    """A corner of the square of pixels around (x, y): its index, its weight's two factors, whether it exists."""
    column = int(np.floor(x)) + dx
    row = int(np.floor(y)) + dy
    part_x = x - np.floor(x)
    part_y = y - np.floor(y)
    factor_x = part_x if dx else 1 - part_x
    factor_y = part_y if dy else 1 - part_y
    exists = 0 <= column < width and 0 <= row < height
    return row * width + column, factor_x, factor_y, exists


@numba.njit(parallel=True, fastmath={"contract", "reassoc"}, cache=True, error_model="numpy")
def _forward(value, xs, ys, weights, shapes, output):
    batch, count, heads, levels, points = weights.shape
    channels = value.shape[3]
    for lane in numba.prange(batch * heads):
        b, h = lane // heads, lane % heads
        for n in range(count):
            start = 0
            for level in range(levels):
                height, width = shapes[level, 0], shapes[level, 1]
                for k in range(points):
                    x = xs[b, n, h, level, k] - np.float32(0.5)
                    y = ys[b, n, h, level, k] - np.float32(0.5)
                    if x > -1 and x < width and y > -1 and y < height:
                        for corner in range(4):
                            place, fx, fy, exists = _corner(x, y, corner & 1, corner >> 1, width, height)
                            if exists:
                                weight = weights[b, n, h, level, k] * fx * fy
                                for c in range(channels):
                                    output[b, n, h, c] += weight * value[b, start + place, h, c]
                start += height * width


@numba.njit(parallel=True, fastmath={"contract", "reassoc"}, cache=True, error_model="numpy")
def _backward(grad, value, xs, ys, weights, shapes, grad_value, grad_xs, grad_ys, grad_weights):
    batch, count, heads, levels, points = weights.shape
    channels = value.shape[3]
    for lane in numba.prange(batch * heads):
        b, h = lane // heads, lane % heads
        for n in range(count):
            start = 0
            for level in range(levels):
                height, width = shapes[level, 0], shapes[level, 1]
                for k in range(points):
                    x = xs[b, n, h, level, k] - np.float32(0.5)
                    y = ys[b, n, h, level, k] - np.float32(0.5)
                    weight = weights[b, n, h, level, k]
                    total, along_x, along_y = np.float32(0), np.float32(0), np.float32(0)
                    if x > -1 and x < width and y > -1 and y < height:
                        for corner in range(4):
                            place, fx, fy, exists = _corner(x, y, corner & 1, corner >> 1, width, height)
                            if exists:
                                share = weight * fx * fy
                                dot = np.float32(0)
                                for c in range(channels):
                                    dot += grad[b, n, h, c] * value[b, start + place, h, c]
                                    grad_value[b, start + place, h, c] += share * grad[b, n, h, c]
                                total += fx * fy * dot
                                along_x += (fy if corner & 1 else -fy) * dot
                                along_y += (fx if corner >> 1 else -fx) * dot
                    grad_weights[b, n, h, level, k] = total
                    grad_xs[b, n, h, level, k] = along_x * weight
                    grad_ys[b, n, h, level, k] = along_y * weight
                start += height * width


@contextmanager
def _threads_of_torch():
    """As many threads as torch uses; numba's OpenMP pool would otherwise change that number for torch too."""
    count = torch.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(count)


class _Sample(Function):
    @staticmethod
    def forward(context, value, x, y, weights, shapes):
        tensors = [tensor.detach().contiguous() for tensor in (value, x, y, weights)]
        context.save_for_backward(*tensors)
        context.shapes = np.asarray(shapes, np.int64)
        output = value.new_zeros(*x.shape[:3], value.shape[-1])
        with _threads_of_torch():
            _forward(*(tensor.numpy() for tensor in tensors), context.shapes, output.numpy())
        return output

    @staticmethod
    def backward(context, grad):
        tensors = context.saved_tensors
        grads = torch.zeros_like(tensors[0]), *(torch.empty_like(tensor) for tensor in tensors[1:])
        arrays = [tensor.detach().numpy() for tensor in (grad.contiguous(), *tensors)]
        with _threads_of_torch():
            _backward(*arrays, context.shapes, *(tensor.numpy() for tensor in grads))
        return *grads, None


def sample_by_loop(value: Tensor, shapes: tuple[tuple[int, int], ...], x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The same as `sampling.sample_by_grid`, for float32 tensors on the CPU."""
    return _Sample.apply(value, x, y, weights, shapes)
