"""Dressed people: the open body in a shape, with skin, clothes, hair, shoes and brows bound to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import rest_joints, rest_vertices
from aios_core.errors import BodyFileError, FootageError

TEXTURE_SIZE = 512
MIP_LEVELS = 5
PATTERNS = 48
HAIR_TEXTURES = 6
INFLUENCES = 4


@dataclass(frozen=True)
class Item:
    """A piece of clothing, hair or brows, bound to the body's triangles (numbers of our body's vertices)."""

    kind: str
    name: str
    faces: np.ndarray
    face_uv: np.ndarray
    """(F, 3, 2)"""
    bind_vertices: np.ndarray
    """(V, 3) body vertices under each vertex."""
    bind_weights: np.ndarray
    bind_offset: np.ndarray
    """(V, 3) along the body's normal, along the triangle's first edge, along their cross product."""
    stand_in: np.ndarray
    """(V,) the nearest vertex that is bound, itself where it is: our body lacks a few vertices of the base mesh."""
    stand_in_offset: np.ndarray
    """(V, 3) from there, at rest."""
    hidden: np.ndarray
    """Body vertices under the item."""
    texture: int


@dataclass(frozen=True)
class Wardrobe:
    """Everything people can wear, and all textures in one stack."""

    mips: tuple[np.ndarray, ...]
    """(T, S, S, 4) uint8 RGBA, then the same at half the size, and so on."""
    skins: list[int]
    eyes: list[int]
    patterns: list[int]
    strands: list[int]
    """Hair without a picture of its own."""
    items: dict[str, list[Item]]
    """By kind: clothes, shoes, hair, eyebrows."""


@dataclass(frozen=True)
class Person:
    """One dressed person at rest, ready to be posed."""

    betas: np.ndarray
    rest_joints: np.ndarray
    """(55, 3)"""
    vertices: np.ndarray
    """(N, 3) rest; the first V are the body's."""
    normals: np.ndarray
    joints: np.ndarray
    """(N, 4) int32 joints that move each vertex, and their weights."""
    weights: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    face_texture: np.ndarray
    face_gain: np.ndarray


def load_wardrobe(
    folder: Path | None, body: BodyModel, photographs: Sequence[np.ndarray] = (), seed: int = 0
) -> Wardrobe:
    """The items and textures of a folder; without one, bare bodies in plain colours and patterns.

    photographs: (S, S, 3) pictures to print on clothes and things besides the drawn patterns.

    Raises:
        BodyFileError: the body is not the open body, to whose base mesh clothes are bound.
    """
    if body.base_mesh_vertex is None or body.uv is None:
        raise BodyFileError("People can be dressed on the open body only: this one lacks base_mesh_vertex.")
    rng = np.random.default_rng(seed)
    opaque = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 1), 255, np.uint8)
    textures = [pattern(rng) for _ in range(PATTERNS)] + [np.concatenate([p, opaque], -1) for p in photographs]
    patterns = list(range(len(textures)))
    strands = list(range(len(textures), len(textures) + HAIR_TEXTURES))
    textures += [hair_strands(rng) for _ in strands]
    names: dict[str, int] = {}
    for path in sorted((folder / "textures").glob("*")) if folder else []:
        names[path.stem] = len(textures)
        textures.append(_read_texture(path))
    items: dict[str, list[Item]] = {"clothes": [], "shoes": [], "hair": [], "eyebrows": []}
    ours = np.full(max(20000, body.base_mesh_vertex.max() + 1), -1)
    ours[body.base_mesh_vertex] = np.arange(len(body.base_mesh_vertex))
    for path in sorted(folder.glob("*.npz")) if folder else []:
        kind, name = path.stem.split("_", 1)
        kind = "shoes" if name.startswith("shoes") else kind
        if kind in items:
            items[kind].append(_read_item(path, kind, name, ours, names))
    return Wardrobe(
        mips=_mips(np.stack(textures)),
        skins=[i for name, i in names.items() if "skinned" in name] or patterns,
        eyes=[i for name, i in names.items() if name.endswith("_eye")] or patterns,
        patterns=patterns,
        strands=strands,
        items=items,
    )


def _mips(textures: np.ndarray) -> tuple[np.ndarray, ...]:
    """Textures (T, S, S, 4) at S, S/2 and so on; colours are weighted by alpha so that holes do not bleed."""
    levels = [textures]
    for _ in range(MIP_LEVELS - 1):
        half = []
        for texture in levels[-1]:
            alpha = texture[..., 3:].astype(np.float32) + 1
            size = (texture.shape[1] // 2,) * 2
            weighted = cv2.resize(texture[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
            alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
            half.append(np.concatenate([weighted / alpha, alpha - 1], -1).round().astype(np.uint8))
        levels.append(np.stack(half))
    return tuple(levels)


def _read_texture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FootageError(f"{path} cannot be read as a picture.")
    image = cv2.resize(image, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_AREA)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    alpha = image[..., 3:] if image.shape[-1] == 4 else np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([image[..., 2::-1], alpha], -1)


def _read_item(path: Path, kind: str, name: str, ours: np.ndarray, textures: dict[str, int]) -> Item:
    with np.load(path) as stored:
        bind = ours[stored["bind_vertices"]]
        known = (bind >= 0).all(-1)
        rest = stored["rest"].astype(np.float32)
        stand_in = np.flatnonzero(known)[cKDTree(rest[known]).query(rest)[1]]
        stems = (name, f"{name}_diffuse", name.replace("cocked", "").strip("_"))
        return Item(
            kind=kind,
            name=name,
            faces=stored["faces"].astype(np.int32),
            face_uv=stored["uv"].astype(np.float32)[stored["face_uv"]],
            bind_vertices=np.where(known[:, None], bind, 0),
            bind_weights=stored["bind_weights"].astype(np.float32),
            bind_offset=stored["bind_offset"].astype(np.float32),
            stand_in=stand_in,
            stand_in_offset=rest - rest[stand_in],
            hidden=ours[stored["hidden_body_vertices"]],
            texture=next((textures[stem] for stem in stems if stem in textures), -1),
        )  # fmt: skip


def pattern(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 4): plain, stripes, checks, dots or clouds in two or three colours."""
    grid = np.arange(TEXTURE_SIZE)
    x, y = np.meshgrid(grid, grid)
    period = int(rng.choice([16, 32, 64, 128]))
    kind = rng.integers(6)
    clouds = cv2.resize(rng.random((2 ** int(rng.integers(2, 6)),) * 2).astype(np.float32), (TEXTURE_SIZE,) * 2)
    mask = [
        np.zeros_like(clouds), (y // period) % 2, (x // period) % 2, (x // period + y // period) % 2,
        ((x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (period / 4) ** 2), clouds,
    ][kind].astype(np.float32)[..., None]  # fmt: skip
    first, second = rng.uniform(20, 255, (2, 3))
    if rng.random() < 0.6:  # most cloth is muted
        first, second = (c.mean() + 0.25 * (c - c.mean()) for c in (first, second))
    colour = first * (1 - mask) + second * mask + rng.normal(0, 6, (TEXTURE_SIZE, TEXTURE_SIZE, 1))
    alpha = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 1), 255)
    return np.concatenate([colour, alpha], -1).clip(0, 255).astype(np.uint8)


def hair_strands(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 4) greyish brown streaks along v."""
    streaks = rng.normal(0, 1, (8, TEXTURE_SIZE)).astype(np.float32)
    streaks = cv2.resize(streaks, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)
    streaks += cv2.GaussianBlur(streaks, (0, 0), 6) * 3
    light = np.exp(streaks * 0.22)[..., None] * rng.uniform(40, 130)
    colour = light * np.array([1.0, rng.uniform(0.75, 0.95), rng.uniform(0.5, 0.85)])
    return np.concatenate([colour, np.full_like(light, 255)], -1).clip(0, 255).astype(np.uint8)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, area-weighted."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face_normals[:, k], 3), len(vertices)) for k in range(3)], -1
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def dress(body: BodyModel, wardrobe: Wardrobe, rng: np.random.Generator) -> Person:
    """A random person."""
    betas = rng.normal(0, 1, 10).astype(np.float32)
    vertices = rest_vertices(body, betas)
    normals = vertex_normals(vertices, body.faces)
    scale = np.ptp(vertices[:, 1]) / np.ptp(body.v_template[:, 1])
    worn = _choose(wardrobe, rng)
    hidden = np.zeros(len(vertices) + 1, bool)
    for item in worn:
        hidden[item.hidden] = True
    hidden[-1] = False
    keep = ~hidden[body.faces].any(-1)
    skin, eye = int(rng.choice(wardrobe.skins)), int(rng.choice(wardrobe.eyes))
    is_eye = body.lbs_weights[body.faces[:, 0]][:, 23:25].max(-1) > 0.9
    parts = [_Part(vertices, normals, body.lbs_weights, body.faces[keep], body.uv[body.uv_faces[keep]],
                   np.where(is_eye, eye, skin)[keep], np.full(3, rng.uniform(0.85, 1.1)))]  # fmt: skip
    for item in worn:
        parts.append(_bound(item, body, vertices, normals, scale, wardrobe, rng))
    return _joined(betas, rest_joints(body, betas), parts)


@dataclass(frozen=True)
class _Part:
    vertices: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    texture: np.ndarray
    gain: np.ndarray


def _choose(wardrobe: Wardrobe, rng: np.random.Generator) -> list[Item]:
    worn = []
    for kind, share in (("clothes", 0.96), ("shoes", 0.85), ("hair", 0.9), ("eyebrows", 1.0)):
        items = [item for item in wardrobe.items[kind] if not item.name.startswith("fedora")]
        if items and rng.random() < share:
            worn.append(items[rng.integers(len(items))])
    hats = [item for item in wardrobe.items["clothes"] if item.name.startswith("fedora")]
    if hats and rng.random() < 0.08:
        worn.append(hats[rng.integers(len(hats))])
    return worn


def _bound(
    item: Item, body: BodyModel, vertices: np.ndarray, normals: np.ndarray, scale: float, wardrobe: Wardrobe,
    rng: np.random.Generator,
) -> _Part:  # fmt: skip
    corners = vertices[item.bind_vertices]  # (V, 3, 3)
    weights = item.bind_weights[..., None]
    normal = (normals[item.bind_vertices] * weights).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    edge = corners[:, 1] - corners[:, 0]
    edge = edge - (edge * normal).sum(-1, keepdims=True) * normal
    edge /= np.maximum(np.linalg.norm(edge, axis=-1, keepdims=True), 1e-9)
    frame = np.stack([normal, edge, np.cross(normal, edge)], 1)
    placed = (corners * weights).sum(1) + (item.bind_offset[..., None] * frame).sum(1) * scale
    if item.kind == "clothes":
        placed = placed + normal * 0.003
    placed = placed[item.stand_in] + item.stand_in_offset * scale
    skinning = (body.lbs_weights[item.bind_vertices] * weights).sum(1)[item.stand_in]
    procedural = item.kind == "clothes" and (item.texture < 0 or rng.random() < 0.4)
    plain = wardrobe.patterns if item.kind in ("clothes", "shoes") else wardrobe.strands
    texture = int(rng.choice(plain)) if procedural or item.texture < 0 else item.texture
    tint = _cloth_tint(rng) if item.kind in ("clothes", "shoes") else _hair_tint(rng)
    placed = placed.astype(np.float32)
    return _Part(placed, vertex_normals(placed, item.faces), skinning, item.faces, item.face_uv,
                 np.full(len(item.faces), texture), tint)  # fmt: skip


def _cloth_tint(rng: np.random.Generator) -> np.ndarray:
    """Mostly greyish and muted colours, sometimes strong ones."""
    spread = 0.6 if rng.random() < 0.25 else 0.15
    return rng.uniform(0.25, 1.25) * rng.uniform(1 - spread, 1 + spread, 3)


def _hair_tint(rng: np.random.Generator) -> np.ndarray:
    """Black to blond; red and blue only fade together with brightness."""
    return rng.uniform(0.15, 1.4) * np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)])


def _joined(betas: np.ndarray, joints: np.ndarray, parts: list[_Part]) -> Person:
    weights = np.concatenate([part.weights for part in parts])
    order = np.argsort(-weights, 1)[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, order, 1)
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    return Person(
        betas=betas,
        rest_joints=joints.astype(np.float32),
        vertices=np.concatenate([part.vertices for part in parts]).astype(np.float32),
        normals=np.concatenate([part.normals for part in parts]).astype(np.float32),
        joints=order.astype(np.int32),
        weights=(strongest / strongest.sum(1, keepdims=True)).astype(np.float32),
        faces=np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32),
        face_uv=np.ascontiguousarray(np.concatenate([part.face_uv for part in parts]), np.float32),
        face_texture=np.concatenate([part.texture for part in parts]).astype(np.int32),
        face_gain=np.concatenate([np.broadcast_to(part.gain, (len(part.faces), 3)) for part in parts]).astype(
            np.float32
        ),
    )
