# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin and eyes: the colours of the bare head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..noise import fractal_noise, value_noise
from .anatomy import Array, Body, Sitter
from .words import EYE_COLORS, SKINS


def paint_skin(body: Body, sitter: Sitter) -> None:
    """Base colour with blotches and pores, blush, eye sockets, lips; then the eyes and the mouth's inside."""
    look, rest, masks, at = sitter.look, body.rest, body.masks, body.anatomy.landmarks
    skin = np.array(SKINS[look.skin], np.float32)
    mottle = 1 + 0.06 * fractal_noise(rest, 16, look.seed) + 0.035 * value_noise(rest, 140, look.seed + 9)
    colors = skin * mottle[:, None]
    cheeks = at[[61, 291]] * [1.15, 1, 0.9] + [0, 0.06, 0]
    blush = sum(
        np.exp(-((rest - spot) ** 2).sum(1) / r**2) for spot, r in ((at[1], 0.04), *((c, 0.055) for c in cheeks))
    )
    colors += 0.28 * blush[:, None] * (skin * [1.05, 0.72, 0.70] - colors)
    sockets = at[[33, 133]].mean(0), at[[362, 263]].mean(0)
    colors *= 1 - 0.16 * sum(np.exp(-((rest - s) ** 2).sum(1) / 0.045**2) for s in sockets)[:, None]
    lips = 0.65 * np.clip(1.3 * masks["lips"], 0, 1)[:, None]
    colors += lips * (skin * [0.95, 0.45, 0.45] + [0.06, 0, 0] - colors)
    colors[masks["mouth_bag"] > 0.5] = (0.35, 0.10, 0.10)
    _eyes(body, colors, np.array(EYE_COLORS[look.eyes]))
    sitter.colors = colors.astype(np.float32)


def _eyes(body: Body, colors: Array, iris: NDArray) -> None:
    """White, iris with a dark rim and a pupil, painted by the angle from the eyeball's axis."""
    for side in (-1, 1):
        ball = np.flatnonzero((body.masks["eyeballs"] > 0.5) & (side * body.rest[:, 0] > 0))
        offset = body.rest[ball] - (body.rest[ball].max(0) + body.rest[ball].min(0)) / 2
        angle = np.arccos(np.clip(offset[:, 2] / np.linalg.norm(offset, axis=1), -1, 1))[:, None]
        color = np.where(angle < 0.54, iris * (0.7 + angle) * np.where(angle > 0.46, 0.4, 1), (0.93, 0.93, 0.92))
        colors[ball] = np.where(angle < 0.24, 0.02, color)
