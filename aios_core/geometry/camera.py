"""The shot's camera: a believable focal length, and people's translations refitted to it.

The network predicts (s, tx, ty) for a fixed focal length and a principal point in the middle of the resized picture
(INTEROP, camera). Any other focal length keeps the picture nearly the same when depth is scaled and x, y are refitted.
"""

from __future__ import annotations

import math

import numpy as np

from aios_core.errors import AiosError

FILM_WIDTH_MM = 36.0
GAUSS_NEWTON_STEPS = 3


def default_focal_px(width: int, height: int) -> float:
    """The picture's diagonal, pixels: 53 degrees across the diagonal, the view of a 43 mm lens on 35 mm film.

    Close to phones' and cinema's usual lenses; the choice of several pose estimators where EXIF is missing.
    """
    return math.hypot(width, height)


def focal_px_from_fov(width: int, fov_deg: float) -> float:
    """Focal length, pixels, of a horizontal field of view in degrees."""
    return width / 2 / math.tan(math.radians(fov_deg) / 2)


def given_focal_px(width: int, focal_px: float | None, fov_deg: float | None) -> float | None:
    """The focal length in pixels that a user states, as such or as a horizontal field of view; None = neither.

    Raises:
        AiosError: no camera has it.
    """
    if focal_px is not None:
        if not 0 < focal_px < math.inf:
            raise AiosError(f"A focal length is more than 0 pixels, not {focal_px:g}.")
        return focal_px
    if fov_deg is None:
        return None
    if not 0 < fov_deg < 180:
        raise AiosError(f"A field of view lies between 0 and 180 degrees, not at {fov_deg:g}.")
    return focal_px_from_fov(width, fov_deg)


def focal_px_from_35mm(width: int, height: int, focal_mm: float) -> float:
    """Focal length, pixels, of a 35 mm equivalent: the longer side of the picture is 36 mm of film."""
    return focal_mm / FILM_WIDTH_MM * max(width, height)


def network_translation(camera: np.ndarray) -> np.ndarray:
    """Translations (..., 3), metres, of predicted cameras (..., 3) = (s, tx, ty) (INTEROP: s gets 1e-9)."""
    scale = camera[..., :1] + 1e-9
    return np.concatenate([camera[..., 1:] / scale, 1 / scale], -1)


def project(points: np.ndarray, focal_px: float, center_px: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of points (..., 3) in camera space."""
    return points[..., :2] / np.maximum(points[..., 2:], 1e-6) * focal_px + center_px


def refit_translation(
    joints: np.ndarray, points_px: np.ndarray, focal_px: float, center_px: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Translations (P, 3) that bring joints (P, J, 3), without translation, onto points (P, J, 2) best.

    First the linear problem x + t_x = u (z + t_z), then Gauss-Newton steps on the error in pixels.
    weights: (P, J), all one if left out. Nobody ends up behind the camera.
    """
    count, number = points_px.shape[:2]
    weights = np.ones((count, number)) if weights is None else weights
    root = np.sqrt(weights)[..., None]
    local = joints.astype(np.float64)
    u = (points_px.astype(np.float64) - center_px) / focal_px
    rows = np.zeros((count, number, 2, 3))
    rows[:, :, 0, 0] = rows[:, :, 1, 1] = 1
    rows[..., 2] = -u
    answer = _solve(rows, u * local[..., 2:] - local[..., :2], root)
    answer[:, 2] = np.maximum(answer[:, 2], nearest_depth(local))
    for _ in range(GAUSS_NEWTON_STEPS):
        moved = local + answer[:, None]
        depth = moved[..., 2:]
        rows[:, :, 0, 0] = rows[:, :, 1, 1] = 1 / depth[..., 0]
        rows[..., 2] = -moved[..., :2] / depth**2
        answer = answer + _solve(rows, u - moved[..., :2] / depth, root)
        answer[:, 2] = np.maximum(answer[:, 2], nearest_depth(local))
    return answer.astype(np.float32)


def nearest_depth(joints: np.ndarray) -> np.ndarray:
    """(P,) the least depth of people with joints (P, J, 3) that keeps all of them 10 cm before the camera."""
    return 0.1 - joints[..., 2].min(-1)


def _solve(rows: np.ndarray, right: np.ndarray, root: np.ndarray) -> np.ndarray:
    """(P, 3) weighted least squares of rows (P, J, 2, 3) against right (P, J, 2)."""
    a = (rows * root[..., None]).reshape(len(rows), -1, 3)
    b = (right * root).reshape(len(rows), -1)
    normal = np.swapaxes(a, 1, 2) @ a + 1e-9 * np.eye(3)
    return np.linalg.solve(normal, (np.swapaxes(a, 1, 2) @ b[..., None]))[..., 0]
