# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges, borders and loops of quad meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def edges(quads: Indices) -> tuple[Indices, Indices, Indices]:
    """Edges [E, 2] (sorted), the edge of each quad's four sides [Q, 4], and how many quads have each edge [E]."""
    sides = np.sort(np.stack([quads, np.roll(quads, -1, 1)], 2).reshape(-1, 2), 1)
    span = int(quads.max()) + 1
    keys, side, count = np.unique(sides[:, 0] * span + sides[:, 1], return_inverse=True, return_counts=True)
    return np.stack([keys // span, keys % span], 1), side.reshape(-1, 4), count


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
