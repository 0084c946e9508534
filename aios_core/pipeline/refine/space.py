"""Everybody in one upright world: the ground from all feet, contacts, planted feet that rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY
from aios_core.body.skinning import full_pose, rest_joints
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import Track
from aios_core.pipeline.refine.contacts import detect_contacts
from aios_core.pipeline.refine.feet import body_transforms, posed_soles, sole_points
from aios_core.pipeline.refine.foot_lock import lock_feet
from aios_core.pipeline.refine.ground import contact_places, estimate_ground
from aios_core.pipeline.refine.motion import stretches_of

ROUNDS = 3
"""Contacts need the ground and the ground needs contacts."""
PELVIS, NECK = 0, 12


@dataclass(frozen=True)
class Figure:
    """A track and the body it is built with."""

    track: Track
    body: BodyModel
    betas: np.ndarray
    """(10,) of the body's family."""
    is_size_known: bool = False
    """The shape was given, not measured."""


def ground_of(figures: Sequence[Figure], times: np.ndarray, level: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(4, 4) camera to world for a camera that stands still, from the feet of everybody; times (T,) of the frames.

    And (P,) by which factor each figure stands farther away than its size says. level: the camera was held level, so
    that only its height is looked for.
    """
    transforms = [
        body_transforms(f.body, f.betas, full_pose(f.track.global_orient, f.track.body_pose), f.track.transl)
        for f in figures
    ]
    soles = [
        posed_soles(moved, sole_points(f.body, f.betas), rest_joints(f.body, f.betas))
        for moved, f in zip(transforms, figures, strict=True)
    ]
    trunks = [moved[:, NECK, :3, 3] - moved[:, PELVIS, :3, 3] for moved in transforms]
    trunks = np.concatenate(trunks) if trunks else np.zeros((0, 3))
    pose, _ = estimate_ground([], trunks, level)
    for _ in range(ROUNDS):
        standing = [
            standing_soles(f.track, points @ pose[:3, :3].T + pose[:3, 3], pose[None, :3, 3], times)
            for f, points in zip(figures, soles, strict=True)
        ]
        contacts = list(map(contact_places, soles, standing))
        pose, factors = estimate_ground(contacts, trunks, level, [f.is_size_known for f in figures])
    return pose, factors


def settled(figures: Sequence[Figure], camera_to_world: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, 4, 4) a moving camera's path, raised or lowered until the planted soles of everybody lie at z = 0."""
    heights = []
    for f in figures:
        pose = full_pose(f.track.global_orient, f.track.body_pose)
        moved = body_transforms(f.body, f.betas, pose, f.track.transl)
        soles = posed_soles(moved, sole_points(f.body, f.betas), rest_joints(f.body, f.betas))
        cameras = camera_to_world[f.track.frames]
        soles = np.einsum("nij,npj->npi", cameras[:, :3, :3], soles) + cameras[:, None, :3, 3]
        heights.append(soles[standing_soles(f.track, soles, cameras[:, :3, 3], times)][:, 2])
    heights = np.concatenate(heights) if heights else np.zeros(0)
    answer = camera_to_world.copy()
    answer[:, 2, 3] -= np.median(heights) if len(heights) else 0.0
    return answer


def standing_soles(track: Track, soles: np.ndarray, eyes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(N, 4) bool contacts of a track with soles (N, 4, 3) in the world; eyes: (1 or N, 3); times: (T,)."""
    answer = np.zeros((len(track), 4), bool)
    eyes = np.broadcast_to(eyes, (len(track), 3))
    for keys in stretches_of(track, times):
        answer[keys] = detect_contacts(soles[keys], eyes[keys], times[track.frames[keys]])
    return answer


def stand(figure: Figure, camera_to_world: np.ndarray, times: np.ndarray, lock: bool) -> Track:
    """The figure's track with its contacts and, if asked for, with planted feet that rest on the ground.

    camera_to_world: (1 or T, 4, 4); times: (T,) seconds.
    """
    track, body, betas = figure.track, figure.body, figure.betas
    cameras = camera_to_world if len(camera_to_world) == 1 else camera_to_world[track.frames]
    cameras = np.broadcast_to(cameras, (len(track), 4, 4))
    turn, eyes = cameras[:, :3, :3], cameras[:, :3, 3]
    rest = rest_joints(body, betas).astype(np.float64)
    hands = track.left_hand_pose, track.right_hand_pose, track.jaw_pose
    pose = full_pose(track.global_orient, track.body_pose, *hands).astype(np.float64)
    pose[:, 0] = rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:, 0]))
    transl = _turned(track.transl + rest[0], turn) + eyes - rest[0]
    soles = posed_soles(body_transforms(body, betas, pose, transl), sole_points(body, betas), rest)
    standing = standing_soles(track, soles, eyes, times)
    if not lock:
        return replace(track, contacts=standing)
    for keys in stretches_of(track, times):
        seconds = times[track.frames[keys]]
        locked = lock_feet(body, betas, pose[keys], transl[keys], standing[keys], eyes[keys], seconds)
        pose[keys], transl[keys] = locked.pose, locked.transl
    back = np.swapaxes(turn, 1, 2)
    return replace(
        track,
        body_pose=pose[:, BODY].astype(np.float32),
        transl=(_turned(transl + rest[0] - eyes, back) - rest[0]).astype(np.float32),
        contacts=standing,
    )


def _turned(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", turn, points)
