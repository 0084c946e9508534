"""Ten directions of shape by principal component analysis of drawn adults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.body_model import SHAPE_COUNT
from aios_core.body.open_body.mesh import vertex_areas, vertex_normals

SHAPE_NAMES = (
    "tall / short",
    "heavy / light",
    "broad shoulders, stout / narrow shoulders, slender",
    "short legs, wide waist / long legs, narrow waist",
    "wide waist, narrow shoulders / narrow waist, wide shoulders",
    "flat belly / round belly",
    "deep chest, narrow hips / shallow chest, wide hips",
    "wide trunk / narrow trunk",
    "full bust / flat chest",
    "pear-shaped / V-shaped",
)
"""What +1 / -1 of each coefficient of the neutral body mostly does; one unit is one standard deviation of adults."""


@dataclass(frozen=True)
class ShapeSpace:
    """mean + directions @ betas; the betas of the drawn adults have unit variance."""

    mean: np.ndarray
    """(V, 3)"""
    directions: np.ndarray
    """(V, 3, 10)"""
    explained: np.ndarray
    """(10,) cumulative share of the area-weighted variance."""
    areas: np.ndarray
    """(V,) weights of the vertices, mean 1."""

    def betas_of(self, vertices: np.ndarray) -> np.ndarray:
        """(N, 10) coefficients that fit bodies (N, V, 3) best, area-weighted."""
        basis = self.directions.reshape(-1, SHAPE_COUNT)
        weighted = basis * np.repeat(self.areas, 3)[:, None]
        offsets = (vertices - self.mean.astype(np.float32)).reshape(len(vertices), -1)
        return offsets @ np.linalg.solve(basis.T @ weighted, weighted.T).T.astype(np.float32)


def fit_shape_space(bodies: np.ndarray, faces: np.ndarray) -> ShapeSpace:
    """The shape space of bodies (N, V, 3) in T-pose."""
    count = len(bodies)
    mean = bodies.mean(0).astype(float)
    areas = vertex_areas(mean, faces) + 1e-8
    areas /= areas.mean()
    offsets = (bodies - mean.astype(np.float32)).reshape(count, -1)
    weighted = offsets * np.repeat(np.sqrt(areas), 3).astype(np.float32)
    variances, vectors = np.linalg.eigh((weighted @ weighted.T).astype(float))
    largest = np.argsort(-variances)[:SHAPE_COUNT]
    directions = (offsets.T @ (vectors[:, largest] / np.sqrt(count)).astype(np.float32)).astype(float)
    directions = directions.reshape(*mean.shape, SHAPE_COUNT)
    directions *= _signs(directions, mean, faces)
    explained = np.cumsum(variances[largest]) / variances.sum()
    return ShapeSpace(mean, directions, explained, areas)


def _signs(directions: np.ndarray, mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(10,) +1 or -1 that make the first direction taller and the others more voluminous."""
    top, sole = np.argmax(mean[:, 1]), np.argmin(mean[:, 1])
    outwards = vertex_normals(mean, faces) * vertex_areas(mean, faces)[:, None]
    growth = np.einsum("vck,vc->k", directions, outwards)
    growth[0] = directions[top, 1, 0] - directions[sole, 1, 0]
    return np.where(growth < 0, -1.0, 1.0)


def sliders_to_betas(sliders: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(12, 10) affine map, last row constant, from MakeHuman's sliders (N, 11) to betas (N, 10), least squares."""
    padded = np.column_stack([sliders, np.ones(len(sliders))])
    return np.linalg.lstsq(padded, betas, rcond=None)[0]
