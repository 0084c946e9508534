"""Rows of batches by their indices."""

from __future__ import annotations

from torch import Tensor


def rows_at(values: Tensor, index: Tensor) -> Tensor:
    """values (B, S, ...) at index (B, N): (B, N, ...)."""
    tail = values.shape[2:]
    return values.gather(1, index[(..., *[None] * len(tail))].expand(-1, -1, *tail))
