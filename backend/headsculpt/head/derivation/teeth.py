# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rows of teeth in their gums: each a closed tube along the arch, drawn over ICT's teeth.

A cross-section (column) runs from the root of the gum over the outside of a tooth, its edge and its inside back to the
gum. Columns stand in the gaps between the teeth, where the tube is drawn in, and on the teeth. The outside is where
rays meet ICT's teeth and gums; the inside, which is hardly seen, follows at a tooth's thickness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from ..model import split_quads
from .quadmesh import Indices
from .regions import smooth_curve
from .source import GUM_QUADS, TOOTH_QUADS
from .surface import Floats, first_hits, nearest_weights

TEETH = 7  # on a side: two incisors, a canine, two premolars, two molars; wisdom teeth are left out
FRONT = 3  # teeth that get three columns and not two
ACROSS = ((0.16, 0.5, 0.84), (0.24, 0.76))  # of a tooth's breadth: columns on a front tooth, on one behind
NOTCH = 0.08  # centimetres from a tooth's edge to a gap's
PAPILLA = 0.14  # centimetres that the gum reaches farther down between two teeth
GROOVE = 0.11  # centimetres that a gap lies behind its neighbours
ROWS = 12  # round a cross-section
GUM_ROWS = (0, 1, 2, 10, 11)
CROWN = (0.10, 0.45, 0.8)  # heights of the rows on the outside, from the gum's margin to the edge
GUM_HEIGHT = 0.55  # centimetres from the margin to the root
# centimetres by which the gum's root and its middle are drawn in, since ICT's gums pierce the cheeks
INSIDE_THE_BAG = {"upper": (0.14, 0.06), "lower": (0.28, 0.12)}
# from the middle incisor to the second molar, in centimetres
EDGE = {"upper": (0.12, 0.12, 0.18, 0.50, 0.52, 0.74, 0.72), "lower": (0.10, 0.11, 0.16, 0.44, 0.46, 0.70, 0.68)}
NECK = {"upper": (0.52, 0.50, 0.62, 0.66, 0.68, 0.84, 0.82), "lower": (0.44, 0.46, 0.56, 0.56, 0.58, 0.78, 0.76)}
GUM_BEHIND = 0.22  # centimetres by which the gum's root is thicker than a tooth's neck
BETWEEN_THE_JAWS = -3.35  # the height that parts upper from lower gums
OUTSIDE, BEHIND = 1.2, -0.7  # centimetres from the arch's line: where rays start, and what is no longer the row
STEP, REACH = 0.03, 1.8  # centimetres between two rays and of their heights


@dataclass(frozen=True)
class Part:
    """A closed part in the mouth: vertices [V, 3] in centimetres; weights [V, N], which ICT vertices move each;
    quads [Q, 4]; uv [U, 2] in the unit square and quad_uv [Q, 4]; masks by name [V]."""

    vertices: Floats
    weights: csr_matrix
    quads: Indices
    uv: Floats
    quad_uv: Indices
    masks: dict[str, Floats]


@dataclass(frozen=True)
class _Arch:
    """The line through the teeth of a jaw in the (x, z) plane, by its length from the symmetry plane."""

    points: Floats
    length: Floats

    def at(self, s: Floats) -> tuple[Floats, Floats]:
        """Points and outward normals [S, 2]."""
        where = np.stack([np.interp(s, self.length, self.points[:, k]) for k in (0, 1)], 1)
        ahead, behind = (
            np.stack([np.interp(s + d, self.length, self.points[:, k]) for k in (0, 1)], 1) for d in (0.15, -0.15)
        )
        along = (ahead - behind) / np.linalg.norm(ahead - behind, axis=1, keepdims=True)
        return where, np.stack([-along[:, 1], along[:, 0]], 1) * [1, 1]

    def along(self, points: Floats) -> Floats:
        """The arch's length at the place nearest to each point [N, 2]."""
        return self.length[np.linalg.norm(points[:, None] - self.points, axis=-1).argmin(1)]


def build(vertices: Floats, faces: Indices, jaw: str) -> Part:
    """Of one jaw, "upper" or "lower": vertices [N, 3] of ICT's neutral head in centimetres, its faces [P, 4]."""
    up = 1.0 if jaw == "upper" else -1.0  # from the edge to the root
    teeth = _crowns(vertices, triangles_of(faces[TOOTH_QUADS]), jaw)
    arch = _arch(vertices, teeth)
    ends = np.array([np.percentile(arch.along(vertices[tooth][:, [0, 2]]), (1, 99)) for tooth in teeth])
    gaps = np.concatenate([[0.0], (ends[:-1, 1] + ends[1:, 0]) / 2, ends[-1:, 1]])
    places, tooth = _columns(gaps)
    gums, all_teeth = triangles_of(faces[GUM_QUADS]), triangles_of(faces[TOOTH_QUADS])
    gums = gums[up * (vertices[gums, 1].mean(1) - BETWEEN_THE_JAWS) > 0]
    row = all_teeth[np.isin(all_teeth, np.concatenate(_components(vertices, all_teeth, jaw))).all(1)]
    rays = _Rays(vertices, gums, row, arch, places, up)
    half = _sections(rays, gaps, places, tooth, jaw)
    columns = np.concatenate([half[:0:-1] * [-1, 1, 1], half])  # from the right end to the left one
    points = columns.reshape(-1, 3)
    gum = np.tile(np.isin(np.arange(ROWS), GUM_ROWS), len(columns)).astype(np.float64)
    quads, uv, quad_uv = _tube(len(columns), up)
    return Part(points, nearest_weights(points, vertices, row), quads, uv, quad_uv, {"gums": gum, "teeth": 1 - gum})


def triangles_of(faces: Indices) -> Indices:
    """ICT faces [P, 4] as triangles [T, 3]."""
    return split_quads(np.where(faces < 0, faces[:, 2:3], faces))


def _components(vertices: Floats, triangles: Indices, jaw: str) -> list[Indices]:
    """The vertices of each tooth of a jaw, given the triangles [T, 3] of all teeth."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    count = int(triangles.max()) + 1
    label = connected_components(coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)))[1]
    used = np.unique(triangles)
    teeth = [used[label[used] == number] for number in np.unique(label[used])]
    middle = np.median([vertices[tooth, 1].mean() for tooth in teeth])
    return [tooth for tooth in teeth if (vertices[tooth, 1].mean() > middle) == (jaw == "upper")]


def _crowns(vertices: Floats, triangles: Indices, jaw: str) -> list[Indices]:
    """The half centimetre at the edge of each tooth on the left, from the front to the back."""
    teeth = [tooth for tooth in _components(vertices, triangles, jaw) if vertices[tooth, 0].mean() > 0]
    teeth = sorted(teeth, key=lambda tooth: -float(vertices[tooth, 2].mean()))[:TEETH]
    if jaw == "upper":
        return [tooth[vertices[tooth, 1] < vertices[tooth, 1].min() + 0.5] for tooth in teeth]
    return [tooth[vertices[tooth, 1] > vertices[tooth, 1].max() - 0.5] for tooth in teeth]


def _arch(vertices: Floats, teeth: list[Indices]) -> _Arch:
    centres = np.array([vertices[tooth][:, [0, 2]].mean(0) for tooth in teeth])
    centres = np.concatenate([centres, 2 * centres[-1:] - centres[-2:-1]])  # on beyond the last tooth
    curve = smooth_curve(np.concatenate([centres[::-1] * [-1, 1], centres]), closed=False, steps=64)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    return _Arch(curve, length - length[-1] / 2)


def _columns(gaps: Floats) -> tuple[Floats, Indices]:
    """Places along the arch [C] from the symmetry plane to the end, and the tooth there, −1 in a gap."""
    places, tooth = [gaps[0]], [-1]
    for number, (start, end) in enumerate(pairwise(gaps)):
        shares = ACROSS[0] if number < FRONT else ACROSS[1]
        places += [start + share * (end - start) for share in shares] + [end]
        tooth += [number] * len(shares) + [-1]
    return np.array(places), np.array(tooth)


class _Rays:
    """What is met from outside in each column: at heights [H] from the edge towards the root, how far out of the arch's
    line [C, H], NaN where nothing is met, and whether it is a tooth."""

    def __init__(self, vertices: Floats, gums: Indices, teeth: Indices, arch: _Arch, places: Floats, up: float) -> None:
        corners = vertices[np.concatenate([gums, teeth])]
        self.up = up
        self.point, self.normal = arch.at(places)
        self.height = np.arange(-REACH, REACH, STEP) * up + BETWEEN_THE_JAWS
        shape = len(places), len(self.height)
        start = self.point + OUTSIDE * self.normal
        origins = np.empty((*shape, 3))
        origins[..., 1] = self.height
        origins[..., [0, 2]] = start[:, None]
        directions = np.zeros((*shape, 3))
        directions[..., [0, 2]] = -self.normal[:, None]
        near = (corners[..., 0].max(1) > -0.6) & (corners[..., 2].max(1) > 5)
        distance, hit = first_hits(origins.reshape(-1, 3), directions.reshape(-1, 3), corners[near])
        self.out = OUTSIDE - distance.reshape(shape)
        self.out[self.out < BEHIND] = np.nan
        self.tooth = (np.flatnonzero(near)[hit] >= len(gums)).reshape(shape) & np.isfinite(self.out)

    def edge_and_margin(self) -> tuple[Floats, Floats]:
        """Heights [C] of the teeth's edge and of the gum's margin."""
        edge = self.tooth.argmax(1)
        gum = np.isfinite(self.out) & ~self.tooth & (np.arange(len(self.height)) > edge[:, None])
        return self.height[edge], self.height[gum.argmax(1)]

    def outwards(self, column: int, height: Floats) -> Floats:
        """How far out the surface lies at heights of a column; beyond what was met, as at its end."""
        met = np.isfinite(self.out[column])
        order = np.argsort(self.height[met])
        return np.interp(height, self.height[met][order], self.out[column][met][order])


def _sections(rays: _Rays, gaps: Floats, places: Floats, tooth: Indices, jaw: str) -> Floats:
    """Points [C, ROWS, 3] of the left half."""
    edge, margin = rays.edge_and_margin()
    gap = tooth < 0
    edge = np.where(gap, _between(edge, max if rays.up > 0 else min) + rays.up * NOTCH, edge)
    margin = np.where(gap, _between(margin, np.mean) - rays.up * PAPILLA, margin)
    root = _smooth(margin) + rays.up * GUM_HEIGHT
    height = np.empty((len(places), ROWS))
    height[:, 0], height[:, 1], height[:, 2] = root, margin + 0.45 * (root - margin), margin
    height[:, 3:6] = margin[:, None] + (edge - margin)[:, None] * np.array(CROWN)
    height[:, 6:8] = edge[:, None]
    height[:, 8:] = height[:, [4, 3, 2, 0]]

    out = np.empty((len(places), ROWS))
    out[:, :6] = [rays.outwards(c, height[c, :6]) for c in range(len(places))]
    inner_gap = gap & (places < places[-1])
    for row, groove in enumerate((0.0, 0.0, 0.03, GROOVE, GROOVE, GROOVE)):
        out[:, row] = np.where(gap, _between(out[:, row], np.mean) - groove * inner_gap, out[:, row])
    out[:, :2] = np.stack([_smooth(out[:, row]) for row in (0, 1)], 1) - INSIDE_THE_BAG[jaw]
    middle = (gaps[:-1] + gaps[1:]) / 2
    thin, thick = (np.interp(places, middle, table[jaw]) for table in (EDGE, NECK))
    out[:, 6] = out[:, 5] - 0.03
    out[:, 7] = out[:, 6] - thin
    neck = _smooth(out[:, 3]) - thick
    out[:, 8] = (out[:, 7] + neck) / 2
    out[:, 9] = neck + np.where(gap, GROOVE, 0.0)
    out[:, 10] = neck - 0.04
    out[:, 11] = neck - GUM_BEHIND
    place = rays.point[:, None] + out[..., None] * rays.normal[:, None]
    points = np.stack([place[..., 0], height, place[..., 1]], -1)
    points[0, :, 0] = 0
    return points


def _between(values: Floats, choose: Callable[[list[float]], float]) -> Floats:
    """What is chosen of the values on both sides of each column [C]; the middle mirrors, the end has one neighbour."""
    before, after = np.concatenate([values[1:2], values[:-1]]), np.concatenate([values[1:], values[-2:-1]])
    return np.array([choose([float(a), float(b)]) for a, b in zip(before, after, strict=True)])


def _smooth(values: Floats) -> Floats:
    """Means [C] over seven columns, mirrored in the middle, the last one repeated."""
    more = np.concatenate([values[3:0:-1], values, np.repeat(values[-1:], 3)])
    return np.convolve(more, np.full(7, 1 / 7), "valid")


def _tube(columns: int, up: float) -> tuple[Indices, Floats, Indices]:
    """Quads round a tube of `columns` sections with both ends closed; its texture, unrolled, the ends beside it."""
    row = np.arange(ROWS)
    first = np.arange(columns - 1)[:, None] * ROWS
    after = (row + 1) % ROWS
    side = np.stack(np.broadcast_arrays(first + row, first + after, first + ROWS + after, first + ROWS + row), -1)
    side = side.reshape(-1, 4)
    place = np.arange(columns - 1)[:, None] * (ROWS + 1)
    side_uv = np.stack(
        np.broadcast_arrays(place + row, place + row + 1, place + ROWS + 2 + row, place + ROWS + 1 + row), -1
    )
    side_uv = side_uv.reshape(-1, 4)
    u, v = np.meshgrid(np.linspace(0.03, 0.97, columns), np.linspace(0, 1, ROWS + 1), indexing="ij")
    uv, quads, quad_uv = [np.stack([u, v], -1).reshape(-1, 2)], [side], [side_uv]
    total = u.size
    low = np.arange(ROWS // 2)
    for start, left, right in ((0, 0.02, 0.0), ((columns - 1) * ROWS, 0.98, 1.0)):
        ring = start + np.stack([low, ROWS - 1 - low], 1)  # each row opposite to another one
        cap = np.stack([ring[:-1, 0], ring[:-1, 1], ring[1:, 1], ring[1:, 0]], 1)
        number = total + np.arange(ROWS).reshape(-1, 2)
        cap_uv = np.stack([number[:-1, 0], number[:-1, 1], number[1:, 1], number[1:, 0]], 1)
        height = low / (len(low) - 1)
        uv.append(np.stack([np.tile([left, right], (len(low), 1)), np.stack([height, height], 1)], -1).reshape(-1, 2))
        if start:
            cap, cap_uv = cap[:, ::-1], cap_uv[:, ::-1]
        quads.append(cap)
        quad_uv.append(cap_uv)
        total += ROWS
    if up > 0:  # the root above, also in the texture
        return np.concatenate(quads), np.concatenate(uv) * [1, -1] + [0, 1], np.concatenate(quad_uv)
    return np.concatenate(quads)[:, ::-1], np.concatenate(uv), np.concatenate(quad_uv)[:, ::-1]
