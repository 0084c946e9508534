"""Fit to the picture: bring a motion's projected joints onto the network's 2-d joints, and keep it a motion.

Maximum a posteriori: the start is right but for slow errors of known size, keypoints but for jitter and outliers,
people accelerate moderately, planted feet rest, knees and elbows bend one way (the idea of SMPLify, Bogo et al. 2016,
over time). Evidence and start are weighed by their errors, so that bad keypoints do little and good ones much. Limbs
turn towards or away from the camera only as far as the start's own error allows: the picture alone cannot tell.

The objective is robust least squares in local rotation increments, solved by Gauss-Newton with a block-banded matrix
(`normal_equations`); outliers are let go gradually (graduated non-convexity, Blake and Zisserman 1987).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import Camera
from aios_core.pipeline.refine.figure_points import (
    IN_PICTURE,
    TURNING,
    UNKNOWNS,
    figure_points,
    point_jacobians,
    posed,
)
from aios_core.pipeline.refine.fit_config import FitConfig
from aios_core.pipeline.refine.fit_shape import fit_shape
from aios_core.pipeline.refine.fit_terms import (
    NEAREST_DEPTH,
    FitProblem,
    Placed,
    Usual,
    add_accelerations,
    add_contacts,
    add_limits,
    add_picture,
    add_start,
    part,
    picture_weights,
    projected,
    usual_of,
)
from aios_core.pipeline.refine.fit_windows import joined, windows
from aios_core.pipeline.refine.normal_equations import NormalEquations
from aios_core.pipeline.refine.smooth import noise

JITTER_STEP = 1 / 30
"""Seconds between the frames in which the keypoints' jitter is measured, whatever the frame rate."""
FIRST_TOLERANCE, TOLERANCE_DECAY = 2.5, 0.7
"""The tolerance for outliers begins so much wider and narrows by this factor a round."""
SETTLED = 4
"""From this round on the objective stays as it is."""
SMALL_GAIN = 1e-3
"""A step that lowers the objective by less than this share of it is the last."""


@dataclass(frozen=True)
class Motion:
    """A person's motion of N frames, camera frame."""

    betas: np.ndarray
    """(10,)"""
    pose: np.ndarray
    """(N, 55, 3) axis-angle, global_orient first."""
    transl: np.ndarray
    """(N, 3) metres, added to the body as it comes out of the body model."""
    times: np.ndarray
    """(N,) seconds, increasing."""


@dataclass(frozen=True)
class SeenPoints:
    """What the picture says, pixels of the footage; points that are not finite or of confidence 0 are not there."""

    keypoints_px: np.ndarray
    """(N, 17, 2) COCO keypoints; hips, shoulders and so on are taken for the body's joints of that name."""
    confidence: np.ndarray
    """(N, 17) 0..1"""
    hands_px: np.ndarray | None = None
    """(N, 2, 6, 2) left and right: wrist and the tips of thumb, index, middle, ring, pinky."""
    hand_confidence: np.ndarray | None = None
    """(N, 2) 0..1"""


@dataclass(frozen=True)
class FittedMotion:
    """A motion after the fit."""

    pose: np.ndarray
    """(N, 55, 3) axis-angle; fingers, toes, jaw and eyes are the start's."""
    transl: np.ndarray
    """(N, 3) metres"""
    betas: np.ndarray
    """(10,)"""
    reprojection_px_before: float
    """Mean distance of the projected joints from the seen points, weighted by confidence, pixels."""
    reprojection_px_after: float


def fit_to_picture(
    body: BodyModel,
    start: Motion,
    seen: SeenPoints,
    camera: Camera,
    contacts: np.ndarray,
    camera_to_world: np.ndarray,
    config: FitConfig | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> FittedMotion:
    """The motion near the start whose projection lies on the seen points.

    contacts: (N, 4) bool, left heel, left toe, right heel, right toe stand on the ground; camera_to_world: (1 or N, 4,
    4) rigid; on_progress gets the number of frames that are done. A motion of which nothing is seen comes back as it
    was.
    """
    problem = _problem(body, start, seen, camera, contacts, camera_to_world, config or FitConfig())
    before = _reprojection_px(problem, Placed(problem.rotmats, problem.pelvis))
    if not (problem.confidence > 0).any():
        return FittedMotion(start.pose, start.transl, start.betas, before, before)
    betas = start.betas
    if problem.config.shape_sigma > 0:
        betas = fit_shape(problem, body, start.betas.astype(np.float64), start.pose)
        problem = replace(problem, figure=figure_points(body, betas, start.pose))
    pieces = windows(start.times, problem.config.window_seconds, problem.config.overlap_seconds)
    motions = []
    for piece in pieces:
        motions.append(_optimised(part(problem, piece)))
        on_progress(piece.stop)
    fitted = joined(motions, pieces, start.times)
    pose = start.pose.astype(np.float64)
    pose[:, TURNING] = rotmat_to_axis_angle(fitted.rotmats[:, TURNING])
    transl = fitted.pelvis - problem.figure.rest[0]
    kinds = start.pose.dtype, start.transl.dtype, start.betas.dtype
    arrays = (array.astype(kind) for array, kind in zip((pose, transl, betas), kinds, strict=True))
    return FittedMotion(*arrays, before, _reprojection_px(problem, fitted))


def _problem(
    body: BodyModel, start: Motion, seen: SeenPoints, camera: Camera, contacts: np.ndarray,
    camera_to_world: np.ndarray, config: FitConfig,
) -> FitProblem:  # fmt: skip
    count = len(start.pose)
    figure = figure_points(body, start.betas, start.pose)
    pelvis = start.transl.astype(np.float64) + figure.rest[0]
    points, confidence = _points_px(seen)
    tall_px = camera.focal_px * np.ptp(figure.rest[:, 1]) / np.maximum(pelvis[:, 2:], NEAREST_DEPTH)
    sigma = np.hypot(_jitter(points / tall_px[..., None], confidence, start.times), config.keypoint_sigma) * tall_px
    world = np.broadcast_to(camera_to_world, (count, 4, 4))
    return FitProblem(
        figure=figure, times=start.times.astype(np.float64), pelvis=pelvis,
        rotmats=axis_angle_to_rotmat(start.pose[:, :BODY_JOINTS].astype(np.float64)),
        points_px=points, sigma_px=sigma, confidence=confidence, focal_px=camera.focal_px,
        center_px=np.asarray(camera.center_px, np.float64), contacts=contacts, turns=world[:, :3, :3],
        eyes=world[:, :3, 3], config=config,
    )  # fmt: skip


def _points_px(seen: SeenPoints) -> tuple[np.ndarray, np.ndarray]:
    """(N, 29, 2) pixels and (N, 29) confidence of body and hands; zero where nothing is known."""
    count = len(seen.keypoints_px)
    hands, trust = np.zeros((count, 12, 2)), np.zeros((count, 12))
    if seen.hands_px is not None and seen.hand_confidence is not None:
        hands, trust = seen.hands_px.reshape(count, 12, 2), np.repeat(seen.hand_confidence, 6, 1)
    points = np.concatenate([seen.keypoints_px, hands], 1).astype(np.float64)
    there = np.isfinite(points).all(-1)
    confidence = np.concatenate([seen.confidence, trust], 1).astype(np.float64)
    return np.where(there[..., None], points, 0), np.where(there, confidence, 0)


def _jitter(points: np.ndarray, confidence: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(29,) standard deviation of the points' error from frame to frame, in their unit."""
    every = max(1, round(JITTER_STEP / np.median(np.diff(times)))) if len(times) > 1 else 1
    return noise(points[::every].swapaxes(0, 1), confidence[::every].T)


def _reprojection_px(problem: FitProblem, motion: Placed) -> float:
    at = posed(problem.figure, motion.rotmats, motion.pelvis)
    distance = np.linalg.norm(projected(problem, at.points[:, IN_PICTURE]) - problem.points_px, axis=-1)
    return float((distance * problem.confidence).sum() / max(problem.confidence.sum(), 1e-9))


def _optimised(problem: FitProblem) -> Placed:
    """The motion of greatest probability: Gauss-Newton, with damping where a step does not help."""
    motion = best = Placed(problem.rotmats, problem.pelvis)
    least, damping, usual, equations = np.inf, 0.0, None, None
    for k in range(problem.config.rounds):
        trial = _linearised(problem, motion, k, usual if k > SETTLED else None)
        if k <= SETTLED or trial[0].cost < least:
            gain = least - trial[0].cost
            equations, usual = trial
            best, least, damping = motion, equations.cost if k >= SETTLED else np.inf, damping / 10
            if gain < SMALL_GAIN * equations.cost:
                break
        else:
            damping = max(10 * damping, 1e-3)
        step = -equations.solve(equations.gradient[..., None], damping)[..., 0]
        motion = best.turned(step)
    return best


def _linearised(problem: FitProblem, motion: Placed, k: int, usual: Usual | None) -> tuple[NormalEquations, Usual]:
    """The normal equations of round k about a motion, and what they take for usual in it."""
    at = posed(problem.figure, motion.rotmats, motion.pelvis)
    jacobians = point_jacobians(problem.figure, at)
    equations = NormalEquations.zero(len(problem), UNKNOWNS)
    wider = max(FIRST_TOLERANCE * TOLERANCE_DECAY**k, 1.0)
    weights, excess = picture_weights(problem, at, wider * problem.config.keypoint_tolerance)
    equations.cost += excess
    add_picture(equations, problem, at, jacobians, weights)
    add_start(equations, problem, motion)
    add_limits(equations, problem, motion.rotmats)
    usual = usual or usual_of(problem, motion, at)
    add_contacts(equations, problem, at, jacobians, usual.contact_trust)
    add_accelerations(equations, problem, motion, at, jacobians, usual)
    return equations, usual
