# SPDX-License-Identifier: GPL-3.0-or-later
"""A closed eyeball of rings about the optic axis, with iris and pupil on its visible surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from ..model import split_quads
from .quadmesh import Indices
from .surface import Floats, closest_on_triangles, weights_matrix

SEGMENTS = 24
# angles from the optic axis, in degrees; pairs stand where a colour changes
RINGS = (3.5, 7.0, 8.0, 11.0, 15.0, 19.5, 22.0, 26.0, 31.0, 38.0, 48.0, 62.0, 78.0, 95.0, 112.0, 130.0, 150.0)
PUPIL = (7.0, 8.0)  # degrees from the axis: full, none
IRIS = (19.5, 22.0)
LOOK_UP, LOOK_DOWN, LOOK_IN, LOOK_OUT = 20.0, 22.0, 28.0, 28.0  # degrees at weight 1


@dataclass(frozen=True)
class Eyeball:
    """weights [V, N]: its vertices as weights of ICT's; quads [Q, 4]; uv [U, 2] in the unit disc about the origin, and
    quad_uv [Q, 4]; angle [V] from the optic axis in degrees; centre [3] in centimetres."""

    weights: csr_matrix
    quads: Indices
    uv: Floats
    quad_uv: Indices
    angle: Floats
    centre: Floats


def build(vertices: Floats, shell: slice, faces: Indices) -> Eyeball:
    """An eyeball on ICT's outer shell: vertices [N, 3] in centimetres, the shell's vertices, the eyes' faces [P, 4]."""
    points = vertices[shell]
    centre, radius = _sclera(points)
    bulge = points - centre
    bulge = bulge[np.linalg.norm(bulge, axis=1) > 1.03 * radius]
    axis = bulge.mean(0) / np.linalg.norm(bulge.mean(0))
    angle, turn = _rings()
    right = np.cross([0.0, 1.0, 0.0], axis)
    right /= np.linalg.norm(right)
    up = np.cross(axis, right)
    side = np.cos(turn)[:, None] * right + np.sin(turn)[:, None] * up
    directions = np.cos(np.radians(angle))[:, None] * axis + np.sin(np.radians(angle))[:, None] * side
    mine = faces[(faces.min(1, where=faces >= 0, initial=shell.stop) >= shell.start) & (faces.max(1) < shell.stop)]
    triangles = split_quads(np.where(mine < 0, mine[:, 2:3], mine))
    quads = _quads()
    uv, quad_uv = _unrolled(angle, turn, quads)
    return Eyeball(_cast(vertices, centre, directions, triangles), quads, uv, quad_uv, angle, centre)


def looks(side: str) -> dict[str, tuple[float, float]]:
    """Apple's directions as (yaw towards the subject's left, pitch upwards) in degrees of the eye on one side."""
    outwards = 1.0 if side == "Left" else -1.0
    return {
        "Up": (0, LOOK_UP),
        "Down": (0, -LOOK_DOWN),
        "In": (-outwards * LOOK_IN, 0),
        "Out": (outwards * LOOK_OUT, 0),
    }


def turn(points: Floats, centre: Floats, yaw: float, pitch: float) -> Floats:
    """Points [V, 3] turned about the eye's centre by angles in degrees."""
    (sy, sp), (cy, cp) = np.sin(np.radians([yaw, pitch])), np.cos(np.radians([yaw, pitch]))
    left = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    up = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return (points - centre) @ (left @ up).T + centre


def _sclera(points: Floats) -> tuple[Floats, float]:
    """Centre and radius of the white: the sphere through all points that are not on the cornea's bulge."""
    white = points
    for _ in range(4):
        solved = np.linalg.lstsq(np.c_[2 * white, np.ones(len(white))], (white**2).sum(1), rcond=None)[0]
        centre = solved[:3]
        white = points[points[:, 2] < centre[2] + 0.8]
    return centre, float(np.sqrt(solved[3] + centre @ centre))


def _rings() -> tuple[Floats, Floats]:
    """Angle from the axis in degrees and turn about it in radians, per vertex: front pole, rings, back pole."""
    angle = np.concatenate([[0.0], np.repeat(RINGS, SEGMENTS), [180.0]])
    turn = np.concatenate([[0.0], np.tile(2 * np.pi * np.arange(SEGMENTS) / SEGMENTS, len(RINGS)), [0.0]])
    return angle, turn


def _quads() -> Indices:
    """Rings of quads; each pole is closed by quads that span two segments, so there is no triangle."""
    around = np.arange(SEGMENTS)
    after = (around + 1) % SEGMENTS
    inner = 1 + SEGMENTS * np.arange(len(RINGS) - 1)[:, None]
    bands = np.stack([inner + around, inner + SEGMENTS + around, inner + SEGMENTS + after, inner + after], -1)
    even, odd, next_even = around[::2], after[::2], (around[::2] + 2) % SEGMENTS
    front = np.stack([np.zeros_like(even), 1 + even, 1 + odd, 1 + next_even], -1)
    last = 1 + SEGMENTS * (len(RINGS) - 1)
    back = np.stack([np.full_like(even, last + SEGMENTS), last + next_even, last + odd, last + even], -1)
    return np.concatenate([front, bands.reshape(-1, 4), back]).astype(np.int64)


def _unrolled(angle: Floats, turn: Floats, quads: Indices) -> tuple[Floats, Indices]:
    """The shell spread on the unit disc about its front pole; the back pole lies on the rim once per quad."""
    spread = 4 * angle[:, None] / (180 + 3 * angle[:, None])  # more than equal room for iris and pupil
    uv = spread * np.stack([np.cos(turn), np.sin(turn)], 1)
    quad_uv = quads.copy()
    pole = np.flatnonzero(quads[:, 0] == len(uv) - 1)
    quad_uv[pole, 0] = len(uv) - 1 + np.arange(len(pole))
    rim = turn[quads[pole, 2]]
    return np.concatenate([uv[:-1], np.stack([np.cos(rim), np.sin(rim)], 1)]), quad_uv


def _cast(vertices: Floats, centre: Floats, directions: Floats, triangles: Indices) -> csr_matrix:
    """Where rays from the centre meet the shell, as weights [V, N]: on the unit sphere that is the nearest triangle."""
    flat = (vertices - centre) / np.maximum(np.linalg.norm(vertices - centre, axis=1, keepdims=True), 1e-9)
    corners = flat[triangles]
    near = cKDTree(corners.mean(1)).query(directions, 24)[1]
    barycentric, distance = closest_on_triangles(directions[:, None], corners[near])
    pick = (np.arange(len(directions)), distance.argmin(1))
    return weights_matrix(triangles[near[pick]], barycentric[pick], len(vertices))
