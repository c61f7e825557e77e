# SPDX-License-Identifier: GPL-3.0-or-later
"""Lids that meet. ICT's blink leaves a slit, which its lashes and tear fluid cover; the built-in head has neither."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .quadmesh import Indices, rings
from .surface import Floats

RIM_RINGS = 3  # from the lid's border outwards: its margin and its rim
CLEARANCE = 0.02  # centimetres between a lid and the eyeball
OVERLAP = 0.15  # centimetres that the upper rim goes below the lower one
REACH = 0.7  # centimetres over which the upper lid follows its rim


def close(blink: Floats, vertices: Floats, skin: Indices, lids: Indices, ball: Floats, centre: Floats) -> Floats:
    """The blink's displacements [V, 3], so that no slit is left in front of the eyeball.

    vertices [V, 3] in centimetres; skin: quads [Q, 4] without bag and sockets; lids: the loop of the eye's border;
    ball [B, 3] and centre [3]: the eyeball. The upper lid is moved on downwards by what is missing between the
    rims, as a function of x, and out to where it clears the eyeball.
    """
    ring = rings(skin, lids, RIM_RINGS, len(vertices))
    rim = np.flatnonzero((ring >= 0) & (ring < RIM_RINGS))
    inner, outer = (
        vertices[lids[np.abs(vertices[lids, 0]).argmin()]],
        vertices[lids[np.abs(vertices[lids, 0]).argmax()]],
    )
    slope = (outer[1] - inner[1]) / (outer[0] - inner[0])
    above = vertices[:, 1] - (inner[1] + slope * (vertices[:, 0] - inner[0]))  # the line through the eye's corners
    closed = vertices + blink
    x = np.linspace(inner[0], outer[0], 64)
    upper = np.min([_height(closed, rim[(ring[rim] == k) & (above[rim] > 0)], x) for k in range(RIM_RINGS)], 0)
    lower = np.max([_height(closed, rim[(ring[rim] == k) & (above[rim] <= 0)], x) for k in range(RIM_RINGS)], 0)
    missing = np.maximum(upper - lower + OVERLAP, 0)
    upper_rim = vertices[rim[above[rim] > 0]]
    near = np.linalg.norm(vertices[:, None] - upper_rim, axis=-1).min(1)
    follows = np.exp(-((near / REACH) ** 2)) * np.clip(above / 0.1 + 0.5, 0, 1) * (near < 3 * REACH)
    order = np.argsort(x)
    result = blink.copy()
    result[:, 1] -= follows * np.interp(closed[:, 0], x[order], missing[order], 0, 0)
    lid = np.flatnonzero((near < REACH) & (above > 0) | (ring >= 0) & (ring <= RIM_RINGS))
    result[lid] += _clearance(vertices[lid] + result[lid], ball, centre)
    return result


def _clearance(points: Floats, ball: Floats, centre: Floats) -> Floats:
    """What must be added to points [N, 3] along the radius so that they lie outside the ball's shell."""
    outwards = points - centre
    radius = np.linalg.norm(outwards, axis=1, keepdims=True)
    shell = np.linalg.norm(ball - centre, axis=1)
    facing = cKDTree((ball - centre) / shell[:, None]).query(outwards / radius, 4)[1]
    return np.maximum(shell[facing].max(1, keepdims=True) + CLEARANCE - radius, 0) * outwards / radius


def _height(points: Floats, chosen: Indices, x: Floats) -> Floats:
    """The height at `x` of the curve through the chosen points."""
    order = chosen[np.argsort(points[chosen, 0])]
    return np.interp(x, points[order, 0], points[order, 1])
