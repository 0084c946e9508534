"""How far a capture has come, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a capture has come."""

    stage: str
    """'capture', or 'fit': frames are looked at, or those of all people are fitted to the picture."""
    done: int
    total: int | None
    people: int
    """In the frame looked at last; of a fit, all of them."""
    frames_per_second: float
    seconds_left: float | None


def progress_of(stage: str, new: int, done: int, total: int | None, people: int, begun: float) -> Progress:
    """`done` of `total` frames are done, `new` of them since `begun`, monotonic seconds."""
    rate = new / max(time.monotonic() - begun, 1e-9)
    left = None if total is None or not rate else max(total - done, 0) / rate
    return Progress(stage, done, total, people, rate, left)


def fit_progress(on_progress: Callable[[Progress], None], people: int) -> Callable[[int, int], None]:
    """What `refine` tells how far the fit to the picture is, from now on."""
    begun = time.monotonic()
    return lambda done, total: on_progress(progress_of("fit", done, done, total, people, begun))
