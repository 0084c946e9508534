"""Made-up Mocaps for tests: people who move, with gaps, under any camera."""

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np

from aios_core.body.skinning import mirrored_pose
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.mocap import INTERPOLATED, LEVEL, Camera, Measured, Mocap, Track


def smooth(rng: np.random.Generator, count: int, shape: tuple[int, ...], size: float) -> np.ndarray:
    """(count, *shape) slow random motion."""
    ends = rng.normal(0, size, (2, *shape))
    share = np.linspace(0, 1, count).reshape(-1, *[1] * len(shape))
    return (ends[0] * (1 - share) + ends[1] * share).astype(np.float32)


def make_track(number: int, frames: np.ndarray, rng: np.random.Generator, x: float = 0.0) -> Track:
    """Somebody who turns, bends, makes fists and faces, 4 m away."""
    count = len(frames)
    upright = np.array([np.pi, 0, 0], np.float32)
    return Track(
        id=number, name=f"Person {number}", frames=frames.astype(np.int32),
        global_orient=upright + smooth(rng, count, (3,), 0.3), body_pose=smooth(rng, count, (21, 3), 0.25),
        left_hand_pose=smooth(rng, count, (15, 3), 0.4), right_hand_pose=smooth(rng, count, (15, 3), 0.4),
        jaw_pose=smooth(rng, count, (3,), 0.1), expression=smooth(rng, count, (10,), 2.0),
        betas=rng.normal(0, 1, 10).astype(np.float32),
        transl=np.array([x, 0.3, 4], np.float32) + smooth(rng, count, (3,), 0.2),
        scores=rng.uniform(0.2, 1, count).astype(np.float32),
        boxes_xyxy_px=np.tile(np.array([10, 10, 90, 200], np.float32), (count, 1)),
        keypoints_px=rng.uniform(0, 200, (count, 17, 2)).astype(np.float32), key_kinds=np.zeros(count, np.uint8),
        confidence=rng.uniform(0.2, 1, (count, 4)).astype(np.float32), contacts=rng.random((count, 4)) < 0.4,
    )  # fmt: skip


def make_measured(track: Track, rng: np.random.Generator) -> Measured:
    """What a network with a little noise would have seen of the track."""
    count = len(track)
    own = {f.name for f in fields(Measured)} & set(vars(track)) - {"betas"}
    points = {"left_hand_keypoints_px": 6, "right_hand_keypoints_px": 6, "face_keypoints_px": 6, "joints_px": 22}
    return Measured(
        **{name: getattr(track, name) for name in own},
        **{name: rng.uniform(0, 200, (count, k, 2)).astype(np.float32) for name, k in points.items()},
        betas=track.betas + rng.normal(0, 0.2, (count, 10)).astype(np.float32),
    )


def tilted_camera(pitch: float, height: float) -> np.ndarray:
    """(4, 4) camera to world of a camera that looks down by `pitch` radians from `height` metres."""
    camera = LEVEL.copy()
    camera[:3, :3] = camera[:3, :3] @ axis_angle_to_rotmat(np.array([-pitch, 0, 0]))
    camera[2, 3] = height
    return camera


def make_mocap(
    seed: int = 0, fps: Fraction = Fraction(25), length: int = 12, source: str = "/no/such/clip.mp4"
) -> Mocap:
    """Two people; the second appears late, is missing for three frames, and has an interpolated key."""
    rng = np.random.default_rng(seed)
    first = make_track(1, np.arange(length), rng, -0.7)
    seen = np.r_[2:5, 8:length]
    second = make_track(2, seen, rng, 0.8)
    second.key_kinds[1] = INTERPOLATED
    first = replace(first, measured=make_measured(first, rng))
    return Mocap(
        source=source, source_kind="video", width=640, height=360, fps=fps, timestamps=np.arange(length) / float(fps),
        camera=Camera(700.0, (350.0, 170.0)), camera_to_world=tilted_camera(0.15, 1.6)[None], weights="open",
        body_family="open", tracks=(first, second),
    )  # fmt: skip


def mirrored(mocap: Mocap) -> Mocap:
    """The Mocap of the mirrored footage."""

    def turn(track: Track) -> Track:
        pose = np.zeros((len(track), 55, 3), np.float32)
        pose[:, 0], pose[:, 1:22], pose[:, 22] = track.global_orient, track.body_pose, track.jaw_pose
        pose[:, 25:40], pose[:, 40:] = track.left_hand_pose, track.right_hand_pose
        pose = mirrored_pose(pose)
        return replace(
            track, global_orient=pose[:, 0], body_pose=pose[:, 1:22], jaw_pose=pose[:, 22],
            left_hand_pose=pose[:, 25:40], right_hand_pose=pose[:, 40:], transl=track.transl * [-1, 1, 1],
            betas=np.zeros_like(track.betas), expression=np.zeros_like(track.expression),
        )  # fmt: skip

    centre = (mocap.width - mocap.camera.center_px[0], mocap.camera.center_px[1])
    return replace(mocap, camera=Camera(mocap.camera.focal_px, centre), tracks=tuple(map(turn, mocap.tracks)))
