"""How much of a network's errors lasts, which differences from frame to frame do not show.

A network says twice where the limbs are in the picture, by the projected body and by 2-d joints. What the two disagree
about is error; the motion itself cancels. Against its jitter, how far the disagreement changes within half a second
tells how much larger errors are than they seem from one frame to the next.
"""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import COCO_LIMBS, JOINTS_OF_LIMBS
from aios_core.mocap import Measured
from aios_core.pipeline.refine.smooth import SLOW_ERRORS, noise

LASTING_SECONDS = 0.5
"""Errors that lasted longer are taken for a wrong shape, not for motion."""
LEAST_PAIRS = 15
"""Of measurements so far apart; with fewer the usual share of slow errors is believed in."""
STANDARD_STEP = 1 / 30
"""Seconds that a measurement with slow errors is worth, whatever the frame rate: more of them say nothing new."""
MOST = 8.0
"""Larger factors are not believed in."""
MEDIAN_OF_SQUARE = 0.4549
"""Of a normal distribution of unit size."""


def slow_errors_of(measured: Measured, times: np.ndarray) -> float:
    """The factor by which a person's errors are larger than their jitter, for `smooth`; at least SLOW_ERRORS.

    times: (T,) seconds of the Mocap's frames.
    """
    at = times[measured.frames]
    later = np.searchsorted(at, at + 0.9 * LASTING_SECONDS).clip(max=len(at) - 1)
    earlier = np.flatnonzero(np.abs(at[later] - at - LASTING_SECONDS) <= 0.2 * LASTING_SECONDS)
    if len(earlier) < LEAST_PAIRS:
        return SLOW_ERRORS
    size = np.maximum((measured.boxes_xyxy_px[:, 2:] - measured.boxes_xyxy_px[:, :2]).max(-1), 1.0)
    apart = measured.keypoints_px[:, COCO_LIMBS] - measured.joints_px[:, JOINTS_OF_LIMBS]
    apart = (apart / size[:, None, None]).swapaxes(0, 1).astype(np.float64)  # (limbs, M, 2)
    change = np.median((apart[:, later[earlier]] - apart[:, earlier]) ** 2, axis=(1, 2))
    lasting = np.sqrt(change / (2 * MEDIAN_OF_SQUARE))
    jitter = noise(apart, np.ones(apart.shape[:2]))
    ratio = float(np.median(lasting / jitter)) * np.sqrt(STANDARD_STEP / np.median(np.diff(at)))
    return float(np.clip(ratio, SLOW_ERRORS, MOST))
