"""One person's motion made clean: outliers out, short gaps closed, rotations, face and place smoothed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY, BODY_JOINTS, JAW, LEFT_HAND, RIGHT_HAND
from aios_core.body.skinning import full_pose, pose_joints, rest_joints
from aios_core.config import RefineConfig
from aios_core.geometry.rotations import axis_angle_to_quat_wxyz, quat_wxyz_to_axis_angle
from aios_core.mocap import IMPUTED, INTERPOLATED, Camera, Measured, Track
from aios_core.pipeline.placement import place
from aios_core.pipeline.refine.confidence import part_confidence
from aios_core.pipeline.refine.outliers import place_outliers, rotation_outliers
from aios_core.pipeline.refine.slow_errors import slow_errors_of
from aios_core.pipeline.refine.smooth import smooth, smooth_curves, smooth_rotations

LEAST_WEIGHT = 0.05
"""Of a measurement that is not an outlier, however badly it is trusted."""
IMPUTED_SHARE = 0.25
"""A key counts as imputed when so many of its body joints were replaced, or the pelvis."""
IMPUTED_CONFIDENCE = 0.25
LONGEST_STEP_SECONDS = 0.5
"""Keys that lie farther apart in time are not one motion, even as neighbouring frames."""
DEPTH_ACCELERATION = 5.0
"""Metres a second squared along the line of sight that people reach; half-hidden ones seem to leap."""
DEPTH_TOLERANCE = 0.1
"""Leap in log depth or in direction that costs one unit (see outliers)."""


@dataclass(frozen=True)
class Keys:
    """The keys of a track: the measured frames and, in short gaps, the frames between."""

    frames: np.ndarray
    """(N,) Mocap frames."""
    rows: np.ndarray
    """(N,) the measurement nearest in time."""
    is_measured: np.ndarray
    """(N,) bool."""
    stretches: tuple[slice, ...]
    """Runs of keys between long gaps; nothing is smoothed across those."""


def keys_of(frames: np.ndarray, times: np.ndarray, longest_gap_seconds: float) -> Keys:
    """Keys for measurements in Mocap frames (M,), with the times (T,) of all of the Mocap's frames.

    A gap is short when its neighbours lie no more than longest_gap_seconds apart.
    """
    apart = np.diff(times[frames])
    # Neighbouring frames may lie far apart in time themselves: few were looked at, or a sequence has a hole.
    usual = np.median(np.diff(times)) if len(times) > 1 else 0.0
    breaks = np.flatnonzero(apart > max(longest_gap_seconds, 1.5 * usual)) + 1
    pieces = np.split(frames, breaks)
    filled = [np.arange(piece[0], piece[-1] + 1) for piece in pieces]
    keys = np.concatenate(filled)
    stops = np.cumsum([len(piece) for piece in filled])
    stretches = tuple(slice(int(stop - len(piece)), int(stop)) for piece, stop in zip(filled, stops, strict=True))
    right = np.clip(np.searchsorted(frames, keys), 0, len(frames) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(times[keys] - times[frames[left]]) < np.abs(times[frames[right]] - times[keys])
    return Keys(keys, np.where(nearer, left, right), np.isin(keys, frames), stretches)


def stretches_of(track: Track, times: np.ndarray) -> list[slice]:
    """Runs of a track's keys between its gaps; times: (T,) seconds of the Mocap's frames."""
    apart, usual = np.diff(times[track.frames]), np.median(np.diff(times)) if len(times) > 1 else 0.0
    far = (np.diff(track.frames) > 1) | (apart > max(LONGEST_STEP_SECONDS, 1.5 * usual))
    edges = [0, *(np.flatnonzero(far) + 1).tolist(), len(track)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def clean(
    track: Track,
    times: np.ndarray,
    body: BodyModel,
    betas: np.ndarray,
    camera: Camera,
    size: tuple[int, int],
    config: RefineConfig,
) -> Track:
    """A raw track with clean motion from its measurements.

    times: (T,) seconds of all frames; body, betas: what the person is built with; size: (width, height) pixels.
    """
    measured = track.measured
    keys = keys_of(measured.frames, times, config.longest_gap_seconds)
    confidence = part_confidence(measured, *size)[keys.rows]
    measured_pose = full_pose(
        measured.global_orient, measured.body_pose, measured.left_hand_pose, measured.right_hand_pose, measured.jaw_pose
    )[keys.rows]
    slow_errors = slow_errors_of(measured, times)
    pose, replaced = smooth_pose(measured_pose, times[keys.frames], confidence, keys, config, slow_errors)
    imputed = keys.is_measured & (replaced[:, 0] | (replaced.mean(1) >= IMPUTED_SHARE))
    # A pose that was replaced is not the one whose joints were measured: only that one fits their size, and whether
    # the keypoints are right or wrong with it nobody knows.
    placed = np.where(imputed[:, None, None], measured_pose, pose)
    keypoint_weight = np.where(imputed, 0.0, config.keypoint_weight)
    joints = pose_joints(body, np.tile(betas, (len(pose), 1)), placed)[:, :BODY_JOINTS]
    seen = measured.select(keys.rows)
    transl = place(joints, seen.joints_px, seen.keypoints_px, camera, keypoint_weight)
    pelvis = rest_joints(body, betas)[0]
    transl = smooth_place(transl + pelvis, times[keys.frames], confidence[:, 0], keys, config, slow_errors) - pelvis
    kinds = np.where(keys.is_measured, np.where(imputed, IMPUTED, track.key_kinds[keys.rows]), INTERPOLATED)
    confidence = confidence * np.where(kinds == IMPUTED, IMPUTED_CONFIDENCE, 1.0)[:, None] * keys.is_measured[:, None]
    expression = _smooth_vectors(seen.expression, times[keys.frames], confidence[:, 3], keys, config.face_seconds)
    pose, transl = pose.astype(np.float32), transl.astype(np.float32)
    return replace(
        track, frames=keys.frames.astype(np.int32), global_orient=pose[:, 0], body_pose=pose[:, BODY],
        left_hand_pose=pose[:, LEFT_HAND], right_hand_pose=pose[:, RIGHT_HAND], jaw_pose=pose[:, JAW],
        expression=expression.astype(np.float32), transl=transl, key_kinds=kinds.astype(np.uint8),
        confidence=confidence.astype(np.float32), contacts=np.zeros((len(pose), 4), bool),
        **{name: _between(name, measured, times, keys) for name in ("scores", "boxes_xyxy_px", "keypoints_px")},
    )  # fmt: skip


def smooth_pose(
    pose: np.ndarray, times: np.ndarray, confidence: np.ndarray, keys: Keys, config: RefineConfig,
    slow_errors: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Smoothed axis-angles (N, 55, 3), and (N, 22) bool which body joints were outliers and replaced.

    times: (N,) seconds; confidence: (N, 4) of the parts; slow_errors: of body and hands, see smooth_curves.
    """
    quats = axis_angle_to_quat_wxyz(pose.astype(np.float64))
    replaced = np.zeros(pose.shape[:2], bool)
    parts = (
        (slice(0, BODY_JOINTS), 0, config.body_seconds),
        (LEFT_HAND, 1, config.hands_seconds),
        (RIGHT_HAND, 2, config.hands_seconds),
        (slice(JAW, JAW + 1), 3, config.face_seconds),
    )
    for stretch in keys.stretches:
        seen = np.flatnonzero(keys.is_measured[stretch]) + stretch.start
        for joints, part, seconds in parts:
            if config.replace_outliers:
                replaced[seen, joints] = rotation_outliers(quats[seen, joints], times[seen])
            weights = np.maximum(confidence[stretch, part], LEAST_WEIGHT)[:, None] * ~replaced[stretch, joints]
            weights = weights * keys.is_measured[stretch, None]
            quats[stretch, joints] = smooth_rotations(
                quats[stretch, joints], times[stretch], weights, seconds, slow_errors
            )
    return quat_wxyz_to_axis_angle(quats), replaced[:, :BODY_JOINTS]


def smooth_place(
    places: np.ndarray, times: np.ndarray, confidence: np.ndarray, keys: Keys, config: RefineConfig,
    slow_errors: float,
) -> np.ndarray:  # fmt: skip
    """Smoothed positions (N, 3) in camera space, metres: the direction and the depth each with its own strength.

    One camera sees the direction well and the depth badly, so the two must not share their noise.
    """
    sight = np.concatenate([places[:, :2] / places[:, 2:], np.log(places[:, 2:])], 1).astype(np.float64)
    for stretch in keys.stretches:
        seen = np.flatnonzero(keys.is_measured[stretch]) + stretch.start
        weights = np.maximum(confidence[stretch], LEAST_WEIGHT) * keys.is_measured[stretch]
        if config.replace_outliers:
            weights[seen - stretch.start] *= ~place_outliers(sight[seen], times[seen], DEPTH_TOLERANCE)
        sight[stretch, :2] = smooth(
            sight[stretch, :2], times[stretch], weights, config.place_seconds, slow_errors=slow_errors
        )
        most = DEPTH_ACCELERATION / float(np.median(places[stretch, 2]))
        sight[stretch, 2:] = smooth(
            sight[stretch, 2:], times[stretch], weights, config.depth_seconds, most, slow_errors
        )
    depth = np.exp(sight[:, 2:])
    return np.concatenate([sight[:, :2] * depth, depth], 1)


def _smooth_vectors(
    values: np.ndarray, times: np.ndarray, confidence: np.ndarray, keys: Keys, seconds: float
) -> np.ndarray:
    """Each number on its own: one may be talking while the others rest. The confidence counts relative to its usual."""
    answer = values.astype(np.float64)
    for stretch in keys.stretches:
        weights = np.maximum(confidence[stretch], LEAST_WEIGHT) * keys.is_measured[stretch]
        weights = weights / max(float(np.median(weights)), LEAST_WEIGHT)
        curves = answer[stretch].T[..., None]
        curves = smooth_curves(curves, times[stretch], np.tile(weights, (len(curves), 1)), seconds)
        answer[stretch] = curves[..., 0].T
    return answer


def _between(name: str, measured: Measured, times: np.ndarray, keys: Keys) -> np.ndarray:
    """What was measured, with straight lines through short gaps."""
    values = getattr(measured, name)
    flat = values.reshape(len(values), -1)
    at, known = times[keys.frames], times[measured.frames]
    columns = [np.interp(at, known, column) for column in flat.T]
    return np.stack(columns, 1).reshape(len(at), *values.shape[1:]).astype(np.float32)
