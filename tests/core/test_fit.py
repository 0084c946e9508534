"""Fit to the picture: nearer to the 2-d joints, no farther from the truth, still a motion."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from aios_core.body.files import open_body
from aios_core.body.joints import (
    COCO17_FROM_144,
    JOINTS_137_FROM_144,
    LEFT_HAND6_FROM_137,
    MIRROR_COCO17,
    RIGHT_HAND6_FROM_137,
)
from aios_core.body.skinning import full_pose, joints_144, mirrored_pose, pose_body, pose_joints
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import Camera
from aios_core.pipeline.refine.feet import contacts as standing
from aios_core.pipeline.refine.figure_points import (
    TURNING,
    UNKNOWNS,
    figure_points,
    point_jacobians,
    posed,
    shape_jacobians,
)
from aios_core.pipeline.refine.fit import FittedMotion, Motion, SeenPoints, fit_to_picture
from aios_core.pipeline.refine.fit_config import FitConfig
from aios_core.pipeline.refine.fit_terms import inverse_right_jacobian, relative_rotation
from aios_core.pipeline.refine.fit_windows import windows
from aios_core.pipeline.refine.normal_equations import NormalEquations
from tests.motion_clips import clips, placed
from tests.noisy_mocaps import drift, scene

BODY_ERROR_DEG = np.array([7.0] * 7 + [10, 10] + [7] * 11 + [10, 10])
"""(22,) slow error of a regression's joints, root mean square."""
KNEES = (4, 5)


@dataclass(frozen=True)
class Shot:
    """A performance before a camera, and what its picture shows."""

    motion: Motion
    seen: SeenPoints
    camera: Camera
    contacts: np.ndarray
    camera_to_world: np.ndarray

    def fit(self, start: Motion, seen: SeenPoints | None = None, config: FitConfig | None = None) -> FittedMotion:
        seen = seen or self.seen
        return fit_to_picture(open_body(), start, seen, self.camera, self.contacts, self.camera_to_world, config)


@cache
def shot(name: str, seconds: float = 2.0, fps: int = 30, yaw: float = 1.0) -> Shot:
    """The clip of that name, 4.5 m from a camera that looks slightly down, 960 x 540."""
    truth = scene([placed(clips()[name], 0, 4.5, yaw)], Fraction(fps))
    track = truth.tracks[0]
    pose = full_pose(
        track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose
    ).astype(np.float64)
    count = int(seconds * fps) + 1
    times = truth.timestamps[track.frames]
    motion = Motion(track.betas, pose[:count], track.transl[:count].astype(np.float64), times[:count])
    count = len(motion.pose)
    soles = posed_soles_in_world(motion, truth.camera_to_world[0])
    eyes = np.tile(truth.camera_to_world[0, :3, 3], (count, 1))
    return Shot(
        motion, seen_of(motion, truth.camera), truth.camera, standing(soles, eyes, motion.times), truth.camera_to_world
    )


def skeleton_points(motion: Motion | FittedMotion) -> np.ndarray:
    """(N, 33, 3) COCO, hand and sole points."""
    figure = figure_points(open_body(), motion.betas, motion.pose)
    return posed(figure, axis_angle_to_rotmat(motion.pose[:, :22]), motion.transl + figure.rest[0]).points


def posed_soles_in_world(motion: Motion | FittedMotion, camera_to_world: np.ndarray) -> np.ndarray:
    return skeleton_points(motion)[:, 29:] @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]


def skinned_points(motion: Motion) -> np.ndarray:
    """(N, 29, 3) COCO and hand points from the skinned vertices."""
    count = len(motion.pose)
    skinned = pose_body(
        open_body(), np.tile(motion.betas, (count, 1)), np.zeros((count, 10)), motion.pose, motion.transl
    )
    points = joints_144(open_body(), skinned, motion.pose)
    hands = JOINTS_137_FROM_144[np.concatenate([LEFT_HAND6_FROM_137, RIGHT_HAND6_FROM_137])]
    return points[:, np.concatenate([COCO17_FROM_144, hands])].astype(np.float64)


def seen_of(motion: Motion, camera: Camera) -> SeenPoints:
    pixels, count = camera.project(skinned_points(motion)), len(motion.pose)
    return SeenPoints(pixels[:, :17], np.ones((count, 17)), pixels[:, 17:].reshape(count, 2, 6, 2), np.ones((count, 2)))


def regressed(truth: Motion, seed: int, size: float = 1.0, white_deg: float = 1.0) -> Motion:
    """The truth with the errors of a network that regresses poses, already smoothed a little."""
    rng = np.random.default_rng(seed)
    count, frames = len(truth.pose), 0.5 / np.median(np.diff(truth.times))
    slow = drift(rng, (count, 22, 3), frames) * np.radians(BODY_ERROR_DEG)[:, None] * size
    error = (slow + rng.normal(0, np.radians(white_deg), (count, 22, 3))) / np.sqrt(3)
    pose = truth.pose.copy()
    pose[:, :22] = rotmat_to_axis_angle(axis_angle_to_rotmat(pose[:, :22]) @ axis_angle_to_rotmat(error))
    transl = truth.transl * (1 + 0.03 * size * drift(rng, (count, 1), frames))
    return replace(
        truth, betas=truth.betas + rng.normal(0, 0.3 * size, 10).astype(np.float32), pose=pose, transl=transl
    )


def jittered(
    seen: SeenPoints, seed: int, pixels: float = 4.5, outliers: float = 0.05, slow_px: float = 0.0
) -> SeenPoints:
    """Keypoints as a network finds them: jitter, outliers of 30 to 100 pixels, missing ones, and maybe slow errors."""
    rng = np.random.default_rng(seed)
    points, hands = seen.keypoints_px, seen.hands_px
    points = points + rng.normal(0, pixels, points.shape) + slow_px * drift(rng, points.shape, 15)
    off = rng.random(points.shape[:2]) < outliers
    angle, radius = rng.uniform(0, 2 * np.pi, off.shape), rng.uniform(30, 100, off.shape) * off
    points = points + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    confidence = np.where(off, 0.5, 1.0) * (rng.random(off.shape) > 0.05)
    hands = hands + rng.normal(0, pixels, hands.shape)
    return SeenPoints(points, confidence, hands, np.full(hands.shape[:2], 0.5))


@dataclass(frozen=True)
class Errors:
    """Millimetres and pixels, means over joints and frames."""

    pixels: float
    relative: float
    """MPJPE about the pelvis."""
    procrustes: float
    absolute: float


def errors(motion: Motion | FittedMotion, of: Shot) -> Errors:
    def joints(m):
        return pose_joints(open_body(), np.tile(m.betas, (len(m.pose), 1)), m.pose, m.transl)[:, :22]

    found, truth = joints(motion), joints(of.motion)
    pixels = of.camera.project(skeleton_points(motion)[:, :17]) - of.seen.keypoints_px
    return Errors(
        np.linalg.norm(pixels, axis=-1).mean(),
        1000 * np.linalg.norm(found - found[:, :1] - truth + truth[:, :1], axis=-1).mean(),
        1000 * np.linalg.norm(aligned(found, truth) - truth, axis=-1).mean(),
        1000 * np.linalg.norm(found - truth, axis=-1).mean(),
    )


def aligned(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Joints moved, turned and scaled onto the truth, frame by frame (Procrustes)."""
    a, b = found - found.mean(1, keepdims=True), truth - truth.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(np.swapaxes(a, 1, 2) @ b)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    s[:, 2] *= sign
    scale = s.sum(-1) / (a**2).sum((1, 2))
    return scale[:, None, None] * a @ (u @ vt) + truth.mean(1, keepdims=True)


def joints_of(motion: Motion | FittedMotion) -> np.ndarray:
    return pose_joints(open_body(), np.tile(motion.betas, (len(motion.pose), 1)), motion.pose, motion.transl)[:, :22]


def apart(first: Motion | FittedMotion, second: Motion | FittedMotion) -> np.ndarray:
    """(N,) the largest distance between joints of two motions, metres."""
    return np.linalg.norm(joints_of(first) - joints_of(second), axis=-1).max(-1)


@pytest.mark.parametrize("name", ["dancer", "boxer", "walker"])
def test_the_fit_lowers_reprojection_error_and_does_not_raise_3d_error(name):
    view = shot(name)
    start = regressed(view.motion, seed=1)
    fitted = view.fit(start, jittered(view.seen, seed=2))
    before, after = errors(start, view), errors(fitted, view)
    assert after.pixels < 0.4 * before.pixels, (before, after)
    assert after.relative < 0.7 * before.relative, (before, after)
    assert after.procrustes < 0.8 * before.procrustes, (before, after)
    assert after.absolute < before.absolute, (before, after)
    assert fitted.reprojection_px_after < fitted.reprojection_px_before


def test_a_good_start_stays_good_under_ordinary_keypoints():
    view = shot("dancer")
    start = regressed(view.motion, seed=3, size=0.3, white_deg=0.3)
    before, after = errors(start, view), errors(view.fit(start, jittered(view.seen, seed=4)), view)
    assert after.relative < before.relative and after.procrustes < 1.05 * before.procrustes, (before, after)


def test_bad_keypoints_do_bounded_harm():
    """15 pixels of jitter, 15 of slow error, a fifth outliers: worse than a good start, which may lose 25 mm by it."""
    view = shot("boxer")
    bad = jittered(view.seen, seed=5, pixels=15, outliers=0.2, slow_px=15)
    for size, harm in ((1.0, 0), (0.3, 25)):
        start = regressed(view.motion, seed=6, size=size)
        before, after = errors(start, view), errors(view.fit(start, bad), view)
        assert after.relative < before.relative + harm, (before, after)


@pytest.mark.parametrize("name", ["dancer", "walker"])
def test_a_perfect_start_stays_put(name):
    """With contacts that are as perfect; half a second from the ends, which nothing holds from beyond."""
    view = shot(name)
    speed = np.linalg.norm(np.diff(posed_soles_in_world(view.motion, view.camera_to_world[0]), axis=0), axis=-1) * 30
    rests = np.concatenate([speed[:1], speed]) < 0.05
    moved = apart(replace(view, contacts=view.contacts & rests).fit(view.motion), view.motion)
    assert moved[15:-15].max() < 0.02 and moved.max() < 0.04


def test_nothing_seen_changes_nothing():
    start = regressed(shot("walker").motion, seed=7)
    blind = replace(
        shot("walker").seen, confidence=np.zeros((len(start.pose), 17)), hands_px=None, hand_confidence=None
    )
    fitted = shot("walker").fit(start, blind)
    assert np.array_equal(fitted.pose, start.pose) and np.array_equal(fitted.transl, start.transl)


def test_points_that_are_not_numbers_are_points_that_are_not_seen():
    view = shot("walker", 1.0)
    points, confidence = view.seen.keypoints_px.copy(), view.seen.confidence.copy()
    points[5:9, 9], confidence[5:9, 9] = np.nan, 0
    start = regressed(view.motion, seed=8)
    hidden = view.fit(start, replace(view.seen, confidence=confidence))
    missing = view.fit(start, replace(view.seen, keypoints_px=points))
    assert apart(hidden, missing).max() < 1e-6


def test_left_and_right_swap_when_the_picture_is_mirrored():
    """On a body that is nearly the same on both sides."""
    view = shot("dancer", 1.5)
    start, seen = replace(regressed(view.motion, seed=9), betas=np.zeros(10)), jittered(view.seen, seed=10)
    turned = view.fit(start, seen, FitConfig(shape_sigma=0))
    x = np.array([-1.0, 1, 1])
    mirror = np.diag([-1.0, 1, 1, 1])
    pelvis = open_body().joint_template[0]
    flipped = replace(start, pose=mirrored_pose(start.pose), transl=(start.transl + pelvis) * x - pelvis)
    width = 2 * view.camera.center_px[0]
    across = np.array([width, 0]), np.array([-1.0, 1])
    other = SeenPoints(
        across[0] + across[1] * seen.keypoints_px[:, MIRROR_COCO17], seen.confidence[:, MIRROR_COCO17],
        across[0] + across[1] * seen.hands_px[:, ::-1], seen.hand_confidence[:, ::-1],
    )  # fmt: skip
    there = fit_to_picture(
        open_body(), flipped, other, view.camera, view.contacts[:, [2, 3, 0, 1]],
        mirror @ view.camera_to_world @ mirror, FitConfig(shape_sigma=0),
    )  # fmt: skip
    back = mirrored_pose(there.pose)
    angle = relative_rotation(axis_angle_to_rotmat(turned.pose), axis_angle_to_rotmat(back))
    moved = relative_rotation(axis_angle_to_rotmat(turned.pose), axis_angle_to_rotmat(start.pose))
    assert np.degrees(np.linalg.norm(angle, axis=-1)).max() < 1.0
    assert np.degrees(np.linalg.norm(moved, axis=-1)).max() > 5
    assert np.abs((there.transl + pelvis) * x - (turned.transl + pelvis)).max() < 0.02


def test_frames_without_evidence_follow_their_neighbours():
    view = shot("walker")
    start = regressed(view.motion, seed=11, white_deg=0)
    gap = slice(30, 38)
    confidence = view.seen.confidence.copy()
    confidence[gap] = 0
    hands = np.ones((len(confidence), 2))
    hands[gap] = 0
    fitted = view.fit(start, replace(view.seen, confidence=confidence, hand_confidence=hands))
    truth = joints_of(view.motion)
    away = np.linalg.norm(joints_of(fitted) - truth, axis=-1).mean(-1)
    was = np.linalg.norm(joints_of(start) - truth, axis=-1).mean(-1)
    assert away[gap].mean() < 0.6 * was[gap].mean()
    steps = np.linalg.norm(np.diff(joints_of(fitted) - truth, axis=0), axis=-1).max(-1)
    assert steps[28:39].max() < 0.04


def test_twice_the_frame_rate_is_the_same_motion():
    fast = shot("dancer", 2.0, 60)
    start = regressed(fast.motion, seed=12, white_deg=0)
    half = slice(None, None, 2)
    slow_start = Motion(start.betas, start.pose[half], start.transl[half], start.times[half])
    names = ("keypoints_px", "confidence", "hands_px", "hand_confidence")
    slow_seen = SeenPoints(*(getattr(fast.seen, name)[half] for name in names))
    slow = replace(fast, contacts=fast.contacts[half]).fit(slow_start, slow_seen)
    quick = fast.fit(start)
    at_half = Motion(quick.betas, quick.pose[half], quick.transl[half], start.times[half])
    moved = apart(slow, slow_start)
    assert apart(slow, at_half).mean() < 0.1 * moved.mean()


def test_outliers_do_not_drag_limbs():
    view = shot("boxer", 3.0)
    start = regressed(view.motion, seed=13)
    clean = jittered(view.seen, seed=14, pixels=2, outliers=0)
    points = clean.keypoints_px.copy()
    points[10::12, 9] += [70, -50]
    points[14::12, 15] += [-80, 30]
    assert apart(view.fit(start, clean), view.fit(start, replace(clean, keypoints_px=points))).max() < 0.02


def test_knees_do_not_bend_the_wrong_way():
    view = shot("walker")
    pose = view.motion.pose.copy()
    pose[:, KNEES, 0] -= np.radians(25)
    assert np.degrees(pose[:, KNEES, 0]).min() < -12
    fitted = view.fit(replace(view.motion, pose=pose), jittered(view.seen, seed=15))
    assert np.degrees(fitted.pose[:, KNEES, 0]).min() > -4


def test_planted_feet_move_less():
    view = shot("walker", 3.0)
    start = regressed(view.motion, seed=16)
    both = view.contacts[1:] & view.contacts[:-1]
    assert both.sum() > 30

    def slide(motion):
        soles = posed_soles_in_world(motion, view.camera_to_world[0])
        return (np.linalg.norm(np.diff(soles, axis=0), axis=-1) / np.diff(motion.times)[:, None])[both].mean()

    fitted = view.fit(start, jittered(view.seen, seed=17))
    assert slide(Motion(fitted.betas, fitted.pose, fitted.transl, start.times)) < 0.2 * slide(start)


def test_windows_do_not_show():
    view = shot("dancer", 4.9)
    start, seen = regressed(view.motion, seed=18), jittered(view.seen, seed=19)
    whole = view.fit(start, seen)
    pieces = view.fit(start, seen, FitConfig(window_seconds=3, overlap_seconds=2))
    assert len(windows(start.times, 3, 2)) > 2
    assert apart(whole, pieces).max() < 0.01


def test_windows_cover_everything_and_overlap():
    times = np.cumsum(np.full(400, 1 / 30))
    times[200:] += 7
    pieces = windows(times, 4, 1)
    assert np.array_equal(np.unique(np.concatenate([np.arange(400)[p] for p in pieces])), np.arange(400))
    assert all(times[p][-1] - times[p][0] <= 4 for p in pieces)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_single_picture_and_the_shortest_clips_can_be_fitted(count):
    view = shot("dancer", (count - 1) / 30)
    start = regressed(view.motion, seed=20) if count > 1 else replace(view.motion, pose=view.motion.pose + 0.05)
    assert len(start.pose) == count
    fitted = view.fit(start)
    assert fitted.reprojection_px_after < 0.7 * fitted.reprojection_px_before
    assert np.isfinite(fitted.pose).all() and np.isfinite(fitted.transl).all()


def random_figure(seed: int = 21):
    rng = np.random.default_rng(seed)
    pose, pelvis = rng.normal(0, 0.3, (3, 55, 3)), rng.normal(0, 1, (3, 3))
    pose[:, 22:25] = 0
    figure = figure_points(open_body(), rng.normal(0, 1, 10), pose)
    return rng, pose, pelvis, figure


def test_the_points_are_those_of_the_skinned_body():
    _, pose, pelvis, _ = random_figure()
    betas = np.random.default_rng(3).normal(0, 1, 10)
    figure = figure_points(open_body(), betas, pose)
    at = posed(figure, axis_angle_to_rotmat(pose[:, :22]), pelvis)
    skinned = skinned_points(Motion(betas, pose, pelvis - figure.rest[0], np.arange(3.0)))
    assert np.abs(at.points[:, 5:29] - skinned[:, 5:]).max() < 1e-4
    assert np.linalg.norm(at.points[:, :5] - skinned[:, :5], axis=-1).max() < 0.004


def test_jacobians_are_what_small_steps_do():
    rng, pose, pelvis, figure = random_figure()
    rotmats, step, small = axis_angle_to_rotmat(pose[:, :22]), rng.normal(0, 1, (3, UNKNOWNS)), 1e-6
    at = posed(figure, rotmats, pelvis)
    turned = rotmats.copy()
    turned[:, TURNING] = turned[:, TURNING] @ axis_angle_to_rotmat(small * step[:, :-3].reshape(3, -1, 3))
    change = (posed(figure, turned, pelvis + small * step[:, -3:]).points - at.points) / small
    assert np.allclose(np.einsum("nkij,nj->nki", point_jacobians(figure, at), step), change, atol=1e-4)
    shape = rng.normal(0, 1, 10)
    taller = replace(
        figure, rest=figure.rest + figure.rest_by_shape @ shape,
        offsets=figure.offsets + figure.offsets_by_shape @ shape,
    )  # fmt: skip
    assert np.allclose(posed(taller, rotmats, pelvis).points - at.points, shape_jacobians(figure, at) @ shape)


def test_the_jacobian_of_the_logarithm_is_what_small_turns_do():
    rng = np.random.default_rng(22)
    vectors, small = rng.normal(0, 0.8, (20, 3)), 1e-6 * rng.normal(0, 1, (20, 3))
    turned = axis_angle_to_rotmat(vectors) @ axis_angle_to_rotmat(small)
    expected = np.einsum("nij,nj->ni", inverse_right_jacobian(vectors), small)
    assert np.allclose(rotmat_to_axis_angle(turned) - vectors, expected, atol=1e-10)


def test_the_banded_solution_is_the_dense_one():
    rng = np.random.default_rng(23)
    count, unknowns, rows = 6, 9, 4
    equations = NormalEquations.zero(count, unknowns)
    dense, right = 1e-9 * np.eye(count * unknowns), np.zeros(count * unknowns)
    for neighbours in (1, 2, 3):
        number = count - neighbours + 1
        jacobians = tuple(rng.normal(0, 1, (number, rows, unknowns)) for _ in range(neighbours))
        residuals, weights = rng.normal(0, 1, (number, rows)), rng.random((number, rows))
        equations.add(residuals, jacobians, weights)
        for m in range(number):
            row = np.zeros((rows, count * unknowns))
            for k, jacobian in enumerate(jacobians):
                row[:, (m + k) * unknowns : (m + k + 1) * unknowns] = jacobian[m]
            dense += row.T * weights[m] @ row
            right += row.T @ (weights[m] * residuals[m])
    single = NormalEquations.zero(count, unknowns)
    blocks = tuple(rng.normal(0, 1, (count - 1, 2, 3, 3)) for _ in range(2))
    residuals, weights = rng.normal(0, 1, (count - 1, 2, 3)), rng.random((count - 1, 2))
    single.add_per_vector(residuals, blocks, weights)
    wide = NormalEquations.zero(count, unknowns)
    spread = [np.zeros((count - 1, 6, unknowns)) for _ in blocks]
    for target, block in zip(spread, blocks, strict=True):
        for v in range(2):
            target[:, 3 * v : 3 * v + 3, 3 * v : 3 * v + 3] = block[:, v]
    wide.add(residuals.reshape(count - 1, 6), tuple(spread), np.repeat(weights, 3, 1))
    assert np.isclose(single.cost, wide.cost) and np.allclose(single.gradient, wide.gradient)
    assert all(np.allclose(a, b) for a, b in zip(single.bands, wide.bands, strict=True))
    assert np.allclose(equations.gradient.ravel(), right)
    answer = equations.solve(equations.gradient[..., None])
    assert np.allclose(answer.ravel(), np.linalg.solve(dense, right), atol=1e-5)
