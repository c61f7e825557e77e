# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen of a mesh that anybody may have made: joined, turned outwards, without what is hidden inside.

Scans and sculpts are open, split at texture seams, inside out or both ways round, with eyeballs and teeth apart. Which
side of a patch is its outside is what most of the views from all around see of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headsculpt.render.raster import rasterize_kernel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

WELD = 1e-6
"""Vertices nearer than this share of the mesh's size are one."""
VIEW_SIZE = 224
"""Pixels across the mesh in each of the views."""
HIDDEN = 0.02
"""Share of its size that one must see of a patch from somewhere; less is a gap's or a nostril's look inside."""


def outer_surface(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> tuple[Floats, Indices]:
    """The patches of a mesh that can be seen from outside, counter-clockwise from there.

    vertices: [V, 3] in any unit; triangles: [T, 3], open, double, unconnected, either way round. Returns the vertices
    [W, 3] that are left, joined where they lie on each other, and triangles [S, 3]; none if there is no surface.
    """
    import igl

    points, faces = weld(vertices, triangles)
    if not len(faces):
        return points[:0], faces
    faces, patch = igl.bfs_orient(faces)
    faces = np.ascontiguousarray(faces, np.int64)
    front, back = views_of(points, faces)
    patches = int(patch.max()) + 1
    seen = np.bincount(patch, front - back, patches)
    turned = (seen < 0)[patch]
    faces[turned] = faces[turned][:, ::-1]
    area = igl.doublearea(points, faces)
    visible = np.bincount(patch, area * (front + back > 0), patches)
    shown = visible > HIDDEN * np.bincount(patch, area, patches)
    return compact(points, faces[shown[patch]])


def weld(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> tuple[Floats, Indices]:
    """Vertices at the same place are joined; triangles that this folds up, that have no area or that are there twice,
    and vertices without a triangle go."""
    points, faces = vertices.astype(np.float64), triangles.astype(np.int64)
    used, index = np.unique(faces, return_inverse=True)
    points, faces = points[used], index.reshape(-1, 3)
    if not len(faces):
        return points, faces
    grain = max(float(np.ptp(points, axis=0).max()) * WELD, 1e-30)
    keys = np.rint((points - points.min(0)) / grain).astype(np.int64)
    _, first, index = np.unique(keys @ [1 << 42, 1 << 21, 1], return_index=True, return_inverse=True)
    points, faces = points[first], index.reshape(-1)[faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    corners = points[faces]
    size = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    faces = faces[size > 0]
    return compact(points, faces[_different(faces)])


def compact(points: Floats, faces: Indices) -> tuple[Floats, Indices]:
    """Without vertices that no triangle has."""
    used, index = np.unique(faces, return_inverse=True)
    return points[used], index.reshape(-1, 3)


def cluster(points: Floats, faces: Indices, cell: float) -> tuple[Floats, Indices]:
    """Far fewer triangles: the vertices in each cube of side `cell` become one in their middle. Any mesh will do."""
    keys = np.floor((points - points.min(0)) / cell).astype(np.int64)
    _, index, count = np.unique(keys @ [1 << 42, 1 << 21, 1], return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    middle = np.stack([np.bincount(index, points[:, axis]) for axis in range(3)], axis=1) / count[:, None]
    faces = index[faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    return compact(middle, faces[_different(faces)])


def _different(faces: Indices) -> Indices:
    """The numbers of triangles [T, 3] without those that have the same corners as an earlier one."""
    low, middle, high = np.sort(faces, axis=1).T
    count = int(faces.max(initial=0)) + 1
    _, edge = np.unique(low * count + middle, return_inverse=True)
    _, first = np.unique(edge.reshape(-1) * count + high, return_index=True)
    return np.sort(first)


def border_edges(faces: Indices) -> Indices:
    """The edges [E, 2] that have one triangle only, from start to end as it walks them."""
    walked = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    low, high = np.sort(walked, axis=1).T
    _, index, uses = np.unique(low * (int(faces.max(initial=0)) + 1) + high, return_inverse=True, return_counts=True)
    return walked[uses[index.reshape(-1)] == 1]


def on_border(faces: Indices, count: int) -> NDArray[np.bool_]:
    """Which of so many vertices lie on an edge that has one triangle only."""
    border = np.zeros(count, bool)
    border[border_edges(faces)] = True
    return border


def reach_down(points: Floats, faces: Indices, top: float, height: float) -> tuple[Floats, Indices]:
    """A mesh whose open borders go on straight down to y = height, those that lie below y = top as a whole: a neck that
    ends too early."""
    edges = border_edges(faces)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(len(points), len(points)))
    _, loop = connected_components(graph, directed=False)
    highest = np.full(loop.max(initial=0) + 1, -np.inf)
    np.maximum.at(highest, loop, points[:, 1])
    edges = edges[(highest[loop[edges[:, 0]]] < top) & (points[edges, 1] > height).any(axis=1)]
    ends, index = np.unique(edges, return_inverse=True)
    below = points[ends] * [1, 0, 1] + [0, height, 0]
    (start, end), (under_start, under_end) = edges.T, index.reshape(-1, 2).T + len(points)
    walls = np.stack([end, start, under_start, end, under_start, under_end], axis=1).reshape(-1, 3)
    return weld(np.concatenate([points, below]), np.concatenate([faces, walls]))


def views_of(points: Floats, faces: Indices) -> tuple[Floats, Floats]:
    """In how many pixels of views from all around each triangle [T] is seen from its front and from its back."""
    front, back = np.zeros(len(faces)), np.zeros(len(faces))
    low, high = points.min(0), points.max(0)
    unit = (points - (low + high) / 2) / max(float(np.linalg.norm(high - low)) / 2, 1e-30)
    corners = unit[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    thin = np.ascontiguousarray(faces, np.int32)
    ids = np.empty((VIEW_SIZE, VIEW_SIZE), np.int32)
    bary = np.empty((VIEW_SIZE, VIEW_SIZE, 3), np.float32)
    for direction in all_around():
        right, up = _across(direction)
        pixels = (np.stack([unit @ right, -(unit @ up)], axis=1) + 1) * (VIEW_SIZE / 2)
        rasterize_kernel(pixels.astype(np.float32), (2 - unit @ direction).astype(np.float32), thin, ids, bary)
        seen = np.bincount(ids[ids >= 0], minlength=len(faces)).astype(np.float64)
        facing = normal @ direction > 0
        front += seen * facing
        back += seen * ~facing
    return front, back


def all_around() -> Floats:
    """Unit vectors [26, 3]: faces, edges and corners of a cube."""
    grid = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[(grid != 0).any(axis=1)]
    return grid / np.linalg.norm(grid, axis=1, keepdims=True)


def _across(direction: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors [3] that make a right-handed frame with the direction, which is the third."""
    helper = np.eye(3)[np.abs(direction).argmin()]
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return right, np.cross(direction, right)
