# SPDX-License-Identifier: GPL-3.0-or-later
"""Tetrahedral grids and the surface where a signed distance at their vertices is zero (DMTet, Shen et al. 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, maximum_filter, minimum_filter
from torch.autograd.function import once_differentiable

from headsculpt.device import sent
from headsculpt.shape.distance import FIELD_BOUND, sample_grid

_PAIRS = list(combinations(range(4), 2))  # a tetrahedron's six edges by its corners


@dataclass(frozen=True)
class TetrahedralGrid:
    """A body-centred cubic lattice: a vertex at each corner and in each middle of the cubes of a regular grid.

    Two neighbouring middles and an edge of the face between them make a tetrahedron. All are congruent and face twelve
    ways, so the surface has the same quality left and right; cubes cut along their diagonals leave steps on one side.

    vertices: float32 [N, 3]; tets: int32 [M, 4], positively oriented; edges: int32 [E, 2], each edge once;
    tet_edges: int32 [M, 6], edges between a tetrahedron's corners 01, 02, 03, 12, 13, 23;
    border: int8 [N], 0 in the inside of the grid; on its border the side of the surface, 1 outside or −1 inside, on
    which marching_tetrahedra keeps the vertex, so that the surface cannot leave the grid and stays closed.
    """

    vertices: torch.Tensor
    tets: torch.Tensor
    edges: torch.Tensor
    tet_edges: torch.Tensor
    border: torch.Tensor

    @classmethod
    def full(cls, resolution: int, bound: float = FIELD_BOUND) -> TetrahedralGrid:
        """All of the cube ±bound, `resolution` cubes along a side, but for the half cubes at its faces."""
        return _build(np.ones((resolution,) * 3, np.bool_), np.ones((resolution + 1,) * 3, np.int8), bound)

    @classmethod
    def band(
        cls, distance_grid: NDArray[np.float32], resolution: int, bound: float = FIELD_BOUND, width: float = 3.0
    ) -> TetrahedralGrid:
        """Only what lies within `width` cubes of a surface, inwards and outwards.

        distance_grid: float32 [R, R, R], indexed and bounded like distance.signed_distance_grid's; any R.
        A surface that leaves the cube ±bound is closed just inside of it.
        """
        step = 2 * bound / resolution
        axis = torch.linspace(-bound, bound, resolution + 1)
        nodes = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
        distance = sample_grid(torch.as_tensor(distance_grid), nodes, bound)
        distance = torch.maximum(distance, nodes.abs().amax(dim=1) - (bound - 0.75 * step))
        shaped = distance.view((resolution + 1,) * 3).numpy()
        crossed = (_corner_minimum(shaped) < 0) & (_corner_minimum(-shaped) <= 0)
        # crossed cubes and all their neighbours, even where the distances jump: so no border is crossed
        cubes = maximum_filter(crossed, 3) | (_corner_minimum(np.abs(shaped)) < width * step)
        return _build(cubes, np.where(shaped < 0, -1, 1).astype(np.int8), bound)

    def to(self, device: torch.device | str) -> TetrahedralGrid:
        """The same grid on another device."""
        return replace(self, **{part.name: getattr(self, part.name).to(device) for part in fields(self)})

    @cached_property
    def _adjacency(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The symmetric matrix [N, N] of neighbours as a sparse tensor, and how many each vertex has, [N, 1]."""
        start, end = self.edges.long().unbind(1)
        places = torch.stack([torch.cat([start, end]), torch.cat([end, start])])
        ones, size = torch.ones(places.shape[1], device=places.device), len(self.vertices)
        with warnings.catch_warnings(action="ignore"):  # torch says that sparse rows are "in beta", and unchecked
            matrix = torch.sparse_coo_tensor(places, ones, (size, size)).coalesce().to_sparse_csr()
        return matrix, torch.bincount(places[0], minlength=size)[:, None].float()

    def laplacian(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the neighbours of a vertex minus its own value. values: [N, C] → [N, C], differentiable."""
        matrix, neighbours = self._adjacency
        return _SymmetricProduct.apply(values, matrix) / neighbours - values


class _SymmetricProduct(torch.autograd.Function):
    """matrix @ values with a symmetric sparse matrix: thirty times faster to differentiate than torch's own product."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return matrix @ values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.matrix @ gradient.contiguous(), None


@dataclass(frozen=True)
class Room:
    """Places that are kept for a surface whose size a card is not asked for: cut tetrahedra and cut edges."""

    tets: int
    edges: int


@torch.no_grad()
def room_for(sdf: torch.Tensor, grid: TetrahedralGrid, margin: float = 1.25) -> Room:
    """What the surface of this sdf [N] takes, and `margin` times as much in all. Waits for a card."""
    cut_tets, cut_edges = _cut(_kept_on_its_side(sdf, grid.border), grid)[1:]
    tets, edges = torch.stack([cut_tets.sum(), cut_edges.sum()]).tolist()
    return Room(int(margin * tets) + 1, int(margin * edges) + 1)


def marching_tetrahedra(
    positions: torch.Tensor, sdf: torch.Tensor, grid: TetrahedralGrid, room: Room | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The surface where the signed distance, linear in each tetrahedron, is zero.

    positions: [N, 3], of the grid's vertices or moved a little (no tetrahedron may turn over); sdf: [N], negative
    inside, any unit. Returns vertices [V, 3], differentiable in positions and sdf, and triangles int64 [T, 3],
    counter-clockwise from outside. The surface is closed and manifold whatever the sdf is.

    room: for a card, which then waits for nothing: V and T are as large as there is room for. Triangles (k, k, k), each
    with a k of its own as far as they go, and vertices of no other triangle fill what the surface does not take. What
    has no room is left out.
    """
    sdf = _kept_on_its_side(sdf, grid.border)
    code, cut_tets, cut_edges = _cut(sdf, grid)
    cut = _rows(cut_tets, room.tets if room else None)
    local = sent(_TRIANGLES, sdf.device)[code[cut].long()].view(-1, 6)  # two triangles of three local edges; −1: none
    local = local.masked_fill((cut < 0)[:, None], -1)
    triangles = grid.tet_edges[cut].long().gather(1, local.clamp(min=0)).view(-1, 3)
    shown = local.view(-1, 3)[:, 0] >= 0
    number = cut_edges.cumsum(0) - 1
    if room is None:
        triangles = number[triangles[shown]]
    else:
        # were all fillers at one vertex, thousands of sums would wait for each other there
        filler = torch.arange(2 * room.tets, device=sdf.device) % room.edges
        triangles = torch.where(shown[:, None], number[triangles].clamp(max=room.edges - 1), filler[:, None])

    edges = _rows(cut_edges, room.edges if room else None)
    ends = grid.edges[edges].long().view(-1)
    # gather's backward is scatter_add, ten times faster than that of indexing
    distance = sdf.gather(0, ends).view(-1, 2)
    place = positions.gather(0, ends[:, None].expand(-1, 3)).view(-1, 2, 3)
    change = (distance[:, 0] - distance[:, 1]).masked_fill(edges < 0, 1)
    share = (distance[:, 0] / change)[:, None]
    return place[:, 0] * (1 - share) + place[:, 1] * share, triangles


def _cut(sdf: torch.Tensor, grid: TetrahedralGrid) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """uint8 [M], which corners of each tetrahedron are inside; which tetrahedra, bool [M], and edges, bool [E], the
    surface cuts."""
    inside = (sdf.detach() < 0).to(torch.uint8)
    corner, end = inside[grid.tets], inside[grid.edges]
    code = corner[:, 0] | corner[:, 1] << 1 | corner[:, 2] << 2 | corner[:, 3] << 3
    return code, (code > 0) & (code < 15), end[:, 0] != end[:, 1]


def _rows(wanted: torch.Tensor, room: int | None) -> torch.Tensor:
    """int64, the rows of wanted, bool [N], that are true. room: how many there shall be, −1 after the last."""
    if room is None:
        return wanted.nonzero()[:, 0]
    place = torch.where(wanted, wanted.cumsum(0) - 1, room).clamp(max=room)  # those without room overwrite each other
    rows = torch.arange(len(wanted), device=wanted.device)
    return torch.full((room + 1,), -1, device=wanted.device).scatter(0, place, rows)[:-1]


def _kept_on_its_side(sdf: torch.Tensor, border: torch.Tensor) -> torch.Tensor:
    """The sdf with border vertices held on their side of the surface."""
    tiny = torch.finfo(sdf.dtype).eps
    sdf = torch.where(border > 0, sdf.clamp(min=tiny), sdf)
    return torch.where(border < 0, sdf.clamp(max=-tiny), sdf)


def _corner_minimum(values: NDArray[Any]) -> NDArray[Any]:
    """Of the nodes' values [n + 1, n + 1, n + 1], the least at the corners of each cube [n, n, n]."""
    for axis in range(3):
        low, high = np.arange(values.shape[axis] - 1), np.arange(1, values.shape[axis])
        values = np.minimum(values.take(low, axis), values.take(high, axis))
    return values


def _build(cubes: NDArray[np.bool_], side: NDArray[np.int8], bound: float) -> TetrahedralGrid:
    """The grid of the chosen cubes [n, n, n]. side: [n + 1, n + 1, n + 1], ±1, for the corners on its border."""
    size = len(side)
    stride = np.array([size * size, size, 1])
    offset = (np.arange(8)[:, None] >> np.arange(3) & 1) @ stride
    # a cube's first corner is node 2c, its middle node 2c + 1, with c the corner's number in the lattice
    blocks = []
    for axis in range(3):
        pair = np.delete(cubes, -1, axis) & np.delete(cubes, 0, axis)
        first = np.argwhere(pair) @ stride
        for ends in _FACE_EDGES[axis]:
            middles = 2 * first + 1, 2 * (first + stride[axis]) + 1
            blocks.append(np.stack([*middles, *(2 * (first + offset[end]) for end in ends)], axis=1))

    used = np.zeros(2 * side.size, np.bool_)
    for block in blocks:
        used[block] = True
    lattice = np.flatnonzero(used)
    number = np.cumsum(used, dtype=np.int32) - 1
    corner, is_middle = lattice // 2, lattice % 2 == 1

    tets = [number[block].astype(np.int64) for block in blocks]
    keys = [tet[:, start] * 16 + way for tet, (start, way) in zip(tets, _tet_edges(), strict=True)]
    used_edges = np.zeros(len(lattice) * 16, np.bool_)
    for key in keys:
        used_edges[key] = True
    edge = np.flatnonzero(used_edges)
    start, way = edge // 16, edge % 16
    to_corner, along = 2 * offset[np.minimum(way, 7)] - 1, 2 * stride[np.maximum(way, 8) - 8]
    end = number[lattice[start] + np.where(way < 8, to_corner, along)]

    inner = np.zeros((2, *side.shape), np.bool_)
    inner[0, 1:-1, 1:-1, 1:-1] = _corner_minimum(cubes)
    inner[1, 1:-2, 1:-2, 1:-2] = minimum_filter(cubes, footprint=_CROSS)[1:-1, 1:-1, 1:-1]
    sides = np.stack([side, side])
    sides[1, :-1, :-1, :-1] = -_corner_minimum(-side)
    border = np.where(inner, 0, sides).reshape(2, -1)[is_middle.astype(np.intp), corner]
    places = np.stack(np.unravel_index(corner, side.shape), axis=1) + 0.5 * is_middle[:, None]
    return TetrahedralGrid(
        vertices=torch.from_numpy((places * (2 * bound / (size - 1)) - bound).astype(np.float32)),
        tets=torch.from_numpy(np.concatenate(tets).astype(np.int32)),
        edges=torch.from_numpy(np.stack([start, end], axis=1).astype(np.int32)),
        tet_edges=torch.from_numpy((np.cumsum(used_edges, dtype=np.int32) - 1)[np.concatenate(keys)].astype(np.int32)),
        border=torch.from_numpy(border.astype(np.int8)),
    )


def _face_edges() -> list[list[tuple[int, int]]]:
    """For each axis, the edges round the face where a cube meets the next: corners of the first cube, x + 2y + 4z."""
    rings = []
    for axis in range(3):
        u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        ring = [1 << axis | corner for corner in (0, u, u | v, v)]
        rings.append(list(zip(ring, ring[1:] + ring[:1], strict=True)))
    return rings


def _tet_edges() -> Iterator[tuple[list[int], list[int]]]:
    """For the tetrahedra of each face's edge in turn, where their six edges start and which way they go.

    A start is one of the tetrahedron's corners; ways 0 to 7 lead from a middle to the cube's corner of that number, 8
    to 10 to the next node of the same kind along x, y, z.
    """
    for axis, face in enumerate(_FACE_EDGES):
        for near, far in face:
            low = 2 if near == near & far else 3
            ways = [8 + axis, near, far, near ^ 1 << axis, far ^ 1 << axis, 8 + (near ^ far).bit_length() - 1]
            yield [0, 0, 0, 1, 1, low], ways


def _is_odd(order: Sequence[int]) -> bool:
    return sum(first > second for first, second in combinations(order, 2)) % 2 == 1


def _triangles() -> NDArray[np.int64]:
    """[16, 2, 3] the surface in a tetrahedron, as edges; bit i of the first index: corner i is inside. −1: no triangle.

    With corners a, b, c, d in positive order, the triangle on ab, ac, ad looks away from a.
    """
    table = np.full((16, 2, 3), -1)
    edge = {frozenset(pair): number for number, pair in enumerate(_PAIRS)}
    for code in range(1, 15):
        order = sorted(range(4), key=lambda corner: not code >> corner & 1)  # the inside ones first
        count = code.bit_count()
        if count == 3:  # the outside one first
            order = order[3:] + order[:3]
        if _is_odd(order):
            order[2:] = order[:1:-1]
        a, b, c, d = order
        if count == 2:
            quad = [edge[frozenset(pair)] for pair in ((a, c), (a, d), (b, d), (b, c))]
            table[code] = [quad[:3], [quad[0], *quad[2:]]]
        else:
            ring = [edge[frozenset((a, corner))] for corner in (b, c, d)]
            table[code, 0] = ring if count == 1 else ring[::-1]
    return table


_FACE_EDGES = _face_edges()
_CROSS = generate_binary_structure(3, 1)  # a cube and the six that share a face with it
_TRIANGLES = torch.from_numpy(_triangles())
