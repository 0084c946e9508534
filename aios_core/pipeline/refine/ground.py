"""The ground that everybody stands on, and with it which way is up.

The camera's roll, pitch and height are those with which the soles in contact lie on one plane, weighed against two
weaker beliefs: people are upright on average, and cameras are held level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aios_core.pipeline.refine.feet import runs

ROLL_SIGMA = np.radians(2.0)
"""Cameras are held level sideways to within this ..."""
PITCH_SIGMA = np.radians(15.0)
"""... and forwards to within this."""
LEAN_SIGMA = np.radians(6.0)
"""The mean of people's trunks is upright to within this."""
SOLE_SIGMA = 0.03
"""Metres: error of a sole's place across the line of sight ..."""
DEPTH_SIGMA = 0.06
"""... and along it, as a share of the depth, anew in every contact ..."""
SIZE_SIGMA = 0.05
"""... and in all contacts of a person, who is a little taller or smaller than thought and so further or nearer."""
KNOWN_SIZE_SIGMA = 0.005
"""The same of a person whose shape was given."""
MOST_SHARE = 0.15
"""Nobody is thought to stand farther or nearer by more."""
ROUNDS = 12


def estimate_ground(
    contacts: Sequence[np.ndarray], trunks: np.ndarray, level: bool = False, known: Sequence[bool] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """(4, 4) camera to world, with the ground at z = 0 and the camera in (0, 0, height), looking along +y.

    And (P,) by which factor each person stands farther away than thought. contacts: (K, 3) of each person, camera
    space: where soles stood, one place for each contact; trunks: (L, 3) directions from pelvis to neck. Any may be
    empty. level: the camera is known to be level; known: of each person, whether the size is; nobody's is by default.
    """
    believed, sigma = ((0.0, 0.0), (1e-6, 1e-6)) if level else _believed(trunks)
    soles = np.concatenate([np.zeros((0, 3)), *contacts])
    if not len(soles):
        return camera_pose(*believed, 1.6), np.ones(len(contacts))
    person = np.repeat(np.arange(len(contacts)), [len(places) for places in contacts])
    is_of = person[:, None] == np.arange(len(contacts))  # (K, P)
    roll, pitch = believed
    height = float(np.median(-(soles @ up_in_camera(roll, pitch))))
    sight = soles / np.linalg.norm(soles, axis=-1, keepdims=True)
    size_sigma = np.where(known, KNOWN_SIZE_SIGMA, SIZE_SIGMA) if len(known) else SIZE_SIGMA
    further = np.zeros(len(contacts))  # each person's place along the line of sight, as a share of the depth
    for _ in range(ROUNDS):
        up = up_in_camera(roll, pitch)
        moved = soles * (1 + further[person])[:, None]
        residual = moved @ up + height
        spread = np.hypot(SOLE_SIGMA, (sight @ up) * DEPTH_SIGMA * soles[:, 2])
        weights = _robust(residual, spread)  # jumps do not lift it,
        precision = np.concatenate([1 / np.square(sigma), [1e-6], _robust(further, size_sigma)])  # nor does a box
        step = 1e-4
        slopes = [
            moved @ (up_in_camera(roll + step, pitch) - up) / step,
            moved @ (up_in_camera(roll, pitch + step) - up) / step,
            np.ones(len(soles)),
        ]
        rows = np.concatenate([np.stack(slopes, 1), (soles @ up)[:, None] * is_of], 1)
        off = np.concatenate([[roll - believed[0], pitch - believed[1], 0.0], further])
        normal = rows.T @ (rows * weights[:, None]) + np.diag(precision)
        change = np.linalg.solve(normal, -precision * off - rows.T @ (weights * residual))
        roll, pitch, height, further = roll + change[0], pitch + change[1], height + change[2], further + change[3:]
    return camera_pose(roll, pitch, height), 1 + np.clip(further, -MOST_SHARE, MOST_SHARE)


def up_in_camera(roll: float, pitch: float) -> np.ndarray:
    """(3,) the world's up in camera space (y down) for a camera pitched downwards and rolled, radians."""
    return np.array([np.sin(roll), -np.cos(roll) * np.cos(pitch), -np.cos(roll) * np.sin(pitch)])


def camera_pose(roll: float, pitch: float, height: float) -> np.ndarray:
    """(4, 4) camera to world of a camera in (0, 0, height) that looks along +y."""
    up = up_in_camera(roll, pitch)
    ahead = np.array([0.0, 0, 1]) - up * up[2]
    ahead /= np.linalg.norm(ahead)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(ahead, up), ahead, up])
    pose[2, 3] = height
    return pose


def _believed(trunks: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """(roll, pitch) before any sole is looked at, and how sure that is (standard deviations)."""
    if not len(trunks):
        return (0.0, 0.0), (ROLL_SIGMA, PITCH_SIGMA)
    mean = np.median(trunks / np.linalg.norm(trunks, axis=-1, keepdims=True), axis=0)
    mean /= max(float(np.linalg.norm(mean)), 1e-9)
    leaning = float(np.arcsin(np.clip(mean[0], -1, 1))), float(np.arctan2(-mean[2], -mean[1]))
    believed, sigma = [], []
    for angle, level in zip(leaning, (ROLL_SIGMA, PITCH_SIGMA), strict=True):
        # Trunks far from any camera's likely pose (someone lying down) say nothing.
        precision = 1 / LEAN_SIGMA**2 if abs(angle) < 3 * (level + LEAN_SIGMA) else 0.0
        total = precision + 1 / level**2
        believed.append(angle * precision / total)
        sigma.append(total**-0.5)
    return tuple(believed), tuple(sigma)


def _robust(residual: np.ndarray, sigma: np.ndarray | float) -> np.ndarray:
    """Weights of residuals: 1 / sigma^2 where they are as expected, ever less far out (Geman-McClure)."""
    return 1 / sigma**2 / (1 + (residual / (3 * sigma)) ** 2) ** 2


def contact_places(soles: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """(K, 3) the mean place of every contact of a person with soles (N, 4, 3) and flags (N, 4)."""
    places = [soles[a:b, i].mean(0) for i in range(4) for a, b in runs(standing[:, i])]
    return np.array(places).reshape(-1, 3)
