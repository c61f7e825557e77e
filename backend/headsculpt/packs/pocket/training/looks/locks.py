# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks: tapered tubes that grow over the head along a flow, what cuts are clumped from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .....mesh import Mesh
from .anatomy import Array, smoothstep
from .forms import grid_triangles
from .shell import Scalp

STEPS, SIDES = 10, 6  # points along a lock, unless it is curled, and around it
Flow = Callable[[Array], Array]  # a direction [L, 3] of any length at points [L, 3]: where hair there wants to go


@dataclass
class Locks:
    """L locks of S points: spines [L, S, 3], half widths and thicknesses [L, S], brightness [L]."""

    spines: Array
    width: Array
    thickness: Array
    shade: Array

    def __getitem__(self, chosen: Array) -> Locks:
        return Locks(self.spines[chosen], self.width[chosen], self.thickness[chosen], self.shade[chosen])


def spread(points: Array, candidates: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices of `count` candidates, each the farthest from those before."""
    chosen = [int(candidates[0])]
    nearest = np.full(len(candidates), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, ((points[candidates] - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(candidates[nearest.argmax()]))
    return np.array(chosen)


def grow(scalp: Scalp, roots: Array, flow: Flow, length: Array, lift: Array, jitter: Array) -> Array:
    """Spines [L, S, 3]: from roots [L, 3] along the flow, at a height `lift` [S] or [L, S] over the hair.

    length: [L], head units; jitter: [L], sideways tangent of each lock's own way.
    """
    steps = lift.shape[-1]
    lift = np.broadcast_to(lift, (len(roots), steps))
    point = scalp.lifted(roots, lift[:, 0])
    spines = [point]
    for k in range(1, steps):
        out = scalp.outwards(point)
        way = _unit(_tangent(flow(point), out))
        way = _unit(way + jitter[:, None] * np.cross(out, way))
        point = scalp.lifted(point + way * (length / (steps - 1))[:, None], lift[:, k])
        spines.append(point)
    return np.stack(spines, 1).astype(np.float32)


def waved(outwards: Flow, spines: Array, swing: Array, length: float, phase: Array, curl: float = 0.0) -> Array:
    """Spines that swing sideways by `swing` [L] once every `length` head units; `curl` turns that into a helix.

    outwards: away from the head, unit.
    """
    steps = np.linalg.norm(np.diff(spines, axis=1), axis=2)
    along = np.concatenate([np.zeros((len(spines), 1)), np.cumsum(steps, 1)], 1)
    turn = 2 * np.pi * along / length + phase[:, None]
    side, out = _frames(outwards, spines)
    grown = swing[:, None] * smoothstep(along, 0.0, 0.08)
    return spines + side * (grown * np.sin(turn))[..., None] + out * (curl * grown * np.cos(turn))[..., None]


def trimmed(spines: Array, allowed: NDArray[np.bool]) -> Array:
    """Spines that end where `allowed` [L, S] first turns false."""
    count = spines.shape[1]
    last = np.where(allowed.all(1), count - 1, np.argmin(allowed, 1) - 0.5).clip(0.05)
    at = last[:, None] * np.linspace(0, 1, count)
    low = np.minimum(at.astype(int), count - 2)
    share = (at - low)[..., None]
    take = np.take_along_axis
    return take(spines, low[..., None], 1) * (1 - share) + take(spines, low[..., None] + 1, 1) * share


def taper(root: float = 0.55, tip: float = 0.12, belly: float = 0.4, steps: int = STEPS) -> Array:
    """[steps], the share of its width that a lock has along itself: widest at `belly`."""
    at = np.linspace(0, 1, steps)
    rise = root + (1 - root) * np.sin(np.pi / 2 * np.clip(at / belly, 0, 1))
    fall = tip + (1 - tip) * np.cos(np.pi / 2 * np.clip((at - belly) / (1 - belly), 0, 1)) ** 0.8
    return np.where(at < belly, rise, fall).astype(np.float32)


def woven(outwards: Flow, locks: Locks, color: Array) -> Mesh:
    """The mesh of locks in a colour [3]: dark at the roots and below, light along the back, grooved along the hairs."""
    side, out = _frames(outwards, locks.spines)
    turn = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    groove = 1 + 0.16 * np.cos(turn * SIDES / 2)
    ring = (locks.width[..., None] * np.cos(turn) * groove)[..., None] * side[:, :, None]
    ring = ring + (locks.thickness[..., None] * np.sin(turn) * groove)[..., None] * out[:, :, None]
    vertices = locks.spines[:, :, None] + ring
    vertices[:, 0] = vertices[:, 0].mean(1, keepdims=True)
    vertices[:, -1] = vertices[:, -1].mean(1, keepdims=True)
    count, steps = locks.width.shape
    at = np.linspace(0, 1, steps)[:, None]
    bright = (0.80 + 0.28 * at) * (0.90 + 0.16 * np.sin(turn) + 0.10 * np.cos(turn * SIDES / 2))
    bright = locks.shade[:, None, None] * bright
    one = grid_triangles(steps, SIDES)
    triangles = one[None] + (np.arange(count) * steps * SIDES)[:, None, None]
    colors = np.clip(bright[..., None] * color, 0, 1)
    return Mesh(
        np.ascontiguousarray(vertices.reshape(-1, 3), np.float32),
        np.ascontiguousarray(triangles.reshape(-1, 3), np.int32),
        np.ascontiguousarray(colors.reshape(-1, 3), np.float32),
    )


def _frames(outwards: Flow, spines: Array) -> tuple[Array, Array]:
    """Sideways and outwards [L, S, 3] at every point of spines."""
    along = _unit(np.gradient(spines, axis=1))
    out = outwards(spines.reshape(-1, 3)).reshape(spines.shape)
    out = _unit(_tangent(out, along) + 1e-4 * np.array([0.3, 0.5, 0.8]))
    return np.cross(along, out), out


def _tangent(vectors: Array, normals: Array) -> Array:
    return vectors - (vectors * normals).sum(-1, keepdims=True) * normals


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
