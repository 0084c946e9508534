"""What keeps a GPU busy, checked without one: no waiting inside the forward pass, and the kernel against its twins."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from aios_core.model import cuda_graph, linear
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


def interpreted(script: str) -> None:
    """Run a script whose kernels Triton's interpreter works through on the processor."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_the_kernel_sees_what_the_usual_steps_see():
    interpreted("""
import torch
from aios_core.model.attention import DeformableAttention
from aios_core.model.sampling import KernelValues
from tests.core.test_attention import SHAPES

torch.manual_seed(0)
attention = DeformableAttention(16, 4, len(SHAPES), 3)
for layer in (attention.sampling_offsets, attention.attention_weights):
    torch.nn.init.normal_(layer.weight, std=0.3)
memory, query = torch.randn(2, sum(h * w for h, w in SHAPES), 16), torch.randn(2, 13, 16)
padding = torch.zeros(*memory.shape[:2], 1, dtype=torch.bool)
with torch.no_grad():
    value = attention.value_proj(memory).unflatten(-1, (4, -1))
    for sides in (2, 4):
        references = 1.4 * torch.rand(2, 13, len(SHAPES), sides) - 0.2
        sample = attention.sampler(memory, padding, SHAPES)
        usual = attention(query, references, sample, SHAPES)
        torch.testing.assert_close(attention(query, references, KernelValues(value, SHAPES), SHAPES), usual)
        references[0, 0] = float("nan")
        assert attention(query, references, KernelValues(value, SHAPES), SHAPES)[0, 1:].isfinite().all()
""")


def test_the_kernels_with_a_gradient_sample_like_a_grid_and_have_its_gradient():
    interpreted("""
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
""")


def test_kernels_behind_products_do_what_the_separate_steps_do():
    interpreted("""
import torch
from aios_core.model.fused_triton import added_norm_by_kernel, biased_by_kernel

torch.manual_seed(0)
x, weight, bias = torch.randn(2, 11, 24), torch.randn(24), torch.randn(24)
for kind in (torch.float32, torch.bfloat16):
    y = torch.randn(2, 11, 24).to(kind)
    usual = torch.nn.functional.layer_norm(x + y, (24,), weight, bias, 1e-5)
    torch.testing.assert_close(added_norm_by_kernel(x, y, weight, bias, 1e-5), usual)
    maps, shortcut = (torch.randn(2, 12, 5, 7).to(kind).to(memory_format=torch.channels_last) for _ in range(2))
    shift = torch.randn(12)
    for other in (None, shortcut):
        usual = maps + shift.to(kind)[:, None, None]
        usual = (usual if other is None else usual + other).relu()
        found = biased_by_kernel(maps.clone(), shift, other)
        tolerance = 0 if kind == torch.float32 else 0.03  # the interpreter cuts off where a GPU rounds
        torch.testing.assert_close(found, usual, atol=tolerance, rtol=tolerance)
""")


def compiled_for_a_gpu(kernel, types: dict[str, str], constants: dict[str, object]) -> bytes:
    """A kernel's program for Hopper GPUs."""
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants)
    return compiled(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


@pytest.mark.parametrize("number", ["fp32", "bf16"])
def test_the_kernels_compile_for_a_gpu_without_one(number):
    pytest.importorskip("triton")
    from aios_core.model.fused_triton import NUMBERS, ROWS, added_norm_kernel, biased_kernel
    from aios_core.model.sampling_triton import LANES, sampling_kernel

    half = f"*{number}"
    types = {"value": half, "offsets": half, "logits": half, "references": "*fp32", "output": half}
    for sides in (2, 4):
        constants = {"shapes": ((8, 12), (4, 6)), "heads": 8, "points": 4, "channels": 32, "sides": sides}
        constants |= {"padded": 8, "lanes": LANES}
        assert compiled_for_a_gpu(sampling_kernel, types | {"lanes_of_picture": "i32", "tokens": "i32"}, constants)
    types = {"x": "*fp32", "y": half, "weight": "*fp32", "bias": "*fp32", "output": "*fp32"}
    constants = {"channels": 256, "padded": 256, "rows": ROWS}
    assert compiled_for_a_gpu(added_norm_kernel, types | {"count": "i32", "eps": "fp32"}, constants)
    for has_shortcut in (False, True):
        constants = {"channels": 64, "has_shortcut": has_shortcut, "numbers": NUMBERS}
        types = {"x": half, "bias": "*fp32", "shortcut": half, "count": "i32"}
        assert compiled_for_a_gpu(biased_kernel, types, constants)


def test_the_kernels_with_a_gradient_compile_for_a_gpu_without_one():
    pytest.importorskip("triton")
    from aios_core.model.sampling_gradient_triton import LANES, gradient_kernel, sums_kernel

    constants = {"levels": 2, "heads": 8, "points": 4, "channels": 32, "lanes": LANES}
    for kernel in (sums_kernel, gradient_kernel):
        types = dict.fromkeys(kernel.arg_names, "*fp32") | {"sizes": "*i32", "lanes_of_picture": "i32", "tokens": "i32"}
        assert compiled_for_a_gpu(kernel, types, constants)


class Calls:
    """A forward pass and its recording as far as a processor has them; counts both."""

    def __init__(self, fails: bool = False):
        self.plain, self.recorded, self.fails = 0, 0, fails

    def forward(self, images):
        self.plain += 1
        return "plainly"

    def record(self, forward, images):
        if self.fails:
            raise RuntimeError("something waits")
        self.recorded += 1
        return SimpleNamespace(images=images, replay=lambda _: "replayed")


@pytest.fixture
def calls(monkeypatch):
    calls = Calls()
    monkeypatch.setattr(cuda_graph, "recorded", calls.record)
    return calls


def test_pictures_of_a_shape_are_recorded_when_they_come_again_and_replayed_from_then_on(calls):
    replayer, images = cuda_graph.Replayer(), torch.zeros(4, 3, 8, 8)
    found = [replayer.look(calls.forward, images) for _ in range(4)]
    assert found == ["plainly", "replayed", "replayed", "replayed"]
    assert (calls.plain, calls.recorded) == (1, 1)


def test_a_smaller_last_batch_is_looked_at_plainly_and_the_recording_stays(calls):
    replayer, images = cuda_graph.Replayer(), torch.zeros(4, 3, 8, 8)
    found = [replayer.look(calls.forward, images[:count]) for count in (4, 4, 1, 4)]
    assert found == ["plainly", "replayed", "plainly", "replayed"]
    assert calls.recorded == 1


def test_what_cannot_be_recorded_is_looked_at_plainly_with_one_warning(calls):
    calls.fails = True
    replayer, images = cuda_graph.Replayer(), torch.zeros(4, 3, 8, 8)
    with pytest.warns(UserWarning, match="without a CUDA graph.*something waits") as warned:
        found = [replayer.look(calls.forward, images) for _ in range(4)]
    assert found == ["plainly"] * 4
    assert len(warned) == 1


def test_weights_held_in_half_precision_give_the_numbers_of_autocast():
    (images, padding), usual, held = pictures(), toy_model().for_inference(), toy_model().for_inference(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected, found = (model(images, padding).final for model in (usual, held))
    for name, value in vars(expected).items():
        assert value.equal(getattr(found, name)), name
