# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh that a head is fitted to: what one can see of it, thinned out, and where its nearest points are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headsculpt.shape.repair import cluster, on_border, outer_surface

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

TRIANGLES = 60_000
"""More are thinned out: the fit looks at some thousands of points."""


@dataclass(frozen=True)
class Surface:
    """Triangles that can be asked for the point nearest to another one.

    points: [V, 3]; faces: [T, 3], counter-clockwise from outside; normals: [V, 3], unit; border: [V], whether a vertex
    lies on the rim of a hole; tree: libigl's.
    """

    points: Floats
    faces: Indices
    normals: Floats
    border: NDArray[np.bool_]
    tree: object

    @classmethod
    def of(cls, points: Floats, faces: Indices) -> Surface:
        import igl

        tree = igl.AABB()
        tree.init(points, faces)
        return cls(points, faces, vertex_normals(points, faces), on_border(faces, len(points)), tree)

    def nearest(self, points: Floats) -> tuple[Indices, Floats, Floats]:
        """Triangles [N] nearest to points [N, 3], the barycentric coordinates [N, 3] there, and the places [N, 3]."""
        _, triangle, place = self.tree.squared_distance(self.points, self.faces, points)  # type: ignore[attr-defined]
        return triangle, barycentric(self.points[self.faces[triangle]], place), place

    def moved(self, scale: float, rotation: Floats, translation: Floats) -> Surface:
        """The same after scale · rotation · point + translation."""
        return Surface.of(scale * self.points @ rotation.T + translation, self.faces)


def visible_surface(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> tuple[Floats, Indices]:
    """What can be seen of a mesh from outside, at most about TRIANGLES of it."""
    points, faces = outer_surface(vertices, triangles)
    cell = float(np.linalg.norm(np.ptp(points, axis=0))) / 600 if len(points) else 0.0
    while len(faces) > TRIANGLES:
        points, faces = cluster(points, faces, cell)
        cell *= 1.25
    return points, faces


def vertex_normals(points: Floats, faces: Indices) -> Floats:
    """Unit normals [V, 3], weighted by area."""
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(faces.reshape(-1), np.repeat(normal[:, axis], 3), len(points)) for axis in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def barycentric(corners: Floats, places: Floats) -> Floats:
    """Coordinates [N, 3] of places [N, 3] in triangles [N, 3, 3], clipped into them."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = places - corners[:, 0]
    aa, ab, bb = ((first * first).sum(1), (first * second).sum(1), (second * second).sum(1))
    pa, pb = (offset * first).sum(1), (offset * second).sum(1)
    area = np.maximum(aa * bb - ab * ab, 1e-300)
    v, w = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    weights = np.clip(np.stack([1 - v - w, v, w], axis=1), 0, None)
    return weights / weights.sum(1, keepdims=True)


def sampled(points: Floats, faces: Indices, count: int, rng: np.random.Generator) -> tuple[Indices, Floats]:
    """Triangles [N] and barycentric coordinates [N, 3] of places spread evenly over the area."""
    corners = points[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    total = np.cumsum(area)
    triangle = np.searchsorted(total, (np.arange(count) + rng.random(count)) * (total[-1] / count))
    first, second = rng.random((2, count))
    folded = first + second > 1
    first, second = np.where(folded, 1 - first, first), np.where(folded, 1 - second, second)
    return np.minimum(triangle, len(faces) - 1), np.stack([1 - first - second, first, second], axis=1)
