"""Things that stand or float about, before or between people, and things in their hands: boxes, ellipsoids, panels,
helmets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aios_core.geometry.rotations import axis_angle_to_rotmat
from training.data.synthetic.drawing import Mesh
from training.data.synthetic.people import vertex_normals
from training.data.synthetic.posing import Posed

HELMET_SHARE = 0.15
"""Of the things: what is as round and as large as a head, and nobody's."""


class Shape(NamedTuple):
    """A surface about as large as the unit ball."""

    points: np.ndarray
    """(N, 3)"""
    faces: np.ndarray
    """(F, 3)"""
    uv: np.ndarray
    """(N, 2) texture coordinates."""
    shades: np.ndarray = np.ones(1)
    """(F,) factors on the brightness of the triangles, or one for all."""


def grid(rows: int, columns: int) -> np.ndarray:
    """(2*rows*columns, 3) triangles of a grid of (rows + 1) * (columns + 1) points."""
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    below = corner + columns + 1
    return np.concatenate([np.stack([corner, corner + 1, below + 1], -1), np.stack([corner, below + 1, below], -1)])


def _box() -> Shape:
    """24 corners and 12 triangles of a cube of half-size 1."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    sides = [np.insert(square, axis, sign, 1) for axis in range(3) for sign in (-1, 1)]
    triangles = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * k for k in range(6)])
    return Shape(np.concatenate(sides), triangles, np.tile((square + 1) / 2, (6, 1)))


def _ellipsoid(rows: int = 10, columns: int = 16) -> Shape:
    v, u = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij"))
    around, down = 2 * np.pi * u, np.pi * v
    points = np.stack([np.sin(down) * np.cos(around), np.cos(down), np.sin(down) * np.sin(around)], -1)
    return Shape(points, grid(rows, columns), np.stack([u, v], -1))


def _panel() -> Shape:
    uv = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    return Shape(np.insert(uv * 2 - 1, 2, 0, 1), grid(1, 1), uv)


SHAPES = (_box(), _ellipsoid(), _panel())


def helmet(rng: np.random.Generator, rows: int = 14, columns: int = 24) -> Shape:
    """A shell with a dark opening or visor in front (towards -z), on a collar: an astronaut's, a rider's, a mask."""
    row, around = np.meshgrid(np.arange(rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij")
    opening = rng.uniform(0.5, 1.3) * (1 + rng.uniform(0, 0.35) * np.cos(2 * around))  # as wide as high, or wider
    rim = rows // 2  # angles from the front: up to the opening in the first half of the rows, to the back in the others
    front = np.where(row <= rim, opening * row / rim, opening + (np.pi - opening) * (row - rim) / (rows - rim))
    radius = np.where(row < rim, rng.uniform(0.8, 1.05), 1.0)
    ways = [np.sin(front) * np.cos(around), np.sin(front) * np.sin(around) - rng.uniform(0, 0.2), -np.cos(front)]
    shell = (radius * np.stack(ways)).reshape(3, -1).T
    visor = np.where((row < rim)[:-1, :-1].ravel(), np.exp(rng.uniform(np.log(0.03), np.log(0.6))), 1.0)
    ring_around, ring_y = np.meshgrid(around[0], [0.7, rng.uniform(0.85, 1.1)])
    out = rng.uniform(0.45, 0.8)
    collar = np.stack([out * np.cos(ring_around), ring_y, out * np.sin(ring_around)], -1).reshape(-1, 3)
    return Shape(
        points=np.concatenate([shell, collar]),
        faces=np.concatenate([grid(rows, columns), grid(1, columns) + len(shell)]),
        uv=np.concatenate(
            [np.stack([around / (2 * np.pi), front / np.pi], -1).reshape(-1, 2),
             np.stack([ring_around / (2 * np.pi), ring_y], -1).reshape(-1, 2)]
        ),
        shades=np.concatenate([np.tile(visor, 2), np.full(2 * columns, rng.uniform(0.5, 1.2))]),
    )  # fmt: skip


def random_shape(rng: np.random.Generator) -> Shape:
    """A box, an ellipsoid, a panel or a helmet."""
    return helmet(rng) if rng.random() < HELMET_SHARE else SHAPES[rng.integers(len(SHAPES))]


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
    shape = random_shape(rng)
    placed = shape._replace(points=shape.points * size @ rotation.T + place)
    return textured(placed, rng.choice(textures), rng.uniform(0.2, 1.1, 3))


def textured(shape: Shape, texture: int, gain: np.ndarray) -> Mesh:
    """A mesh of a shape in camera space, with one texture and a colour gain (3,)."""
    points, faces, count = shape.points.astype(np.float32), shape.faces, len(shape.faces)
    return Mesh(
        points=points,
        normals=vertex_normals(points, faces),
        faces=faces.astype(np.int32),
        face_uv=np.ascontiguousarray(shape.uv[faces], np.float32),
        face_texture=np.full(count, texture, np.int32),
        face_gain=np.broadcast_to(shape.shades[:, None] * gain, (count, 3)).astype(np.float32),
    )
