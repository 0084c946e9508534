"""Tensors on their way to the device that the network is on."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The processor's tensor on a device, without waiting until a GPU has done what it was told before."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
