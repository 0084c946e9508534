"""Denoising queries: noised copies of the true boxes that ride along in training (paper section 3.5; DN-DETR)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DenoisingQueries:
    """M noised copies of each picture's people, in groups that hold one copy of everyone.

    A copy sees the copies of its own group and the real queries; real queries never see copies. Without
    keypoints the copies stay body boxes through all layers (as published); with keypoints they are expanded into
    people in the later stages, their joint tokens starting at these points, and predict everything.
    """

    labels: Tensor
    """(B, M) int64 noised labels, 0..100: rows of the label embedding."""
    boxes: Tensor
    """(B, M, 4) noised boxes (cx, cy, w, h) in 0..1 of the unpadded picture."""
    group: Tensor
    """(M,) or (B, M) int64 group numbers."""
    keypoints: Tensor | None = None
    """(B, M, 17, 2) noised COCO keypoints in 0..1 of the unpadded picture, or None."""
