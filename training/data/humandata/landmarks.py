"""The 137 joints of a body from few vertices: only those that are joints or corners of face landmarks are posed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aios_core.body import skinning
from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS, JAW, JOINTS_137_FROM_144, LEFT_HAND, RIGHT_HAND


def landmark_body(body: BodyModel) -> BodyModel:
    """The body with only those vertices that its 144 joints are made of; they come out the same."""
    triangles = np.unique(np.concatenate([body.landmark_faces.ravel(), body.contour_faces.ravel()]))
    vertices = np.unique(np.concatenate([body.extra_joint_vertices, body.faces[triangles].ravel()]))
    posedirs = body.posedirs
    if posedirs is not None:
        posedirs = np.ascontiguousarray(posedirs.reshape(len(posedirs), -1, 3)[:, vertices].reshape(len(posedirs), -1))
    return replace(
        body,
        v_template=body.v_template[vertices],
        shapedirs=body.shapedirs[vertices],
        exprdirs=body.exprdirs[vertices],
        posedirs=posedirs,
        lbs_weights=body.lbs_weights[vertices],
        J_regressor=body.J_regressor[:, vertices],
        faces=np.searchsorted(vertices, body.faces[triangles]),
        extra_joint_vertices=np.searchsorted(vertices, body.extra_joint_vertices),
        landmark_faces=np.searchsorted(triangles, body.landmark_faces),
        contour_faces=np.searchsorted(triangles, body.contour_faces),
        uv=None,
        uv_faces=None,
        base_mesh_vertex=None,
    )


def full_pose(pose: np.ndarray, body: BodyModel, hands_relative: bool) -> np.ndarray:
    """(P, 55, 3) poses of 53 (22 body, left hand, right hand, jaw): the mean hand added, the eyes straight."""
    out = np.zeros((len(pose), 55, 3), np.float32)
    out[:, :BODY_JOINTS], out[:, JAW] = pose[:, :22], pose[:, 52]
    out[:, LEFT_HAND], out[:, RIGHT_HAND] = pose[:, 22:37], pose[:, 37:52]
    if hands_relative:
        out[:, LEFT_HAND] += body.hands_mean_left
        out[:, RIGHT_HAND] += body.hands_mean_right
    return out


def joints_137(
    body: BodyModel, pose: np.ndarray, betas: np.ndarray, expression: np.ndarray, transl: np.ndarray
) -> np.ndarray:
    """(P, 137, 3) joints of bodies in poses (P, 55, 3), metres."""
    if not len(pose):
        return np.zeros((0, 137, 3), np.float32)
    posed = skinning.pose_body(body, betas, expression, pose, transl)
    return skinning.joints_144(body, posed, pose)[:, JOINTS_137_FROM_144].astype(np.float32)
