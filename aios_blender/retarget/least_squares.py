"""Smooth curves that are pulled to places, as least squares over time, with numpy alone."""

from __future__ import annotations

import numpy as np


def sample_spans(times: np.ndarray) -> np.ndarray:
    """(N,) how much time each sample stands for; sums weighted with it are integrals, whatever the frame rate."""
    return np.gradient(times) if len(times) > 1 else np.ones(1)


def smooth_pull(
    pull: np.ndarray,
    held: np.ndarray,
    free: np.ndarray,
    couple: np.ndarray | None,
    times: np.ndarray,
    acceleration: float,
) -> np.ndarray:
    """(N, K, C) curves x that minimise  sum held |x - pull|^2 + free |x|^2 + couple |x_0 - x_1|^2 + bending.

    pull: (N, K, C); held: (N, K); free: (N,); couple: (N,), for K = 2, or None. Bending is the integral of
    |x''|^2 / acceleration^2 over times (N,), seconds.
    """
    count, kinds = held.shape
    bend = bending_bands(times, acceleration)
    even = count + count % 2
    blocks = np.zeros((even, 3, kinds, kinds))  # couplings of each frame to itself, to the next and to the one after
    for k in range(kinds):
        blocks[:count, :, k, k] = bend
        blocks[:count, 0, k, k] += held[:, k] + free
    if couple is not None:
        blocks[:count, 0] += couple[:, None, None] * np.array([[1, -1], [-1, 1]])
    blocks[count:, 0] = np.eye(kinds)
    right = np.zeros((even, *pull.shape[1:]))
    right[:count] = held[..., None] * pull
    return _solve(blocks, right)[:count]


def bending_bands(times: np.ndarray, acceleration: float) -> np.ndarray:
    """(N, 3) diagonal and two upper bands of the quadratic form of the integral of |x''|^2 / acceleration^2."""
    bands = np.zeros((len(times), 3))
    if len(times) < 3:
        return bands
    step = np.diff(times)
    middle = (step[1:] + step[:-1]) / 2
    rows = np.stack([1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]], 1) / middle[:, None]
    rows *= np.sqrt(middle)[:, None] / acceleration
    for i in range(3):
        for j in range(i, 3):
            bands[i : len(times) - 2 + i, j - i] += rows[:, i] * rows[:, j]
    return bands


def _solve(blocks: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N, K, C) solution of a symmetric system with blocks (N, 3, K, K); N even.

    Two frames at a time make it block tridiagonal, which elimination and back substitution solve.
    """
    count, _, kinds, _ = blocks.shape
    half, size = count // 2, 2 * kinds
    diagonal, upper = np.zeros((half, size, size)), np.zeros((half, size, size))
    diagonal[:, :kinds, :kinds], diagonal[:, kinds:, kinds:] = blocks[::2, 0], blocks[1::2, 0]
    diagonal[:, :kinds, kinds:] = blocks[::2, 1]
    diagonal[:, kinds:, :kinds] = blocks[::2, 1]
    upper[:, :kinds, :kinds], upper[:, kinds:, kinds:] = blocks[::2, 2], blocks[1::2, 2]
    upper[:, kinds:, :kinds] = blocks[1::2, 1]
    values = right.reshape(half, size, -1)
    factors, answer = np.empty_like(upper), np.empty_like(values)
    for i in range(half):
        matrix, value = diagonal[i], values[i]
        if i:
            matrix, value = matrix - upper[i - 1].T @ factors[i - 1], value - upper[i - 1].T @ answer[i - 1]
        solved = np.linalg.solve(matrix, np.concatenate([upper[i], value], 1))
        factors[i], answer[i] = solved[:, :size], solved[:, size:]
    for i in range(half - 2, -1, -1):
        answer[i] -= factors[i] @ answer[i + 1]
    return answer.reshape(right.shape)
