# SPDX-License-Identifier: GPL-3.0-or-later
"""Face paint: clown, skull, tiger. It covers the face only; neck, ears and skull keep the skin's colour."""

from __future__ import annotations

import numpy as np

from ..noise import value_noise
from .anatomy import Array, Body, Sitter, blend, smoothstep
from .forms import ball

WHITE, BLACK, RED = (0.95, 0.95, 0.94), (0.05, 0.045, 0.05), (0.86, 0.06, 0.08)
BONE, ORANGE, PINK = (0.93, 0.92, 0.86), (0.95, 0.52, 0.10), (0.85, 0.42, 0.42)
CLOWN_EYES = ((0.12, 0.25, 0.85), (0.10, 0.60, 0.25), (0.55, 0.15, 0.70), (0.05, 0.05, 0.06), (0.95, 0.75, 0.10))
SOFT = 0.0035  # half the width of an edge, head units


class FacePaint:
    """Paints sitters' faces. x is mirrored; all places are on the neutral head, in head units, seen from the front."""

    def __init__(self, body: Body) -> None:
        at, masks = body.anatomy.landmarks, body.masks
        cover = masks["face"] * (masks["skin"] > 0.5) * (masks["mouth_bag"] < 0.5) * (masks["ears"] < 0.3)
        self.face = np.flatnonzero(cover > 0.05)
        self.rest = body.rest[self.face]
        self.cover = smoothstep(cover[self.face], 0.35, 0.65)
        self.x, self.y, self.z = np.abs(self.rest[:, 0]), self.rest[:, 1], self.rest[:, 2]
        self.eye, self.nose, self.mouth = at[473], at[1], (at[13] + at[14]) / 2
        self.lips = masks["lips"][self.face]
        self.brow = body.anatomy.brow

    def paint(self, sitter: Sitter) -> None:
        """Covers the sitter's face with the paint of its look."""
        rng = np.random.default_rng([sitter.look.seed, 4])
        wobble = 0.004 * value_noise(self.rest, 38, sitter.look.seed + 51)
        colors = np.empty((len(self.face), 3), np.float32)
        {"clown": self._clown, "skull": self._skull, "tiger": self._tiger}[sitter.look.paint](colors, wobble, rng)
        grain = 1 + 0.05 * value_noise(self.rest, 70, sitter.look.seed + 52)
        painted = sitter.colors[self.face]
        blend(painted, self.cover, colors * grain[:, None])
        sitter.colors[self.face] = painted
        if sitter.look.paint == "clown" and rng.random() < 0.6:
            size = rng.uniform(0.034, 0.044)
            sitter.parts.append(ball(sitter.landmarks[1] + np.array([0, 0, 0.3 * size]), size, np.array(RED), 17, 24))

    def _clown(self, colors: Array, wobble: Array, rng: np.random.Generator) -> None:
        colors[:] = WHITE
        tone = CLOWN_EYES[rng.integers(len(CLOWN_EYES))]
        dx, dy = self.x - self.eye[0], self.y - self.eye[1]
        if rng.random() < 0.5:  # diamonds
            tall = rng.uniform(0.085, 0.11)
            _fill(colors, (1 - np.abs(dx) / 0.050 - np.abs(dy) / tall) * 0.04 + 0.4 * wobble, tone)
        else:  # arcs up to over the brows
            arc = 0.056 - np.hypot(dx, 0.62 * np.maximum(dy, 0))
            _fill(colors, np.minimum(arc, dy + 0.012) + 0.5 * wobble, tone)
        if rng.random() < 0.5:
            _fill(colors, 0.034 - np.hypot(self.x - 0.125, self.y + 0.115) + 0.3 * wobble, RED)
        smile = self.mouth[1] + 2.6 * self.x**2 - 0.006
        mouth = 0.034 * np.sqrt(np.clip(1 - (self.x / 0.125) ** 2, 0, 1)) - np.abs(self.y - smile)
        mouth = np.where(self.x < 0.125, mouth, -0.02)
        if rng.random() < 0.4:
            _fill(colors, mouth + 0.006, BLACK)
        _fill(colors, np.maximum(mouth, 0.3 * (self.lips - 0.3)) + 0.3 * wobble, RED)
        _fill(colors, rng.uniform(0.040, 0.050) - np.linalg.norm(self.rest - self.nose, axis=1), RED)

    def _skull(self, colors: Array, wobble: Array, rng: np.random.Generator) -> None:
        colors[:] = BONE
        x, y = self.x, self.y
        wide, high = rng.uniform(0.050, 0.058), rng.uniform(0.050, 0.062)
        slant = y - self.eye[1] - 0.006 + 0.15 * (x - self.eye[0])
        socket = 1 - np.hypot((x - self.eye[0]) / wide, slant / high)
        _fill(colors, 0.05 * socket + 0.6 * wobble, BLACK)
        top, base = self.nose[1] + rng.uniform(0.045, 0.065), self.nose[1] - 0.024
        width = 0.040 * np.clip((top - y) / (top - base), 0, 1.0) ** 0.8
        nose = np.minimum(width - x, np.minimum(y - base - 0.25 * np.maximum(0.012 - x, 0), top - y))
        _fill(colors, np.where(self.z > self.eye[2], nose, -0.02) + 0.3 * wobble, BLACK)
        hollow = 1 - np.hypot((x - 0.138 + 0.25 * (y + 0.13)) / 0.026, (y + 0.135) / 0.062)
        blend(colors, 0.92 * smoothstep(hollow + 12 * wobble, -0.2, 0.45), np.array(BLACK, np.float32))
        temple = 1 - np.hypot((y - 0.075) / 0.05, (x - 0.185) / 0.03)
        blend(colors, 0.7 * smoothstep(temple, 0, 0.7), np.array(BLACK, np.float32))
        reach = rng.uniform(0.105, 0.13)
        line = self.mouth[1] + 0.9 * x**2
        _fill(colors, np.minimum(0.0042 - np.abs(y - line), reach + 0.012 - x), BLACK)
        spacing = rng.uniform(0.021, 0.026)
        column = np.abs((x / spacing) % 1 - 0.5) * spacing
        tall = 0.034 * np.clip(1 - (x / reach) ** 2, 0, 1) ** 0.5
        _fill(colors, np.minimum(0.0036 - column, tall - np.abs(y - line)), BLACK)

    def _tiger(self, colors: Array, wobble: Array, rng: np.random.Generator) -> None:
        colors[:] = ORANGE
        x, y = self.x, self.y
        down = smoothstep(-y, 0.02, 0.30)
        blend(colors, 0.35 * down, np.array((1.0, 0.72, 0.35), np.float32))
        muzzle = 1 - np.hypot(np.maximum(x - 0.026, 0) / 0.056, (y - self.mouth[1] - 0.006) / 0.058)
        chin = 1 - np.hypot(x / 0.062, (y + 0.265) / 0.045)
        patch = 1 - np.hypot((x - 0.078) / 0.046, (y - self.brow - 0.008) / 0.026)
        cheek = 1 - np.hypot((x - 0.165) / 0.05, (y + 0.17) / 0.05)
        for spot in (muzzle, chin, patch, cheek):
            _fill(colors, 0.04 * spot + wobble, (0.97, 0.95, 0.90))
        self._stripes(colors, wobble, rng)
        _fill(colors, 0.012 - np.hypot(x - self.eye[0], (y - self.eye[1]) * 1.5) + 0.022, BLACK)
        _fill(
            colors,
            np.where(self.z > 0.2, 0.030 - np.hypot(x, 1.2 * (y - self.nose[1] + 0.004)), -0.02),
            PINK if rng.random() < 0.3 else BLACK,
        )
        philtrum = np.minimum(0.0038 - x, np.minimum(self.nose[1] - y, y - self.mouth[1]))
        _fill(colors, np.maximum(philtrum, 0.2 * (self.lips - 0.45)), BLACK)
        dots = np.hypot((x % 0.017) - 0.0085, ((y - 0.0035) % 0.016) - 0.008)
        field = (x > 0.034) & (x < 0.085) & (np.abs(y - self.mouth[1] - 0.022) < 0.016)
        _fill(colors, np.where(field, 0.0030 - dots, -0.02), BLACK)

    def _stripes(self, colors: Array, wobble: Array, rng: np.random.Generator) -> None:
        """Wedges from the face's border inwards on the cheeks, and chevrons on the forehead."""
        x, y = self.x, self.y
        spacing, shift = rng.uniform(0.046, 0.054), rng.uniform(0, 1)
        slope = 0.45 * (x - 0.1)
        phase = (y + slope + 2.0 * wobble) / spacing + shift
        row = np.round(phase)
        reach = 0.078 + 0.028 * np.sin(7.3 * row + 3)  # each stripe ends elsewhere
        thick = 0.011 * smoothstep(x, reach, reach + 0.09) + 0.003 * (x > reach)
        side = np.where(x > reach, thick - np.abs(phase - row) * spacing, -0.02)
        side = np.where((y < self.brow - 0.03) | (x > 0.115), side, -0.02)
        _fill(colors, side, BLACK)
        high = y - self.brow - 0.030
        phase = (high - 0.9 * x + 2.0 * wobble) / 0.036
        row = np.round(phase)
        taper = 0.0085 * np.clip(1 - x / (0.055 + 0.02 * np.sin(5 * row)), 0, 1) ** 0.6
        chevron = taper - np.abs(phase - row) * 0.036
        _fill(colors, np.where((high > -0.008) & (taper > 0), chevron, -0.02), BLACK)
        middle = np.minimum(0.0055 - x, high + 0.045)
        _fill(colors, middle, BLACK)


def _fill(colors: Array, inside: Array, color: tuple[float, float, float]) -> None:
    """Paints where `inside` [N], a distance from the border in head units, is positive; the edge is soft."""
    blend(colors, smoothstep(inside, -SOFT, SOFT), np.array(color, np.float32))
