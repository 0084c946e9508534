"""How well people move: errors of joints, accelerations and feet against a truth, person by person.

Joints are the body's 22; positions are compared in the camera's space, so that nothing depends on where a world begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS
from aios_core.body.skinning import full_pose, pose_joints, rest_joints
from aios_core.body.transfer import body_for_shape
from aios_core.geometry.boxes import iou_matrix
from aios_core.mocap import Mocap, Track
from aios_core.pipeline.refine.feet import body_transforms, posed_soles, runs, sole_points

SAME_PERSON_IOU = 0.5
LEAST_CONTACT_FRAMES = 3


@dataclass(frozen=True)
class MotionScores:
    """Means over the frames in which the person is in both; lengths in millimetres unless noted."""

    frames: int
    """Number of frames compared."""
    missed: float
    """Share of the truth's frames without this person."""
    mpjpe_mm: float
    """Mean distance of joints in camera space."""
    root_mpjpe_mm: float
    """The same with both pelvises in one place."""
    pa_mpjpe_mm: float
    """The same after the best similarity transform of each frame (Procrustes)."""
    depth_mm: float
    """Mean error of the pelvis along the camera's axis, without sign."""
    reprojection_px: float
    """Mean distance of joints in the picture."""
    acceleration_m_s2: float
    """Mean difference of joint accelerations (second differences), metres a second squared."""
    sliding_mm: float
    """Mean distance of planted soles from their mean place of that contact, on the ground; contacts of the truth if it
    has any, else of the Mocap."""
    contact_f1: float
    """Agreement on which soles stand when; not a number where the truth knows no contacts."""


def matched_tracks(found: Mocap, truth: Mocap) -> list[tuple[Track, Track]]:
    """(true, found) tracks: the assignment that shares most frames with boxes overlapping by half."""
    shared = np.zeros((len(truth.tracks), len(found.tracks)))
    for i, real in enumerate(truth.tracks):
        for k, track in enumerate(found.tracks):
            rows, others = common_rows(real, track)
            overlap = [
                iou_matrix(real.boxes_xyxy_px[a : a + 1], track.boxes_xyxy_px[b : b + 1])[0, 0]
                for a, b in zip(rows, others, strict=True)
            ]
            shared[i, k] = (np.array(overlap) >= SAME_PERSON_IOU).sum()
    pairs = zip(*linear_sum_assignment(-shared), strict=True)
    return [(truth.tracks[i], found.tracks[k]) for i, k in pairs if shared[i, k] > 0]


def common_rows(first: Track, second: Track) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both tracks that are the same frames."""
    _, rows, others = np.intersect1d(first.frames, second.frames, return_indices=True)
    return rows, others


def motion_scores(truth: Mocap, real: Track, found: Mocap, track: Track, body: BodyModel) -> MotionScores:
    """Scores of one found track against the true one; both Mocaps are of the same frames."""
    rows, others = common_rows(real, track)
    times = truth.timestamps[real.frames[rows]]
    true_joints = joints_of(truth, real, body)[rows]
    joints = joints_of(found, track, body)[others]
    distance = np.linalg.norm(joints - true_joints, axis=-1)
    centred, true_centred = joints - joints[:, :1], true_joints - true_joints[:, :1]
    pixels = found.camera.project(joints) - truth.camera.project(true_joints)
    contacts = real.contacts[rows] if real.contacts.any() else track.contacts[others]
    agree = (real.contacts[rows] & track.contacts[others]).sum()
    stated = real.contacts[rows].sum() + track.contacts[others].sum()
    return MotionScores(
        frames=len(rows),
        missed=1 - len(rows) / len(real),
        mpjpe_mm=1e3 * float(distance.mean()),
        root_mpjpe_mm=1e3 * float(np.linalg.norm(centred - true_centred, axis=-1).mean()),
        pa_mpjpe_mm=1e3 * float(np.linalg.norm(procrustes(joints, true_joints) - true_joints, axis=-1).mean()),
        depth_mm=1e3 * float(np.abs(joints[:, 0, 2] - true_joints[:, 0, 2]).mean()),
        reprojection_px=float(np.linalg.norm(pixels, axis=-1).mean()),
        acceleration_m_s2=acceleration_error(joints, true_joints, times),
        sliding_mm=1e3 * sliding(soles_in_world(found, track, body)[others], contacts, real.frames[rows]),
        contact_f1=float(2 * agree / stated) if real.contacts.any() and stated else float("nan"),
    )


def joints_of(mocap: Mocap, track: Track, body: BodyModel) -> np.ndarray:
    """(N, 22, 3) camera space, metres."""
    fitted, betas, _ = body_for_shape(body, track.betas, mocap.body_family)
    pose = full_pose(track.global_orient, track.body_pose).astype(np.float64)
    return pose_joints(fitted, np.tile(betas, (len(track), 1)), pose, track.transl)[:, :BODY_JOINTS]


def soles_in_world(mocap: Mocap, track: Track, body: BodyModel) -> np.ndarray:
    """(N, 4, 3) the CONTACT_POINTS in the Mocap's upright world."""
    fitted, betas, _ = body_for_shape(body, track.betas, mocap.body_family)
    pose = full_pose(track.global_orient, track.body_pose)
    transforms = body_transforms(fitted, betas, pose, track.transl)
    soles = posed_soles(transforms, sole_points(fitted, betas), rest_joints(fitted, betas))
    cameras = mocap.camera_to_world if len(mocap.camera_to_world) == 1 else mocap.camera_to_world[track.frames]
    cameras = np.broadcast_to(cameras, (len(track), 4, 4))
    return np.einsum("nij,npj->npi", cameras[:, :3, :3], soles) + cameras[:, None, :3, 3]


def acceleration_error(joints: np.ndarray, true_joints: np.ndarray, times: np.ndarray) -> float:
    """Metres a second squared between joints (N, J, 3) at times (N,), where three frames follow one another."""
    if len(times) < 3:
        return float("nan")
    step = np.diff(times)
    even = np.abs(step[1:] - step[:-1]) < 0.5 * step.min()
    bend = np.diff(joints - true_joints, 2, axis=0) / (((step[1:] + step[:-1]) / 2) ** 2)[:, None, None]
    return float(np.linalg.norm(bend[even], axis=-1).mean()) if even.any() else float("nan")


def sliding(soles: np.ndarray, contacts: np.ndarray, frames: np.ndarray) -> float:
    """Metres that soles (N, 4, 3) stray on the ground, on average, from the mean place of each contact (N, 4)."""
    apart = []
    together = np.concatenate([[False], np.diff(frames) == 1])
    for point in range(4):
        for start, stop in runs(contacts[:, point]):
            if stop - start >= LEAST_CONTACT_FRAMES and together[start + 1 : stop].all():
                places = soles[start:stop, point, :2]
                apart.append(np.linalg.norm(places - places.mean(0), axis=-1))
    return float(np.concatenate(apart).mean()) if apart else float("nan")


def procrustes(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Points (N, J, 3) under the similarity transforms that bring them nearest to targets (Umeyama 1991)."""
    mean, target_mean = points.mean(1, keepdims=True), targets.mean(1, keepdims=True)
    a, b = points - mean, targets - target_mean
    u, s, vt = np.linalg.svd(np.swapaxes(a, 1, 2) @ b)
    sign = np.sign(np.linalg.det(u @ vt))
    s[:, 2] *= sign
    u[:, :, 2] *= sign[:, None]
    scale = s.sum(-1) / np.maximum((a**2).sum((1, 2)), 1e-12)
    return scale[:, None, None] * (a @ u @ vt) + target_mean
