"""Linear layers through the library that multiplies fastest on this processor.

PyTorch multiplies float32 matrices with Intel's MKL. On AMD's processors with AVX-512 (measured on Zen 5) that takes
twice as long as oneDNN, which PyTorch brings along for convolutions.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN is here and multiplies faster than what PyTorch takes by itself."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in processor()


def processor() -> str:
    """What the system says of the processor, its maker among it."""
    try:
        return Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return platform.processor()  # Windows names the maker here


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, rectified: bool = False) -> Tensor:
    """x (..., I) times weight (O, I) plus bias (O,), negative numbers as zeros where `rectified`: (..., O)."""
    if _may_use_onednn(x) and onednn_is_faster():
        # With rows that do not follow each other it takes a thousand times as long.
        weight, bias = weight.contiguous(), None if bias is None else bias.contiguous()
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if rectified else "none", [], "")
    if rectified and bias is not None and x.is_cuda and is_plain():
        x, weight, bias = (multiplied(tensor) for tensor in (x, weight, bias))
        return torch._addmm_activation(bias, x.flatten(0, -2), weight.t()).view(*x.shape[:-1], -1)
    y = F.linear(x, weight, bias)
    # In place only where no gradient is wanted: a change of `y`, a view, makes the gradient copy it several times.
    return F.relu(y, inplace=not torch.is_grad_enabled()) if rectified else y


def multiplied(x: Tensor) -> Tensor:
    """x in the precision that products have here: autocast would make it anew for every one."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def is_plain() -> bool:
    """Whether operations without a gradient may be called, which compilers and exporters do not know."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export())


def _may_use_onednn(x: Tensor) -> bool:
    """Half precision goes through it by itself."""
    is_float32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and is_plain() and is_float32 and x.numel() > 0


class Linear(nn.Linear):
    """torch's, with `linear`."""

    def forward(self, x: Tensor, rectified: bool = False) -> Tensor:
        """(..., O), see `linear`."""
        return linear(x, self.weight, self.bias, rectified)
