# SPDX-License-Identifier: GPL-3.0-or-later
"""Brows, and the beard that grows from the skin."""

from __future__ import annotations

import numpy as np

from ..noise import fractal_noise, value_noise
from .anatomy import Body, Sitter, blend, smoothstep

BROW_OF_THE_BALD = (0.18, 0.13, 0.10)


class Barber:
    """Grows facial hair on sitters."""

    def __init__(self, body: Body) -> None:
        self.body = body
        field = np.where(body.masks["skin"] > 0.5, body.anatomy.beard_field(body.rest), -1)
        self.field = np.where(body.masks["lips"] > 0.2, -1, field).astype(np.float32)

    def brows(self, sitter: Sitter) -> None:
        look, rest = sitter.look, self.body.rest
        bare = look.style == "bald" and not look.beard
        color = np.array(BROW_OF_THE_BALD) if bare else sitter.hair * 0.7
        strands = 0.75 + 0.5 * value_noise(rest, (200, 70, 70), look.seed + 3)
        blend(sitter.colors, 1.1 * self.body.masks["brows"] * strands, color)

    def beard(self, sitter: Sitter) -> None:
        """Off the cheeks along the normal, from the chin downwards and forwards."""
        rest, anatomy, seed, rng = self.body.rest, self.body.anatomy, sitter.look.seed, sitter.rng
        inside = smoothstep(self.field + 0.010 * fractal_noise(rest, 32, seed + 11, 3), 0, 0.02)
        chin = smoothstep(-np.abs(rest[:, 0]), -0.15, -0.02) * smoothstep(-rest[:, 1], -anatomy.mouth, 0.29)
        chin *= smoothstep(rest[:, 2], anatomy.ear[2] + 0.06, anatomy.ear[2] + 0.20)
        length = rng.uniform(0.018, 0.03) + rng.uniform(0.04, 0.11) * chin
        strands = value_noise(rest, (125, 36, 90), seed + 12)
        clumps = value_noise(rest, (40, 12, 40), seed + 17)
        growth = sitter.normals + chin[:, None] * np.array([0, -0.9, 0.45], np.float32)
        growth /= np.linalg.norm(growth, axis=1, keepdims=True)
        shade = 1 + 0.40 * strands + 0.15 * clumps
        blend(sitter.colors, 1.5 * inside, np.clip(sitter.hair * shade[:, None], 0, 1))
        sitter.vertices = sitter.vertices + growth * (inside * length * (1 + 0.30 * strands + 0.2 * clumps))[:, None]
