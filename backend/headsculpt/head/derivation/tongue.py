# SPDX-License-Identifier: GPL-3.0-or-later
"""A closed tongue of rings along a line from its root to its tip, where ICT has one that is open below and behind."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from .quadmesh import Indices
from .source import GUM_QUADS
from .surface import Floats
from .teeth import Part

SEGMENTS = 18
# from the root to the tip, in centimetres: z, height of the upper and of the lower side, half the breadth
SECTIONS = (
    (2.60, -4.70, -5.20, 1.20),
    (3.30, -4.30, -5.25, 1.42),
    (4.20, -3.66, -5.20, 1.56),
    (5.10, -3.22, -5.10, 1.62),
    (6.00, -3.07, -4.98, 1.63),
    (6.90, -3.08, -4.86, 1.62),
    (7.70, -3.18, -4.74, 1.54),
    (8.40, -3.36, -4.62, 1.38),
    (8.95, -3.58, -4.52, 1.12),
    (9.30, -3.78, -4.44, 0.84),
    (9.52, -3.94, -4.38, 0.52),
)
ENDS = ((2.30, -4.98), (9.60, -4.18))  # (z, y) of the root's and the tip's pole
JAW_OPEN = 0.55  # how far the jaw opens when the tongue comes out
# the tongue that hangs over the lower lip, the jaw being open that far, at each section: z, height, half the thickness
# and half the breadth; and the poles
OUT = (
    (2.20, -4.92, 0.25, 1.20),
    (3.10, -4.86, 0.45, 1.40),
    (4.30, -4.72, 0.66, 1.50),
    (5.50, -4.62, 0.70, 1.52),
    (6.70, -4.60, 0.62, 1.50),
    (7.90, -4.68, 0.52, 1.46),
    (9.00, -4.76, 0.43, 1.42),
    (10.00, -4.74, 0.36, 1.38),
    (10.90, -4.98, 0.33, 1.26),
    (11.50, -5.48, 0.29, 1.02),
    (11.78, -5.95, 0.20, 0.66),
)
OUT_ENDS = ((1.90, -4.94), (11.88, -6.18))
CUP = 0.16  # centimetres by which its sides then stand higher than its middle
BREADTH, LOW, HIGH = 1.75, (-4.8, 3.4), (-2.95, 9.8)  # where ICT's tongue is: |x|, and (y, z) from and to
REACH = 1.2  # centimetres over which ICT's vertices count
GROOVE = 0.10  # centimetres that the middle of the upper side lies deeper
ROOT_FOLLOWS, FREE_FROM = 0.35, 5.5  # share of the jaw's motion at the root; z in centimetres from which it is whole
SQUARE = 0.75  # exponent of the cross-section's superellipse: 1 an ellipse, less is fuller


def build(vertices: Floats, faces: Indices) -> Part:
    """The tongue at rest: vertices [N, 3] of ICT's neutral head in centimetres, its faces [P, 4]."""
    z, top, bottom, breadth = np.array(SECTIONS).T
    points = _shape(z, (top + bottom) / 2, (top - bottom) / 2, breadth, ENDS)
    tongue = np.flatnonzero(
        (np.abs(vertices[:, 0]) < BREADTH) & ((vertices[:, 1:] > LOW) & (vertices[:, 1:] < HIGH)).all(1)
    )
    tongue = tongue[np.isin(tongue, faces[GUM_QUADS])]
    quads, uv, quad_uv = _sphere(len(SECTIONS))
    return Part(points, _affine(points, vertices, tongue), quads, uv, quad_uv, {"tongue": np.ones(len(points))})


def freedom(points: Floats) -> Floats:
    """How much the tongue's vertices [V] at rest follow the jaw: the tip wholly, the root, in the throat, a little."""
    return ROOT_FOLLOWS + (1 - ROOT_FOLLOWS) * np.clip((points[:, 2] - ENDS[0][0]) / (FREE_FROM - ENDS[0][0]), 0, 1)


def put_out() -> Floats:
    """Where the tongue's vertices [V, 3] are, in centimetres, when it hangs over the lower lip."""
    z, height, thickness, breadth = np.array(OUT).T
    points = _shape(z, height, thickness, breadth, OUT_ENDS)
    forward = np.clip((points[:, 2] - 7) / 3, 0, 1)
    points[:, 1] += CUP * forward * (points[:, 0] / breadth.max()) ** 2
    return points


def _shape(z: Floats, height: Floats, half: Floats, breadth: Floats, ends: tuple[tuple[float, float], ...]) -> Floats:
    """Points [V, 3] of sections that stand across the line through their centres: half as thick as `half` [S] and half
    as broad as `breadth` [S]."""
    turn = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS  # from the left side over the upper one
    across, upwards = (np.sign(w) * np.abs(w) ** SQUARE for w in (np.cos(turn), np.sin(turn)))
    groove = GROOVE * np.clip(upwards, 0, 1) * np.exp(-((across / 0.3) ** 2))
    line = np.stack([z, height], 1)
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = (half[:, None] * upwards - groove * (half / half.max())[:, None])[..., None] * along[:, None, ::-1] * [-1, 1]
    rings = np.empty((len(z), SEGMENTS, 3))
    rings[..., 0] = breadth[:, None] * across
    rings[..., [2, 1]] = line[:, None] + up
    poles = np.array([[0.0, y, at] for at, y in ends])
    return np.concatenate([poles[:1], rings.reshape(-1, 3), poles[1:]])


def _affine(points: Floats, vertices: Floats, chosen: Indices) -> csr_matrix:
    """Weights [P, N] that carry a motion of the chosen vertices over to points [P, 3]: for each the affine motion that
    fits those near it best (moving least squares), so a rotation stays one also away from them."""
    near = np.exp(-((np.linalg.norm(points[:, None] - vertices[chosen], axis=-1) / REACH) ** 2)) + 1e-6
    basis = np.concatenate([np.ones((len(chosen), 1)), vertices[chosen]], 1)
    offset = basis[None] - np.concatenate([np.zeros((len(points), 1)), points], 1)[:, None]
    normal = np.einsum("pn,pni,pnj->pij", near, offset, offset)
    first = np.linalg.solve(normal, np.tile(np.eye(4)[:, :1], (len(points), 1, 1)))[..., 0]
    weights = near * np.einsum("pi,pni->pn", first, offset)
    rows, columns = np.indices(weights.shape)
    return csr_matrix((weights.ravel(), (rows.ravel(), chosen[columns].ravel())), shape=(len(points), len(vertices)))


def _sphere(rings: int) -> tuple[Indices, Floats, Indices]:
    """Quads between rings of vertices that follow the first pole, both poles closed by quads that span two segments;
    its texture in the unit square: a disc about the tip, with the root's pole on the rim once per quad."""
    around = np.arange(SEGMENTS)
    after = (around + 1) % SEGMENTS
    first = 1 + SEGMENTS * np.arange(rings - 1)[:, None]
    bands = np.stack([first + around, first + after, first + SEGMENTS + after, first + SEGMENTS + around], -1)
    bands = bands.reshape(-1, 4)
    even, odd, next_even = around[::2], after[::2], (around[::2] + 2) % SEGMENTS
    last = 1 + SEGMENTS * (rings - 1)
    root = np.stack([np.zeros_like(even), 1 + next_even, 1 + odd, 1 + even], -1)
    tip = np.stack([np.full_like(even, last + SEGMENTS), last + even, last + odd, last + next_even], -1)
    radius = np.repeat(0.86 * (rings - np.arange(rings)) / rings, SEGMENTS)
    turn = np.tile(2 * np.pi * around / SEGMENTS, rings)
    ring_uv = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    rim = 2 * np.pi * odd / SEGMENTS
    uv = np.concatenate([np.zeros((1, 2)), ring_uv, np.stack([np.cos(rim), np.sin(rim)], 1)])
    quads = np.concatenate([bands, root, tip])
    quad_uv = quads.copy()
    quad_uv[quads == last + SEGMENTS] = 0
    pole = np.arange(len(bands), len(bands) + len(root))
    quad_uv[pole, 0] = last + SEGMENTS + np.arange(len(root))
    return quads, uv / 2 + 0.5, quad_uv
