"""Train the network: python -m training.train --preset open --data SHARDS --out RUN --minutes 75

On several devices: torchrun --nproc-per-node N -m training.train ... A flat loop for every recipe: it can be boxed in
time, writes checkpoints, continues from the newest when it is started again, logs to RUN/log.jsonl and RUN/tensorboard
and leaves the averaged weights in RUN/weights.safetensors. docs/training.md tells the whole story.
"""

from __future__ import annotations

import argparse
import copy
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aios_core.body.files import load_body, open_body
from aios_core.config import PRESETS as MODELS
from aios_core.config import ModelConfig
from aios_core.errors import AiosError, CheckpointError, DataSetError, OutputError
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import save_weights
from training.checkpoints import RunState, checkpoints, load_checkpoint, save_checkpoint, update_ema
from training.config import PRESETS as OPEN_PRESETS
from training.config import RunConfig, TrainConfig
from training.data.humandata.mixture import Mixture, MixtureConfig
from training.initial_weights import load_all, load_what_fits
from training.logs import Averages, Log
from training.memory import keep_freed_memory
from training.open_recipe import OpenRecipe
from training.paper.config import PAPER, PAPER_FINETUNE, PaperConfig
from training.paper.recipe import PaperRecipe
from training.processes import ALONE, Processes, processes
from training.recipe import Randomness, Recipe, to_device
from training.settings import SettingError, with_settings

PRESETS: dict[str, RunConfig] = OPEN_PRESETS | {"paper": PAPER, "paper-finetune": PAPER_FINETUNE}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train; the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    with processes(options.device) as group:
        try:
            recipe = recipe_of(options, group)
            seconds = None if options.minutes is None else options.minutes * 60
            limits = Limits(seconds, options.steps, asked_to_end.is_set)
            train(recipe, options.out, limits, group, options.compile)
        except AiosError as error:
            of = "" if group.is_first else f" (process {group.rank})"
            print(f"training{of}: {error}", file=sys.stderr)
            return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="open")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards (open) or of data sets (paper)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; one that is there is continued")
    parser.add_argument("--minutes", type=float, help="length of the whole run, resumed time included")
    parser.add_argument("--steps", type=int, help="stop after so many steps in all")
    parser.add_argument("--init", type=Path, help="start from these weights instead of from nothing")
    parser.add_argument("--init-partial", type=Path, help="start from whatever fits: a ResNet, COCO keypoint weights")
    parser.add_argument("--body", type=Path, help="SMPLX_NEUTRAL.npz (paper)")
    parser.add_argument("--cache", type=Path, help="folder for what is read of annotations (paper)")
    parser.add_argument("--device", help="cpu, cuda, ...; default: CUDA where there is one")
    parser.add_argument("--compile", action="store_true", help="compile backbone and encoder with torch.compile")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each process")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="change a setting of the preset, such as batch=4, weights.pose.face=0.2 or model.short_side=512",
    )  # fmt: skip
    return parser


def recipe_of(options: argparse.Namespace, group: Processes) -> Recipe:
    """The recipe that the command line asks for, on its data, with the weights it starts from."""
    of_model = [setting.removeprefix("model.") for setting in options.settings if setting.startswith("model.")]
    config = with_settings(PRESETS[options.preset], [s for s in options.settings if not s.startswith("model.")])
    model_config = with_settings(MODELS["open" if options.preset == "open" else "aios"], of_model)
    if isinstance(config, TrainConfig):
        if options.minutes is None and options.steps is None:
            raise SettingError("How long is the run? Give --minutes or --steps.")
        if not options.data.is_dir():
            raise DataSetError(f"No such folder of shards: {options.data}.")
        recipe: Recipe = OpenRecipe(config, model_config, options.data)
    else:
        recipe = _paper_recipe(config, model_config, options, group)
        if group.is_first and not (options.init or options.init_partial or checkpoints(options.out / "checkpoints")):
            print("The backbone starts from nothing, with frozen batch norms: --init-partial takes a ResNet's weights.")
    if options.init is not None:
        load_all(recipe.network, options.init)
    if options.init_partial is not None:
        told = load_what_fits(recipe.network, options.init_partial)
        if group.is_first:
            print(told)
    return recipe


def _paper_recipe(
    config: PaperConfig, model_config: ModelConfig, options: argparse.Namespace, group: Processes
) -> PaperRecipe:
    if options.body is None and model_config.body_family == "smplx":
        raise SettingError("The network predicts SMPL-X bodies: give --body SMPLX_NEUTRAL.npz.")
    path = None if options.body is None else str(options.body)
    cache = None if options.cache is None else str(options.cache)
    mixture = MixtureConfig(
        data=str(options.data), phase=config.phase, recipe=config.mixture, body=path, cache=cache,
        absolute_hands=config.absolute_hands, only=config.data_sets, augmentation=config.augmentation,
    )  # fmt: skip
    pictures = Mixture(mixture, config.seed, group.rank, group.world)
    return PaperRecipe(config, model_config, pictures, load_body(path) if path else open_body())


@dataclass(frozen=True)
class Limits:
    """When a run ends that does not end by itself."""

    seconds: float | None = None
    """Of training in all, resumed time included."""
    steps: int | None = None
    """In all."""
    asked_to_end: Callable[[], bool] = lambda: False
    """Whether the process has been asked to end."""

    def are_reached(self, state: RunState) -> bool:
        """Whether this process has come to one of them."""
        is_late = self.seconds is not None and state.seconds >= self.seconds
        return is_late or (self.steps is not None and state.step >= self.steps) or self.asked_to_end()

    def progress(self, state: RunState) -> float:
        """The share of the run that has passed, 0 where nobody knows."""
        if self.steps is not None:
            return state.step / self.steps
        return state.seconds / self.seconds if self.seconds else 0.0


def train(
    recipe: Recipe, out: Path, limits: Limits = Limits(), group: Processes = ALONE, compiled: bool = False
) -> Path:
    """Train until the recipe ends or a limit is reached; the path of the averaged weights.

    All processes of the group call it with the same arguments.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write {out}: {error.strerror}.") from error
    state = start(recipe, out, group)
    module = distributed(recipe, group)
    if compiled:
        compile_trunk(recipe.network)
    config, log = recipe.config, Log(out, state.step, group)
    before, begun, last_saved = state.seconds, time.monotonic(), time.monotonic()
    while True:
        is_over = recipe.is_finished(state.step) or limits.are_reached(state)
        is_due = time.monotonic() - last_saved > config.checkpoint_seconds
        is_over, is_due, state.seconds = group.agree((is_over, is_due, state.seconds))
        if is_over or is_due:
            _save(state, out, group)
            last_saved = time.monotonic()
        if is_over:
            break
        progress = limits.progress(state)
        rate = recipe.rate(state.step, progress)
        drawn = (recipe.draw(state.step, state.randomness, progress) for _ in range(config.accumulate))
        batches = recipe.told_of_each_other([to_device(batch, group.device) for batch in drawn])
        log.add(training_step(state, module, batches, rate), sum(map(len, batches)))
        state.step += 1
        state.seconds = before + time.monotonic() - begun
        if state.step % config.log_steps == 0:
            log.tell(state.step, state.seconds, rate)
    log.close()
    return out / "weights.safetensors"


def start(recipe: Recipe, out: Path, group: Processes = ALONE) -> RunState:
    """The state of a run: fresh, or that of the newest checkpoint in its folder."""
    recipe.to(group.device).train()
    random = np.random.default_rng((recipe.config.seed, group.rank))
    randomness = Randomness(random, torch.Generator().manual_seed(int(random.integers(2**63))))
    state = RunState(recipe, copy.deepcopy(recipe.network).eval(), recipe.optimizer(), randomness)
    found = checkpoints(out / "checkpoints")
    names = group.gather(found[-1].name if found else "none")
    if len(set(names)) > 1:
        raise CheckpointError(f"The processes see different checkpoints in {out}: all machines must share it.")
    if found:
        told = load_checkpoint(state, found[-1], group)
        if group.is_first:
            print(f"Going on from step {state.step}. {told}")
    return state


def compile_trunk(network: AiOS, backend: str = "inductor") -> None:
    """Compile what takes most of the time and looks the same in every layer, for pictures of any size.

    The decoder's layers differ in their tokens: compiling them takes longer than they run.
    """
    for part in (network.backbone, *network.encoder.layers):
        part.compile(dynamic=True, backend=backend)


def distributed(recipe: Recipe, group: Processes) -> nn.Module:
    """The recipe, exchanging gradients with the other processes."""
    if group.world == 1:
        return recipe
    return nn.parallel.DistributedDataParallel(
        recipe,
        device_ids=[group.device] if group.device.type == "cuda" else None,
        find_unused_parameters=True,  # heads whose layer they have no part in the loss of
    )


def training_step(state: RunState, module: nn.Module, batches: list, rate: float) -> dict[str, float | Tensor]:
    """One step of gradient descent; the loss before it and its terms. A step that is not finite is left out."""
    config = state.recipe.config
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["base"]
    state.optimizer.zero_grad(set_to_none=True)
    terms = gradient(module, batches)
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
    is_finite = bool(torch.isfinite(norm))
    if is_finite:
        state.optimizer.step()
        update_ema(state.ema, state.recipe.network, config.ema, state.step, config.ema_warmup)
    return terms | {"gradient": norm if is_finite else 0.0, "left_out": float(not is_finite)}


def gradient(module: nn.Module, batches: list) -> dict[str, float | Tensor]:
    """Add the mean gradient of batches to the parameters'; the mean loss and its terms. Processes exchange it once."""
    averages = Averages()
    for number, batch in enumerate(batches, 1):
        is_last = number == len(batches) or not isinstance(module, nn.parallel.DistributedDataParallel)
        with nullcontext() if is_last else module.no_sync():
            total, terms = module(batch)
            (total / len(batches)).backward()
        averages.add(terms | {"total": total.detach()})
    return averages.take()


def _save(state: RunState, out: Path, group: Processes) -> None:
    save_checkpoint(state, out / "checkpoints", group)
    if group.is_first:
        save_weights(state.ema, out / "weights.safetensors", fp16=False)
        save_weights(state.recipe.network, out / "weights_last.safetensors", fp16=False)


if __name__ == "__main__":
    sys.exit(main())
