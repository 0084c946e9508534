"""Triangle meshes as arrays: triangulation, neighbours, areas, normals, mirror partners, a z-buffer."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree


def triangulate(
    vertices: np.ndarray, quads: np.ndarray, uv_quads: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles (F, 3), their texture corners (F, 3) and groups (F,): quads cut along their shorter diagonal."""
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    along_first = (first <= second)[:, None]

    def halves(corners: np.ndarray) -> np.ndarray:
        one = np.where(along_first, corners[:, [0, 1, 2]], corners[:, [0, 1, 3]])
        other = np.where(along_first, corners[:, [0, 2, 3]], corners[:, [1, 2, 3]])
        return np.concatenate([one, other])

    faces, uv_faces, groups = halves(quads), halves(uv_quads), np.concatenate([groups, groups])
    whole = (faces != np.roll(faces, 1, axis=1)).all(1)  # a triangle stored as a quad has one empty half
    return faces[whole], uv_faces[whole], groups[whole]


def neighbour_average(vertex_count: int, faces: np.ndarray) -> sp.spmatrix:
    """(V, V) sparse: row i averages the neighbours of vertex i."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    adjacent = sp.coo_matrix((np.ones(len(edges)), edges.T), shape=(vertex_count, vertex_count)).tocsr()
    adjacent = adjacent + adjacent.T
    adjacent.data[:] = 1
    return sp.diags(1 / np.maximum(np.asarray(adjacent.sum(1)).ravel(), 1e-9)) @ adjacent


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(..., F, 3) normals, twice the area long."""
    corner = vertices[..., faces[:, 0], :]
    return np.cross(vertices[..., faces[:, 1], :] - corner, vertices[..., faces[:, 2], :] - corner)


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) a third of the area of the triangles around each vertex."""
    areas = np.linalg.norm(face_normals(vertices, faces), axis=-1) / 6
    return sum(np.bincount(faces[:, k], areas, len(vertices)) for k in range(3))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) area-weighted unit normals."""
    normals = face_normals(vertices, faces)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], normals)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def mirror_partners(vertices: np.ndarray) -> np.ndarray:
    """(V,) the vertex found at each vertex's mirror image across x = 0."""
    return cKDTree(vertices).query(vertices * [-1, 1, 1])[1]


def winding_number(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N,) how often the surface winds around each point: about 1 inside, 0 outside.

    Solid angles by Van Oosterom and Strackee; small holes only blur the answer.
    """
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))  # (N, F, 3)
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
    rest = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return np.arctan2(volume, rest).sum(1) / (2 * np.pi)


def rasterise(
    vertices: np.ndarray, faces: np.ndarray, box: tuple[float, float, float, float], pixel: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Front view along -Z: triangle (H, W; -1 = none), barycentrics (H, W, 3) and depth of every pixel.

    box: x0, x1, y0, y1 in metres; row 0 is y0; pixel: its size in metres. Back faces are left out.
    """
    x0, x1, y0, y1 = box
    width, height = int((x1 - x0) / pixel), int((y1 - y0) / pixel)
    hit = np.full((height, width), -1)
    depth = np.full((height, width), -1e9)
    barycentric = np.zeros((height, width, 3))
    corners = vertices[faces]
    x, y = (corners[..., 0] - x0) / pixel - 0.5, (corners[..., 1] - y0) / pixel - 0.5
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    seen = (x.max(1) >= 0) & (x.min(1) < width) & (y.max(1) >= 0) & (y.min(1) < height) & (area > 1e-12)
    for i in np.flatnonzero(seen):
        left, right = max(int(np.floor(x[i].min())), 0), min(int(np.ceil(x[i].max())), width - 1)
        low, high = max(int(np.floor(y[i].min())), 0), min(int(np.ceil(y[i].max())), height - 1)
        if right < left or high < low:
            continue
        px, py = np.meshgrid(np.arange(left, right + 1) - x[i, 0], np.arange(low, high + 1) - y[i, 0])
        one = (px * (y[i, 2] - y[i, 0]) - (x[i, 2] - x[i, 0]) * py) / area[i]
        two = ((x[i, 1] - x[i, 0]) * py - px * (y[i, 1] - y[i, 0])) / area[i]
        weights = np.stack([1 - one - two, one, two], -1)
        window = (slice(low, high + 1), slice(left, right + 1))
        z = weights @ corners[i, :, 2]
        nearer = (weights >= -1e-6).all(-1) & (z > depth[window])
        depth[window][nearer] = z[nearer]
        hit[window][nearer] = i
        barycentric[window][nearer] = weights[nearer]
    return hit, barycentric, depth
