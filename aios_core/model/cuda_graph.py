"""The forward pass recorded as a CUDA graph: one call starts all its kernels, where thousands of calls did.

A recording keeps the memory of one pass, and its inputs and outputs lie at fixed places in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aios_core.model.predictions import LayerPredictions

Forward = Callable[[Tensor], LayerPredictions]
"""From pictures (B, 3, H, W) to their predictions."""


@dataclass(frozen=True)
class Recording:
    """A forward pass for pictures of one shape."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    """(B, 3, H, W) what it looks at."""
    predictions: LayerPredictions
    """What it writes, anew at every replay."""

    def replay(self, images: Tensor) -> LayerPredictions:
        """The predictions of other pictures of the same shape. They last until the next replay: whoever wants them
        longer copies them, in the same stream."""
        self.images.copy_(images)
        self.graph.replay()
        return self.predictions


def recorded(forward: Forward, images: Tensor) -> Recording:
    """A forward pass for pictures of this shape, after one that lets libraries choose and prepare their kernels.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    usual, aside = torch.cuda.current_stream(), torch.cuda.Stream()
    aside.wait_stream(usual)
    with torch.cuda.stream(aside):
        forward(images)
    usual.wait_stream(aside)
    held, graph = images.clone(), torch.cuda.CUDAGraph()
    # A recording that fails leaves its own stream as the current one; other threads may use the device meanwhile.
    with (
        torch.cuda.stream(usual),
        torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"),
    ):
        predictions = forward(held)
    return Recording(graph, held, predictions)


@dataclass
class Replayer:
    """Keeps the recording of the shape that comes again and again: one at a time, for the memory's sake."""

    recording: Recording | None = None
    last: torch.Size | None = None
    """Shape of the pictures that were looked at last: recording pays where it comes a second time in a row."""
    can_record: bool = True

    def look(self, forward: Forward, images: Tensor) -> LayerPredictions:
        """forward(images), replayed where there is a recording; else plainly, as with a clip's last, smaller batch."""
        comes_again, self.last = images.shape == self.last, images.shape
        if comes_again and self.can_record and not self._fits(images):
            self.recording = None  # its memory is needed
            try:
                self.recording = recorded(forward, images)
            except RuntimeError as error:
                self.can_record = False
                warnings.warn(f"Looking without a CUDA graph, which is slower: {error}", stacklevel=2)
        return self.recording.replay(images) if self._fits(images) else forward(images)

    def _fits(self, images: Tensor) -> bool:
        return self.recording is not None and self.recording.images.shape == images.shape
