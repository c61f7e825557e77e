# SPDX-License-Identifier: GPL-3.0-or-later
"""Painted eyes: white, iris, pupil, a highlight, and the dark edge of the lids."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .....head.landmarks import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from ..noise import value_noise
from .anatomy import Array, Body, Sitter, blend, smoothstep
from .words import EYE_COLORS, HUMAN_SKINS

IRIS, PUPIL = 0.56, 0.23  # angles from the eyeball's axis, radians
WHITES = {"zombie": (0.88, 0.86, 0.62), "stone": (0.78, 0.76, 0.72), "gold": (0.96, 0.92, 0.78)}
LASH = np.array([0.07, 0.05, 0.045], np.float32)
SHADOWS = ((0.25, 0.35, 0.65), (0.45, 0.25, 0.55), (0.20, 0.45, 0.40), (0.55, 0.30, 0.22), (0.25, 0.22, 0.25))


class Eyes:
    """Paints sitters' eyes."""

    def __init__(self, body: Body) -> None:
        self.balls = np.flatnonzero(body.masks["eyeballs"] > 0.5)
        rest = body.rest[self.balls]
        self.rest, left = rest, rest[:, :1] > 0
        centre = np.where(left, _middle(rest[left[:, 0]]), _middle(rest[~left[:, 0]]))
        self.gaze = ((rest - centre) / np.linalg.norm(rest - centre, axis=1, keepdims=True)).astype(np.float32)
        self.angle = np.arccos(np.clip(self.gaze[:, 2], -1, 1))
        at = body.anatomy.landmarks
        self.lids = np.flatnonzero((body.masks["skin"] > 0.5) & (body.masks["eyes"] > 0.5))
        skin = body.rest[self.lids]
        self.upper = _from_curves(skin, (at[list(LEFT_EYE_UPPER)], at[list(RIGHT_EYE_UPPER)]))
        self.lower = _from_curves(skin, (at[list(LEFT_EYE_LOWER)], at[list(RIGHT_EYE_LOWER)]))
        self.above = smoothstep(skin[:, 1], at[473, 1] - 0.004, at[473, 1] + 0.012)
        self.above *= 1 - smoothstep(skin[:, 1], at[473, 1] + 0.026, at[473, 1] + 0.046)
        self.outer = smoothstep(np.abs(skin[:, 0]), 0.055, 0.12)

    def paint(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Balls and lids."""
        look, y, angle = sitter.look, self.gaze[:, 1], self.angle
        iris = np.array(EYE_COLORS[look.eyes], np.float32)
        white = np.array(WHITES.get(look.skin, (0.95, 0.945, 0.93)), np.float32)
        shade = 1 - 0.32 * smoothstep(y, 0.10, 0.42) - 0.15 * smoothstep(np.abs(self.gaze[:, 0]), 0.45, 0.8)
        colors = white * shade[:, None]
        if look.skin == "zombie" or look.age == "old":
            blend(colors, 0.35 * smoothstep(angle, 0.6, 1.0), np.array([0.80, 0.40, 0.36], np.float32))
        turn = np.stack([np.cos(a := np.arctan2(y, self.gaze[:, 0])), np.sin(a), np.zeros_like(a)], 1)
        rays = 1 + 0.22 * value_noise(turn, 9, look.seed + 41)
        light = (0.80 + 0.55 * smoothstep(-y, -0.25, 0.35)) * rays * (1 + 0.35 * smoothstep(angle, 0.25, 0.42))
        blend(colors, 1 - smoothstep(angle, IRIS - 0.03, IRIS + 0.03), iris * light[:, None] + 0.02)
        rim = smoothstep(angle, IRIS - 0.14, IRIS - 0.04) * (1 - smoothstep(angle, IRIS - 0.01, IRIS + 0.05))
        blend(colors, 0.80 * rim, 0.22 * iris)
        blend(colors, 1 - smoothstep(angle, PUPIL - 0.03, PUPIL + 0.03), np.array([0.02, 0.02, 0.02], np.float32))
        glint = np.linalg.norm(self.gaze - np.array([-0.19, 0.21, 0.96], np.float32), axis=1)
        blend(colors, 1 - smoothstep(glint, 0.07, 0.13), np.array([1, 1, 1], np.float32))
        sitter.colors[self.balls] = colors
        self._line_lids(sitter, rng)

    def _line_lids(self, sitter: Sitter, rng: np.random.Generator) -> None:
        woman = sitter.look.sex == "woman"
        colors = sitter.colors[self.lids]
        if woman and (sitter.look.lipstick or rng.random() < 0.25):
            tone = np.array(SHADOWS[rng.integers(len(SHADOWS))], np.float32)
            blend(colors, (0.6 if sitter.look.skin in HUMAN_SKINS else 0.4) * self.above, tone)
        width = 0.0085 + 0.006 * self.outer if woman else 0.0055
        blend(colors, (0.95 if woman else 0.78) * (1 - smoothstep(self.upper, 0.45 * width, 1.3 * width)), LASH)
        blend(colors, (0.55 if woman else 0.30) * (1 - smoothstep(self.lower, 0.002, 0.0065)), LASH)
        sitter.colors[self.lids] = colors


def _middle(points: Array) -> Array:
    return (points.max(0) + points.min(0)) / 2


def _from_curves(points: Array, curves: tuple[Array, ...]) -> Array:
    """[N], distance to the nearest of several polylines [K, 3]."""
    dense = []
    for curve in curves:
        steps = np.linspace(0, len(curve) - 1, 8 * len(curve))
        dense.append(np.stack([np.interp(steps, np.arange(len(curve)), curve[:, k]) for k in range(3)], 1))
    return np.asarray(cKDTree(np.concatenate(dense)).query(points)[0], np.float32)
