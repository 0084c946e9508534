"""The network on an NVIDIA GPU, against the plain network and another of its kind: python -m benchmarks.gpu [--write]

Preset `aios` at 800x1333, one picture and sixteen at once, called plainly and replayed as a CUDA graph, as captures do
it, in the same process as `dense_attention`'s plain network and the Deformable DETR of the package `transformers`. Then
what bfloat16 changes, preset `open`, and where the time goes. Weights are random but where people are compared.
PyTorch's defaults hold: float32 convolutions compute in TF32.
"""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from aios_core.config import AIOS, OPEN
from aios_core.geometry.boxes import cxcywh_to_xyxy, iou_matrix
from aios_core.media import open_footage
from aios_core.model.checkpoint import build_model
from aios_core.model.cuda_graph import recorded
from aios_core.model.predictions import copied_to_cpu
from aios_core.model.preprocess import preprocess
from benchmarks.clips import PLAZA
from benchmarks.network import LARGE, deformable_detr, flops, ours, picture, plain, seconds
from benchmarks.tables import Fact, column, machine, parser, show

PORTRAIT = PLAZA.with_name("astronaut.jpg")
FULL, HALF = torch.float32, torch.bfloat16
NAMES = {FULL: "float32", HALF: "bfloat16"}
SEEN = 0.3
"""Least score of people that are compared."""
NO_GPU = "This benchmark needs an NVIDIA GPU and a PyTorch built for CUDA."
OWN_SIZE = (OPEN.short_side, OPEN.long_side)
Size = tuple[int, int]
"""(height, width)"""
Forward = Callable[[Tensor], object]
"""A network at pictures (B, 3, H, W)."""
ASK = {
    "people": lambda network, images, padding: network(images, padding).final,
    "encoder": lambda network, images, padding: network.encode(images, padding)[0],
    "backbone": lambda network, images, padding: network.backbone(images),
    "boxes": lambda network, images, padding: network(pixel_values=images, pixel_mask=(~padding).long())[0],
}


def look(network: nn.Module, precision: torch.dtype, images: Tensor, what: str = "people") -> object:
    """What a network says of pictures (B, 3, H, W) without padding."""
    padding = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool, device=images.device)
    with torch.autocast(images.device.type, HALF, enabled=precision == HALF):
        return ASK[what](network, images, padding)


def milliseconds(run: Callable[[], object], calls: int = 5) -> float:
    """Of a call, one after the other without waiting between them: the best of two rounds after a first one."""

    def round_of_calls() -> None:
        for _ in range(calls):
            run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return 1e3 * seconds([round_of_calls], 2)[0] / calls


def awake(network: nn.Module) -> nn.Module:
    """The network with random numbers where training starts from zeros, so that every part says something."""
    for weight in network.parameters():
        if weight.ndim > 1 and not weight.any():
            nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    return network


@dataclass(frozen=True)
class Speed:
    """A network with some pictures at once."""

    name: str = column("network")
    count: int = column("pictures at once")
    per_frame: float | None = column("ms a frame", ".2f")
    rate: float | None = column("frames a second", ".0f")
    memory: int | None = column("peak MiB")
    ratio: float | None = column("times ours as a graph", ".1f")


def speed(name: str, forward: Forward, images: Tensor, graph: Speed | None = None, calls: int = 5) -> Speed:
    """A network's row, against the row of ours as a graph; without one, this is it: recorded, then replayed."""
    run = partial(forward, images)
    if images.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run = run if graph else partial(recorded(forward, images).replay, images)
    taken = milliseconds(run, calls) / len(images)
    memory = torch.cuda.max_memory_allocated() // 2**20 if images.is_cuda else None
    return Speed(name, len(images), taken, 1e3 / taken, memory, taken / graph.per_frame if graph else 1.0)


def twice(name: str, network: nn.Module, precision: torch.dtype, images: Tensor) -> list[Speed]:
    """Our network as a graph and called plainly."""
    name, forward = f"{name}, {NAMES[precision]}", partial(look, network, precision)
    graph = speed(f"{name}, CUDA graph", forward, images)
    return [graph, speed(name, forward, images, graph)]


def comparison(size: Size, counts: Sequence[int], device: torch.device) -> list[Speed]:
    """Ours against the two baselines; one network at a time is on the device."""
    rows = {count: [] for count in counts}
    for precision in (HALF, FULL):
        network, graphs = awake(ours(AIOS, precision)).to(device), {}
        for count in counts:
            found = twice("ours", network, precision, picture(*size, count)[0].to(device))
            graphs[count], rows[count] = found[0], rows[count] + found
        for name, make, what in (("plain network", plain, "people"), ("Deformable DETR", deformable_detr, "boxes")):
            network = awake(make()).to(device)
            for count in counts:
                forward, images = partial(look, network, precision, what=what), picture(*size, count)[0].to(device)
                rows[count].append(speed(f"{name}, {NAMES[precision]}", forward, images, graphs[count], calls=1))
                del forward, images  # the next peak is not theirs
    return list(itertools.chain(*rows.values()))


def open_speed(counts: Sequence[int], device: torch.device) -> list[Speed]:
    """The shipped network at its own size."""
    rows = []
    for precision in (HALF, FULL):
        network = build_model("open").for_inference(precision).to(device)
        for count in counts:
            rows += twice("open", network, precision, picture(*OWN_SIZE, count)[0].to(device))
    return sorted(rows, key=lambda row: row.count)


def waiting(size: Size, device: torch.device) -> str:
    """Whether the processor waits for the device anywhere in a forward pass."""
    network, images = ours(AIOS, HALF).to(device), picture(*size)[0].to(device)
    look(network, HALF, images)
    torch.cuda.set_sync_debug_mode("error")
    try:
        look(network, HALF, images)
    except RuntimeError as error:
        return f"The forward pass waits for the device: {error}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "Nothing in the forward pass waits for the device."


def frames_of_people() -> list[np.ndarray]:
    """(H, W, 3) uint8 RGB: a photograph and four frames of a video."""
    ways = open_footage(PORTRAIT), open_footage(PLAZA, stop=61, step=20)
    return [frame.rgb for footage in ways for frame in footage.frames()]


@dataclass(frozen=True)
class Difference:
    """People that float32 on the device finds, and the same as computed otherwise."""

    name: str = column("people in five pictures, preset `open`")
    found: int = column("found")
    again: int = column("found again")
    score: float = column("scores, greatest difference", ".2f")
    median: float = column("keypoints, px, median", ".2f")
    greatest: float = column("greatest", ".1f")


def differences(device: torch.device) -> list[Difference]:
    """Whether the processor and bfloat16 find the same people; they are matched by their boxes."""
    model, rows = build_model("open").for_inference(), []
    expected, halved = copy.deepcopy(model).to(device), copy.deepcopy(model).for_inference(HALF).to(device)
    for name, other, precision in (("float32 on the processor", model, FULL), ("bfloat16", halved, HALF)):
        found, scores, keypoints = 0, [], []
        for frame in frames_of_people():
            images, size = preprocess(frame, model.config)[None], torch.tensor(frame.shape[1::-1])
            ways = (expected, FULL), (other, precision)
            pair = [copied_to_cpu(look(n, p, images.to(next(n.parameters()).device))) for n, p in ways]
            if device.type == "cuda":
                torch.cuda.synchronize()  # the copies are under way
            score, other_score = (answer.logits[0].amax(-1).sigmoid() for answer in pair)
            seen = torch.where(score >= SEEN)[0]
            corners = (cxcywh_to_xyxy((answer.boxes[0] * size.repeat(2)).numpy()) for answer in pair)
            overlap, same = torch.as_tensor(iou_matrix(*corners))[seen].max(-1)
            one, two, found = seen[overlap >= 0.5], same[overlap >= 0.5], found + len(seen)
            scores.append((score[one] - other_score[two]).abs())
            keypoints.append(((pair[0].keypoints[0, one] - pair[1].keypoints[0, two]) * size).norm(dim=-1).flatten())
        scores, keypoints = torch.cat(scores), torch.cat(keypoints)
        numbers = map(float, (scores.max(), keypoints.median(), keypoints.max()))
        rows.append(Difference(name, found, len(scores), *numbers))
    return rows


def memory_error(size: Size, device: torch.device) -> float:
    """What bfloat16 changes in preset `aios`' memory, as a share of it."""
    network, images = awake(ours(AIOS)).to(device), picture(*size)[0].to(device)
    expected = look(network, FULL, images, "encoder")
    return float((look(network.for_inference(HALF), HALF, images, "encoder") - expected).norm() / expected.norm())


@dataclass(frozen=True)
class Stage:
    """What a part of the network does and how near to the card's limit it does it."""

    name: str = column("preset `aios`, bfloat16, CUDA graph")
    taken: float | None = column("ms", ".1f")
    teraflop: float | None = column("TFLOP", ".2f")
    rate: float | None = column("TFLOP a second", ".0f")
    share: float | None = column("share of the limit", ".0%")


def stages(size: Size, count: int, device: torch.device) -> list[Stage]:
    """Parts, each as what a pass takes longer with it, against the rate of a large product."""
    network, images = awake(ours(AIOS, HALF)).to(device), picture(*size, count)[0].to(device)
    product = torch.randn(8192 if images.is_cuda else 256, 8192, device=device).to(HALF)
    limit = 2 * product.numel() * len(product) / 1e9 / milliseconds(lambda: product @ product.T)
    rows, taken, done = [], 0.0, 0.0
    for name, what in (("backbone", "backbone"), ("encoder", "encoder"), ("decoder", "people")):
        forward = partial(look, network, HALF, what=what)
        until, work = count * speed(name, forward, images).per_frame, flops(partial(forward, images)) / 1e12
        rows.append((name, until - taken, work - done))
        taken, done = until, work
    rows.append(("all", taken, done))
    stages = [Stage(*row, 1e3 * row[2] / row[1], 1e3 * row[2] / row[1] / limit) for row in rows]
    return [*stages, Stage("(the card)", None, None, limit, None)]


@torch.inference_mode()
def main() -> int:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda", help="cpu tries the benchmark itself out, without kernels")
    options.add_argument("--size", default="x".join(map(str, LARGE)), help="height x width of pictures")
    options.add_argument("--batch", type=int, default=16, help="pictures at once")
    chosen = options.parse_args()
    device, size = torch.device(chosen.device), tuple(map(int, chosen.size.split("x")))
    on_gpu, table = device.type == "cuda", partial(show, write=chosen.write)
    if on_gpu and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    card = torch.cuda.get_device_name(device) if on_gpu else "none"
    table("gpu machine", [Fact("card", card), *machine(chosen.threads)])
    table("gpu", comparison(size, (1, chosen.batch), device))
    if on_gpu:
        print(f"\n{waiting(size, device)}")
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32 where numbers are compared
    print(f"\nbfloat16 moves the memory of preset `aios` by {memory_error(size, device):.1%}.")
    table("gpu errors", differences(device))
    torch.backends.cudnn.allow_tf32 = True
    table("gpu open", open_speed((1, 8, 16, 32) if on_gpu else (1,), device))
    table("gpu stages", stages(size, chosen.batch, device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
