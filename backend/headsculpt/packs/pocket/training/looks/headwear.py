# SPDX-License-Identifier: GPL-3.0-or-later
"""Hats, crowns and horns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..noise import value_noise
from .anatomy import HAT_NORMAL, Array, Body, Sitter, hat_line, smoothstep
from .forms import ball, tube, turned

CLOTH = (
    *((0.12, 0.12, 0.13), (0.30, 0.19, 0.11), (0.42, 0.42, 0.44), (0.12, 0.17, 0.42), (0.50, 0.09, 0.11)),
    *((0.12, 0.32, 0.16), (0.36, 0.15, 0.46), (0.70, 0.58, 0.38), (0.75, 0.28, 0.10)),
)
GOLD = np.array([0.88, 0.68, 0.20])
GEMS = ((0.80, 0.05, 0.10), (0.08, 0.20, 0.80), (0.05, 0.55, 0.22), (0.55, 0.10, 0.65), (0.10, 0.65, 0.75))
HORN_COLORS = (
    ((0.78, 0.70, 0.55), (0.93, 0.88, 0.76)),  # from the root to the tip
    ((0.17, 0.14, 0.13), (0.32, 0.27, 0.24)),
    ((0.50, 0.08, 0.06), (0.16, 0.05, 0.05)),
    ((0.45, 0.34, 0.24), (0.15, 0.11, 0.09)),
)
UNDER_HAT = 0.030  # room for flattened hair, head units
COLUMNS = 84


@dataclass(frozen=True)
class Seat:
    """The ring on which a hat sits: its middle [3], axes [3] each, half widths to the side and to the front,
    and how far the skull reaches above."""

    origin: Array
    front: Array
    side: float
    depth: float
    height: float

    def turned(self, offsets: Array, colors: Array) -> object:
        return turned(self.origin, np.array([1.0, 0, 0]), HAT_NORMAL, self.front, offsets, colors)


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
        seat, kind = self.seat(sitter, UNDER_HAT), rng.choice(["fedora", "top", "beanie", "wizard"])
        cloth, band = (np.array(CLOTH[i]) for i in rng.choice(len(CLOTH), 2, replace=False))
        make = {"fedora": _fedora, "top": _top_hat, "beanie": _beanie, "wizard": _wizard_hat}[str(kind)]
        offsets, colors = make(seat, cloth, band, rng)
        felt = value_noise(offsets.reshape(-1, 3), 75, sitter.look.seed + 61).reshape(offsets.shape[:2])
        sitter.parts.append(seat.turned(offsets, colors * (1 + 0.10 * felt)[..., None]))
        if kind == "beanie" and rng.random() < 0.6:
            top = seat.origin + (offsets[-1].mean(0)[1] + 0.02) * HAT_NORMAL
            pompon = ball(top, 0.048, band, 17, 24)
            fluff = 1 + 0.22 * value_noise(pompon.vertices, 70, sitter.look.seed + 62)
            pompon.vertices[:] = top + (pompon.vertices - top) * fluff[:, None]
            pompon.colors[:] = np.clip(pompon.colors * (2 * fluff - 1)[:, None], 0, 1)
            sitter.parts.append(pompon)

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
            placed = sitter.coarse[root] + path * [side, 1, 1]
            sitter.parts.append(tube(placed, radius, color, aside, sides=12))


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


def _profile(rows: list[tuple[float, float, float]], count: int) -> Array:
    """[count, 3]: points of a polyline of (share of the ring, outwards in head units, height), evenly spread."""
    knots = np.array(rows)
    length = np.linalg.norm(np.diff(knots * [0.2, 1, 1], axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(length)])
    steps = np.linspace(0, at[-1], count)
    return np.stack([np.interp(steps, at, knots[:, k]) for k in range(3)], 1)


def _round(seat: Seat, profile: Array) -> tuple[Array, Array]:
    """Offsets [R, COLUMNS, 3] of a profile turned round the seat, and the columns' angles [COLUMNS]."""
    turn = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    share, out, height = profile.T[:, :, None]
    x = (seat.side * share + out) * np.cos(turn)
    z = (seat.depth * share + out) * np.sin(turn)
    return np.stack([x, height + 0 * turn, z], -1), turn


def _brim(width: float) -> list[tuple[float, float, float]]:
    """Under the brim outwards, round its edge, and back on top."""
    return [(1, -0.01, -0.006), (1, width, -0.006), (1, width + 0.005, 0.0), (1, width, 0.006), (1, 0.0, 0.008)]


def _trim(profile: Array, cloth: Array, band: Array, low: float, high: float, width: float) -> Array:
    """Colours [R, 1, 3]: a band round the crown's foot, a seam along the brim's edge, a darker underside."""
    _, out, height = profile.T
    colors = np.tile(cloth, (len(profile), 1))
    colors[(out < 0.004) & (height > low) & (height < high)] = band
    colors[out > width - 0.012] = 0.65 * band + 0.35 * cloth
    colors[height < -0.003] *= 0.7
    return colors[:, None]


def _stitches(colors: Array, profile: Array, width: float) -> Array:
    """Light stitches on top of the brim, a little inside its edge: colours [R, C, 3]."""
    colors = np.repeat(colors, COLUMNS, 1) if colors.shape[1] == 1 else colors
    row = np.argmin(np.abs(profile[:, 1] - (width - 0.026)) + 9 * (profile[:, 2] < 0.004))
    colors[row, ::2] = 0.5 * colors[row, ::2] + 0.5 * np.array([0.9, 0.85, 0.75])
    return colors


def _fedora(seat: Seat, cloth: Array, band: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    width, top = rng.uniform(0.085, 0.13), seat.height + rng.uniform(0.025, 0.05)
    knots = [
        *_brim(width),
        (1.0, 0.0, 0.012),
        (0.97, 0, 0.06),
        (0.90, 0, top - 0.03),
        (0.80, 0, top),
        (0.4, 0, top + 0.004),
    ]
    profile = _profile([*knots, (0.0, 0, top + 0.004)], 64)
    offsets, turn = _round(seat, profile)
    brim = np.clip(profile[:, 1] / width, 0, 1)[:, None]
    offsets[..., 1] += brim**1.5 * (0.030 * np.cos(2 * turn) - 0.006 + 0.008 * np.sin(3 * turn + rng.uniform(0, 6)))
    high = smoothstep(profile[:, 2], 0.5 * top, top)[:, None]
    pinch = 1 - 0.35 * high * smoothstep(np.sin(turn), 0.45, 1.0)
    offsets[..., 0] *= pinch
    offsets[..., 1] -= (
        0.038 * high**2 * np.exp(-((offsets[..., 0] / 0.05) ** 2)) * smoothstep(top - profile[:, 2], 0.06, 0)[:, None]
    )
    return offsets, _stitches(_trim(profile, cloth, band, 0.010, 0.052, width), profile, width)


def _top_hat(seat: Seat, cloth: Array, band: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    width, top, flare = rng.uniform(0.065, 0.09), rng.uniform(0.24, 0.32), rng.uniform(-0.02, 0.10)
    knots = [*_brim(width), (1, 0, 0.012), (0.97, 0, top / 2), (1 + flare, 0, top - 0.006), (0.98 + flare, 0, top)]
    profile = _profile([*knots, (0.0, 0, top + 0.002)], 64)
    offsets, turn = _round(seat, profile)
    brim = np.clip(profile[:, 1] / width, 0, 1)[:, None]
    offsets[..., 1] += brim**1.4 * 0.030 * np.cos(2 * turn)
    return offsets, _stitches(_trim(profile, cloth, band, 0.010, 0.065, width), profile, width)


def _beanie(seat: Seat, cloth: Array, band: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    cuff, top = rng.uniform(0.055, 0.075), seat.height + 0.02
    low = -0.02
    knots = [(1.0, -0.01, low), (1, 0.010, low), (1, 0.016, low + 0.012), (1, 0.016, cuff - 0.01), (1, 0.010, cuff)]
    arc = np.linspace(0, np.pi / 2, 14)
    knots += [(float(np.cos(a) ** 0.75), 0.0, float(cuff + (top - cuff) * np.sin(a))) for a in arc]
    profile = _profile(knots, 60)
    offsets, turn = _round(seat, profile)
    height, share = profile[:, 2][:, None], profile[:, 0][:, None]
    folded = (height < cuff) & (profile[:, 1][:, None] > 0.003)
    knit = np.where(folded, np.cos(28 * turn), np.cos(28 * turn + 90 * height))
    swell = 1 + 0.018 * knit * share
    offsets[..., 0] *= swell
    offsets[..., 2] *= swell
    colors = np.repeat(np.tile(cloth, (len(profile), 1))[:, None], COLUMNS, 1)
    if rng.random() < 0.6:
        colors[(np.floor((profile[:, 2] - cuff) / 0.032) % 2 == 1) & (profile[:, 2] > cuff)] = band
    colors[folded[:, 0]] = band if rng.random() < 0.5 else cloth
    return offsets, colors * (0.92 + 0.22 * knit)[..., None]


def _wizard_hat(seat: Seat, cloth: Array, band: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    width, top = rng.uniform(0.10, 0.14), rng.uniform(0.40, 0.48)
    knots = [*_brim(width), (1, 0, 0.012), (0.99, 0, 0.05), (0.80, 0, 0.30 * top), (0.40, 0, 0.62 * top)]
    profile = _profile([*knots, (0.16, 0, 0.86 * top), (0.0, 0, top)], 84)
    offsets, turn = _round(seat, profile)
    brim, rise = np.clip(profile[:, 1] / width, 0, 1)[:, None], np.clip(profile[:, 2] / top, 0, 1)[:, None]
    phase = rng.uniform(0, 6)
    offsets[..., 1] += brim * (0.020 * np.sin(3 * turn + phase) + 0.014 * np.cos(2 * turn) - 0.010)
    folds = 1 + 0.07 * np.sin(36 * rise + 1.5 * np.sin(turn + phase)) * smoothstep(rise, 0.18, 0.4)
    offsets[..., 0] = offsets[..., 0] * folds + rng.uniform(-0.10, 0.10) * rise**3
    offsets[..., 2] = offsets[..., 2] * folds - rng.uniform(0.0, 0.16) * rise**2.5
    colors = np.repeat(_trim(profile, cloth, band, 0.010, 0.050, width), COLUMNS, 1)
    if rng.random() < 0.5:
        colors = _stars(colors, offsets, profile, rng)
    return offsets, colors * (0.86 + 2.0 * (folds - 0.93))[..., None]


def _stars(colors: Array, offsets: Array, profile: Array, rng: np.random.Generator) -> Array:
    on_cone = np.argwhere(
        (profile[:, 2] > 0.07)[:, None] & (profile[:, 0] > 0.15)[:, None] & np.ones((1, COLUMNS), bool)
    )
    centres = offsets[tuple(on_cone[rng.choice(len(on_cone), 16)].T)]
    distance = np.linalg.norm(offsets[:, :, None] - centres, axis=3).min(2)
    amount = (1 - smoothstep(distance, 0.012, 0.018)) * (profile[:, 2] > 0.06)[:, None]
    return colors + amount[..., None] * (np.array([0.95, 0.85, 0.35]) - colors)


def _nearest(rest: Array, skin: Array, place: Array) -> int:
    return int(np.argmin(((rest - place) ** 2).sum(1) + 9.0 * (skin < 0.5)))
