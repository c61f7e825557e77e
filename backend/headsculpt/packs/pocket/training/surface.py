# SPDX-License-Identifier: GPL-3.0-or-later
"""Small mesh tools of the data renderer: subdivision, normals, the outermost hit of a ray, a lit picture."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Subdivision:
    """One midpoint subdivision of a triangle mesh, applied to any per-vertex values.

    triangles: int32 [T, 3] of the coarse mesh; `self.triangles`: int32 [4T, 3].
    """

    def __init__(self, vertex_count: int, triangles: NDArray[np.int32]) -> None:
        corners = [triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]
        self.edges, inverse = np.unique(np.sort(np.concatenate(corners), 1), axis=0, return_inverse=True)
        ab, bc, ca = (vertex_count + inverse.reshape(3, -1)).astype(np.int32)
        a, b, c = triangles.T
        fine = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        self.triangles = np.concatenate([np.stack(corner, 1) for corner in fine]).astype(np.int32)

    def __call__(self, values: NDArray) -> NDArray:
        """[V] or [V, C] → the same with the edges' midpoints appended."""
        return np.concatenate([values, (values[self.edges[:, 0]] + values[self.edges[:, 1]]) / 2]).astype(np.float32)


@njit(cache=True)
def _edge(vertices: np.ndarray, a: int, b: int) -> tuple[float, float, float]:
    return vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]


@njit(cache=True)
def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals, float32 [V, 3]."""
    out = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = _edge(vertices, a, b)
        wx, wy, wz = _edge(vertices, a, c)
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for i in (a, b, c):
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz
    for i in range(out.shape[0]):
        length = np.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + np.float32(1e-12)
        for k in range(3):
            out[i, k] /= length
    return out


@njit(cache=True)
def farthest_hits(
    origins: np.ndarray, directions: np.ndarray, vertices: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays [R, 3] leave a mesh for good: triangle int32 [R] (−1 for none) and barycentric float32 [R, 3]."""
    hit = np.full(origins.shape[0], -1, np.int32)
    bary = np.zeros((origins.shape[0], 3), np.float32)
    for r in range(origins.shape[0]):
        far = 0.0
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        for t in range(triangles.shape[0]):  # Möller–Trumbore
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            e1x, e1y, e1z = _edge(vertices, a, b)
            e2x, e2y, e2z = _edge(vertices, a, c)
            px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
            det = e1x * px + e1y * py + e1z * pz
            if abs(det) < 1e-14:
                continue
            sx, sy, sz = origins[r, 0] - vertices[a, 0], origins[r, 1] - vertices[a, 1], origins[r, 2] - vertices[a, 2]
            u = (sx * px + sy * py + sz * pz) / det
            if u < -1e-4 or u > 1.0001:
                continue
            qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
            v = (dx * qx + dy * qy + dz * qz) / det
            if v < -1e-4 or u + v > 1.0001:
                continue
            distance = (e2x * qx + e2y * qy + e2z * qz) / det
            if distance > far:
                far = distance
                hit[r] = t
                bary[r, 0], bary[r, 1], bary[r, 2] = 1 - u - v, u, v
    return hit, bary


@njit(cache=True, fastmath=True)
def lit_picture(
    column: np.ndarray,
    row: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    colors: np.ndarray,
    normals: np.ndarray,
    light: np.ndarray,
    ambient: float,
    background: np.ndarray,
    size: int,
) -> np.ndarray:
    """A z-buffered picture, float32 [size, size, 3], of per-vertex colours under render/shading.py's law.

    column, row, depth: [V], pixels and distance along the axis. Attributes are interpolated linearly on the screen:
    triangles are about a pixel wide here.
    """
    out = np.empty((size, size, 3), np.float32)
    out[:] = background
    buffer = np.full((size, size), 1e9, np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = column[a], row[a], column[b], row[b], column[c], row[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(size - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(size - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u = ((bx - x - 0.5) * (cy - y - 0.5) - (by - y - 0.5) * (cx - x - 0.5)) / area
                v = ((cx - x - 0.5) * (ay - y - 0.5) - (cy - y - 0.5) * (ax - x - 0.5)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * depth[a] + v * depth[b] + w * depth[c]
                if z >= buffer[y, x]:
                    continue
                buffer[y, x] = z
                nx = u * normals[a, 0] + v * normals[b, 0] + w * normals[c, 0]
                ny = u * normals[a, 1] + v * normals[b, 1] + w * normals[c, 1]
                nz = u * normals[a, 2] + v * normals[b, 2] + w * normals[c, 2]
                length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-8
                facing = max(0.0, (nx * light[0] + ny * light[1] + nz * light[2]) / length)
                shade = ambient + (1 - ambient) * facing
                for k in range(3):
                    out[y, x, k] = min(1.0, shade * (u * colors[a, k] + v * colors[b, k] + w * colors[c, k]))
    return out
