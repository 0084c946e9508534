"""Pose correctives (posedirs) learnt from computed targets, without scans.

For each joint, random rotations are skinned with the twist spread along the limb and the bend smoothed by delta mush
(Mancewicz et al. 2014); what plain skinning lacks is regressed on the rotation matrix minus the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from aios_core.body.joints import JOINT_NAMES, PARENTS
from aios_core.body.open_body.hands import finger_axes
from aios_core.body.open_body.mesh import neighbour_average, vertex_normals
from aios_core.body.open_body.skinning_weights import JOINT, smoothstep
from aios_core.body.open_body.source import SKIN
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle

LIMB_LIMITS = {
    "hip": ((-118, 22), (-32, 45), (-20, 48)),
    "knee": ((0, 142), (-8, 12), (-3, 3)),
    "ankle": ((-22, 45), (-14, 14), (-16, 22)),
    "elbow": ((-75, 70), (-145, 2), (-4, 4)),
    "wrist": ((-12, 12), (-20, 30), (-65, 58)),
}
"""Degrees of axis-angle (x, y, z) of the left side; the right is its mirror image."""
FINGER_LIMITS = {"1": ((-18, 88), (-12, 12)), "2": ((0, 108), (0, 0)), "3": ((-5, 75), (0, 0))}
THUMB_LIMITS = {"1": ((-25, 45), (-25, 25)), "2": ((-10, 60), (-5, 5)), "3": ((-20, 80), (0, 0))}
"""Degrees of flexion and abduction."""
_LIMB_ENDS = {
    "elbow": ("elbow", "wrist"),
    "wrist": ("elbow", "wrist"),
    "knee": ("knee", "ankle"),
    "hip": ("hip", "knee"),
}
_LONGEST = 0.09  # metres, soft bound of a corrective
_SMALLEST = 1.2e-4  # metres per unit below which a vertex gets no corrective
_SHRINKAGE = 2e-2


@dataclass(frozen=True)
class _Template:
    vertices: np.ndarray
    faces: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    joints: np.ndarray
    subtree: np.ndarray
    """(55, 55) bool: joint, descendants"""
    smoothing: sp.spmatrix
    neighbour: np.ndarray
    """(V,) some neighbour, for tangents"""
    details: np.ndarray
    """(V, 3) what smoothing removes, in local frames"""

    def smooth(self, values: np.ndarray, steps: int = 10) -> np.ndarray:
        for _ in range(steps):
            values = self.smoothing @ values
        return values

    def frames(self, vertices: np.ndarray) -> np.ndarray:
        """(V, 3, 3) tangent, bitangent and normal as columns."""
        normals = vertex_normals(vertices, self.faces)
        tangents = vertices[self.neighbour] - vertices
        tangents = tangents - (tangents * normals).sum(1, keepdims=True) * normals
        tangents = tangents / np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-12)
        return np.stack([tangents, np.cross(normals, tangents), normals], 2)

    def mushed(self, vertices: np.ndarray) -> np.ndarray:
        """Smoothed vertices with the rest pose's details put back."""
        smooth = self.smooth(vertices)
        return smooth + np.einsum("vij,vj->vi", self.frames(smooth), self.details)


@dataclass(frozen=True)
class _Twist:
    """How a joint's rotation about a limb is spread along it."""

    axis: np.ndarray
    profile: np.ndarray
    """(V,) 0..1 of the joint's twist"""
    region: np.ndarray
    """(V,) bool, the limb's vertices"""


def learn_posedirs(
    vertices: np.ndarray,
    faces: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    samples: int = 96,
) -> np.ndarray:
    """(V, 3, 486) correctives; zero for trunk, neck, head, collars, shoulders, feet, face."""
    template = _template(vertices, faces, groups, weights, joints)
    rng = np.random.default_rng(0)
    posedirs = np.zeros((len(vertices), 3, 486))
    for j in range(1, 55):
        if j >= 25 or _limb(j) in LIMB_LIMITS:
            moved, columns = _learn_joint(template, j, _draw_rotations(template, j, rng, samples))
            posedirs[moved, :, (j - 1) * 9 : j * 9] = columns
    return posedirs


def _template(
    vertices: np.ndarray, faces: np.ndarray, groups: np.ndarray, weights: np.ndarray, joints: np.ndarray
) -> _Template:
    subtree = np.eye(55, dtype=bool)
    for j in range(54, 0, -1):
        subtree[PARENTS[j]] |= subtree[j]
    count = len(vertices)
    smoothing = (0.5 * sp.identity(count) + 0.5 * neighbour_average(count, faces)).tocsr()
    neighbour = np.zeros(count, int)
    for k in range(3):
        neighbour[faces[:, k]] = faces[:, (k + 1) % 3]
    bare = _Template(vertices, faces, groups, weights, joints, subtree, smoothing, neighbour, np.zeros_like(vertices))
    smooth = bare.smooth(vertices)
    details = np.einsum("vji,vj->vi", bare.frames(smooth), vertices - smooth)
    return _Template(vertices, faces, groups, weights, joints, subtree, smoothing, neighbour, details)


def _side(j: int) -> str:
    return JOINT_NAMES[j].split("_")[0]


def _limb(j: int) -> str:
    return JOINT_NAMES[j].split("_")[-1]


def _draw_rotations(template: _Template, j: int, rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3, 3) rotations within the joint's limits, the first one none."""
    if j >= 25:
        rotations = _draw_finger(template, j, rng, count)
    else:
        low, high = np.array(LIMB_LIMITS[_limb(j)]).T
        axis_angle = np.deg2rad(rng.uniform(low, high, (count, 3)))
        if _side(j) == "right":
            axis_angle *= [1, -1, -1]
        rotations = axis_angle_to_rotmat(axis_angle)
        if _limb(j) in _LIMB_ENDS:  # swing after twist: boxes of axis-angle alone thin the forearm
            axis_angle *= rng.uniform(0, 1, (count, 1)) ** 0.35
            axis = _limb_axis(template, j)
            twist = (axis_angle @ axis)[:, None] * axis
            rotations = axis_angle_to_rotmat(axis_angle - twist) @ axis_angle_to_rotmat(twist)
    rotations[0] = np.eye(3)
    return rotations


def _draw_finger(template: _Template, j: int, rng: np.random.Generator, count: int) -> np.ndarray:
    finger = _limb(j)
    limits = (THUMB_LIMITS if finger.startswith("thumb") else FINGER_LIMITS)[finger[-1]]
    flexion, abduction = finger_axes(template.joints, _side(j))
    i = (j - 25) % 15
    bend = np.deg2rad(rng.uniform(*limits[0], count))[:, None]
    spread = np.deg2rad(rng.uniform(*limits[1], count))[:, None]
    return axis_angle_to_rotmat(bend * flexion[i] + spread * abduction[i])


def _limb_axis(template: _Template, j: int) -> np.ndarray:
    start, end = (template.joints[JOINT[f"{_side(j)}_{name}"]] for name in _LIMB_ENDS[_limb(j)])
    return (end - start) / np.linalg.norm(end - start)


def _twist(template: _Template, j: int) -> _Twist | None:
    """The forearm's twist, for elbow and wrist; None for other joints."""
    if _limb(j) not in ("elbow", "wrist"):
        return None
    elbow, wrist = (template.joints[JOINT[f"{_side(j)}_{name}"]] for name in ("elbow", "wrist"))
    along = (template.vertices - elbow) @ (wrist - elbow) / ((wrist - elbow) ** 2).sum()
    moved = template.weights[:, template.subtree[j]].sum(1)
    if _limb(j) == "elbow":
        return _Twist(_limb_axis(template, j), smoothstep(along, -0.05, 0.95) * moved, moved > 0.02)
    forearm = template.weights[:, template.subtree[JOINT[f"{_side(j)}_elbow"]]].sum(1)
    profile = np.maximum(smoothstep(along, 0.1, 1.02), smoothstep(moved, 0.3, 1.0)) * np.clip(forearm, 0, 1)
    return _Twist(_limb_axis(template, j), np.where(moved > 0.999, 1, profile), forearm > 0.02)


def _learn_joint(template: _Template, j: int, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (M,) and their columns (M, 3, 9) for one joint."""
    share = template.weights[:, template.subtree[j]].sum(1)
    skin = template.groups == SKIN
    twist = _twist(template, j)
    bend = smoothstep(template.smooth(((share > 0.02) & (share < 0.98)).astype(float), 12), 0.02, 0.25) * skin
    active = (share > 0) | (bend > 1e-3) | (twist.region if twist is not None else False)
    active = np.flatnonzero(active & skin)
    missing = np.stack([_missing(template, j, rotmat, share, bend, twist, active) for rotmat in rotations])
    length = np.linalg.norm(missing, axis=-1, keepdims=True)
    missing *= _LONGEST * np.tanh(length / _LONGEST) / np.maximum(length, 1e-9)
    features = (rotations - np.eye(3)).reshape(len(rotations), 9)
    solve = np.linalg.solve(features.T @ features + _SHRINKAGE * np.eye(9), features.T)
    columns = np.einsum("kn,nvc->vck", solve, missing)
    kept = np.abs(columns).max((1, 2)) > _SMALLEST
    return active[kept], columns[kept]


def _missing(
    template: _Template,
    j: int,
    rotmat: np.ndarray,
    share: np.ndarray,
    bend: np.ndarray,
    twist: _Twist | None,
    active: np.ndarray,
) -> np.ndarray:
    """(M, 3) what to add to the active vertices at rest so that plain skinning gives the wanted surface."""
    joint, vertices = template.joints[j], template.vertices
    swing, arm = rotmat, vertices - joint
    if twist is not None:
        about = _twist_about(rotmat, twist.axis)
        swing = rotmat @ axis_angle_to_rotmat(about * twist.axis).T
        arm = np.einsum("vij,vj->vi", axis_angle_to_rotmat((about * twist.profile)[:, None] * twist.axis), arm)
    wanted = joint + arm + share[:, None] * (arm @ (swing - np.eye(3)).T)
    wanted = wanted + bend[:, None] * (template.mushed(wanted) - wanted)
    some = share[active, None]
    skinned = np.eye(3) + some[..., None] * (rotmat - np.eye(3))
    error = wanted[active] - some * (joint - rotmat @ joint) - np.einsum("vij,vj->vi", skinned, vertices[active])
    back = skinned.transpose(0, 2, 1)  # the blended matrix is nearly singular at half weights: damp its inverse
    return np.linalg.solve(back @ skinned + 2e-2 * np.eye(3), (back @ error[..., None]))[..., 0]


def _twist_about(rotmat: np.ndarray, axis: np.ndarray) -> float:
    """Angle of the rotation's twist about a unit axis (swing-twist split)."""
    axis_angle = rotmat_to_axis_angle(rotmat)
    half = np.linalg.norm(axis_angle) / 2
    return float(2 * np.arctan2(np.sinc(half / np.pi) / 2 * (axis_angle @ axis), np.cos(half)))
