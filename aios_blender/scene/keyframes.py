"""Keys in bulk: whole F-curves at once (some 60 times faster than keyframe_insert)."""

from __future__ import annotations

from typing import Any

import numpy as np

from aios_core.mocap import IMPUTED, INTERPOLATED

from .. import compat

CONSTANT, LINEAR = 0, 1
KEYFRAME, BREAKDOWN, JITTER = 0, 2, 3


def key_types(key_kinds: np.ndarray, confidence: np.ndarray, low_confidence: float) -> np.ndarray:
    """(N,) Blender key types: interpolated keys are breakdowns; imputed and little trusted ones jitter."""
    types = np.full(len(key_kinds), KEYFRAME, np.uint8)
    types[confidence < low_confidence] = JITTER
    types[key_kinds == INTERPOLATED] = BREAKDOWN
    types[key_kinds == IMPUTED] = JITTER
    return types


def interpolations(frames: np.ndarray) -> np.ndarray:
    """(N,) LINEAR, but CONSTANT before a gap in the Mocap's frame indices (N,)."""
    modes = np.full(len(frames), LINEAR, np.uint8)
    modes[:-1][np.diff(frames) > 1] = CONSTANT
    return modes


def write_curves(
    bag: Any,
    path: str,
    group: str,
    times: np.ndarray,
    values: np.ndarray,
    modes: np.ndarray,
    types: np.ndarray | None = None,
) -> None:
    """One F-curve for each column of values (N, C) at Blender frames times (N,)."""
    for index in range(values.shape[1]):
        curve = compat.new_fcurve(bag, path, index, group)
        fill_curve(curve, times, values[:, index], modes, types)


def fill_curve(
    curve: Any, times: np.ndarray, values: np.ndarray, modes: np.ndarray, types: np.ndarray | None = None
) -> None:
    """Put N keys into an empty F-curve."""
    points = curve.keyframe_points
    points.add(len(times))
    co = np.empty((len(times), 2), np.float32)
    co[:, 0], co[:, 1] = times, values
    points.foreach_set("co", co.ravel())
    points.foreach_set("interpolation", modes)
    if types is not None:
        points.foreach_set("type", types)
    curve.update()


def visibility(times: np.ndarray, frames: np.ndarray, clip: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Blender frames and hidden flags (0 or 1) that hide a person outside the frames (N,) it was seen in.

    times: (N,) Blender frames of those; clip: first and last Blender frame of the Mocap.
    """
    keys: list[tuple[float, float]] = [(clip[0], 1.0)] if times[0] > clip[0] else []
    keys.append((float(times[0]), 0.0))
    for i in np.flatnonzero(np.diff(frames) > 1):
        keys += [(float(times[i]) + 1, 1.0), (float(times[i + 1]), 0.0)]
    if times[-1] < clip[1]:
        keys.append((float(times[-1]) + 1, 1.0))
    return np.array([k for k, _ in keys]), np.array([v for _, v in keys])
