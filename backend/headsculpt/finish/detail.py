# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a surface back the chosen head's lids, lips, nostrils and ears, where it still follows the chosen head.

The stages work on grids whose cells are half as large as an eye is high. What they change of the head is smoother than
that: so the change is taken from their surface, the head from the head itself, and both are put together on a grid that
is fine enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import igl
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from trimesh.triangles import points_to_barycentric

from headsculpt.finish.bake import angle_normals
from headsculpt.mesh import Mesh
from headsculpt.shape.distance import nodes_near

FOLLOWS, LEFT = 0.006, 0.014
"""Head space units off the chosen head up to which a surface is taken to follow it, and from which on it does not."""
SMOOTHING = 10
"""How often the change of the head is averaged over neighbouring vertices."""
REACH = 0.03
"""How far off the surface the head's own may lie and still be restored, head space units."""
BAND = 3.2
"""Cells on both sides of the surface that are looked at; the new surface is not far from the old one."""

Floats = NDArray[np.float64]


def restore_detail(surface: Mesh, pieces: Sequence[Mesh], cell: float) -> Mesh:
    """The surface, extracted anew on a grid of this cell size, with the head's own shape where it follows the head.

    surface: closed, counter-clockwise from outside; pieces: the chosen head's, closed (`distance.closed_pieces`); both
    in head space. Colours are not kept, and the result has yet to be cleaned.
    """
    old, head = _Sheet(surface), [_Sheet(piece) for piece in pieces]
    change, follows = _change(surface, old, head)
    lost = _lost(old, follows, head[0])
    nodes, cells = nodes_near(np.concatenate([old.points[old.faces], lost]), BAND * cell, cell)
    level, triangle, bary = old.distance(nodes)
    share = _interpolated(follows, old, triangle, bary)
    near = np.flatnonzero(share > 0)
    wanted = _off(head, nodes[near]) - _interpolated(change, old, triangle[near], bary[near])
    level[near] += share[near] * (wanted - level[near])
    points, faces, _ = igl.marching_cubes(level, nodes, cells, 0.0)
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


class _Sheet:
    """A surface that can be asked how far points are off it, positive outside."""

    def __init__(self, mesh: Mesh) -> None:
        self.points = mesh.vertices.astype(np.float64)
        self.faces = mesh.triangles.astype(np.int64)
        self.normals = angle_normals(mesh).astype(np.float64)
        self._tree = igl.AABB()
        self._tree.init(self.points, self.faces)

    def distance(self, points: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
        """Signed distance [N] of points [N, 3], the triangles [N] nearest to them, and where in these, [N, 3].

        The side is that of the smooth normal there: right also where two triangles are equally near.
        """
        squared, triangle, place = self._tree.squared_distance(self.points, self.faces, points)
        bary = points_to_barycentric(self.points[self.faces[triangle]], place)
        bary = np.clip(np.nan_to_num(bary, nan=1 / 3), 0, 1)
        normal = (self.normals[self.faces[triangle]] * bary[..., None]).sum(1)
        side = np.where(((points - place) * normal).sum(1) < 0, -1.0, 1.0)
        return side * np.sqrt(squared), triangle, bary


def _lost(old: _Sheet, follows: Floats, head: _Sheet) -> Floats:
    """Triangles [T, 3, 3] of the head where the surface follows it: the tip of an ear that its grid has lost."""
    off, triangle, bary = old.distance(head.points)
    there = (_interpolated(follows, old, triangle, bary) > 0.5) & (np.abs(off) < REACH)
    return head.points[head.faces[there[head.faces].all(axis=1)]]


def _off(head: Sequence[_Sheet], points: Floats) -> Floats:
    """How far points [N, 3] are off the union of closed pieces, negative inside."""
    return np.min([sheet.distance(points)[0] for sheet in head], axis=0)


def _change(surface: Mesh, old: _Sheet, head: Sequence[_Sheet]) -> tuple[Floats, Floats]:
    """How far each vertex [V] is off the head, smoothed, and in how far it follows the head, 0 … 1, smoothed."""
    off = _off(head, old.points)
    average = _averaging(surface)
    mean = off
    for _ in range(SMOOTHING // 2):
        mean = average @ mean
    # by the mean, so that what is only rough is not taken for grown
    follows = 1 - np.clip((np.abs(mean) - FOLLOWS) / (LEFT - FOLLOWS), 0, 1)
    weight = follows + 1e-6
    change = off * weight
    for _ in range(SMOOTHING):
        change, weight = average @ change, average @ weight
    for _ in range(SMOOTHING // 2):
        follows = average @ follows
    return change / weight, follows


def _averaging(mesh: Mesh) -> csr_array:
    """[V, V]: the mean of a vertex and its neighbours."""
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    count = len(mesh.vertices)
    ones = np.ones(2 * len(edges))
    links = csr_array((ones, (edges.T.reshape(-1), edges[:, ::-1].T.reshape(-1))), shape=(count, count))
    links.data[:] = 1
    links = links + diags_array(np.ones(count))
    return csr_array(diags_array(1 / links.sum(axis=1)) @ links)


def _interpolated(values: Floats, sheet: _Sheet, triangle: NDArray[np.int64], bary: Floats) -> Floats:
    return (values[sheet.faces[triangle]] * bary).sum(1)
