"""From the film camera's axes to Blender's: the only file that knows both. numpy only.

Film camera (Mocap): x right, y down, z forward. World: z up, the ground at z = 0, the same for Mocap and Blender. An
armature's own axes: SMPL-X's rest pose, x to the person's left, y up, z to the front; its object, in the world's
origin, turns it by +90 degrees about x, so that y up becomes z up. A Blender camera: x right, y up, looking along -z.
"""

from __future__ import annotations

import math

import numpy as np

from aios_core.geometry.rotations import (
    axis_angle_to_quat_wxyz,
    axis_angle_to_rotmat,
    continuous_quat_wxyz,
    rotmat_to_quat_wxyz,
)

ARMATURE_FROM_WORLD = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
ARMATURE_EULER = (math.pi / 2, 0.0, 0.0)
"""Rotation of armature objects: SMPL-X's y up becomes the world's z up."""
FILM_FROM_BLENDER_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])


def pelvis_locations(transl: np.ndarray, rest_pelvis: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """(N, 3) locations of the pelvis bone, from its rest place, for translations (N, 3) in camera space.

    camera_to_world: (N, 4, 4).
    """
    world = camera_to_world_points(rest_pelvis + transl, camera_to_world)
    return world @ ARMATURE_FROM_WORLD.T - rest_pelvis


def pelvis_quaternions(global_orient: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """(N, 4) w x y z of the pelvis bone for axis-angles (N, 3) in camera space, without sign flips."""
    rotmats = ARMATURE_FROM_WORLD @ camera_to_world[:, :3, :3] @ axis_angle_to_rotmat(global_orient.astype(np.float64))
    return continuous_quat_wxyz(rotmat_to_quat_wxyz(rotmats))


def joint_quaternions(pose: np.ndarray) -> np.ndarray:
    """(N, J, 4) w x y z of axis-angles (N, J, 3), without sign flips in time."""
    return continuous_quat_wxyz(axis_angle_to_quat_wxyz(pose.astype(np.float64)))


def camera_to_world_points(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """World positions (N, ..., 3) of camera space points (N, ..., 3), with cameras (N or 1, 4, 4)."""
    shape = (len(camera_to_world), *[1] * (points.ndim - 2), 3)
    turned = np.einsum("nij,n...j->n...i", np.broadcast_to(camera_to_world[:, :3, :3], (len(points), 3, 3)), points)
    return turned + camera_to_world[:, :3, 3].reshape(shape)


def camera_matrices(camera_to_world: np.ndarray) -> np.ndarray:
    """(N, 4, 4) matrices of Blender's camera object for film cameras (N, 4, 4)."""
    return camera_to_world @ FILM_FROM_BLENDER_CAMERA


def frame_numbers(timestamps: np.ndarray, fps: float, first: int = 1) -> np.ndarray:
    """Blender frames (T,) of timestamps (T,), seconds: whole ones for a steady clock, fractions for a variable one."""
    frames = np.asarray(timestamps) * fps
    whole = np.round(frames)
    return np.where(np.abs(frames - whole) < 0.05, whole, frames) + first


def lens(focal_px: float, center_px: tuple[float, float], width: int, height: int, sensor_mm: float = 36.0):
    """(lens in mm, shift_x, shift_y) of a Blender camera with a horizontal sensor of `sensor_mm`."""
    shift_x = (width / 2 - center_px[0]) / width
    shift_y = (center_px[1] - height / 2) / width
    return focal_px / width * sensor_mm, shift_x, shift_y
