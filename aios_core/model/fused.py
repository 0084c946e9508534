"""Steps that a GPU does in one kernel where there is Triton, and everywhere else one after the other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios_core.model import sampling
from aios_core.model.linear import is_plain


def has_kernels(x: Tensor) -> bool:
    """Whether kernels of ours may work on x: on CUDA, without gradients, where they can be built."""
    return x.is_cuda and is_plain() and sampling.kernel_runs(32)


def added_norm(norm: nn.LayerNorm, x: Tensor, y: Tensor) -> Tensor:
    """norm(x + y)."""
    if has_kernels(x) and x.dtype == torch.float32:
        from aios_core.model.fused_triton import added_norm_by_kernel

        return added_norm_by_kernel(x, y, norm.weight, norm.bias, norm.eps)
    return norm(x + y)


def rectified_conv(conv: nn.Conv2d, x: Tensor, shortcut: Tensor | None) -> Tensor:
    """relu(conv(x) + shortcut)."""
    if has_kernels(x) and conv.bias is not None:
        from aios_core.model.fused_triton import biased_by_kernel

        y = F.conv2d(x, conv.weight, None, conv.stride, conv.padding).contiguous(memory_format=torch.channels_last)
        shortcut = None if shortcut is None else shortcut.contiguous(memory_format=torch.channels_last)
        return biased_by_kernel(y, conv.bias, shortcut)
    y = conv(x)
    return F.relu(y if shortcut is None else y.add_(shortcut), inplace=True)
