"""The sampling kernels on an NVIDIA GPU, against torch's own operations: python -m benchmarks.gpu_sampling [--write]"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aios_core.config import AIOS, OPEN, ModelConfig
from aios_core.model.position import pixel_centers
from aios_core.model.sampling import LevelShapes, bordered_table, sample_by_bag, sample_by_grid
from benchmarks.gpu import FULL, HALF, NAMES, NO_GPU, OWN_SIZE, Size, milliseconds
from benchmarks.network import LARGE
from benchmarks.tables import column, parser, show


@dataclass(frozen=True)
class KernelSpeed:
    """A sampling kernel against torch's own operations, which begin from places and weights that are there.

    The error is the norm of the difference, of the norm.
    """

    name: str = column("sampling of an encoder layer")
    count: int = column("pictures")
    kernel: float = column("kernel, ms", ".2f")
    bag: float | None = column("embedding bag, ms", ".2f")
    grid: float = column("grid_sample, ms", ".2f")
    error: float | None = column("error", ".1e")


def samples(
    config: ModelConfig, size: Size, count: int, kind: dict
) -> tuple[Tensor, LevelShapes, Tensor, Tensor, Tensor]:
    """Random value, level shapes, offsets, logits and references: every token looks around its own place.

    Args:
        kind: dtype and device.
    """
    strides = (*config.feature_strides, 2 * config.feature_strides[-1])
    shapes = tuple((math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in strides)
    centers = [pixel_centers(h, w, kind["device"]) / torch.tensor([w, h], device=kind["device"]) for h, w in shapes]
    references = torch.cat(centers)[None, :, None].expand(count, -1, len(shapes), -1).contiguous()
    each = count, references.shape[1], config.heads
    looks = *each, len(shapes), config.sampling_points
    value = torch.randn(*each, config.hidden_dim // config.heads, **kind)
    return value, shapes, 2 * torch.randn(*looks, 2, **kind), torch.randn(looks, **kind), references


def places(shapes: LevelShapes, offsets: Tensor, logits: Tensor, references: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and weights of samples, which the kernel without a gradient makes itself."""
    centers = references * torch.tensor(shapes, device=references.device).flip(-1)
    x, y = (offsets.float() + centers[:, :, None, :, None]).unbind(-1)
    return x, y, logits.float().flatten(3).softmax(-1).view_as(logits)


def apart(found: Tensor, expected: Tensor) -> float:
    return float(((found.float() - expected).norm() / expected.norm()).detach())


def sampling(precision: torch.dtype) -> KernelSpeed:
    """Without a gradient, as captures sample."""
    from aios_core.model.sampling_triton import sample_by_kernel

    value, shapes, *rest = samples(AIOS, LARGE, 1, {"dtype": precision, "device": "cuda"})
    wide, where = value.float(), places(shapes, *rest)
    kernel, grid = partial(sample_by_kernel, value, shapes, *rest), partial(sample_by_grid, wide, shapes, *where)

    def bag() -> Tensor:
        return sample_by_bag(bordered_table(wide, shapes, AIOS.sampling_points), *where)

    times = [milliseconds(run, 20) for run in (kernel, bag, grid)]
    return KernelSpeed(f"preset `aios`, {NAMES[precision]}", 1, *times, apart(kernel(), bag()))


@torch.inference_mode(False)
def sampling_with_gradient(count: int = 8) -> KernelSpeed:
    """Forward and backward, as training samples."""
    from aios_core.model.sampling_gradient_triton import sample_with_gradient

    value, shapes, *rest = samples(OPEN, OWN_SIZE, count, {"dtype": FULL, "device": "cuda"})
    given, wanted = [tensor.requires_grad_() for tensor in (value, *places(shapes, *rest))], torch.randn_like(value)

    def both(sample: Callable[..., Tensor]) -> list[Tensor]:
        sums = sample(given[0], shapes, *given[1:])
        return [sums, *torch.autograd.grad(sums, given, wanted)]

    kernel, grid = partial(both, sample_with_gradient), partial(both, sample_by_grid)
    error = max(apart(*pair) for pair in zip(kernel(), grid(), strict=True))
    times = milliseconds(kernel), None, milliseconds(grid)
    return KernelSpeed("preset `open`, float32, forward and backward", count, *times, error)


@torch.inference_mode()
def main() -> int:
    chosen = parser(__doc__).parse_args()
    if not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    torch.manual_seed(0)
    show("gpu kernels", [sampling(FULL), sampling(HALF), sampling_with_gradient()], chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
