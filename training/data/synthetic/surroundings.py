"""Backgrounds and their light: equirectangular pictures, seen through any camera, or plain ones, with their light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from aios_core.errors import FootageError
from aios_core.media.image import IMAGE_SUFFIXES

# Cosine-convolved real spherical harmonics (Ramamoorthi and Hanrahan 2001), basis order as in `raster.shade`.
_BAND = np.array([np.pi, 2 * np.pi / 3, 2 * np.pi / 3, 2 * np.pi / 3, *[np.pi / 4] * 5])
_NORM = np.array([0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274])


@dataclass(frozen=True)
class Surroundings:
    """Pictures without people."""

    panoramas: list[np.ndarray]
    """(H, W, 3) uint8 RGB. Those twice as wide as high go all around: the middle column looks along +z, columns to the
    right turn towards -x, Y up. Others are plain pictures: they stand behind people whatever the camera does."""
    radiance: np.ndarray
    """(N, 32, 64, 3) linear light of each picture; of plain ones as if they were stretched all around."""
    names: list[str]


def goes_all_around(picture: np.ndarray) -> bool:
    """Whether a picture (H, W, 3) is equirectangular, by its shape."""
    height, width = picture.shape[:2]
    return abs(width - 2 * height) <= 0.01 * width


def load_surroundings(folder: Path) -> Surroundings:
    """Every picture of a folder, with `light_probes.npz` beside them where there is one.

    Raises:
        FootageError: there is none, or one cannot be read.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FootageError(f"{folder} holds no surroundings (pictures, equirectangular or plain).")
    panoramas = [_read(path) for path in paths]
    small = [cv2.resize(p, (64, 32), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for p in panoramas]
    radiance = np.stack(small) ** 2.2
    probes = folder / "light_probes.npz"
    if probes.exists():
        with np.load(probes) as stored:
            by_name = dict(zip(stored["name"].tolist(), stored["radiance"].astype(np.float32), strict=True))
        radiance = np.stack([by_name.get(path.stem, own) for path, own in zip(paths, radiance, strict=True)])
    return Surroundings(panoramas, radiance, [path.stem for path in paths])


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise FootageError(f"{path} cannot be read as a picture.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def photographs(surroundings: Surroundings, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """A (size, size, 3) cutting of each picture, for surfaces of things and prints of clothes."""
    cuttings = []
    for panorama in surroundings.panoramas:
        rows, columns = panorama.shape[:2]
        side = int(rng.integers(min(rows, columns) // 8, min(rows, columns) // 2))
        x, y = rng.integers(columns - side), rng.integers(rows // 4, rows - side)
        cuttings.append(cv2.resize(panorama[y : y + side, x : x + side], (size, size)))
    return cuttings


def brightest_direction(radiance: np.ndarray) -> np.ndarray:
    """(3,) towards the brightest light of a panorama (H, 2H, 3) above the horizon, in the panorama's frame."""
    rows, columns = radiance.shape[:2]
    upper = cv2.GaussianBlur(radiance.mean(-1).astype(np.float32), (0, 0), 1.0)[: int(rows * 0.45)]
    y, x = np.unravel_index(upper.argmax(), upper.shape)
    elevation, azimuth = (0.5 - (y + 0.5) / rows) * np.pi, (0.5 - (x + 0.5) / columns) * 2 * np.pi
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def view(panorama: np.ndarray, width: int, height: int, focal: float, world_from_camera: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the panorama through a camera with rotation world_from_camera (3, 3)."""
    x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2) / focal, (np.arange(height) + 0.5 - height / 2) / focal)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ world_from_camera.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    rows, columns = panorama.shape[:2]
    u = (0.5 - np.arctan2(rays[..., 0], rays[..., 2]) / (2 * np.pi)) * columns - 0.5
    v = (0.5 - np.arcsin(np.clip(rays[..., 1], -1, 1)) / np.pi) * rows - 0.5
    return cv2.remap(panorama, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def filling(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3): the middle of a picture (H, W, 3), as large as fits."""
    rows, columns = picture.shape[:2]
    zoom = max(width / columns, height / rows)
    size = max(round(columns * zoom), width), max(round(rows * zoom), height)
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return resized[y : y + height, x : x + width]


def irradiance(radiance: np.ndarray, camera_from_world: np.ndarray) -> np.ndarray:
    """(9, 3) coefficients of the light on a surface by its normal in camera space; at 1 a white surface is white."""
    rows, columns = radiance.shape[:2]
    elevation = (0.5 - (np.arange(rows) + 0.5) / rows) * np.pi
    azimuth = (0.5 - (np.arange(columns) + 0.5) / columns) * 2 * np.pi
    cos = np.cos(elevation)[:, None]
    world = np.stack(
        [cos * np.sin(azimuth), np.broadcast_to(np.sin(elevation)[:, None], radiance.shape[:2]), cos * np.cos(azimuth)],
        -1,
    )
    x, y, z = np.moveaxis(world @ camera_from_world.T, -1, 0)
    one = np.ones_like(x)
    basis = np.stack([one, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1) * _NORM
    solid_angle = np.broadcast_to(cos, radiance.shape[:2]) * (np.pi / rows) * (2 * np.pi / columns)
    coefficients = np.einsum("hwk,hwc,hw->kc", basis, np.minimum(radiance, 20), solid_angle)
    return (coefficients * (_BAND * _NORM)[:, None] / np.pi).astype(np.float32)
