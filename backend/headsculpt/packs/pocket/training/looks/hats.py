# SPDX-License-Identifier: GPL-3.0-or-later
"""Hats: shapes turned round the ring on which they sit, then bent, pinched, folded and trimmed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .....mesh import Mesh
from ..noise import value_noise
from .anatomy import HAT_NORMAL, Array, smoothstep
from .forms import ball, turned

CLOTH = (
    *((0.12, 0.12, 0.13), (0.30, 0.19, 0.11), (0.42, 0.42, 0.44), (0.12, 0.17, 0.42), (0.50, 0.09, 0.11)),
    *((0.12, 0.32, 0.16), (0.36, 0.15, 0.46), (0.70, 0.58, 0.38), (0.75, 0.28, 0.10)),
)
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

    def turned(self, offsets: Array, colors: Array) -> Mesh:
        return turned(self.origin, np.array([1.0, 0, 0]), HAT_NORMAL, self.front, offsets, colors)


def make_hat(seat: Seat, seed: int, rng: np.random.Generator) -> list[Mesh]:
    """The parts of a hat of a random kind and colour."""
    make = (_fedora, _top_hat, _beanie, _wizard_hat)[rng.integers(4)]
    cloth, band = (np.array(CLOTH[i]) for i in rng.choice(len(CLOTH), 2, replace=False))
    offsets, colors = make(seat, cloth, band, rng)
    felt = value_noise(offsets.reshape(-1, 3), 75, seed + 61).reshape(offsets.shape[:2])
    hat = [seat.turned(offsets, colors * (1 + 0.10 * felt)[..., None])]
    if make is _beanie and rng.random() < 0.6:
        hat.append(_pompon(seat.origin + (offsets[-1, 0, 1] + 0.02) * HAT_NORMAL, band, seed))
    return hat


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


def _pompon(centre: Array, color: Array, seed: int) -> Mesh:
    plain = ball(centre, 0.048, color, 17, 24)
    fluff = (1 + 0.22 * value_noise(plain.vertices, 70, seed + 62))[:, None]
    colors = np.clip(color * (2 * fluff - 1), 0, 1).astype(np.float32)
    return Mesh((centre + (plain.vertices - centre) * fluff).astype(np.float32), plain.triangles, colors)
