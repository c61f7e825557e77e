# SPDX-License-Identifier: GPL-3.0-or-later
"""Small mesh tools of the data renderer: subdivision, normals, the outermost hit of a ray."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ....render.shading import area_vectors_kernel


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


def vertex_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Area-weighted unit normals, float32 [V, 3]."""
    sums = np.empty_like(vertices)
    area_vectors_kernel(vertices, triangles, sums)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


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
