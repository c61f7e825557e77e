# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair that is combed tight to one place and tied there: ponytails and buns."""

from __future__ import annotations

import numpy as np

from ..noise import value_noise
from .anatomy import Array, smoothstep
from .cuts import Cut, Ground
from .locks import STEPS, Locks, taper
from .shell import Scalp


def ponytail(ground: Ground, rng: np.random.Generator) -> Cut:
    """A tail from the crown, the back of the head or one side."""
    kind = "low" if ground.covered else str(rng.choice(["high", "high", "back", "side"]))
    side = float(rng.choice([-1, 1]))
    tie, out = {
        "high": ([0, 0.29, -0.20], [0, 0.85, -1]),
        "back": ([0, 0.12, -0.33], [0, 0.1, -1]),
        "side": ([0.20 * side, 0.15, -0.20], [side, 0.35, -0.6]),
        "low": ([0, -0.10, -0.31], [0, 0, -1]),
    }[kind]
    cut, knot = _combed(ground, np.array(tie, float), rng)
    cut.locks.append(_tail(knot, np.array(out), rng.uniform(-0.42, -0.30), rng))
    cut.locks.append(_ring(knot, np.array(out), 0.042, 0.014, np.array([1]) * 0.55))
    return cut


def bun(ground: Ground, rng: np.random.Generator) -> Cut:
    """A ball of wound hair on top or at the back of the crown."""
    places = [[0, -0.10, -0.33]] if ground.covered else [[0, 0.33, -0.06], [0, 0.32, -0.12], [0, 0.30, -0.19]]
    cut, knot = _combed(ground, np.array(places[int(rng.integers(len(places)))], float), rng)
    out = knot - ground.shell.center
    out = out / np.linalg.norm(out)
    size = rng.uniform(0.085, 0.115)
    cut.locks.append(_ball(knot + 0.62 * size * out, out, size, rng))
    cut.locks.append(_ring(knot + 0.1 * size * out, out, 0.5 * size, 0.018, np.array([1]) * 0.6))
    return cut


def _combed(ground: Ground, towards: Array, rng: np.random.Generator) -> tuple[Cut, Array]:
    """Hair close to the head in ridges that run to a knot, and the knot [3] on the scalp."""
    inside = smoothstep(ground.field, 0, 0.02)
    bare = Scalp(ground.shell, ground.anchors)
    knot = bare.lifted(towards[None], np.array([0.02]))[0]
    away = ground.anchors - knot
    axis = bare.outwards(knot[None])[0]
    aside = np.cross([0.3, 0.2, 1.0] if abs(axis[1]) > 0.7 else [0, 1.0, 0], axis)
    aside /= np.linalg.norm(aside)
    turn = np.arctan2(away @ np.cross(axis, aside), away @ aside)
    far = np.linalg.norm(away, axis=1)
    chart = np.stack([np.cos(turn), np.sin(turn), far], 1)
    ridges = value_noise(chart, (9, 9, 2.5), ground.seed + 8)
    strands = 0.5 * value_noise(chart, (24, 24, 4), ground.seed + 9) + 0.5 * ridges
    height = 0.020 * (0.5 + 0.5 * smoothstep(ground.field, 0, 0.08)) * (1 + 0.55 * ridges)
    height = height + 0.025 * np.exp(-((far / 0.07) ** 2))
    return Cut(inside, height.astype(np.float32), 0.92 + 0.42 * strands), knot


def _tail(knot: Array, out: Array, bottom: float, rng: np.random.Generator) -> Locks:
    """A bundle that leaves the knot along `out` [3] and falls to `bottom`."""
    count = 26
    t = np.linspace(0, 1, STEPS)
    out = out / np.linalg.norm(out)
    reach = rng.uniform(0.14, 0.18)
    start = knot + 0.01 * out
    turn = np.linspace(0, 4 * np.pi, count)
    spread = np.where(np.arange(count) < count // 2, 0.55, 1.0) * rng.uniform(0.8, 1.1, count)
    swing = rng.uniform(-0.03, 0.03)
    drop = start[1] - bottom + rng.uniform(-0.06, 0.03, count)
    path = start + reach * (1 - np.exp(-4.0 * t))[:, None] * out
    path = np.repeat(path[None], count, 0)
    path[:, :, 1] -= drop[:, None] * np.clip(t - 0.10, 0, 1) ** 1.25 / 0.9**1.25
    path[:, :, 0] += swing * np.sin(2.2 * np.pi * t)
    belly = 0.020 + 0.045 * np.sin(np.pi * np.clip(t, 0, 1) ** 0.75) ** 0.8
    across = np.cross(out, [0, 1.0, 0] if abs(out[1]) < 0.9 else [1.0, 0, 0])
    across /= np.linalg.norm(across)
    fall = smoothstep(t, 0.1, 0.5)
    second = np.cross(across, out)[None] * (1 - fall[:, None]) + np.cross(across, [0, -1.0, 0])[None] * fall[:, None]
    offset = np.cos(turn)[:, None, None] * across + np.sin(turn)[:, None, None] * second
    path = path + (spread[:, None] * belly)[..., None] * offset
    width = rng.uniform(0.020, 0.028, count)[:, None] * taper(0.7, 0.12, 0.45)
    return Locks(path, width, width * 0.8, 1 + rng.uniform(-0.18, 0.18, count))


def _ball(centre: Array, out: Array, size: float, rng: np.random.Generator) -> Locks:
    """Locks that wind round a ball like wool, around the axis `out` [3]."""
    count = 22
    side = np.cross(out, [0.9, 0.1, 0.4])
    side /= np.linalg.norm(side)
    front = np.cross(out, side)
    level = np.linspace(-0.55, 0.98, count)
    begin = rng.uniform(0, 2 * np.pi, count)
    turn = begin[:, None] + np.linspace(0, 2.4, STEPS) * rng.choice([-1, 1])
    rise = np.clip(level[:, None] + np.linspace(-0.16, 0.16, STEPS), -0.7, 0.99)
    radius = np.sqrt(1 - rise**2)
    spines = radius[..., None] * (np.cos(turn)[..., None] * side + np.sin(turn)[..., None] * front)
    spines = centre + 0.86 * size * (spines + 0.9 * rise[..., None] * out)
    width = 0.24 * size * rng.uniform(0.85, 1.15, count)[:, None] * taper(0.7, 0.5, 0.4)
    wound = Locks(spines, width, width, 1 + rng.uniform(-0.16, 0.16, count))
    return _with_core(wound, centre, out, size)


def _with_core(wound: Locks, centre: Array, out: Array, size: float) -> Locks:
    """The same with one thick lock inside, that closes the gaps."""
    along = np.linspace(-0.8, 0.8, STEPS)
    spine = centre + 0.86 * size * along[:, None] * out
    width = 0.84 * size * np.sqrt(1 - along**2)
    return Locks(
        np.concatenate([wound.spines, spine[None]]),
        np.concatenate([wound.width, width[None]]),
        np.concatenate([wound.thickness, width[None]]),
        np.append(wound.shade, 0.7),
    )


def _ring(knot: Array, out: Array, radius: float, thickness: float, shade: Array) -> Locks:
    """A band round the knot."""
    out = out / np.linalg.norm(out)
    side = np.cross(out, [0.9, 0.1, 0.4])
    side /= np.linalg.norm(side)
    turn = np.linspace(0, 2.15 * np.pi, STEPS)[:, None]
    spine = knot + radius * (np.cos(turn) * side + np.sin(turn) * np.cross(out, side))
    width = np.full((1, STEPS), thickness)
    return Locks(spine[None], width, width, shade)
