# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that meet and do not cross, where ICT's stand a little open at rest and cross in some expressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .quadmesh import Indices, border_loops, edges, rings
from .surface import Floats

RIM_RINGS = 6  # of skin, from the border within the mouth over the red of the lips
REACH = 0.9  # centimetres over which the surroundings of a lip move with it
FAR = 40  # edges from the lips: as far as one has to look for the nearer lip
PRESSED = 0.008  # centimetres by which lips that meet overlap, so that no light falls between
PASSES = 3
STEPS = 25  # places along the mouth


@dataclass(frozen=True)
class Lips:
    """ring [V]: how many edges a vertex of the skin lies from the lips' inner border, −1 for the others; side [V]: 1
    for what is nearer to the upper lip, −1 to the lower one, 0 between; corners [2]: the mouth's, right and left."""

    ring: Indices
    side: Indices
    corners: Indices

    @classmethod
    def find(cls, neutral: Floats, quads: Indices, skin_quads: Indices) -> Lips:
        """neutral [V, 3]; quads [Q, 4] of skin and bag, skin_quads [S, 4] of the skin alone."""
        _, border, *_ = sorted(border_loops(skin_quads), key=lambda loop: -float(np.ptp(neutral[loop, 0])))
        start, end = neutral[border, 0].argmin(), neutral[border, 0].argmax()
        turned = np.roll(border, -start)
        halves = turned[1 : (end - start) % len(border)], turned[(end - start) % len(border) + 1 :]
        upper, lower = sorted(halves, key=lambda half: -float(neutral[half, 1].mean()))
        away = [rings(quads, half, FAR, len(neutral)) for half in (upper, lower)]
        above, below = (np.where(ring < 0, FAR, ring) for ring in away)
        ring = rings(skin_quads, border, RIM_RINGS, len(neutral))
        side = np.sign(below - above)
        for number in range(1, RIM_RINGS + 1):  # along the rings the halves lie exactly one behind the other
            side = _behind(skin_quads, ring, number, side)
        return cls(ring, side, border[[start, end]])

    def apart(self, posed: Floats, moved: Indices) -> Floats:
        """Posed vertices [V, 3] with those that may move [M] taken to where the upper lip ends above the lower one."""
        return self._shifted(posed, moved, 0.0)

    def closed(self, posed: Floats, moved: Indices) -> Floats:
        """Posed vertices [V, 3] with those that may move [M] taken to where the lips meet all along."""
        return self._shifted(posed, moved, -np.inf)

    def _shifted(self, posed: Floats, moved: Indices, least: float) -> Floats:
        """The lips moved against each other by what they overlap, where that is more than `least` centimetres."""
        result = posed.copy()
        for _ in range(PASSES):
            right, left = result[self.corners, 0]
            x = np.linspace(right, left, STEPS)
            upper, lower = self._outline(result, x, 1), self._outline(result, x, -1)
            overlap = np.maximum(lower - upper - PRESSED, least)
            overlap[[0, -1]] = 0
            middle = (upper + lower) / 2
            points = result[moved]
            depth = np.interp(points[:, 0], x, self._depth(result, x))
            away = np.hypot(points[:, 1] - np.interp(points[:, 0], x, middle), 0.5 * (points[:, 2] - depth))
            share = np.exp(-((away / REACH) ** 2)) * self.side[moved] / 2
            result[moved, 1] += share * np.interp(points[:, 0], x, overlap, 0, 0)
        return result

    def _rim(self, number: int, side: int) -> Indices:
        return np.flatnonzero((self.ring == number) & (self.side == side))

    def _outline(self, points: Floats, x: Floats, side: int) -> Floats:
        """Where the upper lip (side 1) ends below, or the lower one (−1) above, at places x [X]."""
        heights = []
        for number in range(RIM_RINGS):
            rim = self._rim(number, side)
            order = rim[np.argsort(points[rim, 0])]
            heights.append(np.interp(x, points[order, 0], points[order, 1]))
        return np.min(heights, 0) if side > 0 else np.max(heights, 0)

    def _depth(self, points: Floats, x: Floats) -> Floats:
        rim = np.flatnonzero(self.ring == 1)
        order = rim[np.argsort(points[rim, 0])]
        return np.interp(x, points[order, 0], points[order, 2])


def _behind(quads: Indices, ring: Indices, number: int, side: Indices) -> Indices:
    """Sides [V] in which a ring's vertices have those of their neighbours in the ring before."""
    edge = edges(quads)[0]
    both = np.concatenate([edge, edge[:, ::-1]])
    near, far = both[(ring[both] == [number - 1, number]).all(1)].T
    result = side.copy()
    result[far] = side[near]
    return result
