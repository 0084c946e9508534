"""What the fit to the picture weighs against each other: picture, start, calm motion, planted feet, bendable joints.

Unknowns are increments of every frame's local rotations, R exp(x), and of its translation (see `figure_points`), never
differences of axis-angles. Sums over frames stand for integrals over time, so that a higher frame rate gives the same
motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.pipeline.refine.figure_points import (
    IN_PICTURE,
    LIMBS,
    SOLES,
    TURNING,
    UNKNOWNS,
    FigurePoints,
    PosedFigure,
)  # fmt: skip
from aios_core.pipeline.refine.fit_config import FitConfig
from aios_core.pipeline.refine.normal_equations import NormalEquations
from aios_core.pipeline.refine.smooth import sample_spans

NEAREST_DEPTH = 0.1
"""Metres; points nearer to the camera's plane are not compared with the picture."""
LONGEST_STEP = 0.5
"""Seconds; frames farther apart say nothing about accelerations and speeds."""
ACCELERATION_SECONDS = 0.1
"""Accelerations of people keep their direction for about so long."""
CONTACT_TOLERANCE = 1.0
"""Standing points that move faster than so many times FitConfig.contact_speed are believed to stand less."""
HINGES = ((4, 0, 1), (5, 0, 1), (18, 1, -1), (19, 1, 1))
"""Joint, axis and sign of the axis-angle component that is positive when knees (x) and elbows (y) bend as they can."""


@dataclass(frozen=True)
class FitProblem:
    """A stretch of N frames to be fitted: the start and the evidence, float64."""

    figure: FigurePoints
    times: np.ndarray
    """(N,) seconds."""
    rotmats: np.ndarray
    """(N, 22, 3, 3) of the start, relative to the parents."""
    pelvis: np.ndarray
    """(N, 3) of the start, camera frame."""
    points_px: np.ndarray
    """(N, 29, 2)"""
    sigma_px: np.ndarray
    """(N, 29) standard deviation of the points, pixels a component."""
    confidence: np.ndarray
    """(N, 29) of the points, 0..1."""
    focal_px: float
    center_px: np.ndarray
    contacts: np.ndarray
    """(N, 4) bool"""
    turns: np.ndarray
    """(N, 3, 3) from camera axes to the world's, and"""
    eyes: np.ndarray
    """(N, 3) the camera in the world."""
    config: FitConfig

    def __len__(self) -> int:
        return len(self.times)

    def steps(self) -> np.ndarray:
        """(N - 1,) seconds between frames."""
        return np.diff(self.times)

    def shares(self) -> np.ndarray:
        """(N, 1) the share of a full observation that each frame stands for: errors of near frames are the same."""
        longest = self.config.keypoint_seconds
        if len(self) == 1:
            return np.ones((1, 1))
        return np.minimum(sample_spans(self.times), longest)[:, None] / longest


def part(problem: FitProblem, rows: slice | np.ndarray) -> FitProblem:
    """Some frames of a problem."""
    names = ("times", "rotmats", "pelvis", "points_px", "sigma_px", "confidence", "contacts", "turns", "eyes")
    figure = replace(problem.figure, offsets=problem.figure.offsets[rows])
    return replace(problem, figure=figure, **{name: getattr(problem, name)[rows] for name in names})


@dataclass(frozen=True)
class Placed:
    """A motion as it is fitted."""

    rotmats: np.ndarray
    """(N, 22, 3, 3) relative to the parents."""
    pelvis: np.ndarray
    """(N, 3) camera frame."""

    def turned(self, step: np.ndarray) -> Placed:
        """The motion after a step (N, 63): rotation vectors of TURNING, then a shift."""
        rotmats = self.rotmats.copy()
        turns = step[:, :-3].reshape(len(step), -1, 3)
        rotmats[:, TURNING] = rotmats[:, TURNING] @ axis_angle_to_rotmat(turns)
        return Placed(rotmats, self.pelvis + step[:, -3:])


def projected(problem: FitProblem, points: np.ndarray) -> np.ndarray:
    """Pixels (N, K, 2) of points (N, K, 3)."""
    return points[..., :2] / np.maximum(points[..., 2:], NEAREST_DEPTH) * problem.focal_px + problem.center_px


def projected_rows(problem: FitProblem, points: np.ndarray, jacobians: np.ndarray) -> np.ndarray:
    """Jacobians (N, K, 2, U) of the pixels of points (N, K, 3) with Jacobians (N, K, 3, U)."""
    depth = np.maximum(points[..., 2:, None], NEAREST_DEPTH)
    flat = points[..., :2, None] / depth
    return problem.focal_px / depth * (jacobians[..., :2, :] - flat * jacobians[..., 2:, :])


def picture_weights(problem: FitProblem, at: PosedFigure, tolerance: float) -> tuple[np.ndarray, float]:
    """Weights (N, 29) of the points' squared pixels, and what the robust cost is more than that of these weights.

    Geman and McClure's loss (1987): points off by more than `tolerance` standard deviations soon count for nothing.
    """
    points = at.points[:, IN_PICTURE]
    square = ((projected(problem, points) - problem.points_px) ** 2).sum(-1) / problem.sigma_px**2
    trust = problem.confidence * problem.shares() * (points[..., 2] > NEAREST_DEPTH)
    kept = tolerance**2 / (tolerance**2 + square)
    excess = 0.5 * float((trust * square * (kept - kept**2)).sum())
    return trust * kept**2 / problem.sigma_px**2, excess


def add_picture(
    equations: NormalEquations, problem: FitProblem, at: PosedFigure, jacobians: np.ndarray, weights: np.ndarray
) -> None:
    """Body and hands lie on the points in the picture."""
    points, count = at.points[:, IN_PICTURE], len(problem)
    residuals = (projected(problem, points) - problem.points_px).reshape(count, -1)
    rows = projected_rows(problem, points, jacobians[:, IN_PICTURE]).reshape(count, -1, UNKNOWNS)
    equations.add(residuals, (rows,), np.repeat(weights, 2, 1))


def add_start(equations: NormalEquations, problem: FitProblem, motion: Placed) -> None:
    """The start is right but for slow errors: a first-order autoregressive process, whatever the frame rate."""
    config = problem.config
    sigma = np.radians(np.array(config.pose_sigma_deg)[TURNING] / np.sqrt(3))[:, None]
    turned = relative_rotation(problem.rotmats[:, TURNING], motion.rotmats[:, TURNING])
    scale = _place_scale(problem)
    shifted = np.einsum("nij,nj->ni", scale, motion.pelvis - problem.pelvis)
    errors = np.concatenate([turned / sigma, shifted[:, None]], 1)
    rows = np.concatenate([inverse_right_jacobian(turned) / sigma[..., None], scale[:, None]], 1)
    keep = np.exp(-problem.steps() / config.start_seconds)[:, None, None]
    first = np.zeros((1, errors.shape[1]))
    equations.add_per_vector(errors[:1], (rows[:1],), first + 1)
    news = errors[1:] - keep * errors[:-1]
    weights = (first + 1) / (1 - keep[..., 0] ** 2)
    equations.add_per_vector(news, (-keep[..., None] * rows[:-1], rows[1:]), weights)


def _place_scale(problem: FitProblem) -> np.ndarray:
    """(N, 3, 3): times a shift of the start, metres, its size in standard deviations."""
    distance = np.linalg.norm(problem.pelvis, axis=-1)[:, None, None]
    sight = problem.pelvis[..., None] / distance
    along = sight @ np.swapaxes(sight, -1, -2)
    return (np.eye(3) - along) / problem.config.across_sigma + along / (problem.config.depth_sigma * distance)


@dataclass(frozen=True)
class Usual:
    """What counts as ordinary in a motion, place by place; found along the way and then kept."""

    turn_sigma: np.ndarray
    """(N - 2, 20) radians a second squared: how sharply joints turn."""
    limb_sigma: np.ndarray
    """(N - 2, 12) metres a second squared: how sharply limbs move."""
    contact_trust: np.ndarray
    """(N - 1, 4) see `contact_trust`."""


def usual_of(problem: FitProblem, motion: Placed, at: PosedFigure) -> Usual:
    """Of a motion. Where it plainly bends more than usual, bending costs less, so that punches keep their reach."""
    step, _, firm = _second_steps(problem)
    turns, limbs = _accelerations(problem, motion, at)

    def local(bends: np.ndarray, least: float) -> np.ndarray:
        power = (bends**2).mean(-1) * firm[:, None]
        width = ACCELERATION_SECONDS / np.median(step) if len(step) else 1.0
        return np.sqrt(least**2 + gaussian_filter1d(power, width, axis=0, mode="nearest"))

    config = problem.config
    return Usual(
        local(turns, config.turn_acceleration), local(limbs, config.limb_acceleration), contact_trust(problem, at)
    )


def _accelerations(problem: FitProblem, motion: Placed, at: PosedFigure) -> tuple[np.ndarray, np.ndarray]:
    """(N - 2, 20, 3) of the local rotations, in their tangent spaces, and (N - 2, 12, 3) of the limbs, in the world."""
    step, middle, _ = _second_steps(problem)
    step, middle = step[:, None, None], middle[:, None, None]
    places = in_world(problem, at.points[:, LIMBS])
    turns = np.diff(_angular_steps(problem, motion.rotmats) / step, axis=0) / middle
    return turns, np.diff(np.diff(places, axis=0) / step, axis=0) / middle


def add_accelerations(
    equations: NormalEquations, problem: FitProblem, motion: Placed, at: PosedFigure, jacobians: np.ndarray,
    usual: Usual,
) -> None:  # fmt: skip
    """Joints turn and limbs move without jerks; `usual` holds the sizes to go by."""
    step, middle, firm = _second_steps(problem)
    turns, limbs = _accelerations(problem, motion, at)
    after, before = 1 / (step[1:] * middle), 1 / (step[:-1] * middle)
    span = (firm * middle / ACCELERATION_SECONDS)[:, None]
    forward = inverse_right_jacobian(_angular_steps(problem, motion.rotmats))
    backward = np.swapaxes(forward, -1, -2)
    wide_after, wide_before = after[:, None, None, None], before[:, None, None, None]
    rows = (
        wide_before * backward[:-1],
        -wide_before * forward[:-1] - wide_after * backward[1:],
        wide_after * forward[1:],
    )
    equations.add_per_vector(turns, rows, span / usual.turn_sigma**2)
    moved = (problem.turns[:, None] @ jacobians[:, LIMBS]).reshape(len(problem), -1, UNKNOWNS)
    after, before = after[:, None, None], before[:, None, None]
    rows = (before * moved[:-2], -(before + after) * moved[1:-1], after * moved[2:])
    equations.add(limbs.reshape(len(limbs), moved.shape[1]), rows, np.repeat(span / usual.limb_sigma**2, 3, 1))


def _second_steps(problem: FitProblem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N - 1,) steps, (N - 2,) time between their middles, and (N - 2,) bool where both steps are short."""
    step = problem.steps()
    return step, (step[1:] + step[:-1]) / 2, np.maximum(step[1:], step[:-1]) <= LONGEST_STEP


def _angular_steps(problem: FitProblem, rotmats: np.ndarray) -> np.ndarray:
    """(N - 1, 20, 3) rotation vectors from frame to frame; the pelvis turns in the world."""
    local = rotmats[:, TURNING].copy()
    local[:, 0] = problem.turns @ local[:, 0]
    return relative_rotation(local[:-1], local[1:])


def contact_trust(problem: FitProblem, at: PosedFigure) -> np.ndarray:
    """(N - 1, 4) how far to believe that points of the soles stand still from a frame to the next.

    Nothing between frames that are far apart; little (Geman and McClure) for a point that plainly moves: whoever told
    the contacts may have been wrong, above all about motion along the line of sight.
    """
    both = problem.contacts[1:] & problem.contacts[:-1] & (problem.steps() <= LONGEST_STEP)[:, None]
    speed = np.linalg.norm(_sole_velocities(problem, at), axis=-1) / problem.config.contact_speed
    return both * (CONTACT_TOLERANCE**2 / (CONTACT_TOLERANCE**2 + speed**2)) ** 2


def add_contacts(
    equations: NormalEquations, problem: FitProblem, at: PosedFigure, jacobians: np.ndarray, trust: np.ndarray
) -> None:
    """Points of the soles that stand on the ground do not move in the world; trust: (N - 1, 4)."""
    step = problem.steps()[:, None, None]
    moved = (problem.turns[:, None] @ jacobians[:, SOLES]).reshape(len(problem), -1, UNKNOWNS)
    weights = trust * step[..., 0] / ACCELERATION_SECONDS / problem.config.contact_speed**2
    velocities = _sole_velocities(problem, at).reshape(len(step), 12)
    equations.add(velocities, (-moved[:-1] / step, moved[1:] / step), np.repeat(weights, 3, 1))


def _sole_velocities(problem: FitProblem, at: PosedFigure) -> np.ndarray:
    """(N - 1, 4, 3) metres a second, in the world."""
    return np.diff(in_world(problem, at.points[:, SOLES]), axis=0) / problem.steps()[:, None, None]


def add_limits(equations: NormalEquations, problem: FitProblem, rotmats: np.ndarray) -> None:
    """Knees and elbows bend one way."""
    for joint, axis, sign in HINGES:
        vectors = rotmat_to_axis_angle(rotmats[:, joint])
        bent = sign * vectors[:, axis] + np.radians(problem.config.hinge_slack_deg)
        sigma = np.radians(problem.config.hinge_sigma_deg)
        rows = np.zeros((len(problem), 1, UNKNOWNS))
        column = 3 * int(np.flatnonzero(joint == TURNING)[0])
        rows[:, 0, column : column + 3] = sign * inverse_right_jacobian(vectors)[:, axis] / sigma
        equations.add((np.minimum(bent, 0) / sigma)[:, None], (rows,), (bent < 0)[:, None] * problem.shares())


def in_world(problem: FitProblem, points: np.ndarray) -> np.ndarray:
    """World places (N, K, 3) of points (N, K, 3) in camera space."""
    return np.einsum("nij,nkj->nki", problem.turns, points) + problem.eyes[:, None]


def relative_rotation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3) from rotations (..., 3, 3) to others, in the frame of the first."""
    return rotmat_to_axis_angle(np.swapaxes(first, -1, -2) @ second)


def inverse_right_jacobian(vectors: np.ndarray) -> np.ndarray:
    """(..., 3, 3): log(exp(v) exp(x)) = v + this @ x for small x; its transpose: log(exp(-x) exp(v)) = v - that @ x."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    safe = np.clip(angle, 1e-3, np.pi - 1e-3)
    factor = 1 / safe**2 - (1 + np.cos(safe)) / (2 * safe * np.sin(safe))
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([np.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))], -2)
    return np.eye(3) + cross / 2 + factor * (cross @ cross)
