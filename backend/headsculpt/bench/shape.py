# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the kernels of `shape/` are, beside plain references that give the same numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import igl
import numpy as np
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.head.smoothing import smooth_surface
from headsculpt.shape.distance import FIELD_BOUND, signed_distance_grid
from headsculpt.shape.hashgrid import HashGrid, encode_reference
from headsculpt.shape.tetrahedra import TetrahedralGrid, marching_tetrahedra

Row = tuple[str, float, float]
"""What was measured; milliseconds of ours; milliseconds of the reference. Medians."""


def rows() -> list[Row]:
    """All measurements, on as many threads as torch is set to."""
    return [*hash_grid(), signed_distance(), marching()]


def hash_grid(points: int = 1 << 16) -> list[Row]:
    """The paper's encoding, against plain torch with autograd."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(16, 2, 19, 16, 2048, generator=generator)
    places = torch.rand(points, 3, generator=generator)
    weights = np.ones(grid.levels, np.float32)

    def ours() -> torch.Tensor:
        return grid(places)

    def reference() -> torch.Tensor:
        return encode_reference(places, grid.table, grid.layout, weights)

    def both_ways(encode: Callable[[], torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(encode().sum(), grid.table)

    name = f"hash grid, {points:,} points, 16 × 2, 2^19, "
    return [
        (name + "forward", milliseconds(ours), milliseconds(reference)),
        (name + "forward and back", milliseconds(both_ways(ours)), milliseconds(both_ways(reference))),
    ]


def signed_distance(resolution: int = 64) -> Row:
    """The built-in head in the grid, against libigl at every node."""
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, resolution)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    surface, faces = smooth_surface(head)
    vertices, triangles = surface.astype(np.float64), faces.astype(np.int64)
    kind = igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER
    return (
        f"signed distance, {resolution}³ nodes to {len(triangles):,} triangles",
        milliseconds(lambda: signed_distance_grid(vertices, triangles, resolution)),
        milliseconds(lambda: igl.signed_distance(nodes, vertices, triangles, sign_type=kind), repeats=1),
    )


def marching(resolution: int = 51) -> Row:
    """A ball in a whole grid, against finding the cut edges anew each time."""
    grid = TetrahedralGrid.full(resolution)
    distance = grid.vertices.norm(dim=1) - 0.4

    def cut_edges_by_unique() -> torch.Tensor:
        inside = distance[grid.tets.long()] < 0
        cut = grid.tets[inside.any(dim=1) & ~inside.all(dim=1)].long()
        pairs = cut[:, [0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3]].view(-1, 2).sort(dim=1).values
        ends = torch.unique(pairs, dim=0)
        first, second = distance[ends].unbind(1)
        ends, first, second = (part[(first < 0) != (second < 0)] for part in (ends, first, second))
        share = (first / (first - second))[:, None]
        return grid.vertices[ends[:, 0]] * (1 - share) + grid.vertices[ends[:, 1]] * share

    return (
        f"marching tetrahedra, {len(grid.tets):,} (reference: its vertices alone)",
        milliseconds(lambda: marching_tetrahedra(grid.vertices, distance, grid)),
        milliseconds(cut_edges_by_unique),
    )


def milliseconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Median time of a call, after one call that does not count if there are several."""
    if repeats > 1:
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times) * 1000
