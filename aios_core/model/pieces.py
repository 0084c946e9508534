"""Working on tokens a piece at a time, so that what is made of them stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 2048
"""Tokens in a piece, measured: with fewer, threads wait for each other more often; with more, memory is waited for."""


def in_pieces(work: Callable[..., Tensor], *tokens: Tensor) -> Tensor:
    """work(*tokens) for tensors (B, N, ...) whose tokens do not depend on each other: the same numbers.

    On the CPU a piece of the tokens is worked on after the other; elsewhere, in training and for compilers all at once.
    """
    first = tokens[0]
    if first.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return work(*tokens)
    size = max(PIECE // first.shape[0], 1)
    return torch.cat([work(*piece) for piece in zip(*(x.split(size, dim=1) for x in tokens), strict=True)], dim=1)
