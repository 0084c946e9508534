"""BodyModel: a body in SMPL-X's layout as plain arrays, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

SHAPE_COUNT = 10
EXPRESSION_COUNT = 10
SPARSE = 0.25
"""Pose correctives are taken joint by joint where joints move less than this share of all coordinates."""


@dataclass(frozen=True)
class CorrectiveBlock:
    """The pose correctives of one joint, without the coordinates that they do not move."""

    features: slice
    """Nine of the 486: entries of the joint's rotation matrix less identity."""
    coordinates: np.ndarray
    """(C,) of the V*3."""
    directions: np.ndarray
    """(9, C) metres."""


@dataclass(frozen=True)
class BodyModel:
    """Arrays of one body, float32 unless noted; V vertices, F triangles. Metres, Y up, facing +Z, T-pose."""

    family: str
    """'open' or 'smplx': whose betas and expression coefficients fit."""
    gender: str
    v_template: np.ndarray
    """(V, 3)"""
    faces: np.ndarray
    """(F, 3) int32"""
    shapedirs: np.ndarray
    """(V, 3, 10) metres per unit of betas."""
    exprdirs: np.ndarray
    """(V, 3, 10) metres per unit of expression."""
    posedirs: np.ndarray | None
    """(486, V*3) pose correctives, or None."""
    lbs_weights: np.ndarray
    """(V, 55), rows sum to 1."""
    J_regressor: np.ndarray
    """(55, V)"""
    joint_template: np.ndarray
    """(55, 3) joints of the template: J_regressor @ v_template."""
    joint_shapedirs: np.ndarray
    """(55, 3, 10) J_regressor @ shapedirs."""
    joint_exprdirs: np.ndarray
    """(55, 3, 10) J_regressor @ exprdirs."""
    parents: np.ndarray
    """(55,) int"""
    extra_joint_vertices: np.ndarray
    """(21,) int: vertices of joints 55..75."""
    landmark_faces: np.ndarray
    """(51,) int: triangles of joints 76..126."""
    landmark_weights: np.ndarray
    """(51, 3) barycentric."""
    contour_faces: np.ndarray
    """(79, 17) int: triangles of joints 127..143, a row for each degree of head yaw."""
    contour_weights: np.ndarray
    """(79, 17, 3) barycentric."""
    hands_mean_left: np.ndarray
    """(15, 3) axis-angle of the mean left hand."""
    hands_mean_right: np.ndarray
    """(15, 3)"""
    uv: np.ndarray | None = None
    """(U, 2) texture coordinates, or None."""
    uv_faces: np.ndarray | None = None
    """(F, 3) int32 corners of the triangles in uv."""
    expression_names: tuple[str, ...] = ()
    base_mesh_vertex: np.ndarray | None = None
    """(V,) int32 number of each vertex on MakeHuman's base mesh hm08 (open body only)."""

    @cached_property
    def corrective_blocks(self) -> tuple[CorrectiveBlock, ...] | None:
        """posedirs joint by joint; None where there are none or joints move so much that one product is faster."""
        if self.posedirs is None:
            return None
        blocks = []
        for start in range(0, len(self.posedirs), 9):
            features = slice(start, start + 9)
            coordinates = np.flatnonzero(np.any(self.posedirs[features], axis=0))
            if len(coordinates):
                directions = np.ascontiguousarray(self.posedirs[features, coordinates])
                blocks.append(CorrectiveBlock(features, coordinates, directions))
        is_sparse = sum(block.directions.size for block in blocks) < SPARSE * self.posedirs.size
        return tuple(blocks) if is_sparse else None


def scaled(body: BodyModel, factor: float) -> BodyModel:
    """The same body `factor` times as tall, about its origin."""
    names = ("v_template", "shapedirs", "exprdirs", "posedirs", "joint_template", "joint_shapedirs", "joint_exprdirs")
    arrays = {name: getattr(body, name) for name in names}
    return replace(body, **{name: a if a is None else a * np.float32(factor) for name, a in arrays.items()})
