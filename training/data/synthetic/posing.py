"""Posing dressed people and placing them before a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import PosedBody, forward_kinematics, joints_144
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from training.data.synthetic import raster
from training.data.synthetic.drawing import Mesh, SceneCamera
from training.data.synthetic.people import Person


@dataclass(frozen=True)
class Posed:
    """A person in camera space."""

    person: Person
    full_pose: np.ndarray
    """(55, 3)"""
    expression: np.ndarray
    """(10,)"""
    transl: np.ndarray
    """(3,)"""
    vertices: np.ndarray
    """(N, 3) of the body and everything worn."""
    normals: np.ndarray
    joints: np.ndarray
    """(144, 3)"""

    def mesh(self) -> Mesh:
        """The person as triangles to draw."""
        worn = self.person
        return Mesh(self.vertices, self.normals, worn.faces, worn.face_uv, worn.face_texture, worn.face_gain)


def pose_person(
    body: BodyModel, person: Person, pose: np.ndarray, expression: np.ndarray, pelvis: np.ndarray, camera: SceneCamera
) -> Posed:
    """A person whose pelvis is at a place (3,) of the world, in a pose (55, 3) of the world, seen by a camera.

    The body's pose correctives are left out: they move the skin, mostly under clothes, by millimetres.
    """
    pose = pose.copy()
    pose[0] = rotmat_to_axis_angle(camera.camera_from_world @ axis_angle_to_rotmat(pose[0].astype(np.float64)))
    transl = (camera.camera_from_world @ (pelvis - camera.position) - person.rest_joints[0]).astype(np.float32)
    rest = person.vertices
    count = len(body.v_template)
    if expression.any():
        rest = rest.copy()
        rest[:count] += (body.exprdirs.reshape(-1, 10) @ expression).reshape(-1, 3)
    transforms = forward_kinematics(axis_angle_to_rotmat(pose), person.rest_joints, body.parents)
    matrices = transforms[:, :3].copy()
    matrices[:, :, 3] += transl - (transforms[:, :3, :3] @ person.rest_joints[..., None])[..., 0]
    vertices, normals = np.empty_like(rest), np.empty_like(rest)
    raster.skin(rest, person.normals, person.joints, person.weights, matrices.astype(np.float32), vertices, normals)
    posed = PosedBody(vertices[:count], transforms[:, :3, 3] + transl, transforms)
    joints = joints_144(body, posed, pose).astype(np.float32)
    return Posed(person, pose.astype(np.float32), expression, transl, vertices, normals, joints)


def pelvis_height(person: Person, pose: np.ndarray, parents: np.ndarray, feet_only: bool = True) -> float:
    """Height of the pelvis above the ground when the lowest ankle or toe, or the lowest joint, touches it."""
    joints = forward_kinematics(axis_angle_to_rotmat(pose), person.rest_joints, parents)[:, :3, 3]
    lowest = joints[:, 1].min() + 0.02
    if feet_only:
        lowest = min(joints[[7, 8, 10, 11], 1].min(), lowest)
    return float(joints[0, 1] - lowest + 0.06)
