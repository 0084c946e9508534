"""Zero-lag smoothing of rotations and vectors with strengths in seconds.

The curve that is returned minimises, over the whole clip at once,

    sum_t  w_t h_t |x_t - y_t|^2  +  sum_t  lambda_t |x''_t|^2 h_t

(Whittaker 1923; a smoothing spline on the samples' times): y are the measurements, w their weights, h the time that a
sample stands for, x'' the second divided difference. Everything is in seconds, so that a higher frame rate gives the
same curve; looking both ways in time, the curve does not lag; where w is zero it runs through on its own.

Where the motion is plainly stronger than the noise, lambda falls: a punch keeps its height while a standing leg
comes to rest. With noise of variance s^2 a sample, and x'' of local power a^2, the curve of greatest probability has
lambda = s^2 h / (a^2 T), with T the time over which accelerations keep their direction.

Rotations are smoothed as unit quaternions, whose signs are made continuous, in the space of their four numbers, and
brought back to unit length. Both are linear in the quaternion, so that turning the world or the joint's own axes
before or after gives the same motion: no axis is special, as it would be for axis-angle or Euler components.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

from aios_core.geometry.rotations import continuous_quat_wxyz

ROUNDS = 5
ACCELERATION_SECONDS = 0.1
"""Accelerations of people keep their direction for about so long."""
NOISE_OF_THIRD_DIFFERENCE = np.sqrt(20.0)
"""Standard deviation of the third difference of white noise of unit size."""
LEAST_NOISE = 1e-4
SLOW_ERRORS = 1.5
"""Networks err slowly too, which third differences do not see: the noise is so many times what they show."""


def smooth_rotations(quats: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float) -> np.ndarray:
    """Smoothed unit quaternions (T, J, 4), w x y z, of measured ones at times (T,), each joint on its own.

    weights: (T, J), zero where a measurement is to be replaced. seconds: motion that repeats faster than this is
    taken for noise unless it is plainly stronger; 0 changes nothing.
    """
    quats = _continuous(quats, weights)
    answer = np.stack([smooth(quats[:, j], times, weights[:, j], seconds) for j in range(quats.shape[1])], 1)
    return answer / np.linalg.norm(answer, axis=-1, keepdims=True)


def smooth(
    values: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float, most_acceleration: float = np.inf
) -> np.ndarray:
    """Smoothed vectors (T, C) of measured ones at times (T,), seconds, with weights (T,) and a strength in seconds.

    The components are one vector: they share one local strength. At least 3 measurements with weight are needed,
    else the nearest ones are repeated. most_acceleration: stronger motion, in the values' unit a second squared, is
    taken for an error and not for a reason to smooth less.
    """
    values = values.astype(np.float64)
    if len(values) < 3 or (weights > 0).sum() < 3:
        return _nearest(values, weights)
    if seconds <= 0 and (weights > 0).all():
        return values
    span = sample_spans(times)
    strongest = (max(seconds, 1e-6) / (2 * np.pi)) ** 4
    sigma = SLOW_ERRORS * noise(values, weights)
    power_floor = sigma**2 * span / strongest
    penalty = np.full(len(values), strongest)
    for _ in range(ROUNDS):
        curve = whittaker(values, times, weights * span, penalty * span)
        acceleration = (second_difference(curve, times) ** 2).sum(-1) / values.shape[1]
        width = ACCELERATION_SECONDS / np.median(np.diff(times))
        power = gaussian_filter1d(acceleration, width / 2, mode="nearest") * ACCELERATION_SECONDS
        power = np.minimum(power, most_acceleration**2 * ACCELERATION_SECONDS)
        penalty = sigma**2 * span / np.maximum(power, power_floor)
    return whittaker(values, times, weights * span, penalty * span)


def whittaker(values: np.ndarray, times: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """The curve (T, C) that minimises sum w |x - y|^2 + sum p |x''|^2 over vectors (T, C) at times (T,).

    weights, penalty: (T,); the penalty of the first and last sample is not used.
    """
    step = np.diff(times)
    middle = (step[1:] + step[:-1]) / 2
    rows = np.stack([1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]]) / middle
    p = penalty[1:-1]
    count = len(values)
    bands = np.zeros((3, count))
    bands[0] = weights
    for i in range(3):
        for k in range(3 - i):
            bands[k, i : count - 2 + i] += p * rows[i] * rows[i + k]
    # A straight line costs nothing: two weighted samples fix it, a trace of weight guards against fewer.
    bands[0] += 1e-9 * max(weights.max(), 1e-12)
    return solveh_banded(bands, weights[:, None] * values, lower=True)


def second_difference(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, C) second derivative by divided differences; the ends repeat their neighbours."""
    slope = np.diff(values, axis=0) / np.diff(times)[:, None]
    bend = np.diff(slope, axis=0) / ((times[2:] - times[:-2]) / 2)[:, None]
    return np.concatenate([bend[:1], bend, bend[-1:]])


def sample_spans(times: np.ndarray) -> np.ndarray:
    """(T,) the time each sample stands for: half the way to both neighbours."""
    step = np.diff(times)
    return np.concatenate([step[:1], (step[1:] + step[:-1]) / 2, step[-1:]])


def noise(values: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation of the noise a component, from third differences of measured neighbours (Hall et al. 1990)."""
    if len(values) < 4:
        return LEAST_NOISE
    jumps = np.diff(values, 3, axis=0)
    whole = np.lib.stride_tricks.sliding_window_view(weights > 0, 4).all(-1)
    if not whole.any():
        return LEAST_NOISE
    typical = np.sqrt(np.median((jumps[whole] ** 2).mean(-1)))
    return max(float(typical) / NOISE_OF_THIRD_DIFFERENCE, LEAST_NOISE)


def _continuous(quats: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Signs made continuous along the measurements that count; the others follow the nearest of those."""
    quats = quats.astype(np.float64).copy()
    for j in range(quats.shape[1]):
        good = np.flatnonzero(weights[:, j] > 0)
        if not len(good):
            continue
        quats[good, j] = continuous_quat_wxyz(quats[good, j])
        nearest = good[np.abs(np.arange(len(quats))[:, None] - good).argmin(1)] if len(good) < len(quats) else good
        turned = (quats[:, j] * quats[nearest, j]).sum(-1) < 0
        quats[turned, j] *= -1
    return quats


def _nearest(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    good = np.flatnonzero(weights > 0)
    if not len(good):
        return values
    return values[good[np.abs(np.arange(len(values))[:, None] - good).argmin(1)]]
