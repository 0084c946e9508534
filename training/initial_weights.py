"""Where a run starts: weights that fit in full, or whatever of a file fits, such as a backbone's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from aios_core.errors import CheckpointError
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import load_checkpoint, load_weights, published_names
from training.identity import without_identity

BACKBONE = "backbone.0.body."
"""Before the names of a ResNet's tensors in the published state dict."""


def load_all(network: AiOS, path: Path) -> None:
    """Put the weights at `path` into the network. Of more classes than the network has, the last ones are taken: a
    person's is the last. A layer that tells people apart stays behind: it belongs to finished weights.

    Raises:
        CheckpointError: the file cannot be read, or does not fit in full.
    """
    checkpoint, own = without_identity(load_checkpoint(path)), network.config.canvas
    if checkpoint.config is not None and checkpoint.config.canvas != own:
        raise CheckpointError(f"The network in {path} measures on a canvas of {checkpoint.config.canvas}, not {own}.")
    classes = network.config.classes
    tensors = {
        name: tensor[-classes:] if "class_embed" in name else tensor for name, tensor in checkpoint.state_dict.items()
    }
    load_weights(network, replace(checkpoint, state_dict=tensors))


def load_what_fits(network: AiOS, path: Path) -> str:
    """Put those weights at `path` into the network that have its names and shapes; a sentence on what was taken.

    Names may be those of a published checkpoint, of one it grew from, or torchvision's of a ResNet.

    Raises:
        CheckpointError: the file cannot be read, or nothing fits.
    """
    stored = load_checkpoint(path).state_dict
    if "layer1.0.conv1.weight" in stored:
        stored = {BACKBONE + name: tensor for name, tensor in stored.items()}
    taken = {}
    tensors = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for key, tensor in tensors.items():
        names = published_names(key, network.config)
        found = next((stored[name] for name in names if name in stored and stored[name].shape == tensor.shape), None)
        if found is not None:
            taken[key] = found
    if not taken:
        raise CheckpointError(f"Nothing in {path} fits this network.")
    with torch.no_grad():
        network.load_state_dict(taken, strict=False)
    rest = sorted({key.split(".")[0] for key in tensors if key not in taken})
    told = f"{len(taken)} of {len(tensors)} tensors come from {path}"
    return f"{told}; all or some of {', '.join(rest)} start anew." if rest else f"{told}."
