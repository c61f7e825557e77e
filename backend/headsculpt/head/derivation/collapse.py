# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer quads, still only quads: whole strips of them (polychords) are collapsed, narrowest first.

A polychord is the strip that leaves each quad through the side opposite to the one it entered by; merging the two ends
of every edge that it crosses removes it and leaves all loops beside it whole (Daniels et al., Quadrilateral mesh
simplification, 2008). A strip and its mirror image go together, so the mesh stays symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .quadmesh import Indices, edges

MOST_NEIGHBOURS = 6  # of a vertex


@dataclass(frozen=True)
class Loop:
    """A closed feature whose number of vertices may not fall below `least`."""

    vertices: Indices
    least: int


def polychords(side: Indices, edge_count: int) -> Indices:
    """A label per edge [E]: the strip that crosses it. side [Q, 4]: the edge of each quad's sides."""
    a, b = np.concatenate([side[:, 0], side[:, 1]]), np.concatenate([side[:, 2], side[:, 3]])
    return connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(edge_count, edge_count)), directed=False)[
        1
    ]


def collapse(
    quads: Indices,
    vertices: NDArray[np.float64],
    mirror: Indices,
    spacing: NDArray[np.float64],
    loops: list[Loop],
    guarded: Indices,
    target: int,
) -> tuple[Indices, Indices]:
    """Collapse strips until at most `target` vertices are left.

    quads [Q, 4] of an open disc; vertices [V, 3]; mirror [V]: each vertex's mirror image; spacing [V]: the length an
    edge may have there; guarded [G, 2]: edges whose strips stay. A strip's width is the cubic mean of its edges'
    lengths by the spacing: the few long ones count most, so that no strip is taken for its narrow end. Returns the
    quads left, and for each vertex [V] the one it was merged into.
    """
    owner = np.arange(len(vertices))
    count = len(vertices)
    position, weight = vertices.copy(), np.ones(len(vertices))
    while len(np.unique(quads)) > target:
        edge, side, _ = edges(quads)
        strip = polychords(side, len(edge))
        length = np.linalg.norm(position[edge[:, 0]] - position[edge[:, 1]], axis=1) / spacing[edge].mean(1)
        width = np.cbrt(np.bincount(strip, length**3) / np.bincount(strip))
        kept = np.sort(owner[guarded], 1) @ [count, 1]
        width[strip[np.isin(edge @ [count, 1], kept)]] = np.inf
        image = _mirrored_strips(edge, strip, mirror)
        width = np.maximum(width, width[image])
        for candidate in np.argsort(width, kind="stable")[: np.isfinite(width).sum()]:
            crossed = (strip == candidate) | (strip == image[candidate])
            merged = _merge(quads, edge[crossed], crossed[side].any(1), count, loops, owner)
            if merged is not None:
                break
        else:
            raise RuntimeError(f"No strip can be collapsed at {len(np.unique(quads))} vertices.")
        quads, into = merged
        moved, total = np.zeros_like(position), np.zeros_like(weight)
        np.add.at(moved, into, position * weight[:, None])
        np.add.at(total, into, weight)
        weight = total
        position = moved / np.maximum(weight, 1e-30)[:, None]
        owner = into[owner]
        mirror = _after_merge(mirror, into)
    return quads, owner


def _after_merge(mirror: Indices, into: Indices) -> Indices:
    """The mirror images [V] of the vertices that are left."""
    merged = mirror.copy()
    merged[into] = into[mirror]
    return merged


def _mirrored_strips(edge: Indices, strip: Indices, mirror: Indices) -> Indices:
    """For each strip [S] its mirror image."""
    number = {(int(a), int(b)): i for i, (a, b) in enumerate(edge)}
    first = np.unique(strip, return_index=True)[1]
    mirrored = np.sort(mirror[edge[first]], 1)
    return strip[[number[int(a), int(b)] for a, b in mirrored]]


def _merge(
    quads: Indices, crossed: Indices, dead: NDArray[np.bool_], count: int, loops: list[Loop], owner: Indices
) -> tuple[Indices, Indices] | None:
    """The mesh after merging the ends of the crossed edges, or None if it would not be a good one."""
    groups, group = connected_components(
        coo_matrix((np.ones(len(crossed)), (crossed[:, 0], crossed[:, 1])), shape=(count, count)), directed=False
    )
    if np.bincount(group).max() > 3:
        return None
    into = np.full(groups, count)
    np.minimum.at(into, group, np.arange(count))
    into = into[group]
    left = into[quads[~dead]]
    corners = np.sort(left, 1)
    if (corners[:, 1:] == corners[:, :-1]).any():
        return None
    edge, _, uses = edges(left)
    used = np.unique(left)
    if uses.max() > 2 or len(used) - len(edge) + len(left) != 1:  # not a manifold disc any more
        return None
    neighbours = np.bincount(edge.ravel(), minlength=count)
    inner = np.setdiff1d(used, edge[uses == 1])
    if neighbours[inner].min() < 3 or neighbours.max() > MOST_NEIGHBOURS:
        return None
    if any(len(np.unique(into[owner[loop.vertices]])) < loop.least for loop in loops):
        return None
    return left, into
