"""The network on the CPU, against the plain network and another of its kind: python -m benchmarks.network [--write]

Preset `aios` at 400x666 and 800x1333 in the same process as `dense_attention`'s plain network with the same weights,
and as the Deformable DETR of the package `transformers` with as many layers, channels and queries (boxes alone, no
people). Then where the time goes, what it would be at the processor's limits, how it grows with the picture, the batch
and the people, and preset `open`. Weights are random: they do not change the time.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from aios_core.config import AIOS, OPEN, ModelConfig
from aios_core.model.aios import AiOS
from aios_core.model.linear import linear, onednn_is_faster
from benchmarks.dense_attention import PlainAiOS
from benchmarks.tables import column, parser, show

SMALL, LARGE = (400, 666), (800, 1333)
Inputs = tuple[Tensor, Tensor]


def seconds(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest time of each call after a first one: they take turns, so that other work disturbs all alike."""
    best = [float("inf")] * len(runs)
    for turn in range(repeats + 1):
        for i, run in enumerate(runs):
            begun = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - begun) if turn else best[i]
    return best


def picture(height: int, width: int, batch: int = 1) -> Inputs:
    """Random pictures (B, 3, H, W) and their mask without padding."""
    images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
    return images, torch.zeros(batch, height, width, dtype=torch.bool)


def ours(config: ModelConfig, precision: torch.dtype = torch.float32) -> AiOS:
    """The network as a capture runs it."""
    return AiOS(config).for_inference(precision)


def plain() -> nn.Module:
    """The plain network of preset `aios`."""
    return PlainAiOS(AIOS).eval()


def deformable_detr() -> nn.Module:
    """A ResNet-50 and a transformer of preset `aios`' sizes, as `transformers` has them."""
    from transformers import DeformableDetrConfig, DeformableDetrModel, ResNetConfig

    stages = ResNetConfig(out_features=["stage2", "stage3", "stage4"])
    sizes = DeformableDetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=stages,
        d_model=AIOS.hidden_dim, encoder_layers=AIOS.encoder_layers, decoder_layers=AIOS.decoder_layers,
        encoder_ffn_dim=AIOS.feedforward_dim, decoder_ffn_dim=AIOS.feedforward_dim, num_queries=AIOS.queries,
        num_feature_levels=AIOS.levels, encoder_n_points=AIOS.sampling_points, decoder_n_points=AIOS.sampling_points,
    )  # fmt: skip
    return DeformableDetrModel(sizes).eval()


@dataclass(frozen=True)
class Comparison:
    """Ours against the two baselines at one size of pictures."""

    size: str = column("preset `aios`, one picture")
    ours: float = column("ours, s", ".2f")
    plain: float = column("plain network, s", ".2f")
    ratio: float = column("ratio", ".1f")
    halved: float = column("ours in bfloat16, s", ".2f")
    halved_ratio: float = column("plain network to it", ".1f")
    detr: float = column("Deformable DETR, s", ".2f")
    detr_ratio: float = column("ratio", ".1f")
    memory: int = column("ours, peak MiB")
    plain_memory: int = column("plain, peak MiB")
    memory_ratio: float = column("share", ".2f")


def comparison(height: int, width: int, repeats: int) -> Comparison:
    """Time in turns in this process, peak memory in a process of its own each."""
    fast, slow, detr, (images, padding) = ours(AIOS), plain(), deformable_detr(), picture(height, width)

    def halved() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            fast(images, padding)

    times = seconds(
        [
            lambda: fast(images, padding),
            lambda: slow(images, padding),
            halved,
            lambda: detr(pixel_values=images, pixel_mask=(~padding).long()),
        ],
        repeats,
    )
    memory, plain_memory = (peak_mebibytes(name, height, width) for name in ("ours", "plain"))
    return Comparison(
        f"{height}x{width}", times[0], times[1], times[1] / times[0], times[2], times[1] / times[2],
        times[3], times[3] / times[0], memory, plain_memory, memory / plain_memory,
    )  # fmt: skip


def peak_mebibytes(name: str, height: int, width: int) -> int:
    """Most memory of a process that makes a network and looks at one picture."""
    command = [sys.executable, "-m", "benchmarks.network", "--memory-of", name, str(height), str(width)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def look_once(name: str, height: int, width: int) -> None:
    """Print this process's most memory with one picture."""
    network = ours(AIOS) if name == "ours" else plain()
    network(*picture(height, width))
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]  # ru_maxrss would count the parent's too
    print(int(peak) // 1024)


@dataclass(frozen=True)
class Stage:
    """What a part of the network does and how near to the processor's limits it does it."""

    name: str = column("preset `aios` at 400x666")
    milliseconds: float = column("ms", ".0f")
    gflop: float = column("GFLOP", ".0f")
    gigabytes: float = column("GB read and written", ".1f")
    limit: float = column("ms at the processor's limit", ".0f")
    share: float = column("share of the limit", ".0%")


class Traffic(TorchDispatchMode):
    """Bytes of all tensors that operations read and write: what would move if no cache held anything."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [x for x in tree_leaves((args, result)) if isinstance(x, Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return result


def stages(height: int, width: int, repeats: int) -> list[Stage]:
    """Backbone, encoder, decoder and all of it, against the rate of a large matrix product and of a large copy."""
    network, inputs = ours(AIOS), picture(height, width)
    parts = {"backbone": network.backbone, "encoder": network.encoder, "decoder": network.decoder, "all": network}
    calls: dict[str, tuple] = {}
    hooks = [
        part.register_forward_pre_hook(lambda _, args, name=name: calls.update({name: args}))
        for name, part in parts.items()
    ]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    product, copy = matrix_rate(), copy_rate()
    times = seconds([lambda n=n: parts[n](*calls[n]) for n in parts], repeats)
    rows = []
    for (name, part), taken in zip(parts.items(), times, strict=True):
        operations = flops(lambda part=part, name=name: part(*calls[name]))
        with Traffic() as traffic, torch.no_grad():
            part(*calls[name])
        limit = operations / product
        rows.append(Stage(name, 1e3 * taken, operations / 1e9, traffic.bytes / 1e9, 1e3 * limit, limit / taken))
    rows.append(Stage("(the processor)", None, product / 1e9, copy / 1e9, None, None))
    return rows


def flops(run: Callable[[], object]) -> int:
    """Operations of all products and convolutions in a call, oneDNN's and cuBLAS's rectified layers among them."""

    def of_linear(x: Sequence[int], weight: Sequence[int], *_, **__) -> int:
        return 2 * math.prod(x) * weight[0]

    def of_rectified(_bias: Sequence[int], x: Sequence[int], weight: Sequence[int], *_, **__) -> int:
        return 2 * math.prod(x) * weight[1]

    mapping = {torch.ops.aten._addmm_activation: of_rectified}
    mapping |= {torch.ops.mkldnn._linear_pointwise: of_linear} if onednn_is_faster() else {}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


def matrix_rate(size: int = 2048) -> float:
    """Operations a second of a large float32 matrix product, as the network's linear layers are multiplied."""
    a, b = torch.randn(2, size, size).unbind(0)
    return 2 * size**3 / seconds([lambda: linear(a, b, None)], 5)[0]


def copy_rate(numbers: int = 2**26) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.zeros(numbers)
    target = torch.empty_like(source)
    return 2 * 4 * numbers / seconds([lambda: target.copy_(source)], 5)[0]


@dataclass(frozen=True)
class Growth:
    """Time of one picture as one thing grows."""

    what: str = column("preset `aios`")
    milliseconds: float = column("ms a picture", ".0f")
    gflop: float = column("GFLOP", ".0f")


def growth(repeats: int) -> list[Growth]:
    """Pictures of several sizes, several pictures at once, fewer people."""
    cases = [(f"{h}x{w}", AIOS, picture(h, w)) for h, w in ((200, 333), SMALL, (600, 1000))]
    cases += [("400x666, 4 at once", AIOS, picture(*SMALL, 4))]
    cases += [(f"400x666, {n} of 100 people kept", replace(AIOS, people=n), picture(*SMALL)) for n in (1, 30)]
    rows = []
    for name, config, inputs in cases:
        network, count = ours(config), len(inputs[0])
        (taken,) = seconds([lambda network=network, inputs=inputs: network(*inputs)], repeats)
        operations = flops(lambda network=network, inputs=inputs: network(*inputs))
        rows.append(Growth(name, 1e3 * taken / count, operations / 1e9 / count))
    return rows


@dataclass(frozen=True)
class OpenSpeed:
    """The shipped network at its own size."""

    size: str = column("preset `open`, one picture")
    milliseconds: float = column("ms", ".0f")
    rate: float = column("pictures a second", ".0f")


def open_speed(repeats: int) -> list[OpenSpeed]:
    """Preset `open` at its own size and twice that."""
    rows, network = [], ours(OPEN)
    for factor in (1, 2):
        inputs = picture(factor * OPEN.short_side, factor * OPEN.long_side)
        (taken,) = seconds([lambda inputs=inputs: network(*inputs)], repeats)
        rows.append(OpenSpeed(f"{inputs[0].shape[2]}x{inputs[0].shape[3]}", 1e3 * taken, 1 / taken))
    return rows


@torch.inference_mode()
def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--large", action="store_true", help="the comparison at 800x1333 instead, which takes minutes")
    options.add_argument(
        "--memory-of", nargs=3, metavar=("NETWORK", "HEIGHT", "WIDTH"), help="for the benchmark itself"
    )
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.memory_of:
        name, height, width = chosen.memory_of
        look_once(name, int(height), int(width))
        return
    if chosen.large:
        show("network large", [comparison(*LARGE, chosen.repeats)], chosen.write)
        return
    show("network", [comparison(*SMALL, chosen.repeats)], chosen.write)
    show("network stages", stages(*SMALL, chosen.repeats), chosen.write)
    show("network growth", growth(max(chosen.repeats // 2, 1)), chosen.write)
    show("open", open_speed(5 * chosen.repeats), chosen.write)


if __name__ == "__main__":
    main()
