# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin and mouth: the colours of the bare head, and what stone, rot and veins do to its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..noise import fractal_noise, value_noise
from .anatomy import Array, Body, Sitter, blend, smoothstep
from .eyes import Eyes
from .words import HUMAN_SKINS, LIPSTICKS, SKINS

ROSY = np.array([0.95, 0.40, 0.45], np.float32)
TEETH, GUMS, TONGUE, MOUTH = (0.93, 0.90, 0.84), (0.70, 0.30, 0.30), (0.72, 0.30, 0.31), (0.22, 0.05, 0.05)


@dataclass(frozen=True)
class Complexion:
    """How much of what is on a skin; blush and lips as factors on its colour."""

    blotches: float = 0.07
    pores: float = 0.04
    blush: tuple[float, float, float] = (1.05, 0.70, 0.67)
    lips: tuple[float, float, float] = (0.95, 0.48, 0.46)
    sockets: float = 0.20
    freckles: float = 0.3
    """The share of heads that have them (spots on a skin that is no human's)."""


HUMAN = Complexion()
FANTASY = Complexion(0.16, 0.08, (0.85, 0.75, 0.80), (0.62, 0.52, 0.58), 0.24, 0.5)
COMPLEXIONS = dict.fromkeys(SKINS, FANTASY) | dict.fromkeys(HUMAN_SKINS, HUMAN)
COMPLEXIONS["dark"] = Complexion(0.08, 0.05, (1.06, 0.78, 0.74), (0.98, 0.60, 0.58), 0.2, 0.05)
COMPLEXIONS["gold"] = Complexion(0.0, 0.03, (1, 1, 1), (0.86, 0.74, 0.5), 0.25, 0.0)
COMPLEXIONS["stone"] = Complexion(0.10, 0.16, (1, 1, 1), (0.86, 0.84, 0.82), 0.3, 0.0)
COMPLEXIONS["zombie"] = Complexion(0.16, 0.07, (0.95, 0.95, 0.9), (0.62, 0.50, 0.58), 0.3, 0.0)


class Skin:
    """Paints sitters' skin."""

    def __init__(self, body: Body) -> None:
        self.body, at, rest = body, body.anatomy.landmarks, body.rest
        self.eyes = Eyes(body)
        self.blush = _spots(rest, ((at[1], 0.036), *((at[i] + [0, -0.004, 0], 0.052) for i in (425, 205))))
        self.sockets = _spots(rest, ((at[i] + [0, 0.004, 0.01], 0.046) for i in (468, 473)))
        self.under = _spots(rest, ((at[i] + [0, -0.032, 0], 0.026) for i in (468, 473)))
        self.lips = np.clip(1.4 * body.masks["lips"] - 0.1, 0, 1)
        self.folds = np.clip(-6 * _hollow(body), -1, 1)
        self.skin = np.flatnonzero((body.masks["skin"] > 0.5) & (body.masks["mouth_bag"] < 0.5))
        face = (body.masks["face"] > 0.5) & (body.masks["lips"] < 0.2) & (body.masks["eyes"] < 0.5)
        self.face = np.flatnonzero(face & (body.masks["skin"] > 0.5))
        x, y, z = body.rest[self.face].T
        self.flesh = self.face[((np.abs(x) > 0.06) | (y > body.anatomy.brow + 0.03) | (y < -0.25)) & (z > 0.05)]

    def paint(self, sitter: Sitter) -> None:
        """Base colour, what belongs to the kind of skin, blush, sockets and lips; then eyes and the mouth's inside."""
        look, rest = sitter.look, self.body.rest
        rng, kind = np.random.default_rng([look.seed, 3]), COMPLEXIONS[look.skin]
        skin = np.array(SKINS[look.skin], np.float32) * np.float32(rng.uniform(0.96, 1.04))
        blotches = fractal_noise(rest, 14, look.seed, 3)
        pores = value_noise(rest, 135, look.seed + 9)
        calm = 0.4 if look.age == "young" else 1.0
        mottle = 1 + calm * kind.blotches * blotches + kind.pores * pores
        sitter.colors = (skin * mottle[:, None]).astype(np.float32)
        if look.skin not in (*HUMAN_SKINS, "gold", "stone"):
            blend(sitter.colors, 0.75 * blotches, sitter.colors * _other_tone(skin))
        special = {"gold": self._gild, "stone": self._petrify, "zombie": self._rot}.get(look.skin)
        if special:
            special(sitter, rng)
        strength = {"young": 0.62, "old": 0.24}.get(look.age, 0.36) * rng.uniform(0.8, 1.2)
        blush = sitter.colors * np.array(kind.blush, np.float32)
        if look.age == "young" and look.skin not in HUMAN_SKINS:
            blush = 0.6 * sitter.colors + 0.4 * ROSY
        blend(sitter.colors, strength * self.blush, blush)
        shadow = kind.sockets * self.sockets + (0.2 if look.age == "old" else 0.05) * self.under
        sitter.colors *= 1 - np.clip(shadow, 0, 0.75)[:, None]
        sitter.colors *= 1 - 0.10 * self.folds[:, None]
        if rng.random() < kind.freckles:
            self._freckle(sitter, rng)
        self._paint_lips(sitter, kind)
        self.eyes.paint(sitter, rng)
        self._paint_mouth(sitter)

    def _paint_lips(self, sitter: Sitter, kind: Complexion) -> None:
        look, seed = sitter.look, sitter.look.seed
        grain = 1 + 0.10 * value_noise(self.body.rest, (110, 25, 40), seed + 4)
        if look.lipstick:
            color = np.array(LIPSTICKS[look.lipstick], np.float32)
            blend(sitter.colors, smoothstep(self.body.masks["lips"], 0.15, 0.45) * 0.97, color * grain[:, None])
            return
        natural = np.array(SKINS[look.skin], np.float32) * np.array(kind.lips, np.float32)
        if look.skin in HUMAN_SKINS:
            natural = natural + np.array([0.05, 0, 0], np.float32)
        blend(sitter.colors, (0.78 if look.sex == "woman" else 0.5) * self.lips, natural * grain[:, None])

    def _paint_mouth(self, sitter: Sitter) -> None:
        masks, rotten = self.body.masks, sitter.look.skin == "zombie"
        sitter.colors[masks["mouth_bag"] > 0.5] = MOUTH
        # the shading knows no shadow: behind lips that hardly part it is dark
        gap = float(np.linalg.norm(sitter.landmarks[13] - sitter.landmarks[14]))
        light = min(max((gap - 0.010) / 0.016, 0), 1)
        teeth = np.array(TEETH) * ([0.80, 0.74, 0.50] if rotten else 1)
        for name, color in (("teeth", teeth), ("gums", np.array(GUMS)), ("tongue", np.array(TONGUE))):
            if (mask := masks.get(name)) is not None:
                inside = mask > 0.5
                z = self.body.rest[inside, 2]
                lit = light * smoothstep(z, z.max() - 0.065, z.max() - 0.018)[:, None]  # the back of the mouth is dark
                sitter.colors[inside] = MOUTH + lit * (color - MOUTH)

    def _freckle(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Dots on nose and cheeks; larger spots over brow and skull on a skin that is no human's."""
        human, rest = sitter.look.skin in HUMAN_SKINS, self.body.rest
        share = np.exp(-((rest[self.face, 1] + 0.06) ** 2) / 0.07**2) if human else np.ones(len(self.face))
        count, size = (110, 0.0040) if human else (int(rng.integers(25, 70)), 0.009)
        where = self.face if human else self.skin
        chance = share / share.sum() if human else None
        centres = rest[rng.choice(where, count, p=chance)]
        near = cKDTree(centres).query(rest[self.skin], distance_upper_bound=2 * size)[0]
        colors = sitter.colors[self.skin]
        tone = np.array([0.72, 0.56, 0.46] if human else _other_tone(colors.mean(0)) * 0.72, np.float32)
        blend(colors, 0.75 * (1 - smoothstep(near, 0.5 * size, 1.3 * size)), colors * tone)
        sitter.colors[self.skin] = colors

    def _gild(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Light and dark bands as of a polished thing that mirrors a room; bright ridges, dark hollows."""
        n, rest = self.body.rest_normals, self.body.rest
        turn = rng.uniform(-0.5, 0.5)
        wave = 5.5 * n[:, 1] + 3.0 * (n[:, 0] + turn) + 0.5 * value_noise(rest, 9, sitter.look.seed + 21)
        mirror = np.sin(wave)
        bright = smoothstep(mirror, 0.55, 1.0) + smoothstep(-self.folds, 0.15, 0.7)
        blend(sitter.colors, 0.62 * bright, np.array([1.0, 0.94, 0.62], np.float32))
        dark = smoothstep(-mirror, 0.45, 1.0) + 1.2 * smoothstep(self.folds, 0.1, 0.7)
        blend(sitter.colors, 0.5 * dark, np.array([0.48, 0.30, 0.05], np.float32))

    def _petrify(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Grain, dark specks, chips, and cracks that are also carved."""
        rest, seed = self.body.rest, sitter.look.seed
        specks = smoothstep(value_noise(rest, 85, seed + 22), 0.45, 0.75)
        blend(sitter.colors, 0.45 * specks, np.array([0.36, 0.33, 0.29], np.float32))
        cracks = _ridges(rest, 9.0, seed + 23, 0.05)
        chips = smoothstep(value_noise(rest, 17, seed + 26), 0.62, 0.70)
        hard = (self.body.masks["eyes"] < 0.5) & (self.body.masks["lips"] < 0.3)
        carved = (0.0085 * cracks + 0.004 * chips + 0.0012 * (1 + value_noise(rest, 60, seed + 27))) * hard
        sitter.vertices[self.skin] -= sitter.normals[self.skin] * carved[self.skin, None]
        blend(sitter.colors, 0.32 * chips, np.array([0.80, 0.76, 0.68], np.float32))
        blend(sitter.colors, 0.85 * cracks, np.array([0.20, 0.18, 0.16], np.float32))

    def _rot(self, sitter: Sitter, rng: np.random.Generator) -> None:
        """Dark veins, brown patches, and wounds: red inside, black at the ragged edge, sunken."""
        rest, seed = self.body.rest, sitter.look.seed
        patches = smoothstep(value_noise(rest, 11, seed + 22) + 0.4 * value_noise(rest, 45, seed + 23), 0.42, 0.8)
        blend(sitter.colors, 0.62 * patches, np.array([0.33, 0.33, 0.19], np.float32))
        veins = _ridges(rest, 8.0, seed + 24, 0.045)
        blend(sitter.colors, 0.60 * veins, np.array([0.25, 0.24, 0.36], np.float32))
        sunken = np.clip(1.25 * self.sockets + 0.5 * self.under, 0, 1)
        blend(sitter.colors, 0.85 * sunken, np.array([0.20, 0.15, 0.15], np.float32))
        centres = rest[rng.choice(self.flesh, int(rng.integers(3, 7)))]
        radii = rng.uniform(0.014, 0.038, len(centres))
        ragged = 1 + 0.45 * value_noise(rest, 42, seed + 28) + 0.35 * value_noise(rest, 95, seed + 29)
        inside = np.min(np.linalg.norm(rest[:, None] - centres, axis=2) / radii, 1) * ragged
        wound = 1 - smoothstep(inside, 0.75, 1.0)
        blend(sitter.colors, 0.9 * (1 - smoothstep(inside, 0.95, 1.35)), np.array([0.20, 0.11, 0.09], np.float32))
        blend(sitter.colors, wound, np.array([0.46, 0.08, 0.07], np.float32) * ragged[:, None])
        hollow = 0.008 * wound + 0.003 * patches
        sitter.vertices[self.skin] -= sitter.normals[self.skin] * hollow[self.skin, None]


def _other_tone(color: Array) -> NDArray:
    """Factors [3] towards the neighbouring hue: the channels change places a little, the brightness goes down."""
    turned = 0.5 * (np.roll(color, 1) + np.asarray(color))
    return (0.85 * turned / np.maximum(np.asarray(color), 0.05)).clip(0.5, 1.35).astype(np.float32)


def _ridges(points: Array, frequency: float, seed: int, width: float) -> Array:
    """[N] in 0 … 1: thin branching lines, where a fractal noise changes its sign."""
    warped = value_noise(points, frequency, seed) + 0.45 * value_noise(points, 2.7 * frequency, seed + 1)
    return (1 - smoothstep(np.abs(warped), 0.35 * width, 1.6 * width)).astype(np.float32)


def _spots(points: Array, spots: object) -> Array:
    total = np.zeros(len(points), np.float32)
    for centre, radius in spots:  # type: ignore[attr-defined]
        total += np.exp(-((points - centre) ** 2).sum(1) / radius**2).astype(np.float32)
    return total


def _hollow(body: Body) -> Array:
    """[N], mean offset of each vertex's neighbours along its normal, over their distance: positive on a ridge."""
    edges = np.concatenate([body.triangles[:, [0, 1]], body.triangles[:, [1, 2]], body.triangles[:, [2, 0]]])
    offset = body.rest[edges[:, 1]] - body.rest[edges[:, 0]]
    rise = (offset * body.rest_normals[edges[:, 0]]).sum(1) / np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    count = np.bincount(edges[:, 0], minlength=len(body.rest))
    mean = np.bincount(edges[:, 0], rise, minlength=len(body.rest)) / np.maximum(count, 1)
    for _ in range(2):
        mean = np.bincount(edges[:, 0], mean[edges[:, 1]], minlength=len(body.rest)) / np.maximum(count, 1)
    return -mean.astype(np.float32)
