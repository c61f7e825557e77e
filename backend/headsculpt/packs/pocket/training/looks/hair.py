# SPDX-License-Identifier: GPL-3.0-or-later
"""Scalp hair: cuts of the shell around the skull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .....mesh import Mesh
from ..noise import fractal_noise, value_noise
from .anatomy import Array, Body, Sitter, blend, smoothstep
from .shell import HairShell

Volume = tuple[
    Array, Array, Array
]  # where hair is in 0..1, how far it stands off in head units, its brightness; all [N]


@dataclass(frozen=True)
class Locks:
    """What every hair cut is made from, at the N vertices of the shell.

    anchors: [N, 3], the skin below; field: positive inside the hairline; streaks, clumps: noise along and across hairs.
    """

    anchors: Array
    field: Array
    streaks: Array
    clumps: Array
    seed: int


class Hairdresser:
    """Cuts hair for sitters."""

    def __init__(self, body: Body) -> None:
        self.body, self.anatomy = body, body.anatomy
        masks, triangles = body.model.masks, body.model.triangles
        skin_only = (masks["skin"] > 0.5) & (masks["ears"] < 0.5)
        self.shell = HairShell(body.coarse, triangles[skin_only[triangles].all(1)], self.anatomy)
        self.scalp = np.where(body.masks["skin"] > 0.5, self.anatomy.scalp_field(body.rest), -1).astype(np.float32)
        self.shell_scalp = self.anatomy.scalp_field(self.shell.rest)

    def dress(self, sitter: Sitter) -> None:
        """Gives the sitter the hair of its look: roots on the skin, and the shell as a part."""
        if sitter.look.style == "bald":
            return
        self._roots(sitter)
        vertices, shade, inside = self._hair(sitter)
        seen = self.shell.triangles[(inside[self.shell.triangles] > 0).any(1)]
        colors = np.clip(sitter.hair * shade[:, None], 0, 1).astype(np.float32)
        sitter.parts.append(Mesh(vertices.astype(np.float32), seen, colors))

    def _roots(self, sitter: Sitter) -> None:
        """Hair colour on the skin under the hair, with a soft and irregular border; only a shadow beside a mohawk."""
        look, rest = sitter.look, self.body.rest
        amount = smoothstep(self.scalp + 0.013 * fractal_noise(rest, 23, look.seed + 13, 3), -0.006, 0.018)
        if look.style == "mohawk":
            amount = amount * np.where(np.abs(rest[:, 0]) < 0.025, 0.9, 0.22)
        blend(sitter.colors, amount, sitter.hair * 0.75)

    def _hair(self, sitter: Sitter) -> tuple[Array, Array, Array]:
        """The shell's vertices [N, 3], brightness [N], where hair is [N] in 0..1.

        At its border the shell dips under the skin.
        """
        shell, seed = self.shell, sitter.look.seed
        chart = np.stack([np.cos(shell.turn), np.sin(shell.turn), shell.along], 1)
        locks = Locks(
            anchors=shell.anchors(sitter.coarse),
            field=self.shell_scalp + 0.012 * fractal_noise(shell.rest, 23, seed + 13, 3),
            streaks=0.6 * value_noise(chart, (26, 26, 9), seed + 5) + 0.4 * value_noise(chart, (60, 60, 14), seed + 6),
            clumps=value_noise(chart, (8, 8, 7), seed + 7),
            seed=seed,
        )
        cut = {"short": self._short, "long": self._long, "mohawk": self._mohawk, "afro": self._afro}[sitter.look.style]
        inside, height, shade = cut(locks, sitter.rng)
        offset = inside * height - 0.03 * (1 - inside)
        return locks.anchors + shell.direction * offset[:, None], shade, inside

    def _short(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """Combed from the crown, close to the head."""
        height = rng.uniform(0.018, 0.04) * (1 + 0.35 * locks.streaks + 0.3 * locks.clumps)
        inside = smoothstep(locks.field, 0, 0.025)
        return inside, height, 1 + 0.40 * locks.streaks + 0.1 * locks.clumps

    def _long(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """Hair that falls behind or over the ears to between the jaw and the shoulders, parted on top."""
        shell, anatomy, streaks, clumps = self.shell, self.anatomy, locks.streaks, locks.clumps
        edge = np.deg2rad(rng.uniform(74, 104))  # where the curtain begins, from the face's middle
        bottom = rng.uniform(-0.43, -0.30)
        turn, y = np.abs(shell.turn), shell.origin[:, 1]
        curtain = smoothstep(turn + 0.05 * clumps, edge - 0.06, edge + 0.06)
        curtain *= smoothstep(y + 0.025 * clumps + 0.012 * streaks, bottom, bottom + 0.03)
        inside = np.maximum(smoothstep(locks.field, 0, 0.025), curtain)
        down = smoothstep(-y, -shell.center[1], 0.3)
        height = rng.uniform(0.035, 0.05) + rng.uniform(0.0, 0.03) * down
        height += 0.018 * smoothstep(-anatomy.ear_distance(shell.rest), -0.03, 0.02)  # ears lie below
        parting = np.exp(-(((shell.rest[:, 0] - rng.uniform(-0.07, 0.07)) / 0.010) ** 2)) * (shell.rest[:, 2] > -0.05)
        height *= (1 + 0.35 * streaks + 0.25 * clumps) * (1 - 0.6 * parting * (y > anatomy.eye))
        height += shell.hanging(locks.anchors)
        strands = value_noise(locks.anchors + shell.direction * (inside * height)[:, None], (70, 6, 70), locks.seed)
        top = smoothstep(locks.anchors[:, 1], anatomy.eye, anatomy.top)
        return inside, height, 1 + 0.35 * (top * streaks + (1 - top) * strands) + 0.15 * clumps

    def _mohawk(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """A notched ridge from the forehead over the crown to the nape."""
        rest, center, seed = self.shell.rest, self.shell.center, locks.seed
        arc = np.arctan2(rest[:, 1] - center[1], rest[:, 2] - center[2])
        spikes = value_noise(np.stack([4 * arc, np.zeros_like(arc), 20 * rest[:, 0]], 1), (2.2, 1, 1), seed + 14)
        width = rng.uniform(0.024, 0.036)
        ridge = np.exp(-((rest[:, 0] / width) ** 4))
        inside = smoothstep(locks.field, 0, 0.03) * smoothstep(-np.abs(rest[:, 0]), -2.0 * width, -1.2 * width)
        height = rng.uniform(0.11, 0.17) * ridge * (1 + 0.25 * spikes + 0.12 * locks.streaks) + 0.004
        strands = value_noise(np.stack([14 * arc, rest[:, 0] * 60, arc], 1), 1.5, seed + 18)
        return inside, height, 1 + 0.25 * spikes + 0.30 * strands

    def _afro(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """A round volume of curls."""
        inside = smoothstep(locks.field, 0, 0.02)
        fullness = 0.5 + 0.5 * smoothstep(self.shell.rest[:, 1], self.anatomy.nose, self.anatomy.brow)
        height = rng.uniform(0.10, 0.19) * fullness * (0.75 + 0.25 * smoothstep(locks.field, 0.0, 0.08))
        points = locks.anchors + self.shell.direction * (inside * height)[:, None]
        curls = 0.6 * value_noise(points, 40, locks.seed + 15) + 0.4 * value_noise(points, 85, locks.seed + 16)
        return inside, height * (1 + 0.12 * curls + 0.05 * locks.clumps), 1.08 + 0.5 * curls
