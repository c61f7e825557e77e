# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces that lie over what is beneath them, in every expression: lips and cheeks over teeth, lids over eyeballs.

ICT's lips roll and stretch through its teeth, and its lids do not give way to a cornea that turns.

Where something is missing, the surface is pushed outwards, and what lies around goes along, less with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .quadmesh import Indices
from .surface import Floats
from .teeth import ROWS

OUTER = 7  # rows of a cross-section from the gum's root to the tooth's edge, on the outside
OVER_TEETH, OVER_EYES = 0.06, 0.03  # centimetres of room, or what the face at rest has if that is less
BEYOND_ROOT = 0.8  # centimetres beyond the gum's root in which the teeth still count
TEETH_REACH, EYE_REACH = 0.7, 0.3  # centimetres over which the surroundings go along
PASSES = 3  # since one push changes what another one needs


@dataclass(frozen=True)
class Row:
    """One jaw's teeth at rest, as the surface that lips lie over: sections [C, OUTER, 3] in centimetres; vertices [N]:
    which of the head's they all are."""

    sections: Floats
    vertices: Indices

    @classmethod
    def of(cls, neutral: Floats, vertices: Indices) -> Row:
        return cls(neutral[vertices].reshape(-1, ROWS, 3)[:, :OUTER], vertices)

    def missing(self, points: Floats) -> tuple[Floats, Floats]:
        """How far points [P, 3] in the jaw's own frame lie behind the teeth's outside (negative: before it), −inf
        where there are no teeth beside them, and the way out [P, 3]."""
        base = self.sections[:, 2:OUTER].mean(1)[:, [0, 2]]
        column = np.linalg.norm(points[:, None, [0, 2]] - base, axis=-1).argmin(1)
        along = np.gradient(base, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        outwards = np.stack([along[:, 1], -along[:, 0]], 1)
        outwards *= np.sign((outwards * (base - base.mean(0))).sum(1, keepdims=True))
        height, depth = points[:, 1], np.full(len(points), -np.inf)
        for number in np.unique(column):
            mine = column == number
            y = self.sections[number, :, 1]
            out = (self.sections[number][:, [0, 2]] - base[number]) @ outwards[number]
            order = np.argsort(y)
            envelope = np.interp(height[mine], y[order], out[order])
            root, edge = y[0], y[-1]
            beyond = np.maximum((height[mine] - root) * np.sign(root - edge), 0)  # there it may draw in
            inside = (height[mine] - edge) * np.sign(root - edge) > -0.02
            inside &= beyond < BEYOND_ROOT
            away = (points[mine][:, [0, 2]] - base[number]) @ outwards[number]
            beside = np.abs((points[mine][:, [0, 2]] - base[number]) @ along[number]) < 0.3
            depth[mine] = np.where(inside & beside, envelope - beyond - away, -np.inf)
        way = np.zeros_like(points)
        way[:, [0, 2]] = outwards[column]
        return depth, way


def rigid(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """The rotation [3, 3] and translation [3] that take points [N, 3] best to where they are now (Kabsch 1976)."""
    left, right = before.mean(0), after.mean(0)
    u, _, vt = np.linalg.svd((before - left).T @ (after - right))
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u @ flip @ vt).T
    return rotation, right - rotation @ left


def over_teeth(posed: Floats, neutral: Floats, flesh: Indices, quads: Indices, rows: list[Row]) -> Floats:
    """Posed vertices [V, 3] with the flesh [F] moved to where it, and the inner quads [Q, 4], lie over the teeth."""
    result = posed.copy()
    for _ in range(PASSES):
        for row in rows:
            rotation, shift = rigid(neutral[row.vertices], posed[row.vertices])
            room = np.minimum(-row.missing(_samples(neutral, quads))[0], OVER_TEETH)
            samples = _samples(result, quads)
            behind, way = row.missing((samples - shift) @ rotation)
            result[flesh] += _spread(
                result[flesh], samples, np.maximum(behind + room, 0), way @ rotation.T, TEETH_REACH
            )
    return result


def _samples(vertices: Floats, quads: Indices) -> Floats:
    """Points [25 Q, 3] spread over quads [Q, 4], their borders included."""
    u, v = (w.ravel() for w in np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)))
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], 1)
    return (weights @ vertices[quads]).reshape(-1, 3)


def over_eye(posed: Floats, neutral: Floats, lids: Indices, ball: Indices, centre: Floats) -> Floats:
    """Posed vertices [V, 3] with the lids [L] moved to where they lie over an eyeball of vertices `ball` [B]."""
    result = posed.copy()
    room = np.minimum(_above(neutral[lids], neutral[ball], centre)[0], OVER_EYES)
    for _ in range(PASSES):
        above, way = _above(result[lids], posed[ball], centre)
        result[lids] += _spread(result[lids], result[lids], np.maximum(room - above, 0), way, EYE_REACH)
    return result


def _above(points: Floats, ball: Floats, centre: Floats) -> tuple[Floats, Floats]:
    """How far points [P, 3] lie above an eyeball's surface, and the way outwards [P, 3]."""
    outwards = points - centre
    radius = np.linalg.norm(outwards, axis=1)
    outwards = outwards / radius[:, None]
    shell = np.linalg.norm(ball - centre, axis=1)
    near = cKDTree((ball - centre) / shell[:, None]).query(outwards, 4)[1]
    return radius - shell[near].max(1), outwards


def _spread(points: Floats, sources: Floats, missing: Floats, way: Floats, reach: float) -> Floats:
    """Displacements [P, 3] of points by what is missing [S] at the sources [S, 3], less with the distance from them."""
    pushed = np.flatnonzero(missing > 0)
    if len(pushed) == 0:
        return np.zeros_like(points)
    share = np.exp(-((np.linalg.norm(points[:, None] - sources[pushed], axis=-1) / reach) ** 2)) * missing[pushed]
    strongest = share.argmax(1)
    mean = share @ way[pushed] / np.maximum(share.sum(1, keepdims=True), 1e-30)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-30)
    return share[np.arange(len(points)), strongest][:, None] * mean
