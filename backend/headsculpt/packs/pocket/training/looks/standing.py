# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair cuts that stand: afros and mohawks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..noise import value_noise
from .anatomy import Array, smoothstep
from .cuts import Cut, Ground
from .locks import STEPS, Locks, taper

RIM = 340  # curls over an afro's border


def afro(ground: Ground, rng: np.random.Generator) -> Cut:
    """A ball of small tight curls."""
    inside = smoothstep(ground.field, 0, 0.02)
    rest, anatomy = ground.shell.rest, ground.anatomy
    fullness = 0.45 + 0.55 * smoothstep(rest[:, 1], anatomy.nose, anatomy.brow + 0.03)
    height = rng.uniform(0.10, 0.19) * fullness * (0.4 + 0.6 * smoothstep(ground.field, 0.0, 0.09))
    points = ground.anchors + ground.shell.direction * (inside * height)[:, None]
    lumps = _lumps(points, inside > 0, rng.uniform(0.030, 0.042), rng)
    fine = value_noise(points, 75, ground.seed + 16)
    height = height + 0.030 * (lumps - 0.5) + 0.006 * fine + 0.012 * ground.clumps
    return Cut(inside, height, 0.62 + 0.55 * lumps + 0.22 * fine, [_rim(ground, height, rng)])


def _rim(ground: Ground, height: Array, rng: np.random.Generator) -> Locks:
    """Small curls over an afro's border, where the shell alone would show a wall of streaks."""
    border = np.flatnonzero((ground.field > 0.004) & (ground.field < 0.075))
    chosen = rng.choice(border, RIM)
    roots, out = ground.anchors[chosen], ground.shell.direction[chosen]
    share = rng.uniform(0.1, 1.05, (RIM, 1)) * height[chosen, None]
    at = np.linspace(-0.5, 0.5, 6)[None, :, None]
    way = rng.normal(size=(RIM, 1, 3))
    spines = (roots + share * out)[:, None] + 0.045 * at * way / np.linalg.norm(way, axis=2, keepdims=True)
    size = rng.uniform(0.015, 0.022, RIM)[:, None] * taper(0.6, 0.6, 0.5, 6)
    return Locks(spines, size, size, rng.uniform(0.9, 1.2, RIM))


def mohawk(ground: Ground, rng: np.random.Generator) -> Cut:
    """Spikes, a fan or a brush from the forehead over the crown to the nape."""
    kind = str(rng.choice(["spikes", "fan", "brush"]))
    rest, center = ground.shell.rest, ground.shell.center
    arc = np.arctan2(rest[:, 1] - center[1], rest[:, 2] - center[2])
    width, tall = rng.uniform(0.026, 0.040), rng.uniform(0.115, 0.15)
    inside = smoothstep(ground.field, 0, 0.03) * smoothstep(-np.abs(rest[:, 0]), -2.0 * width, -1.1 * width)
    share = {"spikes": 0.22, "fan": 0.55, "brush": 0.6}[kind]
    ridge = np.exp(-((rest[:, 0] / width) ** 4))
    strands = value_noise(np.stack([14 * arc, rest[:, 0] * 60, arc], 1), 1.5, ground.seed + 18)
    height = tall * share * ridge * (1 + 0.15 * strands) + 0.004
    return Cut(inside, height, 0.75 + 0.3 * strands, [_crest(ground, kind, tall, width, rng)])


def _crest(ground: Ground, kind: str, tall: float, width: float, rng: np.random.Generator) -> Locks:
    """The upright locks of a mohawk."""
    count = {"spikes": int(rng.integers(9, 13)), "fan": 34, "brush": 90}[kind]
    middle = np.flatnonzero((np.abs(ground.shell.rest[:, 0]) < 0.012) & (ground.field > 0.012))
    line = ground.anchors[middle]
    arc = np.arctan2(line[:, 1] - ground.shell.center[1], line[:, 2] - ground.shell.center[2])
    arc = np.where(arc < -np.pi / 2, arc + 2 * np.pi, arc)
    order = np.argsort(arc)
    at = np.linspace(0, 1, count)
    if kind != "spikes":
        at = np.clip(at + rng.normal(0, 0.008, count), 0, 1)
    turn = np.interp(at, [0, 1], [arc.min(), arc.max()])
    roots = np.stack([np.interp(turn, arc[order], line[order, k]) for k in range(3)], 1)
    roots[:, 0] = 0 if kind == "spikes" else rng.uniform(-0.5, 0.5, count) * width * (1.2 if kind == "brush" else 0.5)
    out = roots - ground.shell.center
    out[:, 0] = 1.2 * roots[:, 0]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    sweep = np.array([0, 0.15, -rng.uniform(0.0, 0.35)])
    tallness = tall * (1 - 0.35 * np.abs(2 * at - 0.9) ** 2.5) * rng.uniform(0.88, 1.12, count)
    steps = np.linspace(0, 1, STEPS)[None, :, None]
    spines = roots[:, None] + tallness[:, None, None] * steps * (out[:, None] + sweep * steps**1.5)
    spines -= 0.012 * out[:, None]
    gap = (arc.max() - arc.min()) * 0.26 / count
    size = {"spikes": np.sqrt(0.53 * gap * width), "fan": np.sqrt(0.011 * width), "brush": 0.011}[kind]
    law = taper(1.0, 0.04, 0.08) if kind == "spikes" else taper(0.8, 0.35, 0.6)
    size = np.full((count, 1), size) * law
    return Locks(spines, size, size, rng.uniform(0.85, 1.15, count))


def _lumps(points: Array, used: NDArray[np.bool], size: float, rng: np.random.Generator) -> Array:
    """[N] in 0..1, round bumps about `size` apart: distance to the nearest of scattered points."""
    low, high = points[used].min(0), points[used].max(0)
    seeds = points[used][rng.permutation(int(used.sum()))[:4000]]
    cells = np.unique(np.floor((seeds - low) / size).astype(int), axis=0)
    centres = low + (cells + 0.5 + rng.uniform(-0.4, 0.4, cells.shape)) * size
    near = cKDTree(centres).query(np.clip(points, low, high))[0]
    return np.sqrt(np.clip(1 - (near / (0.95 * size)) ** 2, 0, 1)).astype(np.float32)
