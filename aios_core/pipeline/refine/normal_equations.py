"""Least squares over a whole motion: a cost, its gradient and a block-banded Hessian, gathered term by term.

Residuals touch one frame, or two or three neighbouring ones (speeds, accelerations), so that the Gauss-Newton matrix
has a band of 2 blocks beside its diagonal and is solved in a time that grows with the clip's length alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

NEIGHBOURS = 2
TRACE = 1e-9
"""Added to the diagonal, so that an unknown that nothing speaks of stays where it is."""


@dataclass
class NormalEquations:
    """A quadratic model of a cost about the present motion, H x = -gradient, for N frames of U unknowns."""

    cost: float
    gradient: np.ndarray
    """(N, U)"""
    bands: tuple[np.ndarray, ...]
    """Blocks (N - k, U, U) of H between frames (columns) and those k later (rows), k = 0, 1, 2."""

    @staticmethod
    def zero(count: int, unknowns: int) -> NormalEquations:
        """No terms yet."""
        bands = tuple(np.zeros((max(count - k, 0), unknowns, unknowns)) for k in range(NEIGHBOURS + 1))
        return NormalEquations(0.0, np.zeros((count, unknowns)), bands)

    def add(self, residuals: np.ndarray, rows: tuple[np.ndarray, ...], weights: np.ndarray) -> None:
        """Half the weighted sum of squares of residuals (M, K), each of one to three neighbouring frames.

        rows: for each of these frames the Jacobian (M, K, U); residual m begins at frame m. weights: (M, K).
        """
        count = len(residuals)
        self.cost += 0.5 * float((weights * residuals**2).sum())
        for i, own in enumerate(rows):
            weighted = np.swapaxes(own * weights[..., None], 1, 2)  # (M, U, K)
            self.gradient[i : i + count] += (weighted @ residuals[..., None])[..., 0]
            for j, other in enumerate(rows[: i + 1]):
                self.bands[i - j][j : j + count] += weighted @ other

    def add_per_vector(self, residuals: np.ndarray, rows: tuple[np.ndarray, ...], weights: np.ndarray) -> None:
        """As `add`, for residuals (M, V, 3) that each depend on one vector of the unknowns, the first V of U / 3.

        rows: Jacobians (M, V, 3, 3) with respect to that vector; weights: (M, V).
        """
        count, vectors = residuals.shape[:2]
        self.cost += 0.5 * float((weights[..., None] * residuals**2).sum())
        which = np.arange(vectors)
        for i, own in enumerate(rows):
            weighted = np.swapaxes(own * weights[..., None, None], -1, -2)
            gradient = (weighted @ residuals[..., None])[..., 0]
            self.gradient[i : i + count, : 3 * vectors] += gradient.reshape(count, 3 * vectors)
            for j, other in enumerate(rows[: i + 1]):
                band = self.bands[i - j][j : j + count]
                blocks = band.reshape(count, band.shape[1] // 3, 3, band.shape[2] // 3, 3)
                blocks[:, which, :, which, :] += np.moveaxis(weighted @ other, 1, 0)

    def solve(self, right: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """(N, U, C) solution of (H + damping diag H) x = right (N, U, C)."""
        count, unknowns = self.gradient.shape
        height = (NEIGHBOURS + 1) * unknowns
        # LAPACK wants the columns from their diagonals on. With a row of zeros more, the columns of a frame's blocks,
        # zeros above the diagonal and all, lie one behind the other in memory.
        band = np.zeros((count, unknowns * (height + 1)))
        columns = band[:, : unknowns * height].reshape(count, unknowns, height)
        for k, blocks in enumerate(self.bands):
            below = blocks if k else np.tril(blocks)
            columns[: len(blocks), :, k * unknowns : (k + 1) * unknowns] = np.swapaxes(below, 1, 2)
        band = band.reshape(count * unknowns, height + 1).T
        band[0] = band[0] * (1 + damping) + TRACE
        flat = right.reshape(count * unknowns, -1)
        return solveh_banded(band, flat, lower=True, overwrite_ab=True, check_finite=False).reshape(right.shape)
