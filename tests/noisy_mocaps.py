"""Scenes with known motion, and what a network with realistic errors would have measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from aios_core.body.joints import BODY, BODY_JOINTS, JAW, LEFT_HAND, RIGHT_HAND
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.config import OPEN
from aios_core.evaluation.motion import soles_in_world
from aios_core.geometry.camera import project, refit_translation
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import MEASURED, Camera, Measured, Mocap, Track
from aios_core.model.framing import framing
from aios_core.pipeline.refine import raw_track
from aios_core.pipeline.refine.feet import contacts
from aios_core.pipeline.refine.figure_points import IN_PICTURE, figure_points, posed
from tests.mocaps import tilted_camera
from tests.motion_clips import FPS, Clip, the_body

WIDTH, HEIGHT, FOCAL = 960, 540, 820.0
NETWORK_FOCAL = float(OPEN.camera_focal_px * framing(WIDTH, HEIGHT, OPEN).pixel[0])
"""Focal length for which the shipped network predicts its cameras, pixels of these pictures."""
JITTER_DEG = np.array([4, 2, 2, 0.7, 2.5, 2.5, 0.7, 1.5, 1.5, 0.7, 1, 1, 1.5, 0.7, 0.7, 1.5, 5, 5, 5, 5, 4, 4.0])
"""(22,) error from frame to frame of the shipped network's body joints on the demo clip, degrees (median over it)."""


@dataclass(frozen=True)
class NetworkNoise:
    """Errors of a per-frame network. The defaults follow the shipped one's on the demo clip."""

    jitter: float = 1.0
    """Factor on JITTER_DEG: independent from frame to frame."""
    drift: float = 2.0
    """Slow error, as a factor on the jitter ..."""
    drift_seconds: float = 0.3
    """... and the time it keeps its direction."""
    flips: float = 0.01
    """Share of frames in which the person is turned to the other side."""
    swaps: float = 0.01
    """Share of frames in which legs or arms are swapped."""
    depth: float = 0.03
    """Jitter of the depth, as a share of it, and as much drift again."""
    place: float = 0.012
    """Jitter across the line of sight, metres."""
    keypoints: float = 0.02
    """Jitter of 2-d joints, as a share of the box's longer side."""
    shape: float = 0.3
    """Jitter of the shape coefficients."""


def scene(
    clips: Sequence[Clip], fps: Fraction = Fraction(FPS), pitch: float = 0.12, eye: float = 1.6, focal: float = FOCAL
) -> Mocap:
    """The truth: these clips, placed in the world, under a camera in (0, 0, eye) that looks along +y and downwards."""
    camera_to_world = tilted_camera(pitch, eye)
    length = max(len(clip) for clip in clips)
    seconds = (length - 1) / FPS
    count = int(seconds * fps) + 1
    times = np.arange(count) / float(fps)
    camera = Camera(focal, (WIDTH / 2, HEIGHT / 2))
    tracks = [
        _truth(i, resampled(clip, times[times <= (len(clip) - 1) / FPS + 1e-9]), camera_to_world, camera)
        for i, clip in enumerate(clips, 1)
    ]
    truth = Mocap(
        source="scene", source_kind="video", width=WIDTH, height=HEIGHT, fps=fps, timestamps=times,
        camera=camera, camera_to_world=camera_to_world[None], weights="truth",
        body_family="open", tracks=tuple(tracks),
    )  # fmt: skip
    return replace(truth, tracks=tuple(_with_contacts(track, truth) for track in tracks))


def _with_contacts(track: Track, truth: Mocap) -> Track:
    """The track with the soles that stand, read off its exact motion."""
    eyes = np.tile(truth.camera_to_world[0, :3, 3], (len(track), 1))
    standing = contacts(soles_in_world(truth, track, the_body()), eyes, truth.timestamps[track.frames])
    return replace(track, contacts=standing)


def resampled(clip: Clip, times: np.ndarray) -> Clip:
    """The clip at times (T,), seconds, between its frames along the shortest rotation."""
    at = np.clip(times * FPS, 0, len(clip) - 1)
    low = np.minimum(at.astype(int), len(clip) - 2)
    share = at - low
    first, second = axis_angle_to_rotmat(clip.pose[low]), axis_angle_to_rotmat(clip.pose[low + 1])
    between = rotmat_to_axis_angle(np.swapaxes(first, -1, -2) @ second) * share[:, None, None]
    pose = rotmat_to_axis_angle(first @ axis_angle_to_rotmat(between))
    transl = clip.transl[low] * (1 - share[:, None]) + clip.transl[low + 1] * share[:, None]
    return replace(clip, pose=pose, transl=transl)


def observe(truth: Mocap, noise: NetworkNoise, seed: int = 0) -> Mocap:
    """What a network would have measured of the truth, as raw tracks under a level camera."""
    rng = np.random.default_rng(seed)
    tracks = [raw_track(t.id, measure(t, truth, noise, rng), t.name) for t in truth.tracks]
    return replace(truth, weights="noise", camera_to_world=tilted_camera(0, 0)[None], tracks=tuple(tracks))


def measure(track: Track, truth: Mocap, noise: NetworkNoise, rng: np.random.Generator) -> Measured:
    """One person's measurements."""
    count, fps = len(track), float(truth.fps)
    pose = full_pose(track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose)
    size = np.radians(np.concatenate([JITTER_DEG, np.full(33, 5.0)])) * noise.jitter / np.sqrt(3)
    error = rng.normal(0, 1, (count, 55, 3)) + noise.drift * drift(rng, (count, 55, 3), noise.drift_seconds * fps)
    noisy = rotmat_to_axis_angle(axis_angle_to_rotmat(pose) @ axis_angle_to_rotmat(error * size[:, None]))
    noisy[:, 22:25] = pose[:, 22:25]
    _confuse(noisy, noise, rng)
    betas = track.betas + rng.normal(0, noise.shape, (count, 10))
    sight = track.transl / np.linalg.norm(track.transl, axis=-1, keepdims=True)
    depth = rng.normal(0, 1, (count, 1)) + drift(rng, (count, 1), noise.drift_seconds * fps)
    transl = track.transl * (1 + noise.depth * depth) + rng.normal(0, noise.place, (count, 3)) * (1 - np.abs(sight))
    body = the_body()
    joints = pose_joints(body, betas, noisy)[:, :22]
    center = np.asarray(truth.camera.center_px)
    own = refit_translation(joints, truth.camera.project(joints + transl[:, None]), NETWORK_FOCAL, center)
    joints_px = project(joints + own[:, None], NETWORK_FOCAL, center)
    hands = truth.camera.project(visible_points(track.betas, pose, track.transl)[:, 17:])
    return Measured(
        frames=track.frames, scores=rng.uniform(0.6, 0.9, count).astype(np.float32),
        boxes_xyxy_px=track.boxes_xyxy_px, joints_px=joints_px.astype(np.float32),
        keypoints_px=_jittered(track.keypoints_px, track, noise, rng),
        left_hand_keypoints_px=_jittered(hands[:, :6], track, noise, rng),
        right_hand_keypoints_px=_jittered(hands[:, 6:], track, noise, rng),
        face_keypoints_px=_jittered(np.repeat(track.keypoints_px[:, :1], 6, 1), track, noise, rng),
        global_orient=noisy[:, 0].astype(np.float32), body_pose=noisy[:, BODY].astype(np.float32),
        left_hand_pose=noisy[:, LEFT_HAND].astype(np.float32), right_hand_pose=noisy[:, RIGHT_HAND].astype(np.float32),
        jaw_pose=noisy[:, JAW].astype(np.float32), betas=betas.astype(np.float32),
        expression=(track.expression + rng.normal(0, 0.3, (count, 10))).astype(np.float32),
    )  # fmt: skip


def visible_points(betas: np.ndarray, pose: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """(N, 29, 3) camera frame: COCO keypoints and six points of each hand."""
    figure = figure_points(the_body(), betas, pose)
    rotmats = axis_angle_to_rotmat(pose[:, :BODY_JOINTS].astype(np.float64))
    return posed(figure, rotmats, transl + figure.rest[0]).points[:, IN_PICTURE]


def drift(rng: np.random.Generator, shape: tuple[int, ...], frames: float) -> np.ndarray:
    """Noise of unit size along the first axis that forgets its direction after so many frames."""
    keep = np.exp(-1 / frames)
    steps = rng.normal(0, np.sqrt(1 - keep**2), shape)
    steps[0] = rng.normal(0, 1, shape[1:])
    for i in range(1, shape[0]):
        steps[i] += keep * steps[i - 1]
    return steps


LEGS = ([1, 4, 7, 10], [2, 5, 8, 11])
ARMS = ([13, 16, 18, 20], [14, 17, 19, 21])


def _confuse(pose: np.ndarray, noise: NetworkNoise, rng: np.random.Generator) -> None:
    """Turn some frames about (a flip) and swap limbs of others, in place."""
    count = len(pose)
    turned = rng.random(count) < noise.flips
    about = axis_angle_to_rotmat(np.array([0, np.pi * 0.9, 0]))
    pose[turned, 0] = rotmat_to_axis_angle(axis_angle_to_rotmat(pose[turned, 0]) @ about)
    for left, right in (LEGS, ARMS):
        rows = np.flatnonzero(rng.random(count) < noise.swaps)
        swapped = pose[rows][:, right + left] * [1, -1, -1]
        pose[np.ix_(rows, left + right)] = swapped


def _jittered(points: np.ndarray, track: Track, noise: NetworkNoise, rng: np.random.Generator) -> np.ndarray:
    longer = (track.boxes_xyxy_px[:, 2:] - track.boxes_xyxy_px[:, :2]).max(-1)
    return (points + rng.normal(0, noise.keypoints, points.shape) * longer[:, None, None]).astype(np.float32)


def _truth(number: int, clip: Clip, camera_to_world: np.ndarray, camera: Camera) -> Track:
    """The clip, given in the world, seen from the camera."""
    world_to_camera = np.linalg.inv(camera_to_world)
    turn, shift = world_to_camera[:3, :3], world_to_camera[:3, 3]
    body = the_body()
    pelvis = body.joint_template[0] + np.einsum("k,ck->c", clip.betas, body.joint_shapedirs[0])
    pose = clip.pose.copy()
    pose[:, 0] = rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:, 0]))
    transl = (clip.transl + pelvis) @ turn.T + shift - pelvis
    count = len(pose)
    joints = pose_joints(body, np.tile(clip.betas, (count, 1)), pose, transl)
    keypoints = visible_points(clip.betas, pose, transl)[:, :17]
    pixels = camera.project(joints[:, :22])
    low, high = pixels.min(1), pixels.max(1)
    margin = 0.05 * (high - low)
    return Track(
        id=number, name=f"{clip.name} {number}", frames=np.arange(count, dtype=np.int32),
        global_orient=pose[:, 0].astype(np.float32), body_pose=pose[:, BODY].astype(np.float32),
        left_hand_pose=pose[:, LEFT_HAND].astype(np.float32), right_hand_pose=pose[:, RIGHT_HAND].astype(np.float32),
        jaw_pose=pose[:, JAW].astype(np.float32), expression=np.zeros((count, 10), np.float32),
        betas=clip.betas.astype(np.float32), transl=transl.astype(np.float32), scores=np.ones(count, np.float32),
        boxes_xyxy_px=np.concatenate([low - margin, high + margin], -1).astype(np.float32),
        keypoints_px=camera.project(keypoints).astype(np.float32),
        key_kinds=np.full(count, MEASURED, np.uint8), confidence=np.ones((count, 4), np.float32),
        contacts=np.zeros((count, 4), bool),
    )  # fmt: skip
