"""One shape for a whole motion, from frames spread over all of it, while their poses give way."""

from __future__ import annotations

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.pipeline.refine.figure_points import (
    IN_PICTURE,
    UNKNOWNS,
    figure_points,
    point_jacobians,
    posed,
    shape_jacobians,
)
from aios_core.pipeline.refine.fit_terms import (
    FitProblem,
    Placed,
    add_picture,
    add_start,
    part,
    picture_weights,
    projected,
    projected_rows,
)
from aios_core.pipeline.refine.normal_equations import NormalEquations

FRAMES = 60
"""As many, evenly spread, say all there is to know about a shape."""
TOLERANCES = (2.5, 1.75, 1.2, 1.0, 1.0, 1.0)
"""Of the rounds, as factors on FitConfig.keypoint_tolerance."""


def fit_shape(problem: FitProblem, body: BodyModel, betas: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Betas (10,) near the given ones that explain the picture best, together with poses near the start.

    pose: (N, 55, 3) axis-angle of the start, for the fingers.
    """
    rows = np.unique(np.linspace(0, len(problem) - 1, min(len(problem), FRAMES)).round().astype(int))
    problem, pose = part(problem, rows), pose[rows]
    motion = Placed(problem.rotmats, problem.pelvis)
    answer = betas
    for tolerance in TOLERANCES:
        step, change = _step(problem, body, answer, answer - betas, pose, motion, tolerance)
        motion, answer = motion.turned(step), answer + change
    return answer


def _step(
    problem: FitProblem, body: BodyModel, betas: np.ndarray, off: np.ndarray, pose: np.ndarray, motion: Placed,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """A Gauss-Newton step: (n, 63) of the motion and (10,) of the betas, which are `off` from the start's."""
    figure = figure_points(body, betas, pose)
    at = posed(figure, motion.rotmats, motion.pelvis)
    jacobians = point_jacobians(figure, at)
    equations = NormalEquations.zero(len(problem), UNKNOWNS)
    weights, _ = picture_weights(problem, at, tolerance * problem.config.keypoint_tolerance)
    add_picture(equations, problem, at, jacobians, weights)
    add_start(equations, problem, motion)
    points, count = at.points[:, IN_PICTURE], len(problem)
    residuals = (projected(problem, points) - problem.points_px).reshape(count, -1)
    by_motion = projected_rows(problem, points, jacobians[:, IN_PICTURE]).reshape(count, -1, UNKNOWNS)
    by_shape = projected_rows(problem, points, shape_jacobians(figure, at)[:, IN_PICTURE])
    by_shape = by_shape.reshape(count, -1, len(betas))
    weighted = np.swapaxes(by_shape * np.repeat(weights, 2, 1)[..., None], 1, 2)  # (n, 10, 58)
    mixed = np.swapaxes(weighted @ by_motion, 1, 2)  # (n, 63, 10)
    # The motion is eliminated (Schur's complement); what is left is a system of the ten betas.
    solved = equations.solve(np.concatenate([mixed, equations.gradient[..., None]], -1))
    prior = 1 / problem.config.shape_sigma**2
    matrix = (weighted @ by_shape).sum(0) - np.einsum("nub,nuc->bc", mixed, solved[..., :-1]) + prior * np.eye(len(off))
    right = np.einsum("nbk,nk->b", weighted, residuals) - np.einsum("nub,nu->b", mixed, solved[..., -1]) + prior * off
    change = -np.linalg.solve(matrix, right)
    return -(solved[..., -1] + solved[..., :-1] @ change), change
