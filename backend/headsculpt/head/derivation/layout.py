# SPDX-License-Identifier: GPL-3.0-or-later
"""Texture coordinates: the skin in one island, cut along the back of the head, the face large; the rest apart.

The skin is spread by minimising the symmetric Dirichlet energy without a flipped triangle (Rabinovich et al., Scalable
locally injective mappings, 2017, as in libigl), from Tutte's embedding, and then magnified about the nose.
"""

from __future__ import annotations

import igl
import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

from ..model import split_quads
from .quadmesh import Indices, border_loops, edges
from .surface import Floats

ITERATIONS = 40
MAGNIFIED = 0.9  # what the nose gains over the mean, and the rim loses
MARGIN = 0.006
# centre and radius of the small islands
BAG_PLACE = ((0.070, 0.930), 0.062)
SOCKET_PLACES = (((0.962, 0.962), 0.030), ((0.894, 0.962), 0.030))  # left, right
EYE_PLACES = (((0.925, 0.075), 0.068), ((0.075, 0.075), 0.068))
TEETH_PLACES = (((0.150, 0.953), (0.700, 0.040)), ((0.150, 0.907), (0.700, 0.040)))  # upper, lower: corner and size
TONGUE_PLACE = ((0.896, 0.826), (0.098, 0.098))


def disc(faces: Indices, vertices: Floats) -> tuple[Indices, Floats]:
    """An open patch on the unit disc without fold: each vertex a mean of its neighbours (Tutte 1963).

    faces [P, 3 or 4]; vertices [V, 3]. Returns the patch's vertices [U] and their coordinates [U, 2]; its longest
    border lies on the circle, spaced as its edges are long.
    """
    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(faces.shape).astype(np.int64)
    points = vertices[used]
    edge, _, _ = edges(local)
    weight = 1 / np.linalg.norm(points[edge[:, 0]] - points[edge[:, 1]], axis=1)
    ends = np.concatenate([edge, edge[:, ::-1]])
    near = coo_matrix((np.tile(weight, 2), (ends[:, 0], ends[:, 1])), shape=(len(used),) * 2).tocsr()
    rim = border_loops(local)[0]
    length = np.linalg.norm(points[rim] - np.roll(points[rim], -1, 0), axis=1)
    turn = 2 * np.pi * np.concatenate([[0], np.cumsum(length)[:-1]]) / length.sum()
    uv = np.zeros((len(used), 2))
    uv[rim] = np.stack([np.cos(turn), np.sin(turn)], 1)
    inner = np.setdiff1d(np.arange(len(used)), rim)
    laplacian = (diags(np.asarray(near.sum(1)).ravel()) - near).tocsr()
    uv[inner] = spsolve(laplacian[inner][:, inner], -laplacian[inner][:, rim] @ uv[rim])
    return used, uv


def spread(quads: Indices, vertices: Floats) -> tuple[Indices, Floats]:
    """A cut-open surface in the plane with little distortion; holes stay open, as lids are put on them meanwhile.

    quads [Q, 4]; vertices [V, 3]. Returns the vertices used [U] and their places [U, 2] in the unit of the vertices.
    """
    holes = border_loops(quads)[1:]
    caps = [
        np.stack([np.roll(hole, -1), hole, np.full_like(hole, len(vertices) + number)], 1)
        for number, hole in enumerate(holes)
    ]
    points = np.concatenate([vertices, *(vertices[hole].mean(0, keepdims=True) for hole in holes)])
    triangles = np.concatenate([split_quads(quads), *caps])
    used, start = disc(triangles, points)
    local = np.searchsorted(used, triangles)
    start *= np.sqrt(_areas(points[used], local).sum() / np.pi)
    problem = igl.slim_precompute(
        np.asfortranarray(points[used]),
        np.asfortranarray(local.astype(np.int32)),
        np.asfortranarray(start),
        igl.MappingEnergyType.SYMMETRIC_DIRICHLET,
        np.zeros(0, np.int32),
        np.asfortranarray(np.zeros((0, 2))),
        0.0,
    )
    placed = igl.slim_solve(problem, ITERATIONS)[:, :2]
    real = used < len(vertices)
    return used[real], placed[real]


def _areas(points: Floats, triangles: Indices) -> Floats:
    a, b, c = points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def skin_island(quads: Indices, vertices: Floats, mirror: Indices) -> tuple[Floats, Indices]:
    """uv [U, 2] of the skin in the unit square, symmetric about u = ½, and the quads [Q, 4] by index into it.

    quads [Q, 4] and vertices [V, 3] of the skin, V of which is numbered without gap from 0; mirror [V].
    """
    seam = back_seam(quads, vertices)
    opened = cut(quads, vertices, seam)
    corner = np.concatenate([vertices, vertices[seam[:-1]]])
    image = np.concatenate([mirror, seam[:-1]])
    image[seam[:-1]] = len(vertices) + np.arange(len(seam) - 1)
    used, placed = spread(opened, corner)
    if len(used) != len(corner):
        raise ValueError("Some of the skin's vertices are in none of its quads.")
    middle = np.flatnonzero((image == np.arange(len(corner))) & (corner[:, 2] > 0))
    nose = middle[corner[middle, 2].argmax()]
    up = placed[middle[corner[middle, 1].argmax()]] - placed[nose]
    up /= np.linalg.norm(up)
    placed = (placed - placed[nose]) @ np.array([[up[1], up[0]], [-up[0], up[1]]])
    placed = (placed + placed[image] * [-1, 1]) / 2
    radius = np.linalg.norm(placed, axis=1, keepdims=True)
    placed *= (1 + MAGNIFIED) / (1 + MAGNIFIED * radius / radius.max())
    low, high = placed.min(0), placed.max(0)
    scale = (1 - 2 * MARGIN) / (high - low).max()
    return (placed - [0, low[1]]) * scale + [0.5, MARGIN], opened


def back_seam(quads: Indices, vertices: Floats) -> Indices:
    """The edge path on the symmetry plane from the neck's border at the back up to the crown."""
    edge, _, uses = edges(quads)
    middle = edge[(np.abs(vertices[edge, 0]) < 1e-6).all(1)]
    near: dict[int, list[int]] = {}
    for a, b in middle.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    rim = [i for i in np.unique(edge[uses == 1]).tolist() if i in near]
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
