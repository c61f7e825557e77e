# SPDX-License-Identifier: GPL-3.0-or-later
"""Closed surfaces with known properties, for the tests of the finish, and where they stand."""

from __future__ import annotations

from collections.abc import Callable

import igl
import numpy as np
from numpy.typing import NDArray

from headsculpt.head.space import HeadSpace
from headsculpt.mesh import Mesh

Floats = NDArray[np.float64]

AS_IT_IS = HeadSpace(1.0, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
"""Of a head whose own coordinates are head space."""


def icosphere(subdivisions: int, radius: Callable[[Floats], Floats] | None = None) -> Mesh:
    """A sphere of radius 0.3, or a surface of that radius [N] in each direction [N, 3]; 20 · 4ⁿ triangles."""
    vertices, triangles = igl.icosahedron()
    for _ in range(subdivisions):
        vertices, triangles = igl.upsample(vertices, triangles.astype(np.int64), 1)
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    sizes = np.full(len(vertices), 0.3) if radius is None else radius(vertices)
    return Mesh((vertices * sizes[:, None]).astype(np.float32), triangles.astype(np.int32))


def bumps(direction: Floats) -> Floats:
    """A radius that waves around 0.3: about as bumpy as hair."""
    x, y, z = direction.T
    return 0.3 + 0.012 * np.sin(9 * x + 1) * np.sin(11 * y) * np.sin(8 * z + 2)


def extracted(distance: Callable[[Floats], Floats], cells: int = 40, bound: float = 0.5) -> Mesh:
    """Where a function of points [N, 3] is 0, by marching cubes, slivers and flecks included."""
    axis = np.linspace(-bound, bound, cells + 1)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    vertices, triangles, _ = igl.marching_cubes(distance(nodes), nodes, cells + 1, cells + 1, cells + 1, 0.0)
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32))


def is_closed_manifold(mesh: Mesh) -> bool:
    """Every edge has two triangles that walk it in opposite directions, and every vertex one fan."""
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    paired = len(forward) == len(edges) and all((b, a) in forward for a, b in forward)
    return paired and bool(np.all(igl.is_vertex_manifold(mesh.triangles.astype(np.int64))))
