"""Things seen large and nobody with them: vessels, fruit, flowers, leaves, roofs, helmets, boxes, before surroundings
that are out of focus.

Large bodies that taper or branch, in the colours of skin and clothes, are what photographs without people are full of,
and renders were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from aios_core.geometry.rotations import axis_angle_to_rotmat
from training.data.synthetic.drawing import Mesh, SceneCamera, Setting, backdrop, draw
from training.data.synthetic.objects import SHAPES, Shape, grid, helmet, textured

MOST_THINGS = 12
DEPTHS = 0.4, 1.2
"""Metres."""
SIZES = 0.12, 1.1
"""Of a thing, in heights of the picture."""
SKIN_GAINS = np.array([[1.0, 0.78, 0.65], [0.8, 0.55, 0.42], [0.45, 0.3, 0.22]])
SKIN_SHARE = 0.35
"""Of the things: with the colours of skin on what is nearly white."""
BLURRED_SHARE = 0.6


def still_life(
    textures: Sequence[int], mips: tuple[np.ndarray, ...], camera: SceneCamera, setting: Setting, width: int,
    height: int, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """(H, W, 3) float32 linear light: some things strewn over or heaped in the picture."""
    half_view = np.array([width, height]) / 2 / camera.focal_px
    count, spread = int(rng.integers(1, MOST_THINGS + 1)), rng.uniform(0.2, 1.0)
    middle = rng.uniform(-0.5, 0.5, 2)
    kinds = [vessel, flower, foliage, limb, roof, helmet, *(lambda _, shape=shape: shape for shape in SHAPES)]
    kind = kinds[rng.integers(len(kinds))] if rng.random() < 0.4 else None  # several of a kind, or of all
    meshes = []
    for _ in range(count):
        shape = (kind or kinds[rng.integers(len(kinds))])(rng)
        depth = rng.uniform(*DEPTHS)
        at = (middle + spread * rng.uniform(-1, 1, 2)) * half_view * depth
        size = np.exp(rng.uniform(*np.log(SIZES))) * half_view[1] * depth * np.exp(rng.normal(0, 0.25, 3))
        meshes.append(_placed(shape, np.array([*at, depth]), size, textures, rng))
    return draw(meshes, mips, camera, _out_of_focus(camera, setting, width, height, rng), width, height).picture


def vessel(rng: np.random.Generator, rows: int = 16, columns: int = 28) -> Shape:
    """A surface of revolution: a cup, a vase, a plate, a pear."""
    t = np.linspace(0, 1, rows + 1)
    waves = sum(rng.normal(0, 0.25 / k) * np.sin(k * np.pi * t + rng.uniform(0, np.pi)) for k in (1, 2, 3))
    radius = np.clip(rng.uniform(0.35, 0.8) + waves, 0.05, 1.1)
    radius[0] = 0.0  # the bottom; the top is closed half of the time
    radius[-1] *= rng.random() < 0.5
    around = np.linspace(0, 2 * np.pi, columns + 1)
    flat = rng.uniform(0.15, 1.0)
    points = np.stack(
        [radius[:, None] * np.cos(around), np.repeat((1 - 2 * t)[:, None] * flat, columns + 1, 1),
         radius[:, None] * np.sin(around)], -1
    )  # fmt: skip
    uv = np.stack(np.meshgrid(around / (2 * np.pi), t), -1)
    return Shape(points.reshape(-1, 3), grid(rows, columns), uv.reshape(-1, 2))


def flower(rng: np.random.Generator, rows: int = 6, columns: int = 5) -> Shape:
    """Rings of curved petals that open towards the camera, or hang from a stem: a rose, a daisy, a head of cabbage."""
    rings, each = int(rng.integers(1, 8)), int(rng.integers(4, 15))
    along, across, petal_uv = _blade(rows, columns)
    width, cup = rng.uniform(0.15, 0.6), rng.uniform(0.0, 0.4)
    points, faces, uv = [], [], []
    for ring in range(rings):
        length, open_by = rng.uniform(0.7, 1.0) * (0.4 + 0.6 * (ring + 1) / rings), rng.uniform(0.2, 1.4)
        for k in range(each):
            side = width * length * np.sin(np.pi * np.clip(0.08 + 0.9 * along, 0, 1)) * across
            bend = open_by + rng.normal(0, 0.1) + 0.9 * along
            out, up = length * along * np.sin(bend), length * along * np.cos(bend) + cup * side**2 / length
            petal = np.stack(np.broadcast_arrays(side, -up, out), -1).reshape(-1, 3)
            turn = 2 * np.pi * (k + 0.5 * ring) / each + rng.normal(0, 0.1)
            faces.append(grid(rows, columns) + sum(len(p) for p in points))
            points.append(petal @ axis_angle_to_rotmat(np.array([0, turn, 0.0])).T)
            uv.append(petal_uv)
    return Shape(np.concatenate(points), np.concatenate(faces), np.concatenate(uv))


def foliage(rng: np.random.Generator, rows: int = 4, columns: int = 2) -> Shape:
    """Leaves that point away from a stem, or from everywhere in a ball: a pot plant, a bush, a crown of a tree."""
    count, width = int(rng.integers(8, 50)), rng.uniform(0.1, 0.4)
    along, across, uv = _blade(rows, columns)
    leaf = np.stack(
        np.broadcast_arrays(width * np.sin(np.pi * (0.05 + 0.9 * along)) * across, -along, 0.4 * along**2), -1
    ).reshape(-1, 3)
    turns = axis_angle_to_rotmat(rng.normal(0, rng.uniform(0.5, 1.6), (count, 3)))
    feet = rng.normal(0, 0.35, (count, 3)) * rng.choice([0.2, 1.0], 3)
    points = np.einsum("nij,kj->nki", turns, leaf) * rng.uniform(0.3, 0.8, (count, 1, 1)) + feet[:, None]
    faces = grid(rows, columns)[None] + len(leaf) * np.arange(count)[:, None, None]
    return Shape(points.reshape(-1, 3), faces.reshape(-1, 3), np.tile(uv, (count, 1)))


def _blade(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a petal or leaf: 0..1 along it (rows + 1, 1), -1..1 across it (1, columns + 1), texture coordinates (N, 2)."""
    along, across = np.linspace(0, 1, rows + 1)[:, None], np.linspace(-1, 1, columns + 1)[None]
    return along, across, np.stack(np.broadcast_arrays((across + 1) / 2, along), -1).reshape(-1, 2)


def roof(rng: np.random.Generator, rows: int = 8, columns: int = 16) -> Shape:
    """Storeys that grow narrower upwards, each a wall under a roof with curved eaves: a pagoda, a hut, a tent."""
    storeys, depth = int(rng.integers(1, 6)), rng.uniform(0.3, 1.0)
    curve, lift, ridge = rng.uniform(0.6, 2.2), rng.uniform(0.0, 0.35), rng.uniform(0.0, 0.8)
    wall, narrower, height = rng.uniform(0.1, 0.7), rng.uniform(0.6, 0.95), 2 / storeys
    down, around = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij")
    square = 1 / np.maximum(abs(np.cos(around)), abs(np.sin(around)))  # out to the side of a square, corners farthest
    square = square if rng.random() < 0.7 else np.ones_like(square)
    # The upper half of the rows is the roof, from its ridge out to the eaves; the lower one the wall below it.
    is_roof = down <= 0.5
    t = np.where(is_roof, 2 * down, 2 * down - 1)
    width = np.where(is_roof, ridge + (1 - ridge) * t, 0.7) * square
    fall = height * np.where(is_roof, (1 - wall) * (1 - (1 - t) ** curve), 1 - wall + wall * t)
    fall = fall - np.where(is_roof, lift * height * t**3 * (square - 1) / 0.42, 0)
    points = []
    for storey in range(storeys):
        out, y = 0.75 * narrower ** (storeys - 1 - storey) * width, height * storey - 1 + fall
        points.append(np.stack([out * np.cos(around), y, depth * out * np.sin(around)], -1).reshape(-1, 3))
    faces = grid(rows, columns)[None] + down.size * np.arange(storeys)[:, None, None]
    uv = np.stack([around / (2 * np.pi), t], -1).reshape(-1, 2)
    return Shape(np.concatenate(points), faces.reshape(-1, 3), np.tile(uv, (storeys, 1)))


def limb(rng: np.random.Generator, rows: int = 14, columns: int = 12) -> Shape:
    """A bent rod of changing thickness: a branch, a handle, a banana, a cable."""
    t = np.linspace(0, 1, rows + 1)
    turns = np.cumsum(rng.normal(0, 0.12, (rows + 1, 2)) + rng.normal(0, 0.12, 2), 0)
    ways = np.stack([np.sin(turns[:, 0]), np.cos(turns[:, 0]) * np.cos(turns[:, 1]), np.sin(turns[:, 1])], -1)
    line = np.cumsum(ways, 0) * 2 / rows
    line -= line.mean(0)
    radius = rng.uniform(0.05, 0.3) * (1 + 0.4 * np.sin(np.pi * rng.uniform(0.5, 3) * t + rng.uniform(0, 6)))
    radius[[0, -1]] *= 0.2
    around = np.linspace(0, 2 * np.pi, columns + 1)
    ring = np.stack([np.cos(around), 0 * around, np.sin(around)], -1)
    points = line[:, None] + radius[:, None, None] * ring
    uv = np.stack(np.meshgrid(around / (2 * np.pi), t), -1)
    return Shape(points.reshape(-1, 3), grid(rows, columns), uv.reshape(-1, 2))


def _placed(
    shape: Shape, place: np.ndarray, size: np.ndarray, textures: Sequence[int], rng: np.random.Generator
) -> Mesh:
    """A shape at a place, turned at random, with a piece of a texture, large or as good as one colour."""
    rotation = axis_angle_to_rotmat(rng.normal(0, 0.9, 3))
    piece = np.exp(rng.uniform(np.log(0.01), 0))
    uv = rng.random(2) * (1 - piece) + piece * shape.uv
    gain = rng.uniform(0.2, 1.3, 3)
    if rng.random() < SKIN_SHARE:
        gain = SKIN_GAINS[rng.integers(len(SKIN_GAINS))] * rng.uniform(0.8, 1.5)
    placed = shape._replace(points=(shape.points * size) @ rotation.T + place, uv=uv)
    return textured(placed, int(rng.choice(textures)), gain)


def _out_of_focus(camera: SceneCamera, setting: Setting, width: int, height: int, rng: np.random.Generator) -> Setting:
    """The setting with its background as it is seen, blurred more often than not."""
    seen = backdrop(camera, setting, width, height)
    if rng.random() < BLURRED_SHARE:
        seen = cv2.GaussianBlur(seen, (0, 0), float(np.exp(rng.uniform(np.log(1), np.log(width / 16)))))
    return replace(setting, panorama=seen, is_flat=True)
