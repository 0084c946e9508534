"""Rotations in numpy: source_to_target functions for any leading batch shape.

Axis-angle (..., 3) in radians, rotation matrices (..., 3, 3), quaternions (..., 4) as (w, x, y, z), unit length.
Inputs keep their floating type.
"""

from __future__ import annotations

import numpy as np

_SMALL = 1e-8


def axis_angle_to_quat_wxyz(axis_angle: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) of axis-angles (..., 3)."""
    angle = np.linalg.norm(axis_angle, axis=-1, keepdims=True)
    half = angle / 2
    # sin(a/2)/a tends to 1/2; sinc keeps full precision through zero.
    return np.concatenate([np.cos(half), axis_angle * np.sinc(half / np.pi) / 2], axis=-1)


def quat_wxyz_to_axis_angle(quat: np.ndarray) -> np.ndarray:
    """Axis-angles (..., 3) with angles in [0, pi] of unit quaternions (..., 4)."""
    quat = np.where(quat[..., :1] < 0, -quat, quat)
    sine = np.linalg.norm(quat[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quat[..., :1])
    scale = np.where(sine > _SMALL, angle / np.maximum(sine, _SMALL), 2.0)
    return (quat[..., 1:] * scale).astype(quat.dtype)


def quat_wxyz_to_rotmat(quat: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def rotmat_to_quat_wxyz(rotmat: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3).

    Of the four ways to read a quaternion from a matrix the one with the largest divisor is taken (Shepperd 1978).
    """
    m = rotmat
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    squares = np.stack([1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1)
    candidates = np.stack(
        [
            np.stack([squares[..., 0], wx, wy, wz], -1),
            np.stack([wx, squares[..., 1], xy, xz], -1),
            np.stack([wy, xy, squares[..., 2], yz], -1),
            np.stack([wz, xz, yz, squares[..., 3]], -1),
        ],
        -2,
    )
    best = np.argmax(squares, axis=-1)[..., None, None]
    quat = np.take_along_axis(candidates, best, axis=-2)[..., 0, :]
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., :1] < 0, -quat, quat)


def axis_angle_to_rotmat(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of axis-angles (..., 3)."""
    return quat_wxyz_to_rotmat(axis_angle_to_quat_wxyz(axis_angle))


def rotmat_to_axis_angle(rotmat: np.ndarray) -> np.ndarray:
    """Axis-angles (..., 3) with angles in [0, pi] of rotation matrices (..., 3, 3)."""
    return quat_wxyz_to_axis_angle(rotmat_to_quat_wxyz(rotmat))


def continuous_quat_wxyz(quat: np.ndarray) -> np.ndarray:
    """The same rotations (T, ..., 4) with signs chosen so that neighbours in time never flip to the far side."""
    if len(quat) < 2:
        return quat
    flips = np.where((quat[1:] * quat[:-1]).sum(-1) < 0, -1.0, 1.0).astype(quat.dtype)
    quat = quat.copy()
    quat[1:] *= np.cumprod(flips, axis=0)[..., None]
    return quat


def geodesic_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles (...), radians, between rotation matrices (..., 3, 3)."""
    relative = np.swapaxes(first, -1, -2) @ second
    return np.linalg.norm(rotmat_to_axis_angle(relative), axis=-1)


def rotation_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, 3, 3) the smallest rotations that turn the direction of vectors (N, 3) into that of others."""
    a = first / np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-12)
    b = second / np.maximum(np.linalg.norm(second, axis=-1, keepdims=True), 1e-12)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (a * b).sum(-1, keepdims=True))
    return axis_angle_to_rotmat(axis / np.maximum(sine, 1e-12) * angle)


def mirror_axis_angle(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angles (..., 3) of the rotations seen in a mirror across the x = 0 plane: y and z change sign."""
    return axis_angle * np.array([1, -1, -1], axis_angle.dtype)
