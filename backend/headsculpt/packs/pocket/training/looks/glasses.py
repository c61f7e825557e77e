# SPDX-License-Identifier: GPL-3.0-or-later
"""Glasses: two rims without lenses, a bridge, and temples that go over the ears."""

from __future__ import annotations

import numpy as np

from .anatomy import Array, Body, Sitter
from .forms import tube

FRAMES = (
    *((0.06, 0.06, 0.07), (0.06, 0.06, 0.07), (0.30, 0.16, 0.07), (0.62, 0.08, 0.09)),
    *((0.10, 0.15, 0.45), (0.80, 0.62, 0.22), (0.88, 0.87, 0.85), (0.08, 0.42, 0.40)),
)
GAP = 0.004  # between skin and frame, head units
POINTS = 44  # on a rim


class Optician:
    """Fits glasses to sitters."""

    def __init__(self, body: Body) -> None:
        masks, rest = body.model.masks, body.coarse
        skin = (masks["skin"] > 0.5) & (masks["mouth_bag"] < 0.5)
        front = skin & (rest[:, 2] > 0.08) & (np.abs(rest[:, 1] - body.anatomy.eye) < 0.09)
        self.front = np.flatnonzero(front)
        flank = skin & (rest[:, 2] > -0.09) & (rest[:, 2] < 0.2) & (np.abs(rest[:, 1] - body.anatomy.eye) < 0.07)
        self.flank = np.flatnonzero(flank & (masks["ears"] < 0.5) & (np.abs(rest[:, 0]) > 0.1))
        self.saddles = tuple(_saddle(rest, masks["ears"], side) for side in (-1, 1))

    def dress(self, sitter: Sitter) -> None:
        """Adds glasses of a random shape and colour."""
        rng = np.random.default_rng([sitter.look.seed, 5])
        color = np.array(FRAMES[rng.integers(len(FRAMES))])
        radius = rng.uniform(0.0062, 0.0090)
        at, skin = sitter.landmarks, sitter.coarse[self.front]
        outline = _outline(rng)
        rims = []
        for side, (outer, inner) in ((-1, (33, 133)), (1, (263, 362))):
            eye = (at[outer] + at[inner]) / 2
            rims.append(np.column_stack([eye[0] + side * outline[:, 0], eye[1] - 0.004 + outline[:, 1]]))
        flat = np.concatenate(rims)
        depth = _clear_depth(flat, skin, radius + GAP, float(at[168, 2]))
        laid = np.column_stack([flat, depth]).reshape(2, POINTS, 3)
        for rim in laid:
            sitter.parts.append(tube(rim, radius, color, np.array([0, 0, 1]), closed=True))
        self._bridge(sitter, laid, radius, color)
        for side, rim, saddle in zip((-1, 1), laid, self.saddles, strict=True):
            self._temple(sitter, side, rim, sitter.coarse[saddle], radius, color)

    def _bridge(self, sitter: Sitter, rims: Array, radius: float, color: Array) -> None:
        ends = [rim[np.argmin(np.abs(rim[:, 0]) + 0.6 * np.abs(rim[:, 1] - rim[:, 1].mean() - 0.012))] for rim in rims]
        t = np.linspace(0, 1, 9)[:, None]
        path = (1 - t) * ends[0] + t * ends[1] + np.array([0, 0.012, 0.006]) * (4 * t * (1 - t))
        near = sitter.coarse[self.front]
        nose = near[(np.abs(near[:, 0]) < 0.02)]
        for k in range(len(path)):  # in front of the nose's root
            local = nose[np.abs(nose[:, 1] - path[k, 1]) < 0.012]
            if len(local):
                path[k, 2] = max(path[k, 2], local[:, 2].max() + radius + GAP)
        sitter.parts.append(tube(path, radius, color, np.array([0, 0, 1])))

    def _temple(self, sitter: Sitter, side: int, rim: Array, saddle: Array, radius: float, color: Array) -> None:
        """From the rim's upper outer side past the temple to the ear's root, and down behind it."""
        hinge = rim[np.argmax(side * rim[:, 0] + 0.5 * rim[:, 1])]
        t = np.linspace(0, 1, 14)[:, None]
        rest = saddle + np.array([0, 0.008, 0])
        path = (1 - t) * hinge + t * rest
        path[:, 0] += side * 0.012 * np.sin(np.pi * t[:, 0]) ** 0.5
        flank = sitter.coarse[self.flank]
        flank = flank[side * flank[:, 0] > 0]
        near = np.exp(-(((path[:, None, 1:] - flank[None, :, 1:]) / 0.02) ** 2).sum(2))
        width = np.where(near > 0.3, side * flank[None, :, 0], 0).max(1)
        path[:, 0] = side * np.maximum(side * path[:, 0], width + 0.7 * radius + 0.003)
        behind = path[-1] + np.array([[-0.002 * side, -0.012, -0.022], [-0.004 * side, -0.04, -0.034]])
        path = np.concatenate([path, behind])
        sitter.parts.append(tube(path, 0.85 * radius, color, np.array([1, 0, 0])))


def _outline(rng: np.random.Generator) -> Array:
    """[POINTS, 2], a rim round the eye's middle; x points away from the nose."""
    turn = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    kind = rng.choice(["round", "square", "cat-eye"])
    if kind == "round":
        size = rng.uniform(0.050, 0.058)
        return np.stack([size * c, size * s], 1)
    wide, high = rng.uniform(0.057, 0.063), rng.uniform(0.040, 0.048)
    power = 0.42 if kind == "square" else 0.75
    x, y = wide * np.sign(c) * np.abs(c) ** power, high * np.sign(s) * np.abs(s) ** power
    if kind == "cat-eye":
        lift = np.clip(c, 0, 1) ** 2 * np.clip(s + 0.3, 0, 1)
        x, y = x + 0.014 * lift, y + 0.022 * lift
    return np.stack([x, y], 1)


def _clear_depth(flat: Array, skin: Array, gap: float, bridge: float) -> Array:
    """[N], z of rims [N, 2]: one slightly bent sheet, as far in front as brow, nose and cheek ask for."""
    bend = -1.1 * np.abs(flat[:, 0]) ** 2
    near = ((flat[:, None] - skin[None, :, :2]) ** 2).sum(2) < (gap + 0.006) ** 2
    needed = np.where(near, skin[None, :, 2], -1).max(1) + gap - bend
    return bend + max(float(needed.max()), bridge - 0.005)


def _saddle(rest: Array, ears: Array, side: int) -> int:
    """The vertex where a temple rests: the top of the ear's root."""
    root = np.flatnonzero((ears > 0.1) & (ears < 0.9) & (side * rest[:, 0] > 0))
    return int(root[np.argmax(rest[root, 1] - 0.3 * np.abs(rest[root, 2] - rest[root, 2].mean()))])
