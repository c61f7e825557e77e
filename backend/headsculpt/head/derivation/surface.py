# SPDX-License-Identifier: GPL-3.0-or-later
"""Points that stay on a surface: as weights of its vertices, so that whatever moves the surface moves them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .quadmesh import Indices

Floats = NDArray[np.float64]


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
