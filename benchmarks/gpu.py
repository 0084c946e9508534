"""The network on an NVIDIA GPU, against the plain one and another of its kind: python -m benchmarks.gpu [--json FILE]

Preset `aios` at 800x1333 one picture and sixteen at a time, in float32 and bfloat16, called plainly and replayed as a
CUDA graph, in the same process as `dense_attention`'s plain network and the Deformable DETR of `transformers`; what
bfloat16 changes; whether anything waits for the device; preset `open`; where the time goes and what it would be at the
card's limits. Every section stands alone: one that fails prints why, and the next goes on. Weights are random but where
people are compared, which the shipped `open` weights find.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aios_core.config import AIOS, OPEN, ModelConfig
from aios_core.geometry.boxes import cxcywh_to_xyxy, iou_matrix
from aios_core.model import attention, sampling
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import build_model
from aios_core.model.cuda_graph import recorded
from aios_core.model.framing import framing
from aios_core.model.predictions import LayerPredictions, copied_to_cpu
from benchmarks import dense_attention
from benchmarks.network import Traffic, deformable_detr, plain
from benchmarks.tables import column, show

FOOTAGE = Path(__file__).parents[1] / "examples" / "footage"
HALF = torch.bfloat16
SEEN = 0.3
"""Least score of people that are compared."""
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CONFIGURATIONS = ((16, 4), (64, 8), (64, 4), (16, 2), (32, 8))
"""Lanes and warps of the sampling kernel that are tried besides its own."""


@dataclass
class Bench:
    """What is measured, where, and what was found so far."""

    device: torch.device
    size: tuple[int, int]
    """(height, width)"""
    batch: int
    repeats: int
    seconds: float
    """After so many no further section is begun."""
    json: Path | None
    found: dict[str, object] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def model(self) -> AiOS:
        """Preset `aios` in float32, with weights that make every part say something."""
        torch.manual_seed(0)
        with self.device:
            model = AiOS(AIOS)
            for weight in (w for w in model.parameters() if w.ndim > 1 and not w.any()):
                nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
        return model.for_inference()

    @cached_property
    def halved(self) -> AiOS:
        """The same for bfloat16."""
        return copy.deepcopy(self.model).for_inference(HALF)

    def pictures(self, batch: int, size: tuple[int, int] | None = None) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(0)
        return torch.randn(batch, 3, *(size or self.size), generator=generator, device=self.device)

    def show(self, name: str, rows: Sequence[object]) -> None:
        """Print a table and keep it for the JSON file."""
        show(name, rows)
        self.found[name] = [asdict(row) for row in rows]

    def save(self) -> None:
        if self.json is not None:
            self.json.write_text(json.dumps(self.found, indent=1, default=str))


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    halved = precision != torch.float32
    return torch.autocast(device.type, precision if halved else None, enabled=halved)


def predictions(model: nn.Module, precision: torch.dtype, images: Tensor) -> LayerPredictions:
    """What a network of ours, or the plain one, says."""
    padding = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool, device=images.device)
    with autocast(images.device, precision):
        return model(images, padding).final


def detr_states(model: nn.Module, precision: torch.dtype, images: Tensor) -> Tensor:
    mask = torch.ones(len(images), *images.shape[2:], dtype=torch.long, device=images.device)
    with autocast(images.device, precision):
        return model(pixel_values=images, pixel_mask=mask).last_hidden_state


def milliseconds(bench: Bench, run: Callable[[], object], repeats: int | None = None, warm_up: int = 3) -> float:
    """Median of some calls after a few."""
    repeats = repeats or bench.repeats
    for _ in range(warm_up):
        run()
    if not bench.on_gpu:
        walls = []
        for _ in range(repeats):
            begun = time.perf_counter()
            run()
            walls.append(1e3 * (time.perf_counter() - begun))
        return statistics.median(walls)
    torch.cuda.synchronize()
    pairs = []
    for _ in range(repeats):
        pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        pair[0].record()
        run()
        pair[1].record()
        pairs.append(pair)
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in pairs)


@dataclass(frozen=True)
class Speed:
    """A network at one number of pictures at once."""

    name: str = column("network")
    batch: int = column("pictures at once")
    per_frame: float = column("ms a frame", ".2f")
    rate: float = column("frames a second", ".0f")
    memory: int = column("peak MiB")


def speed(
    bench: Bench, name: str, batch: int, run: Callable[[], object], repeats: int | None = None, warm_up: int = 3
) -> Speed:
    """Its time and most memory; printed at once."""
    if bench.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    taken = milliseconds(bench, run, repeats, warm_up)
    memory = torch.cuda.max_memory_allocated() // 2**20 if bench.on_gpu else 0
    row = Speed(name, batch, taken / batch, 1e3 * batch / taken, memory)
    print(f"  {name}, {batch}: {row.per_frame:.2f} ms a frame, {memory} MiB", flush=True)
    return row


def graph_of(model: nn.Module, precision: torch.dtype, images: Tensor) -> Callable[[], object]:
    """A replay of the forward pass with new pictures copied in, as captures do it."""
    recording = recorded(partial(predictions, model, precision), images)
    return lambda: recording.replay(images)


class Section:
    """One that fails prints why and costs the others nothing."""

    def __init__(self, bench: Bench, name: str):
        self.bench, self.name = bench, name

    def __enter__(self) -> Section:
        print(f"\n== {self.name} ({time.monotonic() - self.bench.begun:.1f} s)", flush=True)
        return self

    def __exit__(self, kind, error, trace) -> bool:
        failed = isinstance(error, Exception)
        if failed:
            traceback.print_exception(error, file=sys.stdout)
            self.bench.found[f"{self.name} FAILED"] = f"{kind.__name__}: {error}"
        self.bench.save()
        if self.bench.on_gpu:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        sys.stdout.flush()
        return failed


@dataclass(frozen=True)
class KernelCheck:
    """The sampling kernel against other means."""

    precision: str = column("sampling, one encoder layer")
    batch: int = column("pictures")
    kernel: float = column("kernel, ms", ".3f")
    bag: float = column("bag, ms", ".2f")
    grid: float = column("grid_sample, ms", ".2f")
    error: float = column("greatest error, share of the greatest number", ".1e")
    verdict: str = column("")


@dataclass(frozen=True)
class Samples:
    """What an encoder layer gives to its sampling."""

    value: Tensor
    offsets: Tensor
    logits: Tensor
    references: Tensor
    shapes: sampling.LevelShapes

    @property
    def usual(self) -> tuple[Tensor, Tensor, Tensor]:
        """x, y and weights in float32, as the other means have them."""
        weights = self.logits.float().flatten(3).softmax(-1).view(self.logits.shape)
        x, y = (
            self.offsets[..., axis].float()
            + (self.references[..., axis] * self.references.new_tensor([shape[1 - axis] for shape in self.shapes]))[
                :, :, None, :, None
            ]
            for axis in (0, 1)
        )
        return x, y, weights


def samples(bench: Bench, batch: int, precision: torch.dtype) -> Samples:
    """Random ones at the encoder's sizes: every token looks around its own place."""
    from aios_core.model.position import pixel_centers

    height, width = bench.size
    shapes = tuple((math.ceil(height / s), math.ceil(width / s)) for s in (8, 16, 32, 64))
    tokens = sum(h * w for h, w in shapes)
    like = {"dtype": precision, "device": bench.device}
    centers = [pixel_centers(*s, bench.device) / torch.tensor([s[1], s[0]], device=bench.device) for s in shapes]
    torch.manual_seed(0)
    return Samples(
        torch.randn(batch, tokens, 8, 32, **like),
        2 * torch.randn(batch, tokens, 8, 4, 4, 2, **like),
        torch.randn(batch, tokens, 8, 4, 4, **like),
        torch.cat(centers)[None, :, None].expand(batch, -1, 4, -1).contiguous(),
        shapes,
    )


def kernel_check(bench: Bench, batch: int, precision: torch.dtype) -> KernelCheck:
    given = samples(bench, batch, precision)
    wide, usual = given.value.float(), given.usual
    expected = sampling.sample_by_bag(sampling.bordered_table(wide, given.shapes, 4), *usual)
    by_grid = sampling.sample_by_grid(wide, given.shapes, *usual)
    greatest = expected.abs().max()
    apart = float((by_grid - expected).abs().max() / greatest)
    print(f"  bag and grid_sample differ by {apart:.1e}", flush=True)
    bag = milliseconds(
        bench, lambda: sampling.sample_by_bag(sampling.bordered_table(wide, given.shapes, 4), *usual), 3, 1
    )
    grid = milliseconds(bench, lambda: sampling.sample_by_grid(wide, given.shapes, *usual), 3, 1)
    if not bench.on_gpu:
        return KernelCheck(str(precision), batch, 0.0, bag, grid, apart, "no kernel here")
    from aios_core.model.sampling_triton import sample_by_kernel

    def by_kernel() -> Tensor:
        return sample_by_kernel(given.value, given.shapes, given.offsets, given.logits, given.references)

    error = float((by_kernel().float() - expected).abs().max() / greatest)
    verdict = "ok" if error < (1e-4 if precision == torch.float32 else 1e-2) else "FAILED"
    return KernelCheck(str(precision), batch, milliseconds(bench, by_kernel), bag, grid, error, verdict)


def kernels(bench: Bench) -> None:
    """Section: the kernels of ours give what the usual steps give."""
    bench.show("gpu sampling", [kernel_check(bench, 1, p) for p in (torch.float32, HALF)])
    if not bench.on_gpu:
        return
    from aios_core.model.fused_triton import added_norm_by_kernel, biased_by_kernel

    torch.manual_seed(0)
    with bench.device:
        x, y, weight, bias = torch.randn(9999, 256), torch.randn(9999, 256).to(HALF), torch.randn(256), torch.randn(256)
        maps, other = (torch.randn(2, 64, 50, 83).to(HALF).to(memory_format=torch.channels_last) for _ in range(2))
    usual = torch.nn.functional.layer_norm(x + y, (256,), weight, bias, 1e-5)
    norm = float((added_norm_by_kernel(x, y, weight, bias, 1e-5) - usual).abs().max())
    usual = (maps + bias[:64].to(HALF)[:, None, None] + other).relu()
    rectified = float((biased_by_kernel(maps.clone(), bias[:64], other) - usual).abs().max())
    print(f"added norm: error {norm:.1e} {'ok' if norm < 1e-4 else 'FAILED'}")
    print(f"bias, shortcut and rectifier: error {rectified:.1e} {'ok' if rectified == 0 else 'FAILED'}")
    bench.found["gpu kernels' errors"] = {"added norm": norm, "bias": rectified}


def one_picture(bench: Bench) -> None:
    """Section: ours one picture at a time."""
    images, rows = bench.pictures(1), []
    for name, model, precision in (("bfloat16", bench.halved, HALF), ("float32", bench.model, torch.float32)):
        run = partial(predictions, model, precision, images)
        rows.append(speed(bench, f"ours, {name}", 1, run, warm_up=2))
        if bench.on_gpu:
            rows.append(speed(bench, f"ours, {name}, CUDA graph", 1, graph_of(model, precision, images)))
    bench.show("gpu one picture", rows)


def many_pictures(bench: Bench) -> None:
    """Section: ours several pictures at a time, in bfloat16."""
    rows = []
    for batch in sorted({bench.batch, 8, 4}, reverse=True) if bench.on_gpu else (bench.batch,):
        images = bench.pictures(batch)
        if batch == bench.batch:
            rows.append(speed(bench, "ours, bfloat16", batch, partial(predictions, bench.halved, HALF, images), 5, 1))
        if bench.on_gpu:
            run = graph_of(bench.halved, HALF, images)
            rows.append(speed(bench, "ours, bfloat16, CUDA graph", batch, run, 7, 1))
            del run
    bench.show("gpu many pictures", rows)


def others(bench: Bench) -> None:
    """Section: the baselines, one picture at a time; and ours and DETR many at a time."""
    images, rows = bench.pictures(1), []
    detr = deformable_detr().to(bench.device)
    for name, precision in (("bfloat16", HALF), ("float32", torch.float32)):
        run = partial(detr_states, detr, precision, images)
        rows.append(speed(bench, f"Deformable DETR, {name}", 1, run, 5, 2))
    many = bench.pictures(bench.batch)
    run = partial(detr_states, detr, HALF, many)
    rows.append(speed(bench, "Deformable DETR, bfloat16", bench.batch, run, 3, 1))
    del detr, run
    run = partial(predictions, bench.model, torch.float32, many)
    rows.append(speed(bench, "ours, float32", bench.batch, run, 2, 1))
    del many, run
    bench.show("gpu others", rows)


def plain_network(bench: Bench) -> None:
    """Section: the plain network as it is, and with masks that are made once instead of at every call."""
    images, rows, made = bench.pictures(1), [], dense_attention.dense_mask
    network = plain().to(bench.device)
    try:
        dense_attention.dense_mask = cache(lambda *sizes: made(*sizes).to(bench.device))
        for name, precision in (("float32", torch.float32), ("bfloat16", HALF)):
            run = partial(predictions, network, precision, images)
            rows.append(speed(bench, f"plain network, {name}, masks made once", 1, run, 4, 1))
        dense_attention.dense_mask = made
        for name, precision in (("float32", torch.float32), ("bfloat16", HALF)):
            run = partial(predictions, network, precision, images)
            rows.append(speed(bench, f"plain network, {name}", 1, run, 1, 0))
    finally:
        dense_attention.dense_mask = made
    bench.show("gpu plain network", rows)


def ratios(bench: Bench) -> None:
    """Section: how many times as long the baselines take."""
    tables = [
        bench.found.get(f"gpu {name}", []) for name in ("one picture", "many pictures", "others", "plain network")
    ]
    rows = [row for table in tables for row in table]
    for batch in (1, bench.batch):
        for name in ("float32", "bfloat16"):
            same = {row["name"]: row["per_frame"] for row in rows if row["batch"] == batch and name in row["name"]}
            best = min((value for key, value in same.items() if key.startswith("ours")), default=None)
            for key, value in same.items():
                if best and not key.startswith("ours"):
                    print(f"{batch} at once: {key} takes {value / best:.1f} times as long as ours")
                    bench.found.setdefault("gpu ratios", []).append((batch, key, value / best))


def waiting(bench: Bench) -> None:
    """Section: whether the forward pass waits for the device anywhere."""
    if not bench.on_gpu:
        print("only on CUDA")
        return
    images = bench.pictures(1)
    for name, model, precision in (("bfloat16", bench.halved, HALF), ("float32", bench.model, torch.float32)):
        predictions(model, precision, images)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            predictions(model, precision, images)
            verdict = "nothing waits"
        except RuntimeError:
            verdict = "waits: " + traceback.format_exc()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        print(f"{name}: {verdict}", flush=True)
        bench.found[f"gpu waiting, {name}"] = verdict


@dataclass(frozen=True)
class Still:
    """A frame of footage, as far as the network looks at it."""

    rgb: np.ndarray


def capture(bench: Bench) -> None:
    """Section: frames to people through the calls a capture makes, batches in flight; as one at a time says."""
    from aios_core.body.files import open_body
    from aios_core.config import CaptureConfig
    from aios_core.pipeline.network import load_network, start_looking

    pictures = [rgb for rgb in pictures_of_people() if rgb.shape == pictures_of_people()[-1].shape]
    config = CaptureConfig(device=str(bench.device), precision="bfloat16")
    network = load_network(config, open_body())
    placed = framing(pictures[0].shape[1], pictures[0].shape[0], network.config)
    small = [np.ascontiguousarray(np.roll(rgb, shift, axis=1)) for shift in (0, 40, 80) for rgb in pictures]
    placed_small = [Still(cv2_resized(rgb, placed.resized)) for rgb in small]
    pairs = [placed_small[i : i + 2] for i in range(0, len(placed_small) - 1, 2)]
    begun = time.perf_counter()
    flying = [start_looking(network, pair, placed) for pair in pairs]
    told = time.perf_counter() - begun
    if bench.on_gpu:
        torch.cuda.synchronize()
    plainly = [start_looking(load_network(config, open_body()), pair, placed) for pair in pairs]
    if bench.on_gpu:
        torch.cuda.synchronize()
    worst = max(
        float((a.predictions.boxes - b.predictions.boxes).abs().max()) for a, b in zip(flying, plainly, strict=True)
    )
    recorded_ = network.replayer.recording is not None
    text = (
        f"{len(pairs)} batches told in {1e3 * told:.0f} ms, recorded: {recorded_}; plain calls' boxes: {worst:.1e} off"
    )
    print(text)
    bench.found["gpu capture"] = text


def cv2_resized(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def pictures_of_people() -> list[np.ndarray]:
    """(H, W, 3) uint8 RGB: the photograph and some frames of the video."""
    import cv2

    found = [cv2.imread(str(FOOTAGE / "astronaut.jpg"))]
    video = cv2.VideoCapture(str(FOOTAGE / "plaza.mp4"))
    for index in range(61):
        there, frame = video.read()
        if there and index % 20 == 0:
            found.append(frame)
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in found if picture is not None]


def as_seen(rgb: np.ndarray, config: ModelConfig) -> Tensor:
    """(1, 3, H, W) a picture as the network wants it; `preprocess` does the same but needs a package for videos."""
    placed = framing(rgb.shape[1], rgb.shape[0], config)
    resized = cv2_resized(rgb, placed.resized)
    normalised = (torch.from_numpy(resized).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    (left, top), (width, height) = placed.corner, placed.resized
    images = torch.zeros(1, 3, placed.canvas[1], placed.canvas[0])
    images[0, :, top : top + height, left : left + width] = normalised.permute(2, 0, 1)
    return images


@dataclass(frozen=True)
class Difference:
    """The people of one way to compute against those of another."""

    name: str = column("people of the `open` weights")
    people: str = column("found, and of those again")
    scores: float = column("score, greatest difference", ".4f")
    boxes: float = column("box, px, greatest", ".2f")
    keypoints: float = column("keypoints, px, median", ".2f")
    most_keypoints: float = column("greatest", ".1f")
    angles: float = column("rotations, degrees, median", ".2f")
    most_angles: float = column("greatest", ".1f")


def differences(name: str, pairs: Sequence[tuple[LayerPredictions, LayerPredictions, tuple[int, int]]]) -> Difference:
    """Of people of pairs of answers for pictures of (width, height), matched by their boxes; all on the CPU."""
    count, scores, boxes, keypoints, angles = 0, [], [], [], []
    for first, second, (width, height) in pairs:
        score, other_score = (answer.logits[0].amax(-1).sigmoid() for answer in (first, second))
        kept = torch.where(score >= SEEN)[0]
        scale = torch.tensor([width, height, width, height])
        box, other_box = (answer.boxes[0] * scale for answer in (first, second))
        overlap = iou_matrix(*(cxcywh_to_xyxy(b.numpy()) for b in (box[kept], other_box)))
        count += len(kept)
        for i, row in zip(kept.tolist(), overlap, strict=True):
            j = int(row.argmax())
            if row[j] < 0.5:
                continue
            scores.append(float((score[i] - other_score[j]).abs()))
            boxes.append(float((box[i] - other_box[j]).abs().max()))
            keypoints += ((first.keypoints[0, i] - second.keypoints[0, j]) * scale[:2]).norm(dim=-1).tolist()
            apart = (first.body_rotmats[0, i] - second.body_rotmats[0, j]).flatten(1).norm(dim=-1)
            angles += torch.rad2deg(2 * torch.asin((apart / math.sqrt(8)).clamp(max=1))).tolist()
    found = f"{count}, {len(scores)}"
    if not scores:
        return Difference(name, found, *[math.nan] * 6)
    return Difference(
        name, found, max(scores), max(boxes), statistics.median(keypoints), max(keypoints),
        statistics.median(angles), max(angles),
    )  # fmt: skip


def errors(bench: Bench) -> None:
    """Section: what bfloat16 changes, and whether the device computes what the processor computes."""
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32 here; elsewhere it is as PyTorch has it
    try:
        compare(bench)
    finally:
        torch.backends.cudnn.allow_tf32 = True


def compare(bench: Bench) -> None:
    """The section `errors`."""
    images = bench.pictures(1)
    padding = torch.zeros(1, *bench.size, dtype=torch.bool, device=bench.device)
    memory, levels = bench.model.encode(images, padding)
    with autocast(bench.device, HALF):
        halved, _ = bench.halved.encode(images, padding)
        halved_proposals = bench.halved.proposals(halved, levels).proposals
    proposals = bench.model.proposals(memory, levels).proposals
    best = [p.logits[0].float().amax(-1).sigmoid().sort(descending=True).values for p in (proposals, halved_proposals)]
    found = {
        "relative error of the memory": float((memory - halved).norm() / memory.norm()),
        "greatest difference of the proposals' scores, best first": float((best[0] - best[1]).abs().max()),
    }
    print(f"`aios`, random weights, bfloat16 against float32: {found}", flush=True)
    bench.found["gpu errors of aios"] = found
    model = build_model("open").for_inference()
    there = copy.deepcopy(model).to(bench.device)
    halved = copy.deepcopy(model).for_inference(HALF).to(bench.device)
    seen = [(as_seen(rgb, model.config), rgb.shape[1::-1]) for rgb in pictures_of_people()]
    answers = []
    for images, _ in seen:
        sent = images.to(bench.device)
        ways = [predictions(there, torch.float32, sent), predictions(halved, HALF, sent)]
        answers.append([predictions(model, torch.float32, images), *map(copied_to_cpu, ways)])
        if bench.on_gpu:
            torch.cuda.synchronize()  # the copies above are under way
    sizes = [size for _, size in seen]
    rows = [
        differences(
            "float32: the device against the processor", [(a[0], a[1], s) for a, s in zip(answers, sizes, strict=True)]
        ),
        differences("bfloat16 against float32", [(a[1], a[2], s) for a, s in zip(answers, sizes, strict=True)]),
    ]
    bench.show("gpu errors", rows)


def same_when_replayed(bench: Bench) -> None:
    """Section: replays give what plain calls give, and answers in flight are not overwritten by the next."""
    if not bench.on_gpu:
        print("only on CUDA")
        return
    from aios_core.model.cuda_graph import Replayer

    model = build_model("open").for_inference(HALF).to(bench.device)
    forward, replayer = partial(predictions, model, HALF), Replayer()
    batches = [torch.randn(2, 3, 544, 960, device=bench.device) for _ in range(6)]
    plainly = [forward(images) for images in batches]
    replayed = [copied_to_cpu(replayer.look(forward, images)) for images in batches]
    torch.cuda.synchronize()
    worst = max(
        float((getattr(a, f.name).float().cpu() - getattr(b, f.name)).abs().max())
        for a, b in zip(plainly, replayed, strict=True)
        for f in fields(a)
        if getattr(a, f.name) is not None
    )
    text = f"recorded: {replayer.recording is not None}; six batches in flight differ by {worst:.1e} from plain calls"
    print(text, "ok" if worst == 0 else "(0 is expected where kernels are deterministic)")
    bench.found["gpu replay"] = text


def open_speed(bench: Bench) -> None:
    """Section: the shipped network at its own size."""
    size = (OPEN.short_side, OPEN.long_side) if bench.on_gpu else bench.size
    model, rows = build_model("open").for_inference().to(bench.device), []
    halved = copy.deepcopy(model).for_inference(HALF)
    for batch in (1, 8, 16, 32) if bench.on_gpu else (1,):
        images = bench.pictures(batch, size)
        for name, network, precision in (("bfloat16", halved, HALF), ("float32", model, torch.float32)):
            run = partial(predictions, network, precision, images)
            if batch in (1, 16):
                rows.append(speed(bench, f"open, {name}", batch, run, 5, 1))
            if bench.on_gpu:
                run = graph_of(network, precision, images)
                rows.append(speed(bench, f"open, {name}, CUDA graph", batch, run, 5, 1))
                del run
    bench.show("gpu open", rows)


def profiled(bench: Bench, batch: int) -> None:
    """Part of a section: the kernels of one plain call, most time first, as profile_BATCH.txt beside the JSON file."""
    from torch.profiler import ProfilerActivity, profile

    images = bench.pictures(batch)
    predictions(bench.halved, HALF, images)
    activity = ProfilerActivity.CUDA if bench.on_gpu else ProfilerActivity.CPU
    if bench.on_gpu:
        torch.cuda.synchronize()
    with profile(activities=[activity]) as profiler:
        predictions(bench.halved, HALF, images)
        if bench.on_gpu:
            torch.cuda.synchronize()
    spent, calls = Counter(), Counter()
    for event in profiler.events():
        if not bench.on_gpu or "CUDA" in str(event.device_type):
            spent[event.name] += event.time_range.elapsed_us() / 1e3
            calls[event.name] += 1
    total = sum(spent.values())
    lines = [f"{batch} pictures at once: {total:.2f} ms in {sum(calls.values())} kernels and copies"]
    lines += [f"{taken:9.3f} ms {calls[name]:5d} x {name[:150]}" for name, taken in spent.most_common(40)]
    print("\n".join(lines[:26]), flush=True)
    bench.found[f"gpu profile, {batch}"] = {"ms": total, "calls": sum(calls.values()), "kernels": spent.most_common(40)}
    folder = bench.json.parent if bench.json else Path()
    (folder / f"profile_{batch}.txt").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Part:
    """A part of the network and how near to the card's limits it is."""

    name: str = column("preset `aios`, bfloat16")
    milliseconds: float = column("ms", ".2f")
    teraflop: float = column("TFLOP", ".2f")
    rate: float = column("TFLOP a second", ".0f")
    gigabytes: float = column("GB read and written by torch's own operations", ".1f")
    products: float = column("ms, products at the rate of a large one", ".2f")
    memory: float = column("ms, those GB at the rate of a copy", ".2f")


def operations(run: Callable[[], object]) -> int:
    """Operations of products and convolutions, those with a rectifier behind them included."""

    def of_product(_bias, x, weight, *_, **__) -> int:
        return 2 * x[0] * x[1] * weight[1]

    mapping = {torch.ops.aten._addmm_activation: of_product}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return counter.get_total_flops()


def traffic(run: Callable[[], object]) -> int:
    with Traffic() as counter:
        run()
    return counter.bytes


def limits(bench: Bench) -> None:
    """Section: where the time goes, against what products and copies allow."""
    size, numbers = (8192, 2**29) if bench.on_gpu else (512, 2**20)
    a = torch.randn(size, size, device=bench.device).to(HALF)
    matrix_rate = 2 * size**3 / milliseconds(bench, lambda: a @ a, 5, 2) * 1e3
    source = torch.zeros(numbers, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    copy_rate = 2 * numbers / milliseconds(bench, lambda: target.copy_(source), 5, 2) * 1e3
    print(f"a large product: {matrix_rate / 1e12:.0f} TFLOP/s; a copy: {copy_rate / 1e12:.2f} TB/s", flush=True)
    bench.found["gpu rates"] = {"product": matrix_rate, "copy": copy_rate}
    model, images, one = bench.halved, bench.pictures(bench.batch), bench.pictures(1)

    def encode(images: Tensor) -> None:
        model.encode(images, torch.zeros(len(images), *images.shape[2:], dtype=torch.bool, device=images.device))

    calls = (("backbone", model.backbone), ("encoder", encode), ("decoder", partial(predictions, model, HALF)))
    rows, before = [], (0.0, 0.0, 0.0)
    with autocast(bench.device, HALF):
        for name, call in calls:
            whole = (
                milliseconds(bench, partial(call, images), 4, 1),
                bench.batch * operations(partial(call, one)) / 1e12,
                bench.batch * traffic(partial(call, one)) / 1e9,
            )
            taken, flop, moved = (now - then for now, then in zip(whole, before, strict=True))
            before = whole
            ideal = 1e15 * flop / matrix_rate, 1e12 * moved / copy_rate
            rows.append(Part(f"{name}, {bench.batch} at once", taken, flop, 1e3 * flop / taken, moved, *ideal))
    bench.show("gpu limits", rows)


def configurations(bench: Bench) -> None:
    """Section: other sizes of the sampling kernel's programs."""
    if not bench.on_gpu:
        print("only on CUDA")
        return
    from aios_core.model.sampling_triton import LANES, WARPS, sample_by_kernel

    given = samples(bench, bench.batch, HALF)
    arguments = given.value, given.shapes, given.offsets, given.logits, given.references
    for lanes, warps in ((LANES, WARPS), *CONFIGURATIONS):
        run = partial(sample_by_kernel, *arguments, lanes=lanes, warps=warps)
        taken = milliseconds(bench, run, 5, 2)
        print(f"{lanes} lanes, {warps} warps: {taken:.3f} ms for {bench.batch} pictures", flush=True)
        bench.found[f"gpu kernel, {lanes} lanes, {warps} warps"] = taken


@contextmanager
def without_kernels():
    """Everything as without Triton."""
    runs = sampling.kernel_runs
    sampling.kernel_runs = attention.kernel_runs = lambda channels: False
    try:
        yield
    finally:
        sampling.kernel_runs = attention.kernel_runs = runs


def choices(bench: Bench) -> None:
    """Section: what the kernels gain, and what cuDNN's own search for algorithms would."""
    images, rows = bench.pictures(bench.batch), []
    run = partial(predictions, bench.halved, HALF, images)
    with without_kernels():
        rows.append(speed(bench, "ours, bfloat16, without kernels of ours", bench.batch, run, 2, 1))
    with autocast(bench.device, HALF):
        rows.append(speed(bench, "backbone, bfloat16", bench.batch, partial(bench.halved.backbone, images), 4, 1))
        torch.backends.cudnn.benchmark = True
        try:
            search = partial(bench.halved.backbone, images)
            rows.append(speed(bench, "backbone, bfloat16, cuDNN searches", bench.batch, search, 4, 1))
        finally:
            torch.backends.cudnn.benchmark = False
    bench.show("gpu choices", rows)


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "kernels": kernels,
    "one picture": one_picture,
    "many pictures": many_pictures,
    "waiting": waiting,
    "errors": errors,
    "same when replayed": same_when_replayed,
    "others": others,
    "open": open_speed,
    "profile of many": lambda bench: profiled(bench, bench.batch),
    "profile of one": lambda bench: profiled(bench, 1),
    "limits": limits,
    "plain network": plain_network,
    "ratios": ratios,
    "capture": capture,
    "configurations": configurations,
    "choices": choices,
}
"""Most important first."""


@torch.inference_mode()
def measure(bench: Bench, only: Sequence[str]) -> None:
    """All sections, or those named, until the time is over."""
    name = torch.cuda.get_device_name(bench.device) if bench.on_gpu else "the processor"
    bench.found["machine"] = {"device": name, "torch": torch.__version__, "size": bench.size}
    print(f"{name}, torch {torch.__version__}, pictures of {bench.size[0]}x{bench.size[1]}", flush=True)
    for title, section in SECTIONS.items():
        if only and title not in only:
            continue
        if time.monotonic() - bench.begun > bench.seconds and title != "ratios":
            print(f"\n== {title}: left out, the time is over", flush=True)
            continue
        with Section(bench, title), torch.cuda.device(bench.device) if bench.on_gpu else nullcontext():
            section(bench)
    print(f"\n{time.monotonic() - bench.begun:.1f} s in all", flush=True)


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", type=Path, help="also write everything to this file, profiles beside it")
    options.add_argument("--seconds", type=float, default=70, help="begin no section after so many")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--repeats", type=int, default=10)
    options.add_argument("--only", nargs="*", default=(), choices=SECTIONS, metavar="SECTION")
    options.add_argument("--without-kernels", action="store_true", help="as where there is no Triton")
    options.add_argument("--size", default="800x1333", help="height x width of preset `aios`' pictures")
    options.add_argument("--device", default="cuda", help="another than cuda tries the benchmark itself out")
    chosen = options.parse_args()
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "This benchmark needs an NVIDIA GPU and a PyTorch built for CUDA, and there is none here.", file=sys.stderr
        )
        return 2
    height, width = (int(side) for side in chosen.size.split("x"))
    device = torch.device(chosen.device)
    bench = Bench(device, (height, width), chosen.batch, chosen.repeats, chosen.seconds, chosen.json)
    with without_kernels() if chosen.without_kernels else nullcontext():
        measure(bench, chosen.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
