# SPDX-License-Identifier: GPL-3.0-or-later
"""Texture coordinates."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

from .quadmesh import Indices, edges
from .surface import Floats


def disc(quads: Indices, vertices: Floats, border: Indices) -> tuple[Indices, Floats]:
    """An open patch on the unit disc without fold: each vertex the mean of its neighbours (Tutte 1963).

    quads [Q, 4]; vertices [V, 3]; border: the loop of its border. Returns the patch's vertices [P] and their
    coordinates [P, 2]; the border lies on the circle, spaced as its edges are long, first vertex at (0, 1).
    """
    used, local = np.unique(quads, return_inverse=True)
    local = local.reshape(quads.shape)
    edge, _, _ = edges(local)
    count = len(used)
    weight = 1 / np.linalg.norm(vertices[used[edge[:, 0]]] - vertices[used[edge[:, 1]]], axis=1)
    ends = np.concatenate([edge, edge[:, ::-1]])
    near = coo_matrix((np.tile(weight, 2), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    ring = np.searchsorted(used, border)
    length = np.linalg.norm(vertices[border] - vertices[np.roll(border, -1)], axis=1)
    turn = 2 * np.pi * np.concatenate([[0], np.cumsum(length)[:-1]]) / length.sum()
    uv = np.zeros((count, 2))
    uv[ring] = np.stack([-np.sin(turn), np.cos(turn)], 1)
    inner = np.setdiff1d(np.arange(count), ring)
    laplacian = (diags(np.asarray(near.sum(1)).ravel()) - near).tocsr()
    uv[inner] = spsolve(laplacian[inner][:, inner], -laplacian[inner][:, ring] @ uv[ring])
    return used, uv


def back_seam(quads: Indices, vertices: Floats) -> Indices:
    """The edge path on the symmetry plane from the neck's border at the back up to the crown."""
    edge, _, uses = edges(quads)
    middle = edge[(np.abs(vertices[edge, 0]) < 1e-6).all(1)]
    near: dict[int, list[int]] = {}
    for a, b in middle.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    rim = [i for i in np.unique(edge[uses == 1]).tolist() if i in near and vertices[i, 1] < -9]
    path = [min(rim, key=lambda i: vertices[i, 2])]
    crown = max(near, key=lambda i: vertices[i, 1])
    while path[-1] != crown:
        path.append(next(i for i in near[path[-1]] if i not in path[-2:]))
    return np.array(path, np.int64)


def cut(quads: Indices, vertices: Floats, seam: Indices) -> Indices:
    """The quads [Q, 4] with the seam opened but for its last vertex: those on the right of the symmetry plane get
    new indices there, counted on from the last vertex in the seam's order."""
    fresh = np.arange(len(vertices))
    fresh[seam[:-1]] = len(vertices) + np.arange(len(seam) - 1)
    right = vertices[quads, 0].mean(1) < 0
    return np.where(right[:, None], fresh[quads], quads)
