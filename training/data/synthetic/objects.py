"""Things that stand or float about, before or between people, and things in their hands: boxes, ellipsoids, panels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aios_core.geometry.rotations import axis_angle_to_rotmat
from training.data.synthetic.drawing import Mesh
from training.data.synthetic.people import vertex_normals
from training.data.synthetic.posing import Posed


def grid(rows: int, columns: int) -> np.ndarray:
    """(2*rows*columns, 3) triangles of a grid of (rows + 1) * (columns + 1) points."""
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    below = corner + columns + 1
    return np.concatenate([np.stack([corner, corner + 1, below + 1], -1), np.stack([corner, below + 1, below], -1)])


def _box() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (24, 3), triangles (12, 3) and texture coordinates (24, 2) of a cube of half-size 1."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    sides = [np.insert(square, axis, sign, 1) for axis in range(3) for sign in (-1, 1)]
    triangles = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * k for k in range(6)])
    return np.concatenate(sides), triangles, np.tile((square + 1) / 2, (6, 1))


def _ellipsoid(rows: int = 10, columns: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    v, u = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij"))
    around, down = 2 * np.pi * u, np.pi * v
    points = np.stack([np.sin(down) * np.cos(around), np.cos(down), np.sin(down) * np.sin(around)], -1)
    return points, grid(rows, columns), np.stack([u, v], -1)


def _panel() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    uv = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    return np.insert(uv * 2 - 1, 2, 0, 1), grid(1, 1), uv


SHAPES = (_box(), _ellipsoid(), _panel())


def random_object(
    people: Sequence[Posed], textures: Sequence[int], half_view: np.ndarray, rng: np.random.Generator
) -> Mesh:
    """A thing of random shape, size and texture somewhere before or between the people, or anywhere without people.

    half_view: (2,) half the width and height of the picture at 1 m.
    """
    if people:
        near = people[rng.integers(len(people))]
        depth = max(near.joints[0, 2] * rng.uniform(0.55, 0.95), 0.4)
        at = near.joints[rng.integers(22), :2] / max(near.joints[0, 2], 0.4) * depth + rng.normal(0, 0.3, 2)
    else:
        depth = rng.uniform(1.5, 8)
        at = rng.uniform(-1, 1, 2) * half_view * depth
    size = np.exp(rng.normal(-1.9, 0.6, 3)) * (depth / 3) ** 0.5
    return _thing(np.array([*at, depth]), size, axis_angle_to_rotmat(rng.normal(0, 0.7, 3)), textures, rng)


def held_object(posed: Posed, textures: Sequence[int], rng: np.random.Generator) -> Mesh:
    """A thing in one of somebody's hands: as small as a telephone, as long as a racket or as large as a bag."""
    wrist, knuckle = ((20, 28), (21, 43))[rng.integers(2)]  # the middle finger's first joint
    along = posed.joints[knuckle] - posed.joints[wrist]
    palm = posed.joints[wrist] + along * rng.uniform(0.7, 1.1)
    size = np.array([(0.04, 0.08, 0.01), (0.02, 0.35, 0.02), (0.09, 0.09, 0.09), (0.16, 0.2, 0.06)][rng.integers(4)])
    rotation = axis_angle_to_rotmat(rng.normal(0, 1.5, 3))
    # Held near its end, so that long things stick out of the hand.
    return _thing(palm + rotation[:, 1] * size[1] * rng.uniform(-0.9, 0.9), size, rotation, textures, rng)


def _thing(
    place: np.ndarray, size: np.ndarray, rotation: np.ndarray, textures: Sequence[int], rng: np.random.Generator
) -> Mesh:
    points, faces, uv = SHAPES[rng.integers(len(SHAPES))]
    placed = points * size @ rotation.T + place
    return textured(placed, faces, uv, rng.choice(textures), rng.uniform(0.2, 1.1, 3))


def textured(points: np.ndarray, faces: np.ndarray, uv: np.ndarray, texture: int, gain: np.ndarray) -> Mesh:
    """A mesh of points (N, 3), camera space, and triangles (F, 3) with one texture, at uv (N, 2), and a colour gain."""
    points, count = points.astype(np.float32), len(faces)
    return Mesh(
        points=points,
        normals=vertex_normals(points, faces),
        faces=faces.astype(np.int32),
        face_uv=np.ascontiguousarray(uv[faces], np.float32),
        face_texture=np.full(count, texture, np.int32),
        face_gain=np.broadcast_to(gain, (count, 3)).astype(np.float32),
    )
