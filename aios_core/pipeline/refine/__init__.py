"""From what the network saw of each person to clean motion: the second half of a capture, without the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.body.transfer import body_for_shape
from aios_core.config import RefineConfig
from aios_core.mocap import MEASURED, Camera, Measured, Mocap, Track
from aios_core.pipeline.placement import BODY_JOINTS, place


def raw_track(number: int, measured: Measured, name: str | None = None) -> Track:
    """A track that repeats what was measured, with one shape and nobody placed yet."""
    count = len(measured)
    weights = np.maximum(measured.scores, 1e-6)
    return Track(
        id=number,
        name=name or f"Person {number}",
        frames=measured.frames,
        global_orient=measured.global_orient,
        body_pose=measured.body_pose,
        left_hand_pose=measured.left_hand_pose,
        right_hand_pose=measured.right_hand_pose,
        jaw_pose=measured.jaw_pose,
        expression=measured.expression,
        betas=np.average(measured.betas, axis=0, weights=weights).astype(np.float32),
        transl=np.zeros((count, 3), np.float32),
        scores=measured.scores,
        boxes_xyxy_px=measured.boxes_xyxy_px,
        keypoints_px=measured.keypoints_px,
        key_kinds=np.full(count, MEASURED, np.uint8),
        confidence=np.repeat(measured.scores[:, None], 4, 1).astype(np.float32),
        contacts=np.zeros((count, 4), bool),
        measured=measured,
    )


def refine(
    mocap: Mocap, body: BodyModel, config: RefineConfig, on_warning: Callable[[str], None] = lambda _: None
) -> Mocap:
    """The Mocap with clean motion made from what was measured of every track; tracks without measurements stay."""
    tracks, warnings = [], []
    for track in mocap.tracks:
        if track.measured is None:
            tracks.append(track)
            continue
        raw = raw_track(track.id, track.measured, track.name)
        fitted, betas, warning = body_for_shape(body, raw.betas, mocap.body_family)
        warnings += [warning] if warning and warning not in warnings else []
        tracks.append(replace(raw, transl=_place(raw, fitted, betas, mocap.camera, config)))
    for warning in warnings:
        on_warning(warning)
    return replace(mocap, tracks=tuple(tracks))


def _place(track: Track, body: BodyModel, betas: np.ndarray, camera: Camera, config: RefineConfig) -> np.ndarray:
    joints = pose_joints(body, betas, full_pose(track.global_orient, track.body_pose))[:, :BODY_JOINTS]
    return place(joints, track.measured.joints_px, track.measured.keypoints_px, camera, config.keypoint_weight)
