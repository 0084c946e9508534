"""The soles: four points of a person that meet the ground, and when they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS, EXTRA_JOINT_NAMES, EXTRA_JOINT_VERTICES
from aios_core.body.skinning import forward_kinematics, rest_joints, rest_vertices
from aios_core.geometry.rotations import axis_angle_to_rotmat

ANKLES = np.array([7, 7, 8, 8])
"""The joints that carry left heel, left toe, right heel, right toe (the columns of Track.contacts)."""
BALLS = {1: 10, 3: 11}
HEELS = {0: "left_heel", 2: "right_heel"}


@dataclass(frozen=True)
class ContactThresholds:
    """When a point of the sole stands on the ground, in motion that is known exactly."""

    speed: float = 0.12
    """Metres a second across the line of sight, to begin a contact ..."""
    keep_speed: float = 0.15
    """... and to go on with it."""
    height: float = 0.03
    """Metres above the person's own floor, to begin ..."""
    keep_height: float = 0.05
    """... and to go on."""
    shortest_seconds: float = 0.1
    """Shorter contacts are none."""
    longest_break_seconds: float = 0.08
    """Shorter breaks are none."""
    floor_seconds: float = 1.5
    """The person's own floor is the lowest sole within so much time: stairs do not matter."""


NOISELESS = ContactThresholds()


def sole_points(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """(4, 3) metres in the rest pose: under the heels and under the balls of the feet, on the sole."""
    vertices, joints = rest_vertices(body, betas), rest_joints(body, betas)
    sole = vertices[:, 1].min()
    points = np.zeros((4, 3))
    for column, name in HEELS.items():
        points[column] = vertices[EXTRA_JOINT_VERTICES[EXTRA_JOINT_NAMES.index(name)]]
    for column, joint in BALLS.items():
        points[column] = joints[joint]
    points[:, 1] = sole
    return points


def body_transforms(body: BodyModel, betas: np.ndarray, pose: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """(N, 22, 4, 4) of the body's joints, from the rest joint's frame, for poses (N, 22+, 3) and places (N, 3)."""
    rest = np.broadcast_to(rest_joints(body, betas)[:BODY_JOINTS], (len(pose), BODY_JOINTS, 3))
    rotmats = axis_angle_to_rotmat(pose[:, :BODY_JOINTS].astype(np.float64))
    transforms = forward_kinematics(rotmats, rest.astype(np.float64), body.parents[:BODY_JOINTS])
    transforms[..., :3, 3] += transl[:, None]
    return transforms


def posed_soles(transforms: np.ndarray, soles: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(N, 4, 3) the sole points (4, 3) of the rest pose under transforms (N, 22, 4, 4); rest: (22+, 3) rest joints."""
    local = soles - rest[ANKLES]
    ankles = transforms[:, ANKLES]
    return np.einsum("npij,pj->npi", ankles[..., :3, :3], local) + ankles[..., :3, 3]


def contacts(
    soles: np.ndarray, eyes: np.ndarray, times: np.ndarray, thresholds: ContactThresholds | None = None
) -> np.ndarray:
    """(N, 4) bool: which sole points (N, 4, 3), in the upright world, stand on the ground at times (N,).

    For motion that is known exactly; `detect_contacts` reads them off a noisy one. A point stands while it is slow and
    low. Speed along the line of sight from the camera's place (N, 3) does not count.
    """
    t = thresholds or ContactThresholds()
    if len(times) < 3:
        return soles[..., 2] - soles[..., 2].min(1, keepdims=True) < t.height
    step = float(np.median(np.diff(times)))
    velocity = np.gradient(soles, times, axis=0)
    sight = soles - eyes[:, None]
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    across = velocity - (velocity * sight).sum(-1, keepdims=True) * sight
    speed = np.linalg.norm(gaussian_filter1d(across, 0.02 / step, axis=0, mode="nearest"), axis=-1)
    floor = minimum_filter1d(soles[..., 2].min(1), max(int(t.floor_seconds / step) | 1, 1), mode="nearest")
    height = soles[..., 2] - floor[:, None]
    begin = (speed < t.speed) & (height < t.height)
    go_on = (speed < t.keep_speed) & (height < t.keep_height)
    answer = np.stack([_grown(begin[:, i], go_on[:, i]) for i in range(4)], 1)
    for i in range(4):
        _fill(answer[:, i], False, t.longest_break_seconds / step)
        _fill(answer[:, i], True, t.shortest_seconds / step)
    return answer


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _grown(begin: np.ndarray, go_on: np.ndarray) -> np.ndarray:
    """Runs of go_on that hold a begin (hysteresis)."""
    answer = np.zeros_like(begin)
    for a, b in runs(go_on | begin):
        answer[a:b] = begin[a:b].any()
    return answer


def _fill(flags: np.ndarray, value: bool, shorter_than: float) -> None:
    """Turn inner runs of `value` that are shorter than so many frames into the other value, in place."""
    for a, b in runs(flags == value):
        if b - a < shorter_than and a > 0 and b < len(flags):
            flags[a:b] = not value
