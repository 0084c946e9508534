"""Real captured motion for tests: the three performers of the demo clip, in an upright world, to be placed anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from aios_core import mocap
from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.body.skinning import full_pose, mirrored_pose, pose_joints
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle

TRUTH = Path(__file__).parents[1] / "examples" / "footage" / "plaza.truth.npz"
FPS = 30
WALKER_STRIDE = 0.825
"""The walk was captured on a taller person: so much shorter, its planted feet stand still."""


@cache
def the_body() -> BodyModel:
    """The open body, read once."""
    return open_body()


@dataclass(frozen=True)
class Clip:
    """One performance of T frames at 30 a second, world with z up and the ground at z = 0, metres."""

    name: str
    pose: np.ndarray
    """(T, 55, 3) axis-angle, global_orient in the world."""
    transl: np.ndarray
    """(T, 3)"""
    betas: np.ndarray
    """(10,) of the open body."""

    def __len__(self) -> int:
        return len(self.pose)

    def joints(self) -> np.ndarray:
        """(T, 55, 3) in the world."""
        return pose_joints(the_body(), np.tile(self.betas, (len(self), 1)), self.pose, self.transl)


@cache
def clips() -> dict[str, Clip]:
    """'dancer' (150 frames), 'boxer' (150) and 'walker' (75), each starting over the world's origin."""
    truth = mocap.load(TRUTH)
    found = {track.name: _in_world(track, truth.camera_to_world[0]) for track in truth.tracks}
    walker = found["walker"]
    return found | {"walker": replace(walker, transl=walker.transl * [WALKER_STRIDE, WALKER_STRIDE, 1])}


def placed(clip: Clip, x: float, y: float, yaw: float) -> Clip:
    """The clip turned by `yaw` radians about the vertical through its start, which is moved to (x, y)."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return _moved(clip, turn, np.array([x, y, 0.0]))


def mirrored(clip: Clip) -> Clip:
    """The clip seen in a mirror across x = 0; exact for a body that is symmetrical."""
    pose = mirrored_pose(clip.pose)
    pelvis = the_body().joint_template[0] + np.einsum("k,ck->c", clip.betas, the_body().joint_shapedirs[0])
    return replace(clip, pose=pose, transl=(clip.transl + pelvis) * [-1, 1, 1] - pelvis)


def repeated(clip: Clip, frames: int) -> Clip:
    """The clip played forwards and backwards in turn until it has so many frames."""
    there_and_back = np.concatenate([np.arange(len(clip)), np.arange(len(clip) - 2, 0, -1)])
    rows = np.resize(there_and_back, frames)
    return replace(clip, pose=clip.pose[rows], transl=clip.transl[rows])


def _in_world(track: mocap.Track, camera_to_world: np.ndarray) -> Clip:
    hands = track.left_hand_pose, track.right_hand_pose
    pose = full_pose(track.global_orient, track.body_pose, *hands, track.jaw_pose).astype(np.float64)
    clip = Clip(track.name, pose, track.transl.astype(np.float64), track.betas.astype(np.float64))
    start = _moved(clip, camera_to_world[:3, :3], np.zeros(3))
    pelvis = start.joints()[0, 0]
    height = camera_to_world[2, 3]
    return replace(start, transl=start.transl + [-pelvis[0], -pelvis[1], height])


def _moved(clip: Clip, turn: np.ndarray, shift: np.ndarray) -> Clip:
    """The clip under the rotation `turn` (3, 3) about the origin, then `shift`."""
    pose = clip.pose.copy()
    pose[:, 0] = rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:, 0]))
    pelvis = the_body().joint_template[0] + np.einsum("k,ck->c", clip.betas, the_body().joint_shapedirs[0])
    return replace(clip, pose=pose, transl=(clip.transl + pelvis) @ turn.T + shift - pelvis)
