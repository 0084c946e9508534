"""Weights files: the published checkpoint, our own safetensors, and the names between them and the model.

The published state dict lists many tensors under several names. `published_names` is the one table between the
model's names and those; loading accepts any of them. Pickles are read with an explicit allow-list only, so that
a hostile file is refused before anything in it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from aios_core.config import AIOS, BackboneConfig, ModelConfig
from aios_core.errors import CheckpointError
from aios_core.model.aios import AiOS
from aios_core.model.heads import stage_starts
from aios_core.model.parts import PARTS
from aios_core.output import whole_file

OPEN_WEIGHTS = Path(__file__).parent.parent / "assets" / "open.safetensors"
CHECKPOINT_VARIABLE = "AIOS_CHECKPOINT"
ALLOWED_GLOBALS = (argparse.Namespace,)
"""Classes besides torch's own that a pickled checkpoint may hold; the published one holds its arguments."""

PREFIXES = {
    "backbone.": "backbone.0.body.",
    "level_embed": "transformer.level_embed",
    "encoder.": "transformer.encoder.",
    "proposals.": "transformer.",
    "decoder.tables.": "transformer.decoder.",
    "decoder.": "transformer.decoder.",
    "heads.": "",
}
"""The model's names to the published ones; the first that fits, other names stay."""
DECODER_HEADS = {"class_embed"} | {
    name
    for part in PARTS
    for name in (part.box_embed, part.box_size_embed, part.point_embed, part.point_size_embed)
    if name
}
"""Heads that the published state dict lists again under its decoder."""


@dataclass(frozen=True)
class Checkpoint:
    """A weights file as it was read."""

    path: Path
    state_dict: dict[str, Tensor]
    """Tensors under published names, without counters and without the body model's buffers."""
    config: ModelConfig | None = None
    """Sizes of the model, if the file states them."""
    pose_mean: Tensor | None = None
    """(55, 3) axis-angle that SMPL-X adds to every pose: zero but for the mean hands; if the file holds it."""
    metadata: dict[str, str] | None = None
    """Whatever else was written beside the weights."""


def published_names(name: str, config: ModelConfig) -> list[str]:
    """All names that the published state dict gives to the model's tensor `name`, the canonical one first."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    names = [PREFIXES.get(prefix, "") + name[len(prefix) :]]
    head, _, rest = names[0].partition(".")
    if prefix != "heads." or head not in DECODER_HEADS:
        return names
    part = next((part for part in PARTS if part.point_size_embed == head), None)
    if part is not None:  # one head for all layers, listed once for each
        count = config.decoder_layers - stage_starts(config)[part.points_stage]
        names = [f"{head}.{index}.{rest}" for index in range(count)]
    return names + [f"transformer.decoder.{alias}" for alias in names]


def published_state_dict(model: AiOS) -> dict[str, Tensor]:
    """The model's tensors under every published name, aliases included; they share memory with the model."""
    return {name: tensor for key, tensor in _weights(model).items() for name in published_names(key, model.config)}


def _weights(model: AiOS) -> dict[str, Tensor]:
    """The model's state dict without batch counters, which nothing uses."""
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """The weights at `path`: .safetensors, or a torch file holding a state dict alone, or under 'model' or
    'ema_model' (preferred in this order), with or without 'module.' before its names.

    Raises:
        CheckpointError: no such file, damaged, not weights, or a pickle with anything but weights in it.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"No such weights file: {path}.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    return _clean(path, _state_dict_of(_load_pickle(path), path))


def _load_safetensors(path: Path) -> Checkpoint:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state_dict = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file or is damaged ({error}).") from error
    config = metadata.pop("config", None)
    return _clean(path, state_dict, config_from_json(config, path) if config else None, metadata)


def _load_pickle(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(list(ALLOWED_GLOBALS)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} was refused: it is damaged or holds more than weights, which could run code on this machine; "
            "load a checkpoint from a source you trust, or a .safetensors file."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a weights file or is damaged ({reason}).") from error


def _state_dict_of(stored: object, path: Path) -> dict[str, Tensor]:
    if isinstance(stored, Mapping):
        found = next((stored[key] for key in ("model", "ema_model") if stored.get(key) is not None), stored)
        if isinstance(found, Mapping):
            tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
    raise CheckpointError(f"{path} holds no network weights (a state dict, alone or under 'model').")


def _clean(
    path: Path, tensors: dict[str, Tensor], config: ModelConfig | None = None,
    metadata: dict[str, str] | None = None,
) -> Checkpoint:  # fmt: skip
    state_dict = {}
    for name, tensor in tensors.items():
        while name.startswith("module."):
            name = name.removeprefix("module.")
        state_dict[name] = tensor
    pose_mean = state_dict.get("body_model.pose_mean")
    if pose_mean is not None and pose_mean.numel() != 165:
        raise CheckpointError(f"{path}: body_model.pose_mean has {pose_mean.numel()} numbers, not 165.")
    state_dict = {
        name: tensor
        for name, tensor in state_dict.items()
        if not name.startswith("body_model.") and not name.endswith("num_batches_tracked")
    }
    pose_mean = None if pose_mean is None else pose_mean.detach().float().reshape(55, 3).clone()
    return Checkpoint(path, state_dict, config, pose_mean, metadata)


def load_weights(model: AiOS, checkpoint: Checkpoint, assign: bool = False) -> None:
    """Copy a checkpoint into a model of the same sizes; the model is unchanged if they do not fit.

    Args:
        assign: the model takes the checkpoint's tensors themselves where their precision is its own.

    Raises:
        CheckpointError: names missing, unknown, of the wrong shape, or aliases that disagree.
    """
    stored, unknown = checkpoint.state_dict, set(checkpoint.state_dict)
    chosen, missing, misshapen, disagreeing = {}, [], [], []
    for key, tensor in _weights(model).items():
        names = published_names(key, model.config)
        found = [name for name in names if name in stored]
        unknown.difference_update(found)
        if not found:
            missing.append(names[0])
            continue
        value = stored[found[0]]
        if value.shape != tensor.shape:
            misshapen.append(f"{found[0]} {tuple(value.shape)} instead of {tuple(tensor.shape)}")
        disagreeing += [name for name in found[1:] if not torch.equal(stored[name], value)]
        chosen[key] = value.to(tensor.dtype) if assign else value
    problems = {
        "missing": missing,
        "unknown": sorted(unknown),
        "of the wrong shape": misshapen,
        "stored twice with different values": disagreeing,
    }
    if any(problems.values()):
        told = "; ".join(f"{len(names)} {what} ({_few(names)})" for what, names in problems.items() if names)
        raise CheckpointError(f"{checkpoint.path} does not fit this model: {told}.")
    model.load_state_dict(chosen, strict=False, assign=assign)


def _few(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def build_model(path_or_name: str | os.PathLike) -> AiOS:
    """The network with weights, in eval mode on the CPU.

    Args:
        path_or_name: 'open' for the weights that come with this package; 'aios' for the published checkpoint,
            whose path the environment variable AIOS_CHECKPOINT holds; or the path of a weights file.

    Raises:
        CheckpointError: there is no such file, or it does not fit.
    """
    checkpoint = load_checkpoint(weights_path(path_or_name))
    return model_of(checkpoint, checkpoint.config or AIOS).eval()


def model_of(checkpoint: Checkpoint, config: ModelConfig) -> AiOS:
    """A network of these sizes that holds the checkpoint's tensors themselves: those of a file in float32 stay mapped.

    Raises:
        CheckpointError: they do not fit.
    """
    with _WithoutDrawing():
        model = AiOS(config)
    load_weights(model, checkpoint, assign=True)
    return model


class _WithoutDrawing(TorchFunctionMode):
    """Leaves new weights unwritten instead of drawing them; torch's meta device would cost a second of imports."""

    def __torch_function__(
        self, function: Callable, types: object, arguments: tuple = (), options: dict | None = None
    ) -> object:
        if function in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return arguments[0]
        if getattr(function, "__module__", None) == "torch.nn.init":
            return arguments[0] if arguments else options["tensor"]
        return function(*arguments, **(options or {}))


def weights_path(path_or_name: str | os.PathLike) -> Path:
    """The file that `build_model` reads for a name or a path."""
    if str(path_or_name) == "open":
        if not OPEN_WEIGHTS.is_file():
            raise CheckpointError(f"The open weights are not installed (no {OPEN_WEIGHTS}): reinstall the package.")
        return OPEN_WEIGHTS
    if str(path_or_name) == "aios":
        path = os.environ.get(CHECKPOINT_VARIABLE)
        if not path:
            raise CheckpointError(
                "The published AiOS weights are not part of this program: download aios_checkpoint.pth yourself "
                f"under its own licence and give its path, or set {CHECKPOINT_VARIABLE} to it."
            )
        return Path(path)
    return Path(path_or_name)


def save_weights(
    model: AiOS, path: str | os.PathLike, fp16: bool = True, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the model as .safetensors under canonical published names, with its ModelConfig, and return the path.

    Args:
        fp16: store matrices in half precision (vectors stay as they are).
        metadata: further texts to store, e.g. the licence.
    """
    tensors = {}
    for key, tensor in _weights(model).items():
        tensor = tensor.detach().cpu().contiguous()
        if fp16 and tensor.ndim > 1 and tensor.dtype == torch.float32:
            tensor = tensor.half()
        if not tensor.isfinite().all():
            raise CheckpointError(f"{key} holds values that are not finite or do not fit half precision.")
        tensors[published_names(key, model.config)[0]] = tensor
    texts = {"format": "pt", "config": config_to_json(model.config), **(metadata or {})}
    with whole_file(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata=texts)
    return Path(path)


def config_to_json(config: ModelConfig) -> str:
    """The configuration as JSON."""
    return json.dumps(asdict(config))


def config_from_json(text: str, source: str | os.PathLike) -> ModelConfig:
    """The configuration in JSON; fields that are not given keep the published value.

    Raises:
        CheckpointError: not JSON, or with fields this version does not know.
    """
    try:
        values = json.loads(text)
        backbone = values.pop("backbone", {})
        _check_fields(BackboneConfig, backbone, source)
        _check_fields(ModelConfig, values, source)
        if values.get("letterbox") and not values.get("canvas"):  # written when there was one canvas
            values["canvas"] = (values["long_side"], values["short_side"])
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{source}: the model's configuration is not readable ({error}).") from error
    return ModelConfig(backbone=BackboneConfig(**_tuples(backbone)), **_tuples(values))


def _check_fields(kind: type, values: Mapping[str, object], source: str | os.PathLike) -> None:
    unknown = sorted(set(values) - {field.name for field in fields(kind)})
    if unknown:
        raise CheckpointError(
            f"{source} was made by another version: unknown in {kind.__name__}: {', '.join(unknown)}."
        )


def _tuples(values: Mapping[str, object]) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
