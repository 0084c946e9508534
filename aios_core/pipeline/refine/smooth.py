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
"""Networks err slowly too, which third differences do not see: the noise is at least so many times what they show."""


def smooth_rotations(
    quats: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float, slow_errors: float = SLOW_ERRORS
) -> np.ndarray:
    """Smoothed unit quaternions (T, J, 4), w x y z, of measured ones at times (T,), each joint on its own.

    weights: (T, J), zero where a measurement is to be replaced. seconds: motion that repeats faster than this is
    taken for noise unless it is plainly stronger; 0 changes nothing. slow_errors: see smooth_curves.
    """
    quats = _continuous(quats, weights)
    answer = smooth_curves(quats.swapaxes(0, 1), times, weights.T, seconds, slow_errors=slow_errors)
    answer = answer.swapaxes(0, 1)
    return answer / np.linalg.norm(answer, axis=-1, keepdims=True)


def smooth(
    values: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float, most_acceleration: float = np.inf,
    slow_errors: float = SLOW_ERRORS,
) -> np.ndarray:  # fmt: skip
    """Smoothed vectors (T, C) of measured ones at times (T,) with weights (T,): one curve, see smooth_curves."""
    return smooth_curves(values[None], times, weights[None], seconds, most_acceleration, slow_errors)[0]


def smooth_curves(
    values: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float, most_acceleration: float = np.inf,
    slow_errors: float = SLOW_ERRORS,
) -> np.ndarray:  # fmt: skip
    """Smoothed vectors (J, T, C) of J curves measured at times (T,), seconds, with weights (J, T), each on its own.

    The components are one vector: they share one local strength. At least 3 measurements with weight are needed,
    else the nearest ones are repeated. seconds: the strength. most_acceleration: stronger motion, in the values' unit
    a second squared, is taken for an error and not for a reason to smooth less. slow_errors: how many times larger
    errors are than third differences show.
    """
    answer, measured = values.astype(np.float64), weights > 0
    is_enough = measured.sum(1) >= 3
    for j in np.flatnonzero(~is_enough):
        answer[j] = _nearest(answer[j], weights[j])
    rough = np.flatnonzero(is_enough & ~(measured.all(1) & (seconds <= 0)))
    if len(rough):
        answer[rough] = _smoothed(answer[rough], times, weights[rough], seconds, most_acceleration, slow_errors)
    return answer


def _smoothed(
    values: np.ndarray, times: np.ndarray, weights: np.ndarray, seconds: float, most_acceleration: float,
    slow_errors: float,
) -> np.ndarray:  # fmt: skip
    """smooth_curves where there is something to smooth."""
    span = sample_spans(times)
    strongest = (max(seconds, 1e-6) / (2 * np.pi)) ** 4
    noise_power = (slow_errors * noise(values, weights))[:, None] ** 2 * span  # (J, T)
    width = ACCELERATION_SECONDS / np.median(np.diff(times))
    penalty = np.full(weights.shape, strongest)
    for _ in range(ROUNDS):
        curve = whittaker(values, times, weights * span, penalty * span)
        acceleration = (second_difference(curve, times) ** 2).sum(-1) / values.shape[-1]
        power = gaussian_filter1d(acceleration, width / 2, mode="nearest") * ACCELERATION_SECONDS
        power = np.minimum(power, most_acceleration**2 * ACCELERATION_SECONDS)
        penalty = noise_power / np.maximum(power, noise_power / strongest)
    return whittaker(values, times, weights * span, penalty * span)


def whittaker(values: np.ndarray, times: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """The curves (J, T, C) that minimise sum w |x - y|^2 + sum p |x''|^2 over vectors (J, T, C) at times (T,).

    weights, penalty: (J, T); the penalty of the first and last sample is not used.
    """
    step = np.diff(times)
    middle = (step[1:] + step[:-1]) / 2
    rows = np.stack([1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]]) / middle
    p = penalty[:, 1:-1]
    count = len(times)
    # Bands of one matrix for all curves, one behind the other: nothing couples the end of one to the start of the next.
    bands = np.zeros((3, *weights.shape))
    bands[0] = weights
    for i in range(3):
        for k in range(3 - i):
            bands[k, :, i : count - 2 + i] += p * (rows[i] * rows[i + k])
    # A straight line costs nothing: two weighted samples fix it, a trace of weight guards against fewer.
    bands[0] += 1e-9 * np.maximum(weights.max(1, keepdims=True), 1e-12)
    right = (weights[..., None] * values).reshape(-1, values.shape[-1])
    return solveh_banded(bands.reshape(3, -1), right, lower=True).reshape(values.shape)


def second_difference(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(J, T, C) second derivatives by divided differences; the ends repeat their neighbours."""
    slope = np.diff(values, axis=1) / np.diff(times)[:, None]
    bend = np.diff(slope, axis=1) / ((times[2:] - times[:-2]) / 2)[:, None]
    return np.concatenate([bend[:, :1], bend, bend[:, -1:]], 1)


def sample_spans(times: np.ndarray) -> np.ndarray:
    """(T,) the time each sample stands for: half the way to both neighbours."""
    step = np.diff(times)
    return np.concatenate([step[:1], (step[1:] + step[:-1]) / 2, step[-1:]])


def noise(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(J,) standard deviations of the noise a component of curves (J, T, C) with weights (J, T).

    From third differences of measured neighbours (Hall et al. 1990).
    """
    if values.shape[1] < 4:
        return np.full(len(values), LEAST_NOISE)
    jumps = (np.diff(values, 3, axis=1) ** 2).mean(-1)
    is_whole = np.lib.stride_tricks.sliding_window_view(weights > 0, 4, axis=1).all(-1)
    typical = np.sqrt(_medians(jumps, is_whole))
    return np.maximum(typical / NOISE_OF_THIRD_DIFFERENCE, LEAST_NOISE)


def _medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(J,) medians of those of values (J, N) that count, 0 where none does."""
    ordered = np.sort(np.where(counts, values, np.inf), axis=1)
    number = counts.sum(1)
    middle = np.stack([np.maximum(number - 1, 0) // 2, number // 2], 1).clip(0, values.shape[1] - 1)
    return np.where(number > 0, np.take_along_axis(ordered, middle, 1).mean(1), 0.0)


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
