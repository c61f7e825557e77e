# SPDX-License-Identifier: GPL-3.0-or-later
"""Brows, beards and moustaches: they grow from the skin, with locks on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..noise import fractal_noise, value_noise
from .anatomy import Anatomy, Array, Body, Sitter, blend, smoothstep
from .locks import STEPS, Locks, spread, taper, waved, woven

BROW_OF_THE_BALD = (0.18, 0.13, 0.10)
BROW_X = (0.022, 0.041, 0.058, 0.075, 0.092, 0.109, 0.126, 0.143, 0.158)
BROW_Y = (0.066, 0.069, 0.072, 0.0745, 0.0760, 0.0750, 0.072, 0.062, 0.050)
HAIRS = 24  # places along each brow


class Growth(NamedTuple):
    """Of a beard, in head units, each between two bounds: thickness on the cheeks, more on the chin, locks' lengths."""

    cheek: tuple[float, float]
    chin: tuple[float, float]
    lock: tuple[float, float]
    tip: tuple[float, float]
    """How long the locks of the chin's middle are."""
    roots: int


GROWTHS = {
    "beard": Growth((0.014, 0.026), (0.006, 0.014), (0.028, 0.040), (0.024, 0.042), 130),
    "long beard": Growth((0.020, 0.030), (0.025, 0.040), (0.060, 0.090), (0.08, 0.135), 150),
    "goatee": Growth((0.010, 0.014), (0.010, 0.018), (0.022, 0.032), (0.025, 0.055), 60),
}


class Barber:
    """Grows facial hair on sitters."""

    def __init__(self, body: Body) -> None:
        self.body = body
        free = np.where(body.masks["lips"] > 0.2, -1, np.where(body.masks["skin"] > 0.5, 1, -1))
        full = body.anatomy.beard_field(body.rest)
        goatee = np.minimum(full, _goatee_field(body.anatomy, body.rest))
        fields = {"beard": full, "long beard": full, "goatee": goatee, "stubble": full}
        self.fields = {name: np.minimum(field, free).astype(np.float32) for name, field in fields.items()}
        lip = (np.abs(body.rest[:, 0]) < 0.08) & (body.rest[:, 1] > body.anatomy.mouth)  # has a moustache's locks
        self.roots = {
            name: spread(body.rest, np.flatnonzero((self.fields[name] > 0.006) & ~lip), growth.roots)
            for name, growth in GROWTHS.items()
        }
        self.brow_distance = _brow_distance(body.rest)
        self.brow_roots = self._brow_roots()

    def dress(self, sitter: Sitter) -> None:
        """Gives the sitter the facial hair of its look."""
        look, rng = sitter.look, np.random.default_rng([sitter.look.seed, 9])
        self._brows(sitter, rng)
        if look.beard == "stubble":
            self._stubble(sitter, rng)
        elif look.beard:
            self._beard(sitter, rng)
        if look.moustache:
            handlebar = rng.random() < 0.5
            self._moustache(sitter, rng, handlebar, rng.uniform(0.013, 0.017), 12)
        elif look.beard in GROWTHS:
            self._moustache(sitter, rng, False, 0.009, 9)

    def _brows(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Painted, of stiff tufts where they are thick, one fine lock where they are thin."""
        look, rest = sitter.look, self.body.rest
        bare = look.style == "bald" and not (look.beard or look.moustache)
        color = np.array(BROW_OF_THE_BALD, np.float32) if bare else sitter.hair * 0.7
        if look.brows == "thin":
            self._thin_brows(sitter, color)
            return
        strands = value_noise(rest, (200, 70, 70), look.seed + 3)
        half = 0.014 if look.brows == "thick" else 0.0085
        amount = smoothstep(-self.brow_distance + 0.0015 * strands, -half - 0.002, -half + 0.005)
        blend(sitter.colors, amount * (1.0 if look.brows else 0.85), color * (1 + 0.25 * strands[:, None]))
        if look.brows == "thick" or look.age == "old":
            sitter.vertices += sitter.normals * (0.007 * amount * (1 + 0.5 * strands))[:, None]
            size = (0.0075, 0.045) if look.brows == "thick" else (0.0045, 0.035)
            self._tufts(sitter, color * 1.15, rng, *size)

    def _tufts(self, sitter: Sitter, color: Array, rng: np.random.Generator, width: float, length: float) -> None:
        """Short locks from the brows outwards and up."""
        roots = self.brow_roots.reshape(-1)
        place, normal = sitter.vertices[roots], sitter.normals[roots]
        side = np.sign(place[:, :1])
        share = np.tile(np.linspace(0, 1, HAIRS), 2)[:, None]
        way = side * [1.0, 0, 0] + [0, 1, 0] * (0.75 - 1.25 * share) + 0.45 * normal
        way = way / np.linalg.norm(way, axis=1, keepdims=True) + rng.normal(0, 0.12, place.shape)
        at = np.linspace(0, 1, STEPS)[None, :, None]
        place = place - 0.35 * length * way + [0, 1, 0] * rng.uniform(-0.005, 0.006, (len(place), 1))
        bend = -0.25 * length * normal[:, None] * at**2
        spines = place[:, None] + length * at * way[:, None] + bend
        size = rng.uniform(0.75, 1.2, len(place))[:, None] * width * taper(0.6, 0.1, 0.4)
        sitter.parts.append(woven(_outwards, Locks(spines, size, size, rng.uniform(0.85, 1.15, len(place))), color))

    def _thin_brows(self, sitter: Sitter, color: Array) -> None:
        for roots in self.brow_roots:
            at = np.linspace(0, HAIRS - 1, STEPS)
            path = np.stack([np.interp(at, np.arange(HAIRS), sitter.vertices[roots, k]) for k in range(3)], 1)
            path += [0, 0.004, 0.001]
            path[:, 1] += 0.008 * np.sin(np.pi * np.linspace(0, 1, STEPS) ** 1.4)
            size = 0.0042 * taper(0.6, 0.2, 0.3)[None]
            sitter.parts.append(woven(_outwards, Locks(path[None], size, size, np.ones(1)), color))

    def _stubble(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Colour only: a shadow with dots in it."""
        rest, seed = self.body.rest, sitter.look.seed
        inside = smoothstep(self.fields["stubble"] + 0.008 * fractal_noise(rest, 32, seed + 11, 3), 0, 0.025)
        dots = smoothstep(value_noise(rest, 130, seed + 12), 0.0, 0.5)
        amount = inside * (rng.uniform(0.32, 0.45) + 0.40 * dots)
        blend(sitter.colors, amount, 0.55 * sitter.hair + 0.45 * sitter.colors * sitter.hair)

    def _beard(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """The skin swells along its normal, and on the chin downwards and forwards; locks grow from that."""
        look, rest, anatomy = sitter.look, self.body.rest, self.body.anatomy
        growth, field = GROWTHS[look.beard], self.fields[look.beard]
        inside = smoothstep(field + 0.010 * fractal_noise(rest, 32, look.seed + 11, 3), 0, 0.02)
        chin = _chin(anatomy, rest)
        length = rng.uniform(*growth.cheek) + rng.uniform(*growth.chin) * chin
        strands = value_noise(rest, (125, 36, 90), look.seed + 12)
        clumps = value_noise(rest, (40, 12, 40), look.seed + 17)
        way = sitter.normals + chin[:, None] * np.array([0, -0.9, 0.45], np.float32)
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        shade = 0.85 + 0.35 * strands + 0.15 * clumps
        blend(sitter.colors, 1.5 * inside, np.clip(sitter.hair * shade[:, None], 0, 1))
        sitter.vertices = sitter.vertices + way * (inside * length * (1 + 0.30 * strands + 0.2 * clumps))[:, None]
        self._locks(sitter, rng, growth)

    def _locks(self, sitter: Sitter, rng: np.random.Generator, growth: Growth) -> None:
        anatomy, roots = self.body.anatomy, self.roots[sitter.look.beard]
        count, normal = len(roots), sitter.normals[roots]
        chin = _chin(anatomy, self.body.rest[roots])
        short, tip = rng.uniform(*growth.lock), rng.uniform(*growth.tip)
        length = (short + (tip - short) * chin**1.3) * rng.uniform(0.75, 1.15, count)
        place = sitter.vertices[roots] - 0.012 * normal
        at = np.linspace(0, 1, STEPS)[None, :, None]
        gather = -rng.uniform(0.1, 0.6) * place[:, :1] / 0.15 * chin[:, None]  # to a point, or broad
        down = np.array([0, -1.0, 0.12]) + gather * [1.0, 0, 0] + rng.normal(0, 0.09, (count, 3))
        out = normal * 0.75 * np.clip(0.035 / length, 0.15, 0.6)[:, None]
        spines = place[:, None] + length[:, None, None] * (at * down[:, None] + np.sin(np.pi / 2 * at) * out[:, None])
        swing = rng.uniform(0.0, 0.012) * np.clip(length / 0.12, 0, 1)
        wavy = waved(_outwards, spines, swing, 0.10, rng.uniform(0, 1.5, count), 0.4)
        width = rng.uniform(0.010, 0.017, count) * (0.8 + 0.6 * np.clip(length / 0.15, 0, 1))
        law = taper(0.55, 0.10, 0.4)
        locks = Locks(wavy, width[:, None] * law, 0.8 * width[:, None] * law, rng.uniform(0.84, 1.16, count))
        sitter.parts.append(woven(_outwards, locks, sitter.hair))

    def _moustache(self, sitter: Sitter, rng: np.random.Generator, handlebar: bool, size: float, count: int) -> None:
        """Locks from under the nose over the lip to both sides; a handlebar's tips turn up."""
        marks, parts = sitter.landmarks, []
        t = np.linspace(0, 1, STEPS)[:, None]
        middle = 0.45 * marks[2] + 0.55 * marks[0]
        for corner in (marks[61], marks[291]):
            side = np.array([np.sign(corner[0]), 1, 1])
            for level in np.linspace(0, 1, count):
                start = middle + [0, 0.012 - 0.018 * level, 0.002] + side * [0.004 + 0.012 * rng.random(), 0, 0]
                over = 0.42 * middle + 0.58 * corner + [0, 0.030 - 0.016 * level, 0.020]
                droop = 0.030 * level + rng.uniform(0, 0.006)
                end = corner + side * [0.016, 0.006 - droop, 0.010]
                if handlebar:
                    end = corner + side * [0.040, 0.026 + 0.008 * level, 0.012]
                    over = over + side * [0.012, -0.012, 0.002]
                parts.append((1 - t) ** 2 * start + 2 * t * (1 - t) * over + t**2 * end)
        width = size * rng.uniform(0.75, 1.1, len(parts))[:, None] * taper(0.7, 0.10, 0.35)
        locks = Locks(np.stack(parts), width, width, rng.uniform(0.85, 1.15, len(parts)))
        sitter.parts.append(woven(_outwards, locks, sitter.hair))

    def _brow_roots(self) -> Array:
        """Vertices [2, HAIRS] along the brows, from the middle outwards."""
        at = np.linspace(0, len(BROW_X) - 1, HAIRS)
        x, y = (np.interp(at, np.arange(len(BROW_X)), knots) for knots in (BROW_X, BROW_Y))
        front = np.flatnonzero((self.body.rest[:, 2] > 0.12) & (self.body.rest_normals[:, 2] > 0.1))
        tree = cKDTree(self.body.rest[front, :2])
        return np.stack([front[tree.query(np.stack([side * x, y], 1))[1]] for side in (-1, 1)])


def _goatee_field(anatomy: Anatomy, points: Array) -> Array:
    """[N], positive on the chin and around the mouth."""
    x, y = np.abs(points[:, 0]), points[:, 1]
    below = smoothstep(-y, -anatomy.mouth - 0.01, -anatomy.mouth + 0.08)
    reach = anatomy.mouth_corner[0] + 0.016 - 0.024 * below
    return np.minimum(reach - x, anatomy.nose - 0.012 - y)


def _chin(anatomy: Anatomy, points: Array) -> Array:
    """[N] in 0..1: how far points belong to the chin, where beards grow longest."""
    chin = smoothstep(-np.abs(points[:, 0]), -0.15, -0.02) * smoothstep(-points[:, 1], -anatomy.mouth, 0.29)
    return chin * smoothstep(points[:, 2], anatomy.ear[2] + 0.06, anatomy.ear[2] + 0.20)


def _brow_distance(points: Array) -> Array:
    """[N], from the brows' middle lines, seen from the front."""
    at = np.linspace(0, len(BROW_X) - 1, 60)
    line = np.stack([np.interp(at, np.arange(len(BROW_X)), knots) for knots in (BROW_X, BROW_Y)], 1)
    near = cKDTree(line).query(np.stack([np.abs(points[:, 0]), points[:, 1]], 1))[0]
    return np.where(points[:, 2] > 0.1, near, 1).astype(np.float32)


def _outwards(points: Array) -> Array:
    """[N, 3], unit, away from the neck's axis."""
    away = points * [1, 0, 1] + [0, 0, 0.03]
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
