"""What keeps a GPU busy, checked without one: no waiting inside the forward pass, and the kernel against its twins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from aios_core.model import linear
from tests.core.toy_model import pictures, toy_model

WAITING = ("lift_fresh", "_local_scalar_dense", "nonzero", "masked_select", "equal", "is_pinned")
"""Operations that read a GPU's numbers on the processor, or copy the processor's to the GPU."""


class Operations(TorchDispatchMode):
    """The names of the operations that were called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_the_forward_pass_never_waits_for_the_device(monkeypatch):
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: False)  # a GPU multiplies by what PyTorch has
    network, (images, padding) = toy_model(), pictures()
    padding[1, :, 80:] = True
    with torch.no_grad(), Operations() as called:
        network(images, padding)
    assert "addmm" in called.names
    assert not called.names & set(WAITING)


def test_the_kernel_samples_like_a_grid():
    pytest.importorskip("triton")
    script = """
import torch
from aios_core.model.sampling_triton import sample_by_kernel
from tests.core.test_attention import SHAPES, by_grid, samples
for spread in (0.3, 1.0, 1e6):
    value, x, y, weights = samples(spread)
    value = value[..., :4].contiguous()
    found = sample_by_kernel(value, SHAPES, x, y, weights)
    torch.testing.assert_close(found, by_grid(value, x, y, weights))
x[0, 0] = y[1, 1] = float("nan")
assert sample_by_kernel(value, SHAPES, x, y, weights)[0, 1:].isfinite().all()
"""
    interpret(script)


def test_the_gradient_kernel_agrees_with_the_grids_gradient():
    pytest.importorskip("triton")
    script = """
import torch
from aios_core.model.sampling_gradient_triton import sample_with_gradient
from tests.core.test_attention import SHAPES, by_grid, samples
for spread in (0.3, 1.0):
    value, *rest = samples(spread)
    given = [tensor.contiguous().requires_grad_() for tensor in (value[..., :4], *rest)]
    sums = sample_with_gradient(given[0], SHAPES, *given[1:])
    wanted = torch.randn(sums.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(sums, given, wanted)
    expected = by_grid(*given)
    torch.testing.assert_close(sums, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected, given, wanted), atol=1e-5, rtol=1e-4)
    assert all(gradient.abs().max() > 0 for gradient in found)
"""
    interpret(script)


def interpret(script):
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", ["fp32", "bf16"])
def test_the_kernel_compiles_for_a_gpu_without_one(number):
    pytest.importorskip("triton")
    from aios_core.model.sampling_triton import LANES, sampling_kernel

    constants = {"shapes": ((8, 12), (4, 6)), "heads": 8, "points": 4, "channels": 32, "lanes": LANES}
    types = {"value": f"*{number}", "x": "*fp32", "y": "*fp32", "weights": "*fp32", "output": f"*{number}"}
    types |= {"lanes_of_picture": "i32", "tokens": "i32"} | dict.fromkeys(constants, "constexpr")
    compile_for_a_gpu(sampling_kernel, types, constants)


def test_the_kernels_with_a_gradient_compile_for_a_gpu_without_one():
    pytest.importorskip("triton")
    from aios_core.model.sampling_gradient_triton import LANES, gradient_kernel, sums_kernel

    constants = {"levels": 2, "heads": 8, "points": 4, "channels": 32, "lanes": LANES}
    for kernel in (sums_kernel, gradient_kernel):
        types = dict.fromkeys(kernel.arg_names, "*fp32") | {"sizes": "*i32", "lanes_of_picture": "i32", "tokens": "i32"}
        compile_for_a_gpu(kernel, types | dict.fromkeys(constants, "constexpr"), constants)


def compile_for_a_gpu(kernel, types, constants):
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    assert compiled(ASTSource(kernel, types, constants), target=GPUTarget("cuda", 90, 32)).asm["cubin"]
