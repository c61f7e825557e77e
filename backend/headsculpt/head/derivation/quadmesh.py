# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges, borders and loops of meshes of quads (or of triangles)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def edges(quads: Indices) -> tuple[Indices, Indices, Indices]:
    """Edges [E, 2] (sorted), the edge of each quad's four sides [Q, 4], and how many quads have each edge [E]."""
    sides = np.sort(np.stack([quads, np.roll(quads, -1, 1)], 2).reshape(-1, 2), 1)
    span = int(quads.max()) + 1
    keys, side, count = np.unique(sides[:, 0] * span + sides[:, 1], return_inverse=True, return_counts=True)
    return np.stack([keys // span, keys % span], 1), side.reshape(quads.shape), count


def border_loops(quads: Indices) -> list[Indices]:
    """Closed loops of vertices along the border, each with the surface on its left; longest first."""
    directed = np.stack([quads, np.roll(quads, -1, 1)], 2).reshape(-1, 2)
    present = {(int(a), int(b)) for a, b in directed}
    follow = {a: b for a, b in sorted(present) if (b, a) not in present}
    loops = []
    while follow:
        start = min(follow)
        loop = [start]
        while (after := follow.pop(loop[-1])) != start:
            loop.append(after)
        loops.append(np.array(loop, np.int64))
    return sorted(loops, key=len, reverse=True)


def rings(quads: Indices, loop: Indices, count: int, vertices: int) -> Indices:
    """How many edges each of the vertices [V] is away from a loop (which is ring 0), up to `count`; −1 beyond."""
    edge, _, _ = edges(quads)
    ring = np.full(vertices, -1)
    ring[loop] = 0
    for number in range(count):
        for near, far in (edge.T, edge.T[::-1]):
            ring[far[(ring[near] == number) & (ring[far] < 0)]] = number + 1
    return ring


def between_rings(quads: Indices, loop: Indices, inner: int) -> Indices:
    """Edges [R, 2] that lead from the ring number `inner` about a loop to the next one."""
    edge, _, _ = edges(quads)
    ring = rings(quads, loop, inner + 1, int(quads.max()) + 1)
    return edge[(np.sort(ring[edge], 1) == [inner, inner + 1]).all(1)]
