# SPDX-License-Identifier: GPL-3.0-or-later
"""Points that stay on a surface: as weights of its vertices, so that whatever moves the surface moves them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from .quadmesh import Indices

Floats = NDArray[np.float64]

RAYS_AT_ONCE = 64


def closest_on_triangles(points: Floats, corners: Floats) -> tuple[Floats, Floats]:
    """The nearest point of each triangle, as barycentric coordinates [..., 3], and its squared distance [...].

    points [..., 3]; corners [..., 3, 3]. It is the nearest of the plane's foot point, where that lies inside, and the
    nearest points of the three edges.
    """
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    best = np.stack([1 - v - w, v, w], -1)
    inside = (best >= 0).all(-1)
    distance = np.where(inside, ((np.einsum("...k,...kc->...c", best, corners) - points) ** 2).sum(-1), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = corners[..., i, :], corners[..., j, :] - corners[..., i, :]
        t = np.clip(((points - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-30), 0, 1)
        beside = ((start + t[..., None] * along - points) ** 2).sum(-1)
        edge = np.zeros_like(best)
        edge[..., i], edge[..., j] = 1 - t, t
        nearer = beside < distance
        best = np.where(nearer[..., None], edge, best)
        distance = np.where(nearer, beside, distance)
    return best, distance


def weights_matrix(triangles: Indices, barycentric: Floats, count: int) -> csr_matrix:
    """Rows of vertex weights [N, count] of points given by a triangle's corners [N, 3] and weights [N, 3]."""
    rows = np.repeat(np.arange(len(triangles)), 3)
    matrix = csr_matrix((barycentric.ravel(), (rows, triangles.ravel())), shape=(len(triangles), count))
    matrix.eliminate_zeros()
    return matrix


def nearest_weights(points: Floats, vertices: Floats, triangles: Indices) -> csr_matrix:
    """The nearest place on a surface to each point [P, 3], as weights [P, N] of the surface's vertices [N, 3]."""
    corners = vertices[triangles]
    near = cKDTree(corners.mean(1)).query(points, min(32, len(triangles)))[1]
    barycentric, distance = closest_on_triangles(points[:, None], corners[near])
    pick = (np.arange(len(points)), distance.argmin(1))
    return weights_matrix(triangles[near[pick]], barycentric[pick], len(vertices))


def first_hits(origins: Floats, directions: Floats, corners: Floats) -> tuple[Floats, Indices]:
    """Where rays [R, 3] first meet triangles [T, 3, 3], from either side: distance [R], inf for none, and triangle [R].

    Möller and Trumbore, Fast, minimum storage ray-triangle intersection, 1997.
    """
    start, one, other = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    distance, hit = np.full(len(origins), np.inf), np.zeros(len(origins), np.int64)
    for first in range(0, len(origins), RAYS_AT_ONCE):
        some = slice(first, first + RAYS_AT_ONCE)
        direction = directions[some][:, None]
        across = np.cross(direction, other)
        determinant = (across * one).sum(-1)
        offset = origins[some][:, None] - start
        turned = np.cross(offset, one)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (offset * across).sum(-1) / determinant, (direction * turned).sum(-1) / determinant
            t = (other * turned).sum(-1) / determinant
        t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
        hit[some] = t.argmin(1)
        distance[some] = t.min(1)
    return distance, hit
