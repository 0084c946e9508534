"""The face's 51 landmarks (iBUG order) and the 17-point contour for 79 head yaws, found on pictures of the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.open_body.mesh import rasterise
from aios_core.body.open_body.skinning_weights import JOINT
from aios_core.body.open_body.source import LEFT_EYE, RIGHT_EYE, SKIN
from aios_core.geometry.rotations import axis_angle_to_rotmat

PIXEL = 0.0004  # metres, of the front view
CONTOUR_PIXEL = 0.0008
Point = tuple[float, float]  # column, row


@dataclass(frozen=True)
class Face:
    """The template's head as the landmarks need it; V vertices, F triangles."""

    vertices: np.ndarray
    faces: np.ndarray
    groups: np.ndarray
    """(V,)"""
    weights: np.ndarray
    """(V, 55)"""
    joints: np.ndarray
    """(55, 3)"""
    lips: np.ndarray
    """(F, 3) 0..1 at the triangles' corners"""
    ears: np.ndarray
    """(F, 3)"""
    brow_movement: np.ndarray
    """(V,) metres, of the brow units"""

    def joint(self, name: str) -> np.ndarray:
        return self.joints[JOINT[name]]

    @property
    def head_weight(self) -> np.ndarray:
        """(V,) how much a vertex belongs to the head."""
        names = ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf")
        return self.weights[:, [JOINT[name] for name in names]].sum(1)


class FrontView:
    """A picture of the face from the front: rows upwards, columns towards the left ear."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.x0, self.y0 = -0.10, face.joint("jaw")[1] - 0.14
        box = (self.x0, 0.10, self.y0, face.joint("left_eye_smplhf")[1] + 0.09)
        near = (face.vertices[:, 1] > self.y0 - 0.02) & (np.abs(face.vertices[:, 0]) < 0.12)
        triangles = np.flatnonzero(near[face.faces].all(1))
        hit, self.weights, self.depth = rasterise(face.vertices, face.faces[triangles], box, PIXEL)
        self.empty = hit < 0
        self.triangle = np.where(self.empty, -1, triangles[np.maximum(hit, 0)])
        self.group = np.where(self.empty, -1, face.groups[face.faces[self.triangle, 0]])
        self.middle = int((0.0 - self.x0) / PIXEL - 0.5)

    def field(self, values: np.ndarray) -> np.ndarray:
        """(H, W) values (V,) of the vertices, interpolated; NaN beside the face."""
        return np.where(self.empty, np.nan, (values[self.face.faces[self.triangle]] * self.weights).sum(-1))

    def corner_field(self, values: np.ndarray) -> np.ndarray:
        """(H, W) values (F, 3) of the triangles' corners, interpolated; 0 beside the face."""
        return np.where(self.empty, 0, (values[self.triangle] * self.weights).sum(-1))

    def skin_at(self, point: Point) -> tuple[int, np.ndarray]:
        """Triangle and barycentric weights of the skin nearest to a pixel."""
        column, row = point
        top, left = max(int(row) - 12, 0), max(int(column) - 12, 0)
        window = self.group[top : int(row) + 13, left : int(column) + 13] == SKIN
        pixels = np.argwhere(window) + np.array([top, left])
        y, x = pixels[np.argmin(((pixels - [row, column]) ** 2).sum(1))]
        return int(self.triangle[y, x]), self.weights[y, x]


def face_landmarks(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (51,) and barycentric weights (51, 3): brows, nose, eyes, mouth."""
    view = FrontView(face)
    right_eye, left_eye = (_eye_outline(view, group) for group in (RIGHT_EYE, LEFT_EYE))
    eye_height = float(np.mean([row for _, row in left_eye]))
    points = [*_brows(view, left_eye), *_nose(view, eye_height), *right_eye, *left_eye]
    points += _mouth(view, _lip_pixels(view, eye_height))
    found = [view.skin_at(point) for point in points]
    return np.array([triangle for triangle, _ in found]), np.stack([weights for _, weights in found])


def _eye_outline(view: FrontView, group: int, margin: float = 2.5) -> list[Point]:
    """Six points around an eye: its right corner in the picture's left first, over the upper lid."""
    eye = view.group == group
    columns = np.flatnonzero(eye.any(0))
    start, end = columns.min(), columns.max()

    def rows(column: float) -> np.ndarray:
        return np.flatnonzero(eye[:, int(column)])

    def upper(t: float) -> Point:
        return start + t * (end - start), rows(start + t * (end - start)).max() + margin

    def lower(t: float) -> Point:
        return start + t * (end - start), rows(start + t * (end - start)).min() - margin

    corners = (start - margin, rows(start).mean()), (end + margin, rows(end).mean())
    return [corners[0], upper(0.33), upper(0.67), corners[1], lower(0.67), lower(0.33)]


def _brows(view: FrontView, left_eye: list[Point]) -> list[Point]:
    """Five points on each brow, along the ridge of the brow units; the right brow first."""
    movement = np.nan_to_num(view.field(view.face.brow_movement))
    columns = [column for column, _ in left_eye]
    eye_height = np.mean([row for _, row in left_eye])
    inner, width = min(columns), max(columns) - min(columns)
    low, high = int(eye_height + 0.009 / PIXEL), int(eye_height + 0.034 / PIXEL)

    def ridge(column: float) -> Point:
        strength = movement[low:high, int(np.clip(column, 0, movement.shape[1] - 1))] ** 4 + 1e-12
        return column, low + (strength * np.arange(len(strength))).sum() / strength.sum()

    outwards = [inner + t * width for t in np.linspace(-0.22, 1.18, 5)]
    right = [ridge(2 * view.middle - column) for column in reversed(outwards)]
    return right + [ridge(column) for column in outwards]


def _profile(view: FrontView) -> np.ndarray:
    """(H,) depth along the face's midline."""
    return np.maximum(view.depth[:, view.middle], -1)


def _nose_tip(view: FrontView, eye_height: float) -> int:
    profile = _profile(view)
    return int(np.argmax(np.where(np.arange(len(profile)) < eye_height, profile, -1)))


def _lip_pixels(view: FrontView, eye_height: float) -> np.ndarray:
    """(H, W) bool, between the nose's tip and 7 cm below."""
    lips = view.corner_field(view.face.lips) > 0.5
    rows, tip = np.arange(len(lips))[:, None], _nose_tip(view, eye_height)
    return lips & (rows < tip) & (rows > tip - 0.07 / PIXEL)


def _nose(view: FrontView, eye_height: float) -> list[Point]:
    """Four points down the bridge and five under the nose, from wing to wing."""
    tip = _nose_tip(view, eye_height)
    bridge = [(view.middle, eye_height + t * (tip - eye_height)) for t in (0, 1 / 3, 2 / 3, 1)]
    lip_top = np.flatnonzero(_lip_pixels(view, eye_height)[:, view.middle]).max()
    under = lip_top + int(np.argmin(_profile(view)[lip_top:tip]))
    depths = view.depth[under + int(0.004 / PIXEL)]
    columns = np.arange(view.middle + int(0.008 / PIXEL), view.middle + int(0.030 / PIXEL))
    wing = columns[np.argmin(depths[columns + 3] - depths[columns])] - 2 - view.middle
    heights = [under + (0.0035 if abs(t) == 1 else 0.0012) / PIXEL for t in (-1, -0.5, 0, 0.5, 1)]
    return bridge + [(view.middle + t * wing, h) for t, h in zip((-1, -0.5, 0, 0.5, 1), heights, strict=True)]


def _mouth(view: FrontView, lips: np.ndarray) -> list[Point]:
    """Twelve points around the lips and eight along their inner edges, clockwise in the picture."""
    columns = np.flatnonzero(lips.any(0))
    start, width = columns.min(), columns.max() - columns.min()
    lower = view.field(view.face.weights[:, JOINT["jaw"]]) > 0.5
    skin = view.group == SKIN

    def rows(mask: np.ndarray, t: float) -> np.ndarray:
        return np.flatnonzero(mask[:, round(start + t * width)])

    def top(t: float, mask: np.ndarray = lips) -> Point:
        return start + t * width, rows(mask, t).max()

    def bottom(t: float, mask: np.ndarray = lips) -> Point:
        return start + t * width, rows(mask, t).min()

    def corner(t: float, inset: float) -> Point:
        return start + (t + inset) * width, rows(lips, t).mean()

    outer = [corner(0, 0), *(top(t) for t in (0.2, 0.38, 0.5, 0.62, 0.8)), corner(1, 0)]
    outer += [bottom(t) for t in (0.8, 0.64, 0.5, 0.36, 0.2)]
    inner = [corner(0, 0.06), *(bottom(t, lips & ~lower & skin) for t in (0.33, 0.5, 0.67)), corner(1, -0.06)]
    inner += [top(t, lips & lower & skin) for t in (0.67, 0.5, 0.33)]
    return outer + inner


def face_contour(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (79, 17) and weights (79, 17, 3) of the face's outline.

    Rows 0..39: the head turned by 0 to -39 degrees; rows 40..78: by 1 to 39 degrees.
    """
    ear = np.zeros(len(face.vertices))
    np.add.at(ear, face.faces[:, 0], face.ears[:, 0])
    ear = ear > 0.5
    eye = face.joint("left_eye_smplhf")
    usable = (face.groups == SKIN) & (face.head_weight > 0.80) & ~ear
    usable &= (face.vertices[:, 2] > face.vertices[ear, 2].max() - 0.004) & (face.vertices[:, 1] < eye[1] + 0.06)
    triangles = np.flatnonzero(usable[face.faces].all(1))
    centre = np.array([0, face.joint("jaw")[1] - 0.012, eye[2] - 0.045])
    rows = [_contour_row(face, triangles, centre, -row if row <= 39 else row - 39) for row in range(79)]
    return np.stack([found for found, _ in rows]), np.stack([weights for _, weights in rows])


def _contour_row(face: Face, triangles: np.ndarray, centre: np.ndarray, degrees: int) -> tuple[np.ndarray, np.ndarray]:
    rotmat = axis_angle_to_rotmat(np.array([0, np.deg2rad(degrees), 0]))
    turned = (face.vertices - centre) @ rotmat.T
    left, low = -0.13, -0.13
    hit, weights, _ = rasterise(turned, face.faces[triangles], (left, 0.13, low, 0.09), CONTOUR_PIXEL)
    middle = 0.6 * (rotmat @ [0, 0, 0.07])[0]
    radii = np.arange(0.16, 0.005, -0.7 * CONTOUR_PIXEL)
    found, barycentric = np.zeros(17, int), np.zeros((17, 3))
    for k in range(17):  # from the right ear under the chin to the left ear, inwards until skin is met
        angle = np.deg2rad(-90 + (k - 8) * 98 / 8)
        columns = ((middle + np.cos(angle) * radii - left) / CONTOUR_PIXEL).astype(int)
        rows = ((np.sin(angle) * radii - low) / CONTOUR_PIXEL).astype(int)
        inside = (columns >= 0) & (columns < hit.shape[1]) & (rows >= 0) & (rows < hit.shape[0])
        columns, rows = columns[inside], rows[inside]
        first = np.flatnonzero(hit[rows, columns] >= 0)
        y, x = (rows[first[0]], columns[first[0]]) if len(first) else np.argwhere(hit >= 0)[0]
        found[k], barycentric[k] = triangles[hit[y, x]], weights[y, x]
    return found, barycentric
