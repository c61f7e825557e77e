# SPDX-License-Identifier: GPL-3.0-or-later
"""Scalp hair: the shell around the skull in a cut, with its locks on it."""

from __future__ import annotations

import numpy as np

from .....mesh import Mesh
from ..noise import fractal_noise, value_noise
from .anatomy import HAT_NORMAL, Array, Body, Sitter, blend, hat_line, smoothstep
from .cuts import Cut, Ground, bob, curly, long, short
from .locks import spread, woven
from .shell import HairShell, Scalp
from .standing import afro, mohawk
from .tails import bun, ponytail

CUTS = {
    "short": short,
    "long": long,
    "mohawk": mohawk,
    "afro": afro,
    "curly": curly,
    "bob": bob,
    "ponytail": ponytail,
    "bun": bun,
}
UNDER_HAT = 0.010  # how thick hair lies under a hat, head units
UNDER_CROWN = 0.045


class Hairdresser:
    """Cuts hair for sitters."""

    def __init__(self, body: Body) -> None:
        self.body, self.anatomy = body, body.anatomy
        masks, triangles = body.model.masks, body.model.triangles
        skin_only = (masks["skin"] > 0.5) & (masks["ears"] < 0.5)
        self.shell = HairShell(body.coarse, triangles[skin_only[triangles].all(1)], self.anatomy)
        self.scalp = np.where(body.masks["skin"] > 0.5, self.anatomy.scalp_field(body.rest), -1).astype(np.float32)
        self.shell_scalp = self.anatomy.scalp_field(self.shell.rest)
        self.roots = spread(self.shell.rest, np.flatnonzero(self.shell_scalp > 0.012), 200)

    def dress(self, sitter: Sitter) -> None:
        """Gives the sitter the hair of its look: roots on the skin, the shell, and locks as parts."""
        if sitter.look.style == "bald":
            return
        recession = _recession(sitter)
        self._roots(sitter, recession)
        ground = self._ground(sitter, recession)
        cut = CUTS[sitter.look.style](ground, np.random.default_rng([sitter.look.seed, 7]))
        bare = Scalp(self.shell, ground.anchors)
        parts = [self._shell(sitter, ground, cut)] + [woven(bare.outwards, locks, sitter.hair) for locks in cut.locks]
        for part in parts:
            _press(part, bare, sitter)
        sitter.parts += parts

    def _roots(self, sitter: Sitter, recession: float) -> None:
        """Hair colour on the skin under the hair, with a soft and irregular border; only a shadow beside a mohawk."""
        look, rest = sitter.look, self.body.rest
        field = self.scalp - recession * _temples(rest)
        amount = smoothstep(field + 0.013 * fractal_noise(rest, 23, look.seed + 13, 3), -0.006, 0.018)
        if look.style == "mohawk":
            amount = amount * np.where(np.abs(rest[:, 0]) < 0.025, 0.9, 0.22)
        blend(sitter.colors, amount, sitter.hair * 0.75)

    def _ground(self, sitter: Sitter, recession: float) -> Ground:
        shell, seed = self.shell, sitter.look.seed
        chart = np.stack([np.cos(shell.turn), np.sin(shell.turn), shell.along], 1)
        field = self.shell_scalp - recession * _temples(shell.rest)
        return Ground(
            shell,
            self.anatomy,
            anchors=shell.anchors(sitter.coarse),
            field=field + 0.012 * fractal_noise(shell.rest, 23, seed + 13, 3),
            streaks=0.6 * value_noise(chart, (26, 26, 9), seed + 5) + 0.4 * value_noise(chart, (60, 60, 14), seed + 6),
            clumps=value_noise(chart, (8, 8, 7), seed + 7),
            roots=self.roots[field[self.roots] > 0.008],
            seed=seed,
            old=sitter.look.age == "old",
            covered=sitter.look.headwear == "hat",
        )

    def _shell(self, sitter: Sitter, ground: Ground, cut: Cut) -> Mesh:
        """The part of the shell that is hair; at its border it dips under the skin."""
        offset = cut.inside * cut.height - 0.03 * (1 - cut.inside)
        vertices = ground.anchors + self.shell.direction * offset[:, None]
        seen = self.shell.triangles[(cut.inside[self.shell.triangles] > 0).any(1)]
        colors = np.clip(sitter.hair * cut.shade[:, None], 0, 1)
        return Mesh(vertices.astype(np.float32), seen, colors.astype(np.float32))


def _recession(sitter: Sitter) -> float:
    """How far the hairline of old men with short hair has gone back at the temples, head units."""
    look = sitter.look
    if look.age != "old" or look.sex != "man" or look.style != "short":
        return 0.0
    return float(np.random.default_rng([look.seed, 8]).uniform(0.03, 0.09))


def _temples(points: Array) -> Array:
    """[N], 1 where hairlines recede most: above the temples, less in the middle of the forehead."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    return smoothstep(y, 0.08, 0.16) * smoothstep(z, -0.10, 0.06) * (0.45 + 0.55 * smoothstep(x, 0.02, 0.08))


def _press(part: Mesh, bare: Scalp, sitter: Sitter) -> None:
    """Flattens hair in place under a hat, and a little under a crown's ring."""
    worn = sitter.look.headwear
    if worn not in ("hat", "crown"):
        return
    above = (part.vertices - hat_line(sitter.landmarks)) @ HAT_NORMAL
    near = smoothstep(above, -0.025, 0.0)
    if worn == "crown":
        near = near * (1 - smoothstep(above, 0.07, 0.12))
    limit = UNDER_HAT if worn == "hat" else UNDER_CROWN
    height = bare.heights(part.vertices)
    # what is higher keeps a hundredth, so that layers stay in their order
    pressed = np.where(height > limit, limit + 0.01 * (height - limit), height)
    part.vertices[:] = bare.lifted(part.vertices, height + near * (pressed - height))
