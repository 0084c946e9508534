"""Kernels of the renderer, compiled by numba: skinning, rasterising into a z-buffer, deferred shading."""

from __future__ import annotations

import math

import numba
import numpy as np

NEAR = 0.05
FAR = 1e9
ALPHA = 128


@numba.njit(cache=True, fastmath=True)
def skin(vertices, normals, joints, weights, matrices, out_vertices, out_normals):
    """Rest vertices and normals (N, 3) moved by up to four joints each; matrices (55, 3, 4)."""
    m = np.zeros((3, 4), np.float32)
    for i in range(len(vertices)):
        m[:] = 0
        for k in range(4):
            w = weights[i, k]
            if w > 0:
                for r in range(3):
                    for c in range(4):
                        m[r, c] += w * matrices[joints[i, k], r, c]
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for r in range(3):
            out_vertices[i, r] = m[r, 0] * x + m[r, 1] * y + m[r, 2] * z + m[r, 3]
            out_normals[i, r] = m[r, 0] * normals[i, 0] + m[r, 1] * normals[i, 1] + m[r, 2] * normals[i, 2]


@numba.njit(cache=True, fastmath=True)
def rasterise(points, faces, face_uv, face_texture, textures, focal, first_face, depth, face_ids):
    """Draw triangles into depth (H, W) and face_ids (H, W); the number of pixels of the picture they cover.

    points: (N, 3) camera space; face_uv: (F, 3, 2); face_texture: (F,) layer of textures (T, S, S, 4), whose alpha
    cuts holes. face_ids receives first_face + the triangle's number where it is nearest.
    """
    height, width = depth.shape
    cx, cy = width / 2, height / 2
    size = textures.shape[1]
    covered = 0
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if za < NEAR or zb < NEAR or zc < NEAR:
            continue
        xa, ya = points[a, 0] / za * focal + cx, points[a, 1] / za * focal + cy
        xb, yb = points[b, 0] / zb * focal + cx, points[b, 1] / zb * focal + cy
        xc, yc = points[c, 0] / zc * focal + cx, points[c, 1] / zc * focal + cy
        x0, x1 = max(math.ceil(min(xa, xb, xc) - 0.5), 0), min(math.floor(max(xa, xb, xc) - 0.5), width - 1)
        y0, y1 = max(math.ceil(min(ya, yb, yc) - 0.5), 0), min(math.floor(max(ya, yb, yc) - 0.5), height - 1)
        if x0 > x1 or y0 > y1:
            continue
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if abs(area) < 1e-9:
            continue
        texture = face_texture[f]
        for y in range(int(y0), int(y1) + 1):
            for x in range(int(x0), int(x1) + 1):
                px, py = x + 0.5, y + 0.5
                wa = ((xb - px) * (yc - py) - (yb - py) * (xc - px)) / area
                wb = ((xc - px) * (ya - py) - (yc - py) * (xa - px)) / area
                wc = 1 - wa - wb
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = 1 / (wa / za + wb / zb + wc / zc)
                if z >= depth[y, x]:
                    continue
                u = (wa * face_uv[f, 0, 0] / za + wb * face_uv[f, 1, 0] / zb + wc * face_uv[f, 2, 0] / zc) * z
                v = (wa * face_uv[f, 0, 1] / za + wb * face_uv[f, 1, 1] / zb + wc * face_uv[f, 2, 1] / zc) * z
                tx, ty = int(u * size) % size, int((1 - v) * size) % size
                if textures[texture, ty, tx, 3] < ALPHA:
                    continue
                if depth[y, x] == FAR:
                    covered += 1
                depth[y, x] = z
                face_ids[y, x] = first_face + f
    return covered


@numba.njit(cache=True)
def merge(depth, face_ids, owner, person_depth, person_ids, person):
    """Composite one person's buffers with what is drawn already, and clear them."""
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            if person_depth[y, x] < depth[y, x]:
                depth[y, x] = person_depth[y, x]
                face_ids[y, x] = person_ids[y, x]
                owner[y, x] = person
            person_depth[y, x] = FAR
            person_ids[y, x] = -1


@numba.njit(cache=True, fastmath=True)
def shade(points, normals, faces, face_uv, face_texture, face_gain, mips, face_ids, focal, irradiance, sun, picture):
    """Fill picture (H, W, 3), linear light, where face_ids (H, W) names a triangle.

    face_gain: (F, 3) colour gains; mips: textures (T, S, S, 4), (T, S/2, S/2, 4) and so on; irradiance: (9, 3) of the
    light in camera space (see surroundings.py); sun: (6,) direction towards it in camera space, and its colour.
    """
    height, width = face_ids.shape
    cx, cy = width / 2, height / 2
    for y in range(height):
        for x in range(width):
            f = face_ids[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
            xa, ya = points[a, 0] / za * focal + cx, points[a, 1] / za * focal + cy
            xb, yb = points[b, 0] / zb * focal + cx, points[b, 1] / zb * focal + cy
            xc, yc = points[c, 0] / zc * focal + cx, points[c, 1] / zc * focal + cy
            area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
            px, py = x + 0.5, y + 0.5
            wa = ((xb - px) * (yc - py) - (yb - py) * (xc - px)) / area / za
            wb = ((xc - px) * (ya - py) - (yc - py) * (xa - px)) / area / zb
            wc = ((xa - px) * (yb - py) - (ya - py) * (xb - px)) / area / zc
            z = 1 / (wa + wb + wc)
            wa, wb, wc = wa * z, wb * z, wc * z
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / length, ny / length, nz / length
            if nx * (px - cx) / focal + ny * (py - cy) / focal + nz > 0:
                nx, ny, nz = -nx, -ny, -nz
            level = _level(face_uv[f], abs(area), mips[0].shape[1], len(mips))
            textures = mips[level]
            size = textures.shape[1]
            u = (wa * face_uv[f, 0, 0] + wb * face_uv[f, 1, 0] + wc * face_uv[f, 2, 0]) * size - 0.5
            v = (1 - (wa * face_uv[f, 0, 1] + wb * face_uv[f, 1, 1] + wc * face_uv[f, 2, 1])) * size - 0.5
            fu, fv = u - math.floor(u), v - math.floor(v)
            u0, v0 = math.floor(u) % size, math.floor(v) % size
            u1, v1 = (u0 + 1) % size, (v0 + 1) % size
            lambert = max(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0)
            t = face_texture[f]
            for k in range(3):
                top = textures[t, v0, u0, k] * (1 - fu) + textures[t, v0, u1, k] * fu
                low = textures[t, v1, u0, k] * (1 - fu) + textures[t, v1, u1, k] * fu
                albedo = (top * (1 - fv) + low * fv) / 255
                albedo = albedo * albedo * face_gain[f, k]
                light = irradiance[0, k] + irradiance[1, k] * ny + irradiance[2, k] * nz + irradiance[3, k] * nx
                light += irradiance[4, k] * nx * ny + irradiance[5, k] * ny * nz + irradiance[6, k] * (3 * nz * nz - 1)
                light += irradiance[7, k] * nx * nz + irradiance[8, k] * (nx * nx - ny * ny)
                picture[y, x, k] = albedo * (max(light, 0.03) + lambert * sun[3 + k])


@numba.njit(cache=True, fastmath=True)
def _level(uv, pixels, size, levels):
    """The mip level whose texels are about as large as the pixels of a triangle with corners uv (3, 2)."""
    ux, uy = uv[1, 0] - uv[0, 0], uv[1, 1] - uv[0, 1]
    vx, vy = uv[2, 0] - uv[0, 0], uv[2, 1] - uv[0, 1]
    texels = abs(ux * vy - uy * vx) * size * size
    level = 0
    while texels > 2 * pixels and level < levels - 1:
        texels /= 4
        level += 1
    return level
