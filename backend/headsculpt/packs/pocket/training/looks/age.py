# SPDX-License-Identifier: GPL-3.0-or-later
"""What years write into a face: wrinkles in shape and colour, and age spots."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..noise import value_noise
from .anatomy import Array, Body, Sitter, blend, smoothstep

Curve = tuple[tuple[float, float], ...]

WIDTH = 0.0060  # of a crease, head units: about the mesh's own edges
DEPTH = 0.0052
# (x, y) from the front, head units, on the subject's left of the neutral head; depth relative to DEPTH
CREASES: tuple[tuple[float, Curve], ...] = (
    (1.5, ((0.050, -0.082), (0.064, -0.105), (0.078, -0.140), (0.091, -0.178), (0.094, -0.205))),  # beside the nose
    (1.1, ((0.078, -0.196), (0.085, -0.220), (0.086, -0.250))),  # down from the mouth's corner
    (1.0, ((0.120, -0.115), (0.128, -0.150), (0.124, -0.190), (0.114, -0.225))),  # along the cheek
    (1.2, ((0.046, -0.026), (0.062, -0.043), (0.086, -0.050), (0.110, -0.042), (0.128, -0.022))),  # bag under the eye
    (0.9, ((0.042, -0.034), (0.058, -0.058), (0.082, -0.070), (0.106, -0.066))),
    (0.9, ((0.138, 0.006), (0.152, 0.016), (0.165, 0.030))),  # crow's feet
    (0.9, ((0.139, -0.003), (0.156, -0.003), (0.172, 0.000))),
    (0.9, ((0.137, -0.012), (0.152, -0.024), (0.166, -0.034))),
    (0.7, ((0.131, -0.020), (0.143, -0.038), (0.154, -0.052))),
    (1.2, ((0.017, 0.040), (0.019, 0.062), (0.014, 0.088))),  # between the brows
    (0.8, ((0.000, 0.022), (0.016, 0.024))),  # across the nose's root
    (0.9, ((0.000, -0.236), (0.022, -0.237), (0.040, -0.245))),  # over the chin
    (0.6, ((0.016, -0.132), (0.019, -0.156))),  # above the lip
    (0.6, ((0.034, -0.138), (0.037, -0.160))),
    (0.6, ((0.050, -0.146), (0.054, -0.168))),
)
BAG = ((0.054, -0.030), (0.086, -0.036), (0.116, -0.026))  # swells between lower lid and crease
SPOTS = 26


class Wrinkles:
    """Ages sitters."""

    def __init__(self, body: Body) -> None:
        self.skin = np.flatnonzero((body.masks["skin"] > 0.5) & (body.rest[:, 1] > -0.55))
        self.rest = body.rest[self.skin]
        front = body.rest_normals[self.skin, 2] > 0.1
        surface = self.rest[front & (body.masks["face"][self.skin] > 0.3)]
        self.creases = np.stack([_crease(self.rest, surface, curve) * depth for depth, curve in CREASES])
        lids = body.masks["lips"][self.skin] > 0.3
        self.creases[:, lids] *= 0.3
        self.ridges = sum(_distance_bump(self.rest, surface, curve) * depth for depth, curve in CREASES)
        self.bag = np.exp(-((_distance(self.rest, surface, BAG) / 0.010) ** 2)).astype(np.float32)
        x, y, z = np.abs(self.rest).T[0], self.rest[:, 1], self.rest[:, 2]
        low = body.anatomy.brow + 0.014 + 0.012 * smoothstep(x, 0.02, 0.08)
        self.forehead = smoothstep(y, low, low + 0.012) * (1 - smoothstep(y, 0.155, 0.185))
        self.forehead *= (1 - smoothstep(x, 0.085, 0.135)) * smoothstep(z, 0.05, 0.1)
        below = body.anatomy.chin - 0.35 * np.clip(0.2 - z, 0, 0.2) * 0 - y
        self.neck = smoothstep(below, 0.02, 0.05) * (1 - smoothstep(below, 0.13, 0.2)) * smoothstep(z, 0.0, 0.08)
        self.cheeks = (body.masks["face"] * (1 - body.masks["lips"]))[self.skin]

    def wear(self, sitter: Sitter) -> None:
        """Carves the wrinkles of the old along the normals, and darkens them; adds age spots."""
        rng, seed = np.random.default_rng([sitter.look.seed, 2]), sitter.look.seed
        uneven = 1 + 0.5 * value_noise(self.rest, 19, seed + 31)
        crease = (rng.uniform(0.65, 1.15, len(CREASES)).astype(np.float32) @ self.creases) * uneven
        lines = _lines(self.rest[:, 1] + 0.9 * self.rest[:, 0] ** 2, self.rest, rng.uniform(0.019, 0.026), seed)
        crease += 1.15 * self.forehead * lines * np.clip(0.3 + uneven, 0, 1)
        crease += 0.9 * self.neck * _lines(self.rest[:, 1] + 0.25 * self.rest[:, 2], self.rest, 0.034, seed + 1)
        crease = np.clip(crease, 0, 1.8)
        lifted = (
            0.45 * self.ridges + 1.1 * self.bag - crease + 0.12 * self.cheeks * value_noise(self.rest, 75, seed + 32)
        )
        strength = rng.uniform(0.85, 1.2)
        sitter.vertices[self.skin] += sitter.normals[self.skin] * (strength * DEPTH * lifted)[:, None]
        colors = sitter.colors[self.skin]
        blend(colors, 0.55 * np.clip(crease, 0, 1.3), colors * np.array([0.52, 0.42, 0.40], np.float32))
        self._spots(colors, rng)
        sitter.colors[self.skin] = colors

    def _spots(self, colors: Array, rng: np.random.Generator) -> None:
        centres = self.rest[rng.choice(np.flatnonzero(self.cheeks > 0.5), SPOTS)]
        centres = np.concatenate([centres, self.rest[rng.choice(np.flatnonzero(self.rest[:, 1] > 0.14), SPOTS)]])
        near = cKDTree(centres).query(self.rest, distance_upper_bound=0.02)[0]
        blend(colors, 0.38 * (1 - smoothstep(near, 0.004, 0.010)), colors * np.array([0.70, 0.58, 0.50], np.float32))


def _lines(height: Array, points: Array, spacing: float, seed: int) -> Array:
    """[N], 1 in the middle of lines of equal, wavering height."""
    phase = (height + 0.006 * value_noise(points, (14, 14, 14), seed + 33)) / spacing
    return np.exp(-((np.abs(phase - np.round(phase)) * spacing / WIDTH) ** 2)).astype(np.float32)


def _distance(points: Array, surface: Array, curve: Curve) -> Array:
    """[N], from points to a curve and its mirror image, both laid on the surface [M, 3] from the front."""
    knots = np.array(curve)
    steps = np.linspace(0, len(knots) - 1, 12 * len(knots))
    flat = np.stack([np.interp(steps, np.arange(len(knots)), knots[:, k]) for k in (0, 1)], 1)
    flat = np.concatenate([flat, flat * [-1, 1]])
    nearest = cKDTree(surface[:, :2]).query(flat, k=4)[1]
    laid = np.column_stack([flat, surface[nearest, 2].mean(1)])
    return np.asarray(cKDTree(laid).query(points)[0], np.float32)


def _crease(points: Array, surface: Array, curve: Curve) -> Array:
    return np.exp(-((_distance(points, surface, curve) / WIDTH) ** 2)).astype(np.float32)


def _distance_bump(points: Array, surface: Array, curve: Curve) -> Array:
    """[N], the swelling beside a crease."""
    return np.exp(-(((_distance(points, surface, curve) - 2.3 * WIDTH) / (1.2 * WIDTH)) ** 2)).astype(np.float32)
