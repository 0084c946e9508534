"""The network as an ONNX file, which runs without PyTorch and returns the same numbers (see docs/onnx.md)."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from aios_core.errors import AiosError, MissingDependencyError
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import config_to_json
from aios_core.model.predictions import LayerPredictions
from aios_core.model.preprocess import MEAN, STD
from aios_core.model.proposals import candidates
from aios_core.output import whole_file

OPSET = 17
INPUTS = ("images", "padding_mask")
OUTPUTS = tuple(field.name for field in fields(LayerPredictions))
"""Fields of `Predictions.final`, with their shapes there."""
LEAST_SIDE = 64
"""Pixels; smaller pictures are too few tokens for the coarsest level."""


class _Outputs(nn.Module):
    """A network whose outputs are a tuple: the last layer's, in the order of OUTPUTS."""

    def __init__(self, model: AiOS):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, padding_mask: Tensor) -> tuple[Tensor, ...]:
        final = self.model(images, padding_mask).final
        return tuple(getattr(final, name) for name in OUTPUTS)


def export_onnx(
    model: AiOS,
    path: str | os.PathLike,
    size: tuple[int, int] | None = None,
    metadata: Mapping[str, str] | None = None,
    pose_mean: Tensor | None = None,
) -> Path:
    """Write the network as .onnx with inputs INPUTS and outputs OUTPUTS, for any number of pictures at a time.

    Args:
        model: in eval mode, on the CPU.
        size: (width, height) of the padded pictures; None leaves it to each call.
        metadata: further texts to store, e.g. the licence; the configuration, whose betas they are, and the pictures'
            mean and standard deviation are always stored.
        pose_mean: (55, 3) of the checkpoint, if it has one; its hands are stored.

    Raises:
        MissingDependencyError: the onnx package is not installed.
        AiosError: the pictures would be too small.
        OutputError: the file cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependencyError("Writing ONNX files needs the onnx package: pip install onnx.")
    if size is not None and min(size) < LEAST_SIDE:
        raise AiosError(f"--size {size[0]}x{size[1]}: each side must be {LEAST_SIDE} pixels or more.")
    import onnx

    exported = onnx.load_model_from_string(_traced(model, size))
    onnx.helper.set_model_props(exported, {**(metadata or {}), **_facts(model, pose_mean)})
    onnx.checker.check_model(exported)
    with whole_file(path) as temporary:
        onnx.save(exported, str(temporary))
    return Path(path)


def _traced(model: AiOS, size: tuple[int, int] | None) -> bytes:
    """The network as torch's tracing exporter writes it.

    Its successor, over torch.export, takes some ten times as long for the same graph.
    """
    width, height = size or _tracing_size(candidates(model.config))
    example = torch.zeros(2, 3, height, width), torch.zeros(2, height, width, dtype=torch.bool)
    sides = {} if size else {"height": 0, "width": 1}
    axes = {name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)}
    axes["images"] |= {2 + axis: name for name, axis in sides.items()}
    axes["padding_mask"] |= {1 + axis: name for name, axis in sides.items()}
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that become constants: those that the configuration fixes
        torch.onnx.export(
            _Outputs(model).eval(), example, file, dynamo=False, opset_version=OPSET,
            input_names=list(INPUTS), output_names=list(OUTPUTS), dynamic_axes=axes,
        )  # fmt: skip
    return file.getvalue()


def _tracing_size(tokens: int) -> tuple[int, int]:
    """(width, height) of pictures that are small, not square, and of more than so many tokens."""
    side = max(LEAST_SIDE, 8 * math.ceil(math.sqrt(tokens)))
    return side + LEAST_SIDE, side


def _facts(model: AiOS, pose_mean: Tensor | None) -> dict[str, str]:
    """What a reader of the file needs besides the network, numbers as JSON."""
    facts = {
        "config": config_to_json(model.config),
        "body_family": model.config.body_family,
        "input_mean": json.dumps(MEAN.tolist()),
        "input_std": json.dumps(STD.tolist()),
    }
    if pose_mean is not None:
        facts["hand_means"] = json.dumps(pose_mean[25:].reshape(2, 15, 3).tolist())
    return facts
