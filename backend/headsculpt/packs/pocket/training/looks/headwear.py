# SPDX-License-Identifier: GPL-3.0-or-later
"""Hats, crowns and horns."""

from __future__ import annotations

import numpy as np

from .anatomy import HAT_NORMAL, Array, Body, Sitter, hat_line, smoothstep
from .forms import ball, tube
from .hats import Seat, make_hat

GOLD = np.array([0.88, 0.68, 0.20])
GEMS = ((0.80, 0.05, 0.10), (0.08, 0.20, 0.80), (0.05, 0.55, 0.22), (0.55, 0.10, 0.65), (0.10, 0.65, 0.75))
HORN_COLORS = (
    ((0.78, 0.70, 0.55), (0.93, 0.88, 0.76)),  # from the root to the tip
    ((0.17, 0.14, 0.13), (0.32, 0.27, 0.24)),
    ((0.50, 0.08, 0.06), (0.16, 0.05, 0.05)),
    ((0.45, 0.34, 0.24), (0.15, 0.11, 0.09)),
)
MOST_HAIR = 0.13
UNDER_HAT = 0.030  # room for flattened hair, head units


class Hatter:
    """Puts hats, crowns and horns on sitters."""

    def __init__(self, body: Body) -> None:
        masks, rest = body.model.masks, body.coarse
        above = (rest - hat_line(body.anatomy.landmarks)) @ HAT_NORMAL
        self.skull = np.flatnonzero((masks["skin"] > 0.5) & (masks["ears"] < 0.3) & (above > -0.015))
        self.roots = {
            name: tuple(_nearest(rest, masks["skin"], np.array(place) * [side, 1, 1]) for side in (-1, 1))
            for name, place in (
                ("demon", (0.080, 0.195, 0.150)),
                ("bull", (0.135, 0.165, 0.085)),
                ("ram", (0.115, 0.190, 0.100)),
            )
        }

    def dress(self, sitter: Sitter) -> None:
        """Adds the headwear of the look, of a random kind and colour."""
        rng = np.random.default_rng([sitter.look.seed, 6])
        {"hat": self._hat, "crown": self._crown, "horns": self._horns}[sitter.look.headwear](sitter, rng)

    def seat(self, sitter: Sitter, room: float, raised: float = 0.0) -> Seat:
        """An ellipse that holds the skull's section with some room."""
        origin = hat_line(sitter.landmarks) + raised * HAT_NORMAL
        front = np.cross([1, 0, 0], HAT_NORMAL)
        offset = sitter.coarse[self.skull] - origin
        height, z = offset @ HAT_NORMAL, offset @ front
        ring = (height > -0.012) & (height < 0.09)
        x, z = offset[ring, 0], z[ring]
        middle, depth = (z.max() + z.min()) / 2, (z.max() - z.min()) / 2
        side = np.abs(x).max()
        fit = np.sqrt((x / side) ** 2 + ((z - middle) / depth) ** 2).max()
        origin = origin + middle * front
        return Seat(origin, front, fit * side + room, fit * depth + room, float(height.max()) + room)

    def _hat(self, sitter: Sitter, rng: np.random.Generator) -> None:
        sitter.parts += make_hat(self.seat(sitter, UNDER_HAT), sitter.look.seed, rng)

    def _crown(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """A band with two rims, points with balls on them, and gems."""
        seat = self.seat(sitter, self._hair_room(sitter), raised=0.022)
        points, wall = int(rng.integers(7, 11)), 0.009
        low, high = rng.uniform(0.050, 0.062), rng.uniform(0.065, 0.10)
        turn = np.linspace(0, 2 * np.pi, points * 16, endpoint=False)
        phase = (turn - np.pi / 2) * points / (2 * np.pi)
        rise = 1 - 2 * np.abs(phase - np.round(phase))
        top = low + high * rise ** rng.uniform(0.9, 1.9)
        share = np.concatenate([np.linspace(0, 1, 22), np.linspace(1, 0, 6)])[:, None]
        outer = np.arange(28)[:, None] < 22
        height = share * top
        rims = np.exp(-(((height - 0.006) / 0.006) ** 2)) + np.exp(-(((height - low + 0.008) / 0.005) ** 2))
        flare = 1 + 0.10 * height / 0.1
        out = np.where(outer, wall + 0.007 * rims, 0.0)
        offsets = np.stack(
            [(seat.side * flare + out) * np.cos(turn), height, (seat.depth * flare + out) * np.sin(turn)], -1
        )
        gleam = np.sin(5 * turn + rng.uniform(0, 6)) * 0.16 + np.where(outer, 0.22 * rims, -0.35)
        colors = GOLD * (1 + gleam + 0 * height)[..., None] + np.clip(gleam, 0, 1)[..., None] * [0.05, 0.1, 0.15]
        sitter.parts.append(seat.turned(offsets, colors))
        self._jewels(sitter, seat, points, (low, low + high), rng)

    def _jewels(
        self, sitter: Sitter, seat: Seat, points: int, heights: tuple[float, float], rng: np.random.Generator
    ) -> None:
        low, tip = heights
        tones = rng.permutation(len(GEMS))[: rng.integers(1, 3)]
        for k in range(points):
            turn = np.pi / 2 + 2 * np.pi * k / points
            for height, out, size in ((tip * 1.0, 0.004, 0.013), (0.5 * low, 0.010, 0.015)):
                flare = 1 + height
                offset = np.array(
                    [(flare * seat.side + out) * np.cos(turn), height, (flare * seat.depth + out) * np.sin(turn)]
                )
                place = seat.origin + offset @ np.stack([[1.0, 0, 0], HAT_NORMAL, seat.front])
                color = GOLD * 1.12 if size == 0.013 else np.array(GEMS[tones[k % len(tones)]])
                sitter.parts.append(ball(place, size, color))

    def _hair_room(self, sitter: Sitter) -> float:
        """How far out of the skull a crown stands: around the hair, as far as a crown may."""
        bare = self.seat(sitter, 0.0, raised=0.022)
        hair = [part.vertices[part.triangles[::7, 0]] for part in sitter.parts]
        if not hair:
            return 0.006
        offset = np.concatenate(hair) - bare.origin
        height, x, z = offset @ HAT_NORMAL, offset[:, 0], offset @ bare.front
        reach = np.sqrt((x / bare.side) ** 2 + (z / bare.depth) ** 2)[(height > 0) & (height < 0.05)]
        if not len(reach):
            return 0.006
        return float(np.clip((np.quantile(reach, 0.85) - 1) * bare.side, 0.006, 0.075))

    def _horns(self, sitter: Sitter, rng: np.random.Generator) -> None:
        kind = str(rng.choice(["demon", "bull", "ram"]))
        dark, light = (np.array(color) for color in HORN_COLORS[rng.integers(len(HORN_COLORS))])
        size, rings = rng.uniform(0.85, 1.2), rng.uniform(14, 20) * (1.8 if kind == "ram" else 1)
        path, radius = _horn(kind, size)
        t = np.linspace(0, 1, len(path))
        ridge = np.abs(np.sin(np.pi * rings * t)) ** 0.6 * (1 - smoothstep(t, 0.72, 0.95))
        radius = radius * (1 + 0.20 * (ridge - 0.6))
        color = (dark + t[:, None] * (light - dark)) * (0.62 + 0.45 * ridge + 0.35 * smoothstep(t, 0.7, 0.95))[:, None]
        aside = np.array([1.0, 0, 0]) if kind == "ram" else np.array([0, 0, 1.0])
        for side, root in zip((-1, 1), self.roots[kind], strict=True):
            placed = _out_of_hair(sitter, sitter.coarse[root]) + path * [side, 1, 1]
            sitter.parts.append(tube(placed, radius, color, aside, sides=12))


def _out_of_hair(sitter: Sitter, root: Array) -> Array:
    """Where a horn leaves the hair above its root, so that it is seen; at most MOST_HAIR out of the skull."""
    if not sitter.parts:
        return root
    offset = np.concatenate([part.vertices[part.triangles[::3, 0]] for part in sitter.parts]) - root
    outward = root - np.array([0, 0.05, -0.02])
    outward /= np.linalg.norm(outward)
    along = offset @ outward
    beside = np.linalg.norm(offset - along[:, None] * outward, axis=1)
    depth = along[(beside < 0.045) & (along > 0)]
    return root if not len(depth) else root + min(0.8 * float(depth.max()), MOST_HAIR) * outward


def _horn(kind: str, size: float) -> tuple[Array, Array]:
    """Path [P, 3] from the root on the subject's left, and radius [P], head units."""
    t = np.linspace(0, 1, 90)
    if kind == "demon":
        path = np.stack([0.10 * t - 0.045 * t**3, -0.015 + 0.27 * t, 0.05 * t - 0.11 * t**2], 1)
        return size * path, size * (0.034 * (1 - t) ** 0.75 + 0.002)
    if kind == "bull":
        path = np.stack([0.25 * np.sin(1.5 * t) - 0.02, 0.20 * t**2.2 + 0.02 * t, 0.06 * t], 1)
        return size * path, size * (0.040 * (1 - t) ** 0.7 + 0.002)
    turn = np.deg2rad(55 + 400 * t)
    curl = 0.092 * (1 - 0.42 * t)
    out = 0.115 * smoothstep(t, -0.05, 0.30) + 0.06 * t - 0.02
    path = np.stack([out, curl * np.sin(turn), curl * np.cos(turn)], 1)
    path[:, 1:] -= 0.092 * np.array([np.sin(turn[0]), np.cos(turn[0])])
    return size * path, size * (0.041 * (1 - t) ** 0.6 + 0.003)


def _nearest(rest: Array, skin: Array, place: Array) -> int:
    return int(np.argmin(((rest - place) ** 2).sum(1) + 9.0 * (skin < 0.5)))
