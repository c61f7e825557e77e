# SPDX-License-Identifier: GPL-3.0-or-later
"""From an extracted surface to one closed piece that an artist's tools accept."""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import NDArray

from headsculpt.errors import UserError
from headsculpt.mesh import Mesh

_WELD = 1e-6
"""Vertices nearer than this share of the mesh's size are one."""


def clean(mesh: Mesh) -> Mesh:
    """The largest piece of a surface: closed, manifold, counter-clockwise from outside, nothing double or folded up.

    Colours are not kept: textures take their place. Raises UserError when there is no surface.
    """
    points, faces = _weld(mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64))
    if len(faces):
        points, faces = _split_where_not_manifold(points, faces)
        points, faces = _largest_piece(points, faces)
    if len(faces) < 4:
        raise UserError("The head dissolved: there is no surface left.", "Try another seed, or more steps.")
    points, faces = _close(points, faces)
    if signed_volume(points, faces) < 0:
        faces = faces[:, ::-1]
    return _mesh(points, faces)


def cut_below(mesh: Mesh, height: float) -> Mesh:
    """What of a mesh lies above y = height, cut flat and open there. Colours are not kept.

    New vertices are there once for each triangle that they belong to, at exactly the same place: `clean` joins them.
    """
    points, faces = mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64)
    above = points[faces, 1] >= height
    parts = [points[faces[above.all(axis=1)]]]
    for count in (1, 2):  # corners above the plane
        some = above.sum(axis=1) == count
        lone = above[some] if count == 1 else ~above[some]
        # the corner that is alone on its side comes first
        turned = np.take_along_axis(faces[some], (lone.argmax(axis=1)[:, None] + np.arange(3)) % 3, axis=1)
        alone, after, before = points[turned[:, 0]], points[turned[:, 1]], points[turned[:, 2]]
        one, other = _at_height(alone, after, height), _at_height(alone, before, height)
        if count == 1:
            parts.append(np.stack([alone, one, other], axis=1))
        else:
            parts += [np.stack([one, after, before], axis=1), np.stack([one, before, other], axis=1)]
    corners = np.concatenate(parts)
    return Mesh(corners.reshape(-1, 3).astype(np.float32), np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3))


def _at_height(start: NDArray[np.float64], end: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Where the edges start–end [N, 3] cross y = height; the same bits whichever way an edge is walked."""
    upwards = (start[:, 1] <= end[:, 1])[:, None]
    low, high = np.where(upwards, start, end), np.where(upwards, end, start)
    share = (height - low[:, 1:2]) / np.maximum(high[:, 1:2] - low[:, 1:2], 1e-30)
    crossing = low + share * (high - low)
    crossing[:, 1] = height
    return crossing


def decimate(mesh: Mesh, triangles: int) -> Mesh:
    """At most so many triangles, by collapsing the edges whose loss shows least (Garland and Heckbert, 1997).

    mesh: closed and manifold; the result is, too, since no collapse that would join sheets is made.
    """
    if len(mesh.triangles) <= triangles:
        return mesh
    points, faces, _, _ = igl.qslim(
        np.asfortranarray(mesh.vertices, np.float64), np.asfortranarray(mesh.triangles, np.int32), triangles
    )
    return _mesh(points, faces)


def signed_volume(points: NDArray[np.floating], faces: NDArray[np.integer]) -> float:
    """Of a closed mesh [V, 3], [T, 3]; positive when its triangles are counter-clockwise seen from outside."""
    a, b, c = np.moveaxis(points[faces].astype(np.float64), 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _mesh(points: NDArray[np.floating], faces: NDArray[np.integer]) -> Mesh:
    used, index = np.unique(faces, return_inverse=True)
    return Mesh(
        np.ascontiguousarray(points[used], np.float32), np.ascontiguousarray(index.reshape(-1, 3), dtype=np.int32)
    )


def _weld(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices at the same place are joined; triangles that this folds up, or that are there twice, go."""
    if not len(faces):
        return points, faces
    grain = max(float(np.ptp(points, axis=0).max()) * _WELD, 1e-12)
    _, first, index = np.unique(np.rint(points / grain), axis=0, return_index=True, return_inverse=True)
    points, faces = points[first], index.reshape(-1)[faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return points, faces[np.sort(first)]


def _split_where_not_manifold(
    points: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Consistently oriented patches that are cut apart where more than two triangles meet, or the two disagree."""
    faces, _ = igl.bfs_orient(faces)
    faces, origin = igl.split_nonmanifold(faces)
    return points[origin], faces


def _largest_piece(
    points: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """By area, not by triangles: a fleck may be finely tessellated."""
    piece = igl.facet_components(faces)[1]
    areas = np.bincount(piece, igl.doublearea(points, faces))
    faces = faces[piece == areas.argmax()]
    used, index = np.unique(faces, return_inverse=True)
    return points[used], index.reshape(-1, 3)


def _close(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each hole gets a lid: a fan around the middle of its rim."""
    rims = igl.boundary_loop_all(faces)
    for number, rim in enumerate(rims):
        ahead, behind = np.roll(rim, -1), np.asarray(rim)
        middle = np.full(len(rim), len(points) + number)
        faces = np.concatenate([faces, np.stack([ahead, behind, middle], axis=1)])
    middles = [points[rim].mean(axis=0, keepdims=True) for rim in rims]
    return np.concatenate([points, *middles]), faces
