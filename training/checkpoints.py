"""Checkpoints of a run: everything a resumed run needs to go on exactly as if it had not stopped.

A checkpoint is a folder RUN/checkpoints/step-000001234 of safetensors files of bounded size and manifest.json, which
tells their sizes and SHA-256, the configuration and the random states of all processes. It is written beside its place
and renamed, so that it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aios_core.config import ModelConfig
from aios_core.errors import CheckpointError, OutputError
from training.processes import Processes
from training.recipe import Randomness, Recipe

FORMAT = 1
MANIFEST = "manifest.json"
FOLDER = "step-{:09d}"
SIZES = "long_side", "short_side"
"""Of a model's settings, those that may change in a run: how large pictures are shown to it."""


@dataclass
class RunState:
    """What changes during a run."""

    recipe: Recipe
    ema: nn.Module
    optimizer: Optimizer
    randomness: Randomness
    step: int = 0
    seconds: float = 0.0


def save_checkpoint(state: RunState, folder: Path, processes: Processes) -> None:
    """Write the state of all processes, which all call this, to a new folder in `folder`; the oldest ones go.

    Raises:
        OutputError: it cannot be written; those that are there stay.
    """
    randoms = processes.gather(_random_state(state.randomness, processes.device))
    target = folder / FOLDER.format(state.step)
    if processes.is_first and not target.exists():
        temporary = folder / f".{target.name}.partial"
        try:
            _write(state, temporary, randoms)
            temporary.rename(target)
        except (OSError, safetensors.SafetensorError) as error:
            raise OutputError(f"Cannot write the checkpoint {target}: {error}.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for old in checkpoints(folder)[: -state.recipe.config.checkpoints_kept]:
            shutil.rmtree(old, ignore_errors=True)
    processes.wait()


def _write(state: RunState, folder: Path, randoms: list[dict]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = state.recipe.config
    files = [
        _write_shard(folder / f"state-{number:05d}.safetensors", shard)
        for number, shard in enumerate(_shards(_tensors(state), config.shard_mebibytes * 2**20))
    ]
    manifest = {
        "format": FORMAT, "step": state.step, "seconds": state.seconds, "files": files, "random": randoms,
        "config": asdict(config), "model": asdict(state.recipe.network.config),
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))


def load_checkpoint(state: RunState, path: Path, processes: Processes) -> str:
    """Continue from a checkpoint; a sentence for each thing that is not as it was when it was written.

    Raises:
        CheckpointError: it is damaged, or of a run with another network.
    """
    manifest = _read_manifest(path)
    model = state.recipe.network.config
    _check_same_network(path, manifest["model"], model)
    tensors = {}
    for file in manifest["files"]:
        tensors |= _read_shard(path, file)
    try:
        _restore(state, tensors)
        state.step, state.seconds = int(manifest["step"]), float(manifest["seconds"])
        randoms = manifest["random"]
        if len(randoms) == processes.world:
            _restore_random(state.randomness, randoms[processes.rank], processes.device)
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is not the state of a run with these settings: {error}.") from error
    told = ""
    if len(randoms) != processes.world:
        told = f"It was written by {len(randoms)} processes, not {processes.world}: what is random starts anew. "
    now = json.loads(json.dumps(asdict(state.recipe.config)))
    changed = [name for name, value in now.items() if manifest["config"].get(name) != value]
    changed += [name for name in SIZES if manifest["model"][name] != getattr(model, name)]
    return told + (f"Changed since: {', '.join(changed)}." if changed else "")


def _tensors(state: RunState) -> dict[str, Tensor]:
    """All tensors of the state by name."""
    found = {f"recipe.{name}": value for name, value in state.recipe.state_dict().items()}
    found |= {f"ema.{name}": value for name, value in state.ema.state_dict().items()}
    for name, parameter in state.recipe.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            found[f"optimizer.{name}:{key}"] = value
    return found


def _restore(state: RunState, tensors: dict[str, Tensor]) -> None:
    def under(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    state.recipe.load_state_dict(under("recipe."))
    state.ema.load_state_dict(under("ema."))
    parameters = dict(state.recipe.named_parameters())
    for name, value in under("optimizer.").items():
        parameter, _, key = name.rpartition(":")
        parameter = parameters[parameter]
        if key == "step":  # AdamW counts on the CPU
            state.optimizer.state[parameter][key] = value
        else:
            state.optimizer.state[parameter][key] = torch.empty_like(parameter).copy_(value)


def _random_state(randomness: Randomness, device: torch.device) -> dict:
    found = {
        "numpy": randomness.numpy.bit_generator.state,
        "torch": randomness.torch.get_state().numpy().tobytes().hex(),
        "default": torch.get_rng_state().numpy().tobytes().hex(),
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device).numpy().tobytes().hex()
    return found


def _restore_random(randomness: Randomness, saved: dict, device: torch.device) -> None:
    def tensor(text: str) -> Tensor:
        return torch.from_numpy(np.frombuffer(bytes.fromhex(text), np.uint8).copy())

    randomness.numpy.bit_generator.state = saved["numpy"]
    randomness.torch.set_state(tensor(saved["torch"]))
    torch.set_rng_state(tensor(saved["default"]))
    if device.type == "cuda" and "cuda" in saved:
        torch.cuda.set_rng_state(tensor(saved["cuda"]), device)


def _shards(tensors: dict[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    """The tensors, contiguous and on the CPU, in portions of at most `limit` bytes, or of a single larger tensor."""
    shard, size = {}, 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _write_shard(path: Path, tensors: dict[str, Tensor]) -> dict[str, object]:
    """Write one file; what the manifest says of it."""
    safetensors.torch.save_file(tensors, path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}


def _read_shard(folder: Path, file: dict[str, object]) -> dict[str, Tensor]:
    path = folder / Path(str(file["name"])).name
    remedy = f"Remove {folder} to go on from the checkpoint before it"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing. {remedy}.")
    if path.stat().st_size != file["bytes"] or _sha256(path) != file["sha256"]:
        raise CheckpointError(f"{path} is damaged: it is not what the manifest says. {remedy}.")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). {remedy}.") from error


def _read_manifest(folder: Path) -> dict:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} cannot be read ({error}).") from error
    if version != FORMAT:
        raise CheckpointError(f"{folder} was written by another version (format {version}, not {FORMAT}).")
    missing = {"step", "seconds", "files", "random", "config", "model"} - set(manifest)
    if missing:
        raise CheckpointError(f"{folder / MANIFEST} lacks {', '.join(sorted(missing))}.")
    return manifest


def _check_same_network(path: Path, saved: dict, config: ModelConfig) -> None:
    now, usual = (json.loads(json.dumps(asdict(settings))) for settings in (config, ModelConfig()))
    # Settings that there were not yet when the checkpoint was written had their usual value.
    other = [name for name in now if saved.get(name, usual[name]) != now[name] and name not in SIZES]
    if other:
        raise CheckpointError(f"{path} is of a network with other settings: {', '.join(other)}.")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int, warmup: bool) -> None:
    """Move the averaged weights towards the model's; with `warmup` early steps count more."""
    decay = min(decay, (step + 1) / (step + 30)) if warmup else decay
    pairs = list(zip(ema.state_dict().values(), model.state_dict().values(), strict=True))
    averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    torch._foreach_lerp_(averages, values, 1 - decay)
    for average, value in pairs:
        if not average.is_floating_point():
            average.copy_(value)
