"""Train the network: python -m training.train --data SHARDS --out RUN --minutes 75

A flat loop. The run is boxed in time, writes its state every two minutes, continues when it is started again, logs one
JSON line per 50 steps to RUN/log.jsonl and leaves the averaged weights in RUN/weights.safetensors.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.config import PRESETS as MODELS
from aios_core.config import ModelConfig
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import save_weights
from training.checkpoints import RunState, load_state, save_state, update_ema
from training.config import PRESETS, TrainConfig
from training.data.sample import Sample, Shard, list_shards, read_shard
from training.denoising import noised_copies
from training.dense import HeatmapHead, encoder_loss, heatmap_loss
from training.losses import Losses, decoder_losses
from training.targets import Targets, batch


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="open")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards; may still be growing")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, required=True, help="length of the whole run, resumed time included")
    parser.add_argument("--steps", type=int, help="stop after so many steps (for tests)")
    parser.add_argument("--init", type=Path, help="start from these weights (.safetensors) instead of from nothing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(
        PRESETS[options.preset], MODELS[options.preset], options.data, options.out, options.minutes * 60,
        options.steps, options.init,
    )  # fmt: skip


def train(
    config: TrainConfig,
    model_config: ModelConfig,
    data: Path,
    out: Path,
    seconds: float,
    steps: int | None = None,
    init: Path | None = None,
) -> Path:
    """Train until `seconds` of training have passed in all (or `steps` steps); the weights' path."""
    out.mkdir(parents=True, exist_ok=True)
    state = start(config, model_config, init)
    saved = out / "state.pt"
    if saved.exists():
        load_state(state, saved)
    body = TorchBody(open_body())
    samples = shuffled_samples(data, state.rng)
    before, begun, last_saved = state.seconds, time.monotonic(), time.monotonic()
    log = open(out / "log.jsonl", "a")  # noqa: SIM115 (closed at the end of the run)
    sums: dict[str, float] = {}
    while state.seconds < seconds and (steps is None or state.step < steps):
        rate = learning_rate(config, state.step, state.seconds / seconds if steps is None else state.step / steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["base"]
        images, targets = batch(
            [next(samples) for _ in range(config.batch)], config, model_config.camera_focal_px, state.rng
        )
        losses = training_step(state, config, model_config, images, targets, body)
        for name, value in losses.terms.items():
            sums[name] = sums.get(name, 0.0) + value
        state.step += 1
        state.seconds = before + time.monotonic() - begun
        if state.step % config.log_steps == 0:
            line = {"step": state.step, "seconds": round(state.seconds, 1), "rate": round(rate, 4)}
            line |= {name: round(value / config.log_steps, 4) for name, value in sums.items()}
            print(json.dumps(line), file=log, flush=True)
            sums = {}
        if time.monotonic() - last_saved > config.checkpoint_seconds:
            save_state(state, saved)
            last_saved = time.monotonic()
    log.close()
    save_state(state, saved)
    return save_weights(state.ema, out / "weights.safetensors")


def start(config: TrainConfig, model_config: ModelConfig, init: Path | None = None) -> RunState:
    """A fresh run."""
    torch.manual_seed(config.seed)
    model = AiOS(model_config)
    if init is not None:
        from aios_core.model.checkpoint import build_model

        model.load_state_dict(build_model(init).state_dict())
    model = model.to(memory_format=torch.channels_last).train()
    heatmap = HeatmapHead(model_config.hidden_dim)
    return RunState(
        model=model,
        ema=copy.deepcopy(model).eval(),
        heatmap=heatmap,
        optimizer=optimizer(model, heatmap, config),
        rng=np.random.default_rng(config.seed),
        torch_rng=torch.Generator().manual_seed(config.seed),
    )


def optimizer(model: nn.Module, heatmap: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with one rate for the trunk and one for the rest; offsets at a tenth; no decay on vectors."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    named = [*model.named_parameters(), *heatmap.named_parameters(prefix="heatmap")]
    for name, parameter in named:
        rate = config.trunk_rate if name.startswith(("backbone", "heatmap")) else config.transformer_rate
        rate = rate * 0.3 if "sampling_offsets" in name else rate
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": rate, "base": rate, "weight_decay": decay} for (rate, decay), p in groups.items()],
        betas=(0.9, 0.98),
    )


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Factor on the base rates: linear warm-up, constant, then a cosine to 2 %."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    late = max(0.0, progress - config.decay_from) / max(1 - config.decay_from, 1e-9)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, late))))


def training_step(
    state: RunState,
    config: TrainConfig,
    model_config: ModelConfig,
    images: torch.Tensor,
    targets: Targets,
    body: TorchBody,
) -> Losses:
    """One step of gradient descent; the losses before it."""
    weights, focal = config.weights, model_config.camera_focal_px
    size = torch.tensor([config.width, config.height], dtype=torch.float32)
    copies = noised_copies(targets, config.denoising_groups, config.box_noise, config.keypoint_noise, state.torch_rng)
    mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        predictions = state.model(images, mask, denoising=copies, all_layers=True)
        heatmaps = state.heatmap(predictions.encoder)
    found = decoder_losses(predictions.layers, targets, body, weights, focal, size)
    copied = decoder_losses(predictions.denoising, targets, body, weights, focal, size, config.denoising_groups)
    dense = weights.encoder * encoder_loss(predictions.encoder, targets, weights, config.tokens_per_person)
    heat = weights.heatmap * heatmap_loss(heatmaps.float(), targets)
    total = found.total + weights.denoising * copied.total + dense + heat
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
    if torch.isfinite(norm):
        state.optimizer.step()
        update_ema(state.ema, state.model, config.ema, state.step)
    terms = found.terms | {f"copies_{k}": v for k, v in copied.terms.items() if k in ("box", "keypoints")}
    terms |= {"encoder": float(dense.detach()), "heatmap": float(heat.detach()), "total": float(total.detach())}
    return Losses(total.detach(), terms | {"gradient": float(norm)})


def shuffled_samples(folder: Path, rng: np.random.Generator) -> Iterator[Sample]:
    """Samples for ever, drawn from all shards there are; new shards join as they appear."""
    shards: dict[int, Shard] = {}
    while True:
        for number in list_shards(folder):
            if number not in shards:
                shards[number] = read_shard(folder, number)
        if not shards:
            time.sleep(2)
            continue
        for _ in range(1000):
            shard = shards[int(rng.choice(list(shards)))]
            yield shard.sample(int(rng.integers(len(shard))))


if __name__ == "__main__":
    main()
