# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair cuts that lie or fall: short, long, bob and curly."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy, Array, smoothstep
from .locks import STEPS, Flow, Locks, grow, taper, trimmed, waved
from .shell import HairShell, Scalp

WHORL = np.array([0.0, 0.29, -0.13])  # where combed hair starts from
CURLED = 22  # points along a lock that is curled
GONE = -0.2  # of a field of hair: well outside of it


@dataclass(frozen=True)
class Ground:
    """What every cut starts from, at the N vertices of the shell.

    anchors: [N, 3], the skin below; field: positive inside the hairline; streaks, clumps: noise along and across hairs;
    roots: vertices inside the hairline, any number of the first of which are evenly spread.
    """

    shell: HairShell
    anatomy: Anatomy
    anchors: Array
    field: Array
    streaks: Array
    clumps: Array
    roots: NDArray[np.intp]
    seed: int
    old: bool
    covered: bool
    """Under a hat."""

    def rooted(self, count: int, rng: np.random.Generator) -> Array:
        """[count, 3], roots of locks, evenly spread with some disorder."""
        return self.anchors[self.roots[:count]] + rng.normal(0, 0.006, (min(count, len(self.roots)), 3))


@dataclass
class Cut:
    """Where the shell is hair in 0..1, how far it stands off (head units), its brightness, all [N]; and locks on it."""

    inside: Array
    height: Array
    shade: Array
    locks: list[Locks] = field(default_factory=list)


def short(ground: Ground, rng: np.random.Generator) -> Cut:
    """Parted, swept back, combed forwards, or in spikes."""
    kind = str(rng.choice(["parted", "swept", "forwards", "spiky"]))
    body = rng.uniform(0.016, 0.030) * (0.6 if ground.old else 1.0)
    inside = smoothstep(ground.field, 0, 0.03)
    height = body * (0.25 + 0.75 * smoothstep(ground.field, 0.0, 0.10)) * (1 + 0.25 * ground.clumps)
    crest = smoothstep(ground.shell.rest[:, 1], 0.05, 0.25)
    height = height * (0.7 + 0.6 * crest)
    scalp = Scalp(ground.shell, ground.anchors, height)
    roots = ground.rooted(140, rng)
    top = smoothstep(roots[:, 1], 0.05, 0.24)
    length = (0.095 + rng.uniform(0.04, 0.08) * top) * rng.uniform(0.8, 1.3, len(roots))
    at = np.linspace(0, 1, STEPS)
    lift = -0.012 + 0.018 * np.sin(np.pi * at**0.8)[None] + 0.01 * rng.uniform(0, 1, (len(roots), 1)) * at
    flow = {"parted": _from_parting(_parting(rng)), "swept": _swept, "forwards": _from_whorl, "spiky": _from_whorl}[
        kind
    ]
    if kind == "spiky":
        lift = -0.012 + rng.uniform(0.04, 0.085, (len(roots), 1)) * (0.25 + 0.75 * top[:, None]) * at
    elif kind == "swept":
        lift = lift + 0.03 * np.exp(-(((roots[:, 2:] - 0.12) / 0.08) ** 2)) * np.sin(np.pi * at)
    spines = grow(scalp, roots, flow, length, lift, rng.normal(0, 0.35 if kind == "spiky" else 0.2, len(roots)))
    lowest = ground.anatomy.brow + rng.uniform(0.055, 0.10) if kind == "forwards" else 0.13
    spines = trimmed(spines, _off_the_face(ground, spines, lowest, -0.03))
    locks = _locks(spines, rng, (0.014, 0.025), (0.010, 0.015), taper(0.6, 0.1, 0.45))
    return Cut(inside, height, 0.72 + 0.25 * ground.streaks, [locks])


def long(ground: Ground, rng: np.random.Generator) -> Cut:
    """Falls over the ears to the shoulders, straight or in waves."""
    bottom, wavy = rng.uniform(-0.47, -0.37), rng.random() < 0.5
    edge = np.deg2rad(rng.uniform(60, 80))
    cut = _falling(ground, rng, edge, bottom, rng.uniform(0.035, 0.055), 0.014 if wavy else 0.003, 0.05)
    if rng.random() < 0.35 and not ground.covered:
        cut.locks.append(_bangs(ground, cut, rng))
    return cut


def bob(ground: Ground, rng: np.random.Generator) -> Cut:
    """Smooth to the chin, where it turns inwards; mostly with bangs."""
    bottom = rng.uniform(-0.27, -0.20)
    cut = _falling(ground, rng, np.deg2rad(rng.uniform(56, 68)), bottom, rng.uniform(0.04, 0.055), 0.0, 0.015)
    if rng.random() < 0.75 and not ground.covered:
        cut.locks.append(_bangs(ground, cut, rng))
    return cut


def curly(ground: Ground, rng: np.random.Generator) -> Cut:
    """Big curls in corkscrews, to between jaw and neck."""
    bottom, edge = rng.uniform(-0.26, -0.12), np.deg2rad(rng.uniform(68, 88))
    cut = _curtain(ground, rng.uniform(0.040, 0.055), edge, bottom + 0.03, None)
    scalp = _scalp(ground, cut)
    roots = ground.rooted(120, rng)
    length = np.interp(roots[:, 1], [0.0, 0.3], [0.20, 0.34]) * rng.uniform(0.7, 1.25, len(roots))
    lift = 0.004 + 0.014 * np.linspace(0, 1, CURLED)
    spines = grow(scalp, roots, _steered(_from_whorl, ground, edge), length, lift, rng.normal(0, 0.2, len(roots)))
    lowest = ground.anatomy.brow + 0.075
    spines = trimmed(spines, _falls_free(spines, edge, bottom, rng) & _off_the_face(ground, spines, lowest, GONE))
    swing = rng.uniform(0.015, 0.022, len(roots))
    spines = waved(scalp.outwards, spines, swing, rng.uniform(0.08, 0.11), rng.uniform(0, 6.3, len(roots)), 0.8)
    law = taper(0.7, 0.35, 0.4, CURLED)
    cut.locks.append(_locks(spines, rng, (0.018, 0.024), (0.017, 0.022), law, 0.16))
    return cut


def _curtain(ground: Ground, body: float, edge: float, bottom: float, parting: float | None) -> Cut:
    """The shell of hair that falls to `bottom`, open in front within the angle `edge` of the face's middle."""
    shell, anatomy, streaks, clumps = ground.shell, ground.anatomy, ground.streaks, ground.clumps
    turn, y = np.abs(shell.turn), shell.origin[:, 1]
    curtain = smoothstep(turn + 0.05 * clumps, edge - 0.02, edge + 0.10)
    curtain = curtain * smoothstep(y + 0.02 * clumps, bottom + 0.02, bottom + 0.05)
    inside = np.maximum(smoothstep(ground.field, 0, 0.025), curtain)
    height = body * (0.4 + 0.6 * smoothstep(np.maximum(ground.field, curtain * 0.1), 0.0, 0.09))
    height = height + 0.018 * smoothstep(-anatomy.ear_distance(shell.rest), -0.03, 0.02)  # ears lie below
    height = height * (1 + 0.15 * streaks + 0.25 * clumps)
    if parting is not None:
        furrow = np.exp(-(((shell.rest[:, 0] - parting) / 0.012) ** 2)) * (shell.rest[:, 2] > -0.08)
        height = height * (1 - 0.6 * furrow * (y > anatomy.eye))
    height = height + shell.hanging(ground.anchors)
    return Cut(inside, height, 0.70 + 0.22 * streaks + 0.08 * clumps)


def _falling(
    ground: Ground, rng: np.random.Generator, edge: float, bottom: float, body: float, swing: float, ragged: float
) -> Cut:
    """Locks that fall from a parting on a curtain; they wave by `swing` and end up to `ragged` apart, head units."""
    middle = _parting(rng)
    cut = _curtain(ground, body, edge, bottom, middle)
    scalp = _scalp(ground, cut)
    roots = ground.rooted(170, rng)
    length = 1.25 * np.clip(roots[:, 1] - bottom, 0.1, 1) + 0.05
    flow = _steered(_from_parting(middle), ground, edge)
    at = np.linspace(0, 1, STEPS)
    lift = -0.006 + 0.014 * np.sin(np.pi / 2 * np.clip(5 * at, 0, 1)) + rng.uniform(0, 0.008, (len(roots), 1)) * at
    if ragged < 0.03:
        lift = lift - 0.045 * smoothstep(at, 0.75, 1.0)
    spines = grow(scalp, roots, flow, length, lift, rng.normal(0, 0.07, len(roots)))
    spines = trimmed(spines, _falls_free(spines, edge, bottom - ragged * rng.uniform(-0.5, 1, (len(roots), 1)), rng))
    if swing:
        lap = rng.uniform(0.13, 0.20)
        spines = waved(scalp.outwards, spines, np.full(len(roots), swing), lap, rng.normal(0, 0.7, len(roots)), 0.5)
    law = taper(0.75, 0.14, 0.5) if ragged > 0.03 else taper(0.75, 0.6, 0.6)
    cut.locks.append(_locks(spines, rng, (0.018, 0.030), (0.010, 0.016), law))
    return cut


def _bangs(ground: Ground, cut: Cut, rng: np.random.Generator) -> Locks:
    """Locks that fall over the forehead and end above the brows."""
    aside = rng.choice([0.0, 0.0, -0.7, 0.7])
    x = np.linspace(-0.135, 0.135, 17) + rng.normal(0, 0.004, 17)
    roots = np.stack([x, np.full(17, 0.27), 0.09 - 1.5 * x**2], 1)
    scalp = Scalp(ground.shell, ground.anchors, 0.6 * cut.height * cut.inside)

    def flow(points: Array) -> Array:
        return np.array([aside, -1.0, 1.0]) + points * [0.8, 0, 0]

    lift = 0.004 + 0.014 * np.sin(np.pi * np.linspace(0.1, 0.75, STEPS))
    spines = grow(scalp, roots, flow, np.full(17, 0.30), lift, rng.normal(0, 0.06, 17))
    low = ground.anatomy.brow + 0.038 + 0.10 * np.abs(spines[:, :, 0]) * (aside == 0) + rng.uniform(0, 0.014, (17, 1))
    spines = trimmed(spines, spines[:, :, 1] > low)
    return _locks(spines, rng, (0.015, 0.022), (0.009, 0.013), taper(0.7, 0.25, 0.5))


def _locks(
    spines: Array,
    rng: np.random.Generator,
    widths: tuple[float, float],
    thicknesses: tuple[float, float],
    law: Array,
    contrast: float = 0.16,
) -> Locks:
    """Locks of random sizes, without those that were trimmed away."""
    count = len(spines)
    reach = np.linalg.norm(np.diff(spines, axis=1), axis=2).sum(1)
    fit = smoothstep(reach, 0.0, 0.10)
    width = (rng.uniform(*widths, count) * fit)[:, None] * law
    thickness = (rng.uniform(*thicknesses, count) * fit)[:, None] * law
    return Locks(spines, width, thickness, 1 + rng.uniform(-contrast, contrast, count))[reach > 0.03]


def _scalp(ground: Ground, cut: Cut) -> Scalp:
    return Scalp(ground.shell, ground.anchors, cut.height)


def _off_the_face(ground: Ground, spines: Array, lowest: float, out: float) -> NDArray[np.bool]:
    """[L, S]: not farther outside of the hairline than −`out`; on the forehead, above `lowest`."""
    points = spines.reshape(-1, 3)
    forehead = (points[:, 2] > 0.08) & (np.abs(points[:, 0]) < 0.17)
    inside = ground.anatomy.scalp_field(points) > out
    return np.where(forehead, points[:, 1] > lowest, inside).reshape(spines.shape[:2])


def _falls_free(spines: Array, edge: float, bottom: Array | float, rng: np.random.Generator) -> NDArray[np.bool]:
    """[L, S]: above the bottom ([L, 1] or one), and clear of the face."""
    turn = np.abs(np.arctan2(spines[:, :, 0], spines[:, :, 2]))
    face = (turn < edge - 0.12) & (spines[:, :, 1] < 0.15)
    forehead = (np.abs(spines[:, :, 0]) < 0.10) & (spines[:, :, 1] < 0.215) & (spines[:, :, 2] > 0.1)
    return (spines[:, :, 1] > bottom + rng.uniform(-0.006, 0.006, (len(spines), 1))) & ~face & ~forehead


def _parting(rng: np.random.Generator) -> float:
    return float(rng.choice([-0.075, 0.0, 0.075]) + rng.uniform(-0.012, 0.012))


def _from_parting(middle: float) -> Flow:
    def flow(points: Array) -> Array:
        side = np.tanh((points[:, 0] - middle) / 0.02)
        top = smoothstep(points[:, 1], 0.08, 0.26)
        return np.stack([side * (0.15 + 0.85 * top), -np.ones_like(side), -0.35 * top], 1)

    return flow


def _from_whorl(points: Array) -> Array:
    away = points - WHORL
    return away / np.linalg.norm(away, axis=1, keepdims=True) + [0, -0.6, 0]


def _swept(points: Array) -> Array:
    back = smoothstep(-points[:, 2], 0.08, 0.2)
    return np.stack([0.8 * points[:, 0], 0.25 - 1.3 * back - 0.5 * (np.abs(points[:, 0]) > 0.15), -1 + 0.6 * back], 1)


def _steered(flow: Flow, ground: Ground, edge: float) -> Flow:
    """A flow that turns away from the face before it reaches it."""
    brow = ground.anatomy.brow

    def steered(points: Array) -> Array:
        turn = np.arctan2(points[:, 0], points[:, 2])
        border = edge * (1 - 0.75 * smoothstep(points[:, 1], brow + 0.05, brow + 0.19))
        push = 2.5 * smoothstep(border + 0.12 - np.abs(turn), 0, 0.35) * np.sign(turn)
        aside = np.stack([np.cos(turn), np.zeros_like(turn), -np.sin(turn)], 1)
        return flow(points) + push[:, None] * aside

    return steered
