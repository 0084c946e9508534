"""Drawing a scene: people and things over real surroundings, lit by them, with shadows on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.data.synthetic import raster
from training.data.synthetic.surroundings import filling, irradiance, view

SUPERSAMPLING = 2
"""Samples along each side of a pixel; also the resolution of the buffers that labels are read from."""


@dataclass(frozen=True)
class SceneCamera:
    """A camera in the world (Y up, the ground at height 0)."""

    focal_px: float
    camera_from_world: np.ndarray
    """(3, 3)"""
    position: np.ndarray
    """(3,) in the world."""


@dataclass(frozen=True)
class Mesh:
    """Triangles in camera space with textures."""

    points: np.ndarray
    """(N, 3) camera space."""
    normals: np.ndarray
    faces: np.ndarray
    """(F, 3) int32"""
    face_uv: np.ndarray
    """(F, 3, 2)"""
    face_texture: np.ndarray
    """(F,) layer of the texture stack."""
    face_gain: np.ndarray
    """(F, 3) colour gain."""


@dataclass(frozen=True)
class Setting:
    """Surroundings and light of a scene."""

    panorama: np.ndarray
    """(H, 2H, 3) uint8 RGB equirectangular picture, or any picture when `is_flat`."""
    is_flat: bool
    """The picture fills the frame whatever the camera does."""
    radiance: np.ndarray
    """(32, 64, 3) linear light from all around."""
    panorama_from_world: np.ndarray
    """(3, 3)"""
    ambient: float
    """Mean light of the surroundings on a surface; 1 shows a white surface white."""
    sun_direction: np.ndarray
    """(3,) towards it, in the world."""
    sun_colour: np.ndarray
    """(3,) linear; zero without a sun."""


@dataclass(frozen=True)
class Drawing:
    """A picture and what labels are read from; S = SUPERSAMPLING."""

    picture: np.ndarray
    """(H, W, 3) float32, linear light."""
    depth: np.ndarray
    """(SH, SW) metres, raster.FAR where there is only background."""
    owner: np.ndarray
    """(SH, SW) number of the mesh that is seen, -1 for the background."""
    covered: list[int]
    """Samples each mesh would cover alone, inside the picture."""


def draw(
    meshes: Sequence[Mesh], mips: tuple[np.ndarray, ...], camera: SceneCamera, setting: Setting, width: int, height: int
) -> Drawing:
    """Draw meshes over the surroundings."""
    size = (height * SUPERSAMPLING, width * SUPERSAMPLING)
    focal = camera.focal_px * SUPERSAMPLING
    depth, face_ids, owner = _buffers(size)
    own_depth, own_ids, _ = _buffers(size)
    first, covered = 0, []
    for i, mesh in enumerate(meshes):
        covered.append(_rasterise(mesh, mips, focal, first, own_depth, own_ids))
        raster.merge(depth, face_ids, owner, own_depth, own_ids, i)
        first += len(mesh.faces)
    picture = _background(camera, setting, width, height)
    if meshes:
        picture *= _ground_shadow(meshes, mips, camera, setting, width, height)
        layer = np.zeros((*size, 3), np.float32)
        _shade(layer, meshes, mips, face_ids, focal, camera, setting)
        share = cv2.resize((face_ids >= 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        layer = np.minimum(layer, 1.5)  # a highlight must not spread over its whole pixel
        picture = picture * (1 - share[..., None]) + cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
    return Drawing(picture, depth, owner, covered)


def _buffers(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full(size, raster.FAR, np.float32), np.full(size, -1, np.int32), np.full(size, -1, np.int32)


def _rasterise(
    mesh: Mesh, mips: tuple[np.ndarray, ...], focal: float, first: int, depth: np.ndarray, face_ids: np.ndarray
) -> int:
    return raster.rasterise(
        mesh.points, mesh.faces, mesh.face_uv, mesh.face_texture, mips[0], focal, first, depth, face_ids
    )


def _background(camera: SceneCamera, setting: Setting, width: int, height: int) -> np.ndarray:
    """(H, W, 3) linear light."""
    return (backdrop(camera, setting, width, height).astype(np.float32) / 255) ** 2


def backdrop(camera: SceneCamera, setting: Setting, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8: the surroundings as the camera sees them."""
    if setting.is_flat:
        return filling(setting.panorama, width, height)
    panorama_from_camera = setting.panorama_from_world @ camera.camera_from_world.T
    return view(setting.panorama, width, height, camera.focal_px, panorama_from_camera)


def _ground_shadow(
    meshes: Sequence[Mesh], mips: tuple[np.ndarray, ...], camera: SceneCamera, setting: Setting, width: int, height: int
) -> np.ndarray:
    """(H, W, 1) gain of the background: everything flattened onto the ground, along the sun and straight down.

    The shadow straight down stands for the sky's light that the body keeps from the ground around it; it fades with
    the blur and with the height above the ground.
    """
    up = camera.camera_from_world @ np.array([0.0, 1.0, 0.0])
    gain = np.ones((height, width), np.float32)
    sun = camera.camera_from_world @ setting.sun_direction
    strength = float(setting.sun_colour.mean() / (setting.sun_colour.mean() + setting.ambient))
    casts = [(up, 0.5, 0.5, width / 200)]
    if strength > 0 and up @ sun > 0.2:
        casts.append((sun / (up @ sun), 3.0, 0.9 * strength, width / 300))
    for along, highest, darkness, blur in casts:
        depth, face_ids, _ = _buffers((height, width))
        for mesh in meshes:
            above = mesh.points @ up + camera.position[1]
            flat = (mesh.points - above[:, None] * along).astype(np.float32)
            low = (above < highest)[mesh.faces].all(-1)
            raster.rasterise(
                flat, mesh.faces[low], mesh.face_uv[low], mesh.face_texture[low], mips[0], camera.focal_px, 0,
                depth, face_ids,
            )  # fmt: skip
        mask = cv2.GaussianBlur((face_ids >= 0).astype(np.float32), (0, 0), max(blur, 0.5))
        gain *= 1 - darkness * mask
    return gain[..., None]


def _shade(
    layer: np.ndarray, meshes: Sequence[Mesh], mips: tuple[np.ndarray, ...], face_ids: np.ndarray, focal: float,
    camera: SceneCamera, setting: Setting,
) -> None:  # fmt: skip
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes[:-1]])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]).astype(np.int32)
    points, normals, face_uv, face_texture, face_gain = (
        np.concatenate([getattr(mesh, name) for mesh in meshes])
        for name in ("points", "normals", "face_uv", "face_texture", "face_gain")
    )
    light = irradiance(setting.radiance, camera.camera_from_world @ setting.panorama_from_world.T)
    light = light / max(light[0].mean(), 1e-3) * setting.ambient
    sun = np.concatenate([camera.camera_from_world @ setting.sun_direction, setting.sun_colour]).astype(np.float32)
    raster.shade(
        points, normals, faces, face_uv, face_texture, face_gain, mips, face_ids, focal, light.astype(np.float32), sun,
        layer,
    )  # fmt: skip


def develop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 as a random camera would record it: exposure, white balance, contrast, blur, noise, JPEG."""
    picture = picture * np.exp(rng.normal(0, 0.2)) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    image = np.sqrt(np.clip(picture, 0, 1))
    image = (image - 0.5) * rng.uniform(0.8, 1.2) + 0.5
    if rng.random() < 0.06:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    image = image * 255 + rng.standard_normal(image.shape, np.float32) * rng.uniform(0, 7)
    image = image.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image
