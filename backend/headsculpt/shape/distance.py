# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed distance of a head mesh, computed once into a grid and then only looked up.

Head meshes are not solids: they are open at the neck, and eyeballs, mouth bag and eye sockets lie inside them. What a
density prior needs is the distance to the *outside of the head*. So holes are capped, the outside is what can be
reached from the border of the cube, and only triangles that face it count.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from headsculpt.mesh import Mesh

FIELD_BOUND = 0.75
"""Half the side of the cube that the field lives in, head space units (crown to chin is 0.6)."""

_EXACT_BAND = 0.06  # distances up to this are exact
_CUBE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
_COARSEST = 16  # nodes along a side of the grid that the far field is refined from


def signed_distance_grid(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], resolution: int = 128, bound: float = FIELD_BOUND
) -> NDArray[np.float32]:
    """Signed distance from the outside of a mesh at the nodes of a regular grid.

    vertices: [V, 3], head space; triangles: [T, 3], counter-clockwise from outside; need not be closed or connected.
    Returns float32 [R, R, R], indexed x, y, z, negative inside; nodes 0 and R − 1 lie on the faces of the cube ±bound.
    Exact within 0.06 of the surface; farther away an upper bound, about 2 % too large at most.
    Holes are capped; cavities, and gaps narrower than about a grid step, count as inside.
    """
    points, faces = _close(*_weld(np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)))
    corners = np.ascontiguousarray(points[faces])
    step = 2 * bound / (resolution - 1)
    outside = _outside(points, faces, corners, resolution, bound)
    facing = _facing(corners, outside, 1.75 * step, bound)
    if not facing.any():  # the mesh fills the cube or lies outside it
        facing[:] = True
    distance = _unsigned(points, faces[facing], corners[facing], resolution, bound)
    return np.where(outside, distance, -distance)


def closed_pieces(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> list[Mesh]:
    """The connected pieces of a mesh, each with its holes capped, from the largest to the smallest."""
    import igl

    points, faces = _close(*_weld(np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)))
    piece = igl.facet_components(faces)[1]
    pieces = []
    for number in np.argsort(-np.bincount(piece)):
        used, index = np.unique(faces[piece == number], return_inverse=True)
        pieces.append(Mesh(points[used].astype(np.float32), index.reshape(-1, 3).astype(np.int32)))
    return pieces


def nodes_near(corners: NDArray[np.float64], band: float, step: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The nodes of a regular grid that lie within `band` of triangles [T, 3, 3], float64 [N, 3], and the cells all of
    whose eight corners are among them, as numbers of these [C, 8], in marching cubes' order."""
    low, high = corners.min((0, 1)), corners.max((0, 1))
    middle, bound = (low + high) / 2, float((high - low).max()) / 2 + band + step
    size = int(np.ceil(2 * bound / step)) + 1
    distance = np.full((size,) * 3, np.inf, np.float32)
    _scatter(np.ascontiguousarray(corners - middle), distance, np.empty(distance.shape, np.int32), band, bound)
    near = np.isfinite(distance)
    number = np.full(near.shape, -1, np.int64)
    nodes = np.argwhere(near)
    number[near] = np.arange(len(nodes))
    around = nodes[:, None] + _CUBE
    inside = (nodes < size - 1).all(axis=1)
    cells = number[tuple(np.moveaxis(around[inside], -1, 0))]
    return nodes * (2 * bound / (size - 1)) - bound + middle, cells[(cells >= 0).all(axis=1)]


def sample_grid(grid: torch.Tensor, points: torch.Tensor, bound: float = FIELD_BOUND) -> torch.Tensor:
    """Trilinear look-up, differentiable in the points.

    grid: [R, R, R], or [C, R, R, R] for C channels, indexed x, y, z with nodes on the faces of the cube ±bound;
    points: [N, 3], beyond the cube taken to its faces. Returns [N] or [N, C].
    """
    channels = grid if grid.ndim == 4 else grid[None]
    where = (points.flip(-1) / bound).view(1, 1, 1, -1, 3)  # grid_sample's first coordinate runs along the last axis
    values = torch.nn.functional.grid_sample(channels[None], where, padding_mode="border", align_corners=True)
    values = values.view(len(channels), -1)
    return values.T if grid.ndim == 4 else values[0]


def warm_up() -> None:
    """Compile and cache the kernels."""
    signed_distance_grid(np.eye(3) * 0.1, np.array([[0, 1, 2]]), resolution=24)


def _weld(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Join vertices at the same place (texture seams split them) and drop triangles that this folds up."""
    points, index = np.unique(points.round(7), axis=0, return_inverse=True)
    faces = index.reshape(-1)[faces]
    folded = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    return points, faces[~folded]


def _close(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cap each hole with a fan around the mean of its rim, so that the winding number is whole everywhere.

    A half-edge without its opposite belongs to a rim; since rims are closed curves, so is the mesh with their fans.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    keys, index = np.unique(low * len(points) + high, return_inverse=True)
    surplus = np.rint(np.bincount(index, np.where(start < end, 1.0, -1.0))).astype(np.int64)
    low, high = keys // len(points), keys % len(points)
    start, end = np.where(surplus > 0, low, high), np.where(surplus > 0, high, low)
    start, end = np.repeat(start, np.abs(surplus)), np.repeat(end, np.abs(surplus))
    if len(start) == 0:
        return points, faces

    rim_vertices, rim_edges = np.unique(np.concatenate([start, end]), return_inverse=True)
    first, second = rim_edges.reshape(2, -1)
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(rim_vertices),) * 2)
    rims, rim = connected_components(links, directed=False)
    sums = np.stack([np.bincount(rim, weights=points[rim_vertices, axis]) for axis in range(3)], axis=1)
    middle = sums / np.bincount(rim, minlength=rims)[:, None]
    fan = np.stack([end, start, len(points) + rim[first]], axis=1)
    return np.concatenate([points, middle]), np.concatenate([faces, fan])


def _outside(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    corners: NDArray[np.float64],
    resolution: int,
    bound: float,
) -> NDArray[np.bool_]:
    """Which nodes lie outside: reachable from the cube's border, not enclosed by the (closed) mesh.

    Neighbouring nodes that are both more than half a step off the surface have free space between them, so they are on
    the same side; only nodes nearer than that need a winding number of their own.
    """
    import igl
    from scipy.ndimage import binary_dilation, label

    def is_free(nodes: tuple[NDArray[np.intp], ...]) -> NDArray[np.bool_]:
        where = np.stack(nodes, axis=1) * (2 * bound / (resolution - 1)) - bound
        return igl.fast_winding_number(points, faces, where) < 0.5

    step = 2 * bound / (resolution - 1)
    distance = np.full((resolution,) * 3, np.inf, np.float32)
    _scatter(corners, distance, np.empty(distance.shape, np.int32), 0.5 * step, bound)
    near = distance <= 0.5 * step
    regions, _ = label(~near)
    border = np.ones_like(near)
    border[1:-1, 1:-1, 1:-1] = False
    numbers, first = np.unique(np.where(border, regions, 0).reshape(-1), return_index=True)
    numbers, first = numbers[numbers > 0], first[numbers > 0]
    reached = numbers[is_free(np.unravel_index(first, near.shape))]
    outside = np.isin(regions, reached)

    beside = np.nonzero(near & binary_dilation(outside, np.ones((3, 3, 3)), iterations=2))
    free = np.zeros_like(near)
    free[beside] = is_free(beside)
    # narrow places that open to the outside, two steps deep at most: a closed mouth stays closed
    return binary_dilation(outside, iterations=2, mask=free | outside)


def _unsigned(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    corners: NDArray[np.float64],
    resolution: int,
    bound: float,
) -> NDArray[np.float32]:
    """Unsigned distance from coarse to fine: a node's nearest triangle is most likely that of a coarse neighbour.

    Near the surface the triangles themselves look for their nodes, in a band that halves with the step.
    """
    import igl

    sizes = [resolution]
    while sizes[0] > _COARSEST:
        sizes.insert(0, (sizes[0] + 1) // 2)
    axis = np.linspace(-bound, bound, sizes[0])
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    squared, index, _ = igl.point_mesh_squared_distance(nodes, points, faces)
    nearest = index.astype(np.int32).reshape((sizes[0],) * 3)
    distance = np.sqrt(squared).astype(np.float32).reshape(nearest.shape)
    for size in sizes[1:]:
        distance, nearest = _refine(corners, nearest, size, bound)
        _scatter(corners, distance, nearest, _EXACT_BAND * (resolution / size), bound)
    return distance


@njit(cache=True, nogil=True, error_model="numpy")
def _squared_distance(x: float, y: float, z: float, corner: NDArray[np.float64]) -> float:
    """Squared distance of a point from a triangle [3, 3], by the Voronoi regions of its corners and edges."""
    ax, ay, az = corner[0, 0] - x, corner[0, 1] - y, corner[0, 2] - z
    bx, by, bz = corner[1, 0] - x, corner[1, 1] - y, corner[1, 2] - z
    cx, cy, cz = corner[2, 0] - x, corner[2, 1] - y, corner[2, 2] - z
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = cx - ax, cy - ay, cz - az
    ua, va = -(ux * ax + uy * ay + uz * az), -(vx * ax + vy * ay + vz * az)
    if ua <= 0.0 and va <= 0.0:
        return ax * ax + ay * ay + az * az
    ub, vb = -(ux * bx + uy * by + uz * bz), -(vx * bx + vy * by + vz * bz)
    if ub >= 0.0 and vb <= ub:
        return bx * bx + by * by + bz * bz
    uc, vc = -(ux * cx + uy * cy + uz * cz), -(vx * cx + vy * cy + vz * cz)
    if vc >= 0.0 and uc <= vc:
        return cx * cx + cy * cy + cz * cz
    over_ab = ua * vb - ub * va
    over_ac = uc * va - ua * vc
    over_bc = ub * vc - uc * vb
    if over_ab <= 0.0 and ua >= 0.0 and ub <= 0.0:
        s, t = ua / (ua - ub), 0.0
    elif over_ac <= 0.0 and va >= 0.0 and vc <= 0.0:
        s, t = 0.0, va / (va - vc)
    elif over_bc <= 0.0 and vb - ub >= 0.0 and uc - vc >= 0.0:
        t = (vb - ub) / ((vb - ub) + (uc - vc))
        s = 1.0 - t
    else:
        total = over_ab + over_ac + over_bc
        s, t = over_ac / total, over_ab / total
    dx, dy, dz = ax + s * ux + t * vx, ay + s * uy + t * vy, az + s * uz + t * vz
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True, error_model="numpy")
def _node_range(low: float, high: float, size: int, bound: float) -> tuple[int, int]:
    """The nodes within [low, high] along one axis, as a half-open range."""
    scale = (size - 1) / (2.0 * bound)
    first, last = np.ceil((low + bound) * scale), np.floor((high + bound) * scale)
    return int(max(first, 0.0)), int(min(last, size - 1.0)) + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _scatter(
    corners: NDArray[np.float64],
    distance: NDArray[np.float32],
    nearest: NDArray[np.int32],
    band: float,
    bound: float,
) -> None:
    """Lower the distances [R, R, R] of all nodes within `band` of a triangle to the exact ones; note the triangle."""
    size = distance.shape[0]
    step = 2.0 * bound / (size - 1)
    for t in range(corners.shape[0]):
        corner = corners[t]
        mx, my, mz = corner[:, 0].mean(), corner[:, 1].mean(), corner[:, 2].mean()
        radius = 0.0
        for i in range(3):
            radius = max(radius, (corner[i, 0] - mx) ** 2 + (corner[i, 1] - my) ** 2 + (corner[i, 2] - mz) ** 2)
        radius = np.sqrt(radius)
        x0, x1 = _node_range(corner[:, 0].min() - band, corner[:, 0].max() + band, size, bound)
        y0, y1 = _node_range(corner[:, 1].min() - band, corner[:, 1].max() + band, size, bound)
        z0, z1 = _node_range(corner[:, 2].min() - band, corner[:, 2].max() + band, size, bound)
        for i in range(x0, x1):
            x = i * step - bound
            for j in range(y0, y1):
                y = j * step - bound
                across = (x - mx) ** 2 + (y - my) ** 2
                for k in range(z0, z1):
                    z = k * step - bound
                    best = min(distance[i, j, k], band)
                    if across + (z - mz) ** 2 >= (best + radius) ** 2:
                        continue  # the sphere around the triangle is farther away
                    squared = _squared_distance(x, y, z, corner)
                    if squared < best * best:
                        distance[i, j, k] = np.sqrt(squared)
                        nearest[i, j, k] = t


@njit(cache=True, nogil=True, error_model="numpy")
def _facing(corners: NDArray[np.float64], outside: NDArray[np.bool_], reach: float, bound: float) -> NDArray[np.bool_]:
    """Which triangles have an outside node within `reach`."""
    size = outside.shape[0]
    step = 2.0 * bound / (size - 1)
    facing = np.zeros(corners.shape[0], np.bool_)
    for t in range(corners.shape[0]):
        corner = corners[t]
        x0, x1 = _node_range(corner[:, 0].min() - reach, corner[:, 0].max() + reach, size, bound)
        y0, y1 = _node_range(corner[:, 1].min() - reach, corner[:, 1].max() + reach, size, bound)
        z0, z1 = _node_range(corner[:, 2].min() - reach, corner[:, 2].max() + reach, size, bound)
        for node in range((x1 - x0) * (y1 - y0) * (z1 - z0)):
            i = x0 + node // ((y1 - y0) * (z1 - z0))
            j = y0 + node // (z1 - z0) % (y1 - y0)
            k = z0 + node % (z1 - z0)
            if outside[i, j, k] and (
                _squared_distance(i * step - bound, j * step - bound, k * step - bound, corner) < reach * reach
            ):
                facing[t] = True
                break
    return facing


@njit(cache=True, nogil=True, error_model="numpy")
def _refine(
    corners: NDArray[np.float64], coarse: NDArray[np.int32], size: int, bound: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Distance and nearest triangle [size]³; candidates are those of the 8 surrounding nodes of a coarser grid."""
    step = 2.0 * bound / (size - 1)
    ratio = (coarse.shape[0] - 1) / (size - 1)
    distance = np.empty((size, size, size), np.float32)
    nearest = np.empty((size, size, size), np.int32)
    tried = np.empty(8, np.int32)
    for i in range(size):
        ci = min(int(i * ratio), coarse.shape[0] - 2)
        for j in range(size):
            cj = min(int(j * ratio), coarse.shape[0] - 2)
            for k in range(size):
                ck = min(int(k * ratio), coarse.shape[0] - 2)
                best, best_triangle, count = np.inf, -1, 0
                for corner in range(8):
                    triangle = coarse[ci + (corner >> 2), cj + ((corner >> 1) & 1), ck + (corner & 1)]
                    known = False
                    for n in range(count):
                        known = known or tried[n] == triangle
                    if known:
                        continue
                    tried[count] = triangle
                    count += 1
                    squared = _squared_distance(i * step - bound, j * step - bound, k * step - bound, corners[triangle])
                    if squared < best:
                        best, best_triangle = squared, triangle
                distance[i, j, k] = np.sqrt(best)
                nearest[i, j, k] = best_triangle
    return distance, nearest
