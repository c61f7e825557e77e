# SPDX-License-Identifier: GPL-3.0-or-later
"""Texture coordinates for a head: few charts, the face whole, little stretch.

General unwrappers cut a head with hair into hundreds of charts, which nobody can paint on. Here the surface is divided
by the side that it looks to (face, back, left, right, top, bottom), each part is flattened with little distortion
(SLIM, Rabinovich et al. 2017, started from LSCM, Lévy et al. 2002), and a part that would fold is divided again.
"""

from __future__ import annotations

from itertools import pairwise

import igl
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.signal import fftconvolve
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from headsculpt.mesh import Mesh
from headsculpt.render.raster import rasterize_kernel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SIDES = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], np.float64)
_FAVOUR = np.array([0.25, 0.05, 0.0, 0.0, 0.0, -0.1])
"""Added to the cosine with each side: the face takes more of the surface, what lies below the chin less."""
_DENSITY = np.array([1.35, 1.0, 1.0, 1.0, 1.0, 0.6])
"""Scale of a chart by the side that it looks to: more texels for the face, fewer for the cut of the neck."""
_BLUR = 0.08
"""How far normals are averaged before they choose a side, as a share of the mesh's size: bumps shall not."""
_SMALLEST = 0.01
"""A part with less than this share of the surface joins a neighbour."""
_STRETCH = 3.0
"""A part is divided when a twentieth of its surface is scaled by more than this, or by less than its inverse."""
_KEPT = 0.8
"""A part of which less than this share of triangles can be laid out without overlap is divided."""
_SLIM_STEPS = 30
_CELLS = 256
"""Charts are packed on a grid with so many cells a side."""
_FINE = 4
"""A cell is covered when one of so many by so many samples is."""
_TRIES = 7


def unwrap(mesh: Mesh, size: int, padding: int = 8) -> NDArray[np.float32]:
    """corner_uv float32 [T, 3, 2] in 0 … 1, origin at the bottom left; no two triangles overlap.

    mesh: closed and manifold, the face along +z; size: side of the texture in texels; padding: texels between charts.
    """
    points, faces = mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64)
    waiting = [np.flatnonzero(side == value) for side in [_parts(points, faces)] for value in np.unique(side)]
    charts: list[tuple[Indices, Floats]] = []
    while waiting:
        part = waiting.pop()
        flat, fits = _flatten(points, faces[part])
        rest = part[~fits]
        if fits.any():
            corners = points[faces[part[fits]]]
            charts.append((part[fits], _upright(corners, flat[fits]) * _density(corners)))
            waiting += _pieces(faces, rest, np.zeros(len(rest), np.int64))
        else:
            waiting += _halves(points, faces, part)
    return _pack(charts, len(faces), size, padding)


def _neighbours(faces: Indices) -> csr_array:
    """Which triangles share an edge, symmetric [T, T] of ones."""
    adjacent = csr_array(igl.facet_adjacency_matrix(faces).astype(np.float64))
    adjacent.data[:] = 1
    return adjacent


def _parts(points: Floats, faces: Indices) -> Indices:
    """Divides the surface into connected parts by the side that it looks to; [T] numbers."""
    adjacent = _neighbours(faces)
    a, b, c = np.moveaxis(points[faces], 1, 0)
    normals = np.cross(b - a, c - a)
    area = np.linalg.norm(normals, axis=1) / 2
    edge = np.linalg.norm(b - a, axis=1).mean()
    blur = diags_array(1 / (adjacent.sum(axis=1) + 1)) @ (adjacent + diags_array(np.ones(len(faces))))
    for _ in range(int((_BLUR * np.ptp(points) / edge) ** 2)):
        normals = blur @ normals
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    side = np.argmax(normals @ _SIDES.T + _FAVOUR, axis=1)
    return _join_small(_smooth_rims(_join_small(_connected(adjacent, side), adjacent, area), adjacent), adjacent, area)


def _connected(adjacent: csr_array, side: Indices) -> Indices:
    """Numbers the connected parts of equal side."""
    links = adjacent.tocoo()
    same = side[links.row] == side[links.col]
    graph = csr_array((np.ones(same.sum()), (links.row[same], links.col[same])), shape=adjacent.shape)
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _join_small(part: Indices, adjacent: csr_array, area: Floats) -> Indices:
    """The smallest part joins the neighbour that it shares most edges with, until none is too small."""
    links = adjacent.tocoo()
    while True:
        sizes = np.bincount(part, area)
        numbers = np.unique(part)
        smallest = numbers[sizes[numbers].argmin()]
        beyond = part[links.col][(part[links.row] == smallest) & (part[links.col] != smallest)]
        if sizes[smallest] >= _SMALLEST * area.sum() or not len(beyond):
            return part
        part = np.where(part == smallest, np.bincount(beyond).argmax(), part)


def _smooth_rims(part: Indices, adjacent: csr_array) -> Indices:
    """A triangle two of whose three neighbours are of one other part joins it: rims without spikes."""
    around = adjacent.indices.reshape(-1, 3)  # closed and manifold: every triangle has three neighbours
    for _ in range(10):
        a, b, c = part[around].T
        most = np.where(b == c, b, a)
        agreed = (a == b) | (a == c) | (b == c)
        part = np.where(agreed, most, part)
    return _connected(adjacent, part)


def _flatten(points: Floats, faces: Indices) -> tuple[Floats, NDArray[np.bool_]]:
    """A part in the plane: corners [T, 3, 2] in the surface's own unit of length, and which triangles came out well.

    None did when the part folds or stretches too much; some may not have where its rim runs across itself.
    """
    nothing = np.zeros((len(faces), 3, 2)), np.zeros(len(faces), np.bool_)
    used, index = np.unique(faces, return_inverse=True)
    points, faces = points[used], index.reshape(-1, 3)
    if len(faces) == 1:
        return _in_plane(points[faces[0]])[None], np.ones(1, np.bool_)
    if not len(igl.boundary_facets(faces)[0]):
        return nothing  # closed
    flat = _conformal(points, faces)
    if flat is None:
        points, faces = _cut_to_disc(points, faces)
        flat = _on_a_disc(points, faces)
    flat = _relax(points, faces, flat)
    ratio = _signed_areas(flat[faces]) / np.maximum(igl.doublearea(points, faces) / 2, 1e-20)
    low, high = np.quantile(ratio, (0.05, 0.95))
    if not ratio.min() > 0 or high > _STRETCH or low < 1 / _STRETCH:
        return nothing
    fits = _without_overlap(flat, faces)
    return (flat[faces], fits) if fits.mean() > _KEPT else nothing


def _in_plane(triangle: Floats) -> Floats:
    """One triangle [3, 3] as it is, in its own plane [3, 2]."""
    along, across = triangle[1] - triangle[0], triangle[2] - triangle[0]
    length = max(float(np.linalg.norm(along)), 1e-20)
    x = along @ across / length
    return np.array([[0, 0], [length, 0], [x, np.sqrt(max(across @ across - x * x, 1e-20))]])


def _conformal(points: Floats, faces: Indices) -> Floats | None:
    """LSCM, as large as the surface; None when it folds (as it does on a part with handles)."""
    rim = np.unique(igl.boundary_facets(faces)[0])
    first = rim[np.linalg.norm(points[rim] - points.mean(axis=0), axis=1).argmax()]
    second = rim[np.linalg.norm(points[rim] - points[first], axis=1).argmax()]
    pins = np.array([[0.0, 0.0], [float(np.linalg.norm(points[second] - points[first])), 0.0]])
    flat, _ = igl.lscm(points, faces, np.array([first, second]), pins)
    areas = _signed_areas(flat[faces])
    if not np.isfinite(areas).all() or areas.min() <= 0:
        return None
    return flat * np.sqrt(igl.doublearea(points, faces).sum() / 2 / areas.sum())


def _cut_to_disc(points: Floats, faces: Indices) -> tuple[Floats, Indices]:
    """Cut open along edges until one rim is left and no handle."""
    cuts = igl.cut_to_disk(faces)
    pairs = {(a, b) for cut in cuts for a, b in pairwise(cut)}
    pairs |= {(b, a) for a, b in pairs}
    is_cut = np.array([[(int(t[k]), int(t[(k + 1) % 3])) in pairs for k in range(3)] for t in faces])
    points, faces, _ = igl.cut_mesh(points, faces, is_cut)
    return points, faces


def _on_a_disc(points: Floats, faces: Indices) -> Floats:
    """Tutte's embedding: the rim on a circle, every other vertex in the middle of its neighbours; never folds."""
    rim = np.asarray(max(igl.boundary_loop_all(faces), key=len))
    radius = np.sqrt(igl.doublearea(points, faces).sum() / 2 / np.pi)
    steps = np.linalg.norm(np.roll(points[rim], -1, axis=0) - points[rim], axis=1)
    angle = 2 * np.pi * np.cumsum(steps) / steps.sum()
    flat = np.zeros((len(points), 2))
    flat[rim] = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inner = np.setdiff1d(np.arange(len(points)), rim)
    links = csr_array(igl.adjacency_matrix(faces).astype(np.float64))
    laplacian = (diags_array(links.sum(axis=1)) - links).tocsr()
    if len(inner):
        flat[inner] = spsolve(laplacian[inner][:, inner].tocsc(), -(laplacian[inner][:, rim] @ flat[rim]))
    return flat


def _relax(points: Floats, faces: Indices, flat: Floats) -> Floats:
    """Some steps of SLIM on the symmetric Dirichlet energy: lengths and angles kept, nothing flipped."""
    data = igl.slim_precompute(
        np.asfortranarray(points),
        np.asfortranarray(faces, np.int32),
        np.asfortranarray(flat),
        igl.SYMMETRIC_DIRICHLET,
        np.empty(0, np.int32),
        np.empty((0, 2), order="F"),
        0.0,
    )
    return np.ascontiguousarray(igl.slim_solve(data, _SLIM_STEPS)[:, :2])


def _signed_areas(corners: Floats) -> Floats:
    """Of triangles [T, 3, 2], positive when counter-clockwise."""
    a, b, c = np.moveaxis(corners, 1, 0)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def _without_overlap(flat: Floats, faces: Indices) -> NDArray[np.bool_]:
    """[T]: which triangles stay when the rim is peeled off where it runs across itself, and of what falls apart then
    the largest piece.

    A connected part of which no triangle is flipped and whose rim does not cross itself covers nothing twice; of two
    pieces one could lie within the other.
    """
    stays = np.ones(len(faces), np.bool_)
    while stays.any():
        pieces = _pieces(faces, np.flatnonzero(stays), np.zeros(stays.sum(), np.int64))
        stays[:] = False
        stays[max(pieces, key=len)] = True
        rim, triangle, _ = igl.boundary_facets(faces[stays])
        crossing = _crossings(flat[rim[:, 0]], flat[rim[:, 1]])
        if not crossing.any():
            break
        worst = crossing.sum(axis=1)
        stays[np.flatnonzero(stays)[triangle[worst == worst.max()]]] = False
    return stays


def _crossings(start: Floats, end: Floats) -> NDArray[np.bool_]:
    """[E, E]: which of the segments start–end [E, 2] cross each other; a common end is no crossing."""

    def side(points: Floats) -> Floats:
        """[E, E]: on which side of segment i point j lies."""
        along, to = end - start, points[None] - start[:, None]
        return along[:, None, 0] * to[..., 1] - along[:, None, 1] * to[..., 0]

    apart = side(start) * side(end) < 0
    return apart & apart.T


def _halves(points: Floats, faces: Indices, part: Indices) -> list[Indices]:
    """Two or more connected parts, divided across the part's longest extent."""
    middles = points[faces[part]].mean(axis=1)
    middles -= middles.mean(axis=0)
    along = middles @ np.linalg.svd(middles, full_matrices=False)[2][0]
    side = (along > np.median(along)).astype(np.int64)
    if side.min() == side.max():
        side = np.arange(len(part)) % 2
    return _pieces(faces, part, side)


def _pieces(faces: Indices, part: Indices, side: Indices) -> list[Indices]:
    """A part's connected pieces of equal side."""
    if not len(part):
        return []
    piece = _connected(_neighbours(faces[part]), side)
    return [part[piece == number] for number in range(piece.max() + 1)]


def _upright(points: Floats, flat: Floats) -> Floats:
    """The flattened triangles [T, 3, 2], turned so that what is higher (or, on the crown, farther back) lies higher."""
    height = (points[..., 1] - 0.1 * points[..., 2]).reshape(-1)
    where = flat.reshape(-1, 2) - flat.reshape(-1, 2).mean(axis=0)
    slope = np.linalg.lstsq(where, height - height.mean(), rcond=None)[0]
    up = slope / max(float(np.linalg.norm(slope)), 1e-20) if slope.any() else np.array([0.0, 1.0])
    return flat @ np.array([[up[1], up[0]], [-up[0], up[1]]])


def _density(corners: Floats) -> float:
    """What a chart's triangles [T, 3, 3] are scaled by, for the side that they look to on the whole."""
    a, b, c = np.moveaxis(corners, 1, 0)
    return float(_DENSITY[np.argmax(_SIDES @ np.cross(b - a, c - a).sum(axis=0))])


def _pack(charts: list[tuple[Indices, Floats]], count: int, size: int, padding: int) -> NDArray[np.float32]:
    """All charts in one square, upright, as large as they fit; [count, 3, 2]."""
    largest_first = sorted(charts, key=lambda chart: -np.ptp(chart[1], axis=(0, 1)).max())
    flats = [flat - flat.min(axis=(0, 1)) for _, flat in largest_first]
    area = sum(_signed_areas(flat).sum() for flat in flats)
    gap = max(1, round(padding * _CELLS / size))
    low, high, best = 0.0, 1.0, None
    for _ in range(_TRIES):  # bisection for the share of the square that the charts fill
        fill = (low + high) / 2
        scale = np.sqrt(fill / area)
        corners = _place([flat * scale for flat in flats], gap)
        if corners is None:
            high = fill
        else:
            low, best = fill, [flat * scale + corner for flat, corner in zip(flats, corners, strict=True)]
    assert best is not None, "charts that fill next to nothing of the square did not fit into it"
    corner_uv = np.zeros((count, 3, 2), np.float32)
    for (part, _), flat in zip(largest_first, best, strict=True):
        corner_uv[part] = flat
    return corner_uv


def _place(flats: list[Floats], gap: int) -> list[Floats] | None:
    """Puts each chart as low as it goes, then as far left; their lower left corners [2], or None when one is too many.

    flats: triangles [T, 3, 2] from (0, 0) up, in sides of the square; gap: cells that stay free around a chart.
    """
    taken = np.zeros((_CELLS, _CELLS), np.float32)
    corners = []
    for flat in flats:
        shape = _cells(flat * _CELLS, gap)
        if max(shape.shape) > _CELLS:
            return None
        free = fftconvolve(taken, shape[::-1, ::-1], mode="valid") < 0.5
        if not free.any():
            return None
        row, column = np.unravel_index(free.argmax(), free.shape)
        taken[row : row + shape.shape[0], column : column + shape.shape[1]] += shape
        corners.append(np.array([column + gap, row + gap]) / _CELLS)
    return corners


def _cells(flat: Floats, gap: int) -> NDArray[np.float32]:
    """1 for the cells, from the bottom up, that a chart [T, 3, 2] and half a gap around it need."""
    columns, rows = np.ceil(flat.max(axis=(0, 1))).astype(int) + 2 * gap
    pixels = ((flat.reshape(-1, 2) + gap) * _FINE).astype(np.float32)
    ids = np.empty((rows * _FINE, columns * _FINE), np.int32)
    order = np.arange(len(pixels), dtype=np.int32).reshape(-1, 3)
    rasterize_kernel(pixels, np.ones(len(pixels), np.float32), order, ids, np.empty((*ids.shape, 3), np.float32))
    column, row = pixels.astype(int).T
    ids[row, column] = 0  # triangles smaller than a pixel cover no centre
    covered = (ids >= 0).reshape(rows, _FINE, columns, _FINE).any(axis=(1, 3))
    return binary_dilation(covered, np.ones((3, 3)), iterations=(gap + 1) // 2).astype(np.float32)
