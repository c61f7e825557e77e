# SPDX-License-Identifier: GPL-3.0-or-later
"""A head with skin, hair and beard, as a mesh with colours: what the pack's words look like.

Everything is placed by fields on the neutral head in head space (positive inside the hair, in head units), measured
from the head's landmarks and masks, so that every identity and expression wears the same hair cut. Scalp hair is a
second surface around the skull, so that it can hang free and stand off; a beard is grown from the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....head.model import Head, HeadModel
from ....mesh import Mesh
from . import surface
from .noise import fractal_noise, value_noise

Array = NDArray[np.floating]
Volume = tuple[
    Array, Array, Array
]  # where hair is in 0..1, how far it stands off in head units, its brightness; all [N]

SKINS = {
    "pale": (0.93, 0.80, 0.72),
    "tan": (0.80, 0.60, 0.45),
    "brown": (0.57, 0.39, 0.28),
    "dark": (0.42, 0.285, 0.215),
    "green": (0.30, 0.65, 0.25),
    "blue": (0.25, 0.45, 0.85),
    "red": (0.80, 0.18, 0.15),
    "purple": (0.55, 0.25, 0.70),
    "gold": (0.85, 0.68, 0.20),
    "grey": (0.55, 0.56, 0.58),
}
HAIR_COLORS = {
    "black": (0.14, 0.13, 0.14),  # lifted: under a plain matte law real black would lose its strands
    "brown": (0.33, 0.20, 0.11),
    "blond": (0.88, 0.74, 0.40),
    "red": (0.68, 0.16, 0.08),
    "white": (0.92, 0.92, 0.92),
    "green": (0.15, 0.62, 0.20),
    "blue": (0.15, 0.27, 0.82),
    "pink": (0.95, 0.45, 0.65),
    "purple": (0.50, 0.20, 0.70),
}
EYE_COLORS = {"brown": (0.30, 0.18, 0.09), "blue": (0.2, 0.4, 0.8), "green": (0.2, 0.55, 0.25), "red": (0.85, 0.1, 0.1)}
STYLES = {"bald": 0.16, "short": 0.20, "long": 0.24, "mohawk": 0.22, "afro": 0.18}
EXPRESSIONS: dict[str, dict[str, float]] = {
    "": {},
    "smiling": {"mouthSmileLeft": 1, "mouthSmileRight": 1, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "angry": {"browDownLeft": 1, "browDownRight": 1, "noseSneerLeft": 0.7, "noseSneerRight": 0.7},
    "surprised": {"jawOpen": 0.6, "browInnerUp": 1, "browOuterUpLeft": 0.6, "browOuterUpRight": 0.6}
    | {"eyeWideLeft": 1, "eyeWideRight": 1},
    "sad": {"mouthFrownLeft": 1, "mouthFrownRight": 1, "browInnerUp": 1},
}
EXPRESSION_SHARES = (0.4, 0.15, 0.15, 0.15, 0.15)
BROW_OF_THE_BALD = (0.18, 0.13, 0.10)


@dataclass(frozen=True)
class Look:
    """What the words say of a head (keys of the tables above), and what they do not: identity and noise seed."""

    skin: str
    style: str
    hair: str
    beard: bool
    eyes: str
    expression: str
    identity: tuple[float, ...]
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, identity_count: int) -> Look:
        return cls(
            skin=str(rng.choice(list(SKINS))),
            style=str(rng.choice(list(STYLES), p=list(STYLES.values()))),
            hair=str(rng.choice(list(HAIR_COLORS))),
            beard=bool(rng.random() < 0.35),
            eyes=str(rng.choice(list(EYE_COLORS))),
            expression=str(rng.choice(list(EXPRESSIONS), p=EXPRESSION_SHARES)),
            identity=tuple(rng.normal(size=identity_count).clip(-2, 2).tolist()),
            seed=int(rng.integers(1 << 20)),
        )


@dataclass(frozen=True)
class Locks:
    """What every hair cut is made from, at the N vertices of the shell.

    anchors: [N, 3], the skin below; field: positive inside the hairline; streaks, clumps: noise along and across hairs.
    """

    anchors: Array
    field: Array
    streaks: Array
    clumps: Array
    seed: int


@dataclass(frozen=True)
class PaintedHead:
    """A head ready to be seen, in head space: its mesh with colours, and landmarks float32 [478, 3]."""

    mesh: Mesh
    landmarks: Array


def smoothstep(x: Array, low: float | Array, high: float | Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


class Anatomy:
    """Where things are on the neutral head, in head space."""

    def __init__(self, landmarks: Array, ears: Array) -> None:
        """landmarks: [478, 3], MediaPipe's; ears: [N, 3], vertices of both ears."""
        self.landmarks = landmarks
        self.top = 0.3
        self.chin = float(landmarks[152, 1])
        self.brow = float(landmarks[[70, 105, 107, 336, 334, 300], 1].mean())
        self.eye = float(landmarks[[33, 133, 362, 263], 1].mean())
        self.nose = float(landmarks[2, 1])
        self.mouth = float(landmarks[[61, 291, 0, 17], 1].mean())
        self.mouth_corner = landmarks[291]
        self.bridge = landmarks[168]
        self.ear = np.abs(ears).mean(0) * [1, 0, 0] + ears.mean(0) * [0, 1, 1]

    def ear_distance(self, points: Array) -> Array:
        """[N], roughly the distance from the ear's outline; negative on the ear."""
        offset = (np.abs(points) * [1, 0, 0] + points * [0, 1, 1] - self.ear) / [0.9, 1.5, 1.1]
        return (np.linalg.norm(offset, axis=1) - 0.052).astype(np.float32)

    def scalp_field(self, points: Array) -> Array:
        """[N], positive inside the hairline: forehead, temples, over the ears, nape."""
        x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        forehead = self.brow + 0.62 * (self.top - self.brow)
        backwards = np.clip((self.bridge[2] - 0.08 - z) / 0.24, 0, 1)
        line = forehead * (1 - backwards) + (self.nose - 0.01) * backwards
        over_ear = smoothstep(x, 0.10, 0.17) * smoothstep(z, self.ear[2] - 0.075, self.ear[2] + 0.03)
        line = line + over_ear * np.maximum(0, self.eye + 0.013 - line)
        return np.minimum(y - line, 1.2 * self.ear_distance(points)).astype(np.float32)

    def beard_field(self, points: Array) -> Array:
        """[N], positive inside a full beard: under a cheek line from sideburn to mouth, and a moustache."""
        x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        outward = np.clip((x - self.mouth_corner[0]) / (0.185 - self.mouth_corner[0]), 0, 1)
        cheek = (self.mouth_corner[1] - 0.009) * (1 - outward) + (self.eye - 0.052) * outward**1.3
        throat = self.chin - 0.083 + 0.42 * np.clip(x, 0, 0.22)
        full = np.minimum(cheek - y, y - throat)
        middle = (self.nose + self.landmarks[0, 1]) / 2 - 0.002
        moustache = np.minimum(0.020 - np.abs(y - middle), 0.070 - x)
        field = np.minimum(np.maximum(full, moustache), 0.8 * (z - self.ear[2] - 0.012))
        return np.minimum(field, self.ear_distance(points)).astype(np.float32)


class HairShell:
    """A surface around the skull, by rays from a vertical axis inside the head (a hemisphere above, a cylinder below).

    Each of its vertices hangs on the skin point that its ray meets last (ears left out), so it follows the identity.
    """

    AROUND, ABOVE, BELOW = 180, 46, 50
    LOWEST = -0.46  # head units; longer hair ends above

    def __init__(self, vertices: Array, triangles: NDArray[np.int32], anatomy: Anatomy) -> None:
        skull = vertices[vertices[:, 1] > anatomy.eye]
        self.center = np.array([0, anatomy.eye + 0.05, (skull[:, 2].min() + skull[:, 2].max()) / 2], np.float32)
        turn = np.linspace(0, 2 * np.pi, self.AROUND, endpoint=False)  # 0 is the face's side
        tilt = np.linspace(0.01, np.pi / 2, self.ABOVE)
        drop = np.linspace(0, self.center[1] - self.LOWEST, self.BELOW + 1)[1:]
        sine = np.concatenate([np.sin(tilt), np.ones(self.BELOW)])[:, None]
        cosine = np.concatenate([np.cos(tilt), np.zeros(self.BELOW)])[:, None]
        height = np.concatenate([np.zeros(self.ABOVE), -drop])[:, None]
        shape = (self.ABOVE + self.BELOW, self.AROUND)
        direction = np.stack([sine * np.sin(turn), np.broadcast_to(cosine, shape), sine * np.cos(turn)], -1)
        origin = np.zeros((*shape, 3)) + self.center
        origin[..., 1] += height
        self.direction = direction.reshape(-1, 3).astype(np.float32)
        self.origin = origin.reshape(-1, 3).astype(np.float32)
        self.turn = np.broadcast_to((turn + np.pi) % (2 * np.pi) - np.pi, shape).reshape(-1).astype(np.float32)
        self.along = np.broadcast_to(  # arc length from the crown
            np.concatenate([tilt * 0.22, np.pi / 2 * 0.22 + drop])[:, None], shape
        ).reshape(-1)
        self.hit, self.bary = surface.farthest_hits(self.origin, self.direction, vertices, triangles)
        self.skin_triangles = triangles
        self.rest = self.anchors(vertices)
        self.triangles = self._triangles()

    def _triangles(self) -> NDArray[np.int32]:
        rows = self.ABOVE + self.BELOW
        row, column = np.meshgrid(np.arange(rows - 1), np.arange(self.AROUND), indexing="ij")
        a = row * self.AROUND + column
        b = row * self.AROUND + (column + 1) % self.AROUND
        c, d = a + self.AROUND, b + self.AROUND
        quads = np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2)
        return quads.reshape(-1, 3).astype(np.int32)

    def anchors(self, vertices: Array) -> Array:
        """[N, 3], the skin points under the shell on a posed head [V, 3]."""
        corners = vertices[self.skin_triangles[self.hit]]
        points = (corners * self.bary[..., None]).sum(1)
        shape = (self.ABOVE + self.BELOW, self.AROUND)
        radius = np.linalg.norm(points - self.origin, axis=1).reshape(shape)
        columns = np.arange(self.AROUND)
        for row, hit in enumerate((self.hit >= 0).reshape(shape)):
            if not hit.all():  # over the ears, and below the neck
                known = radius[row, hit] if hit.any() else np.array([0.1])
                radius[row] = np.interp(columns, columns[hit] if hit.any() else [0], known, period=self.AROUND)
        filled = self.origin + self.direction * radius.reshape(-1, 1)
        return np.where(self.hit[:, None] >= 0, points, filled).astype(np.float32)

    def hanging(self, anchors: Array) -> Array:
        """[N], how far off the skin hair falls free: below the skull's widest it keeps the radius that it had there."""
        rows = self.ABOVE + self.BELOW
        radius = np.linalg.norm((anchors - self.origin)[:, [0, 2]], axis=1).reshape(rows, self.AROUND)
        y = self.origin[:, 1].reshape(rows, self.AROUND)
        widest = radius[self.ABOVE - 4 : self.ABOVE + 10].max(0)
        below = smoothstep(self.center[1] - y, 0.0, 0.12)
        return (below * np.maximum(0, widest * (1 + 0.05 * below) - radius)).reshape(-1).astype(np.float32)


class Wardrobe:
    """Dresses the built-in head: a Look becomes a PaintedHead."""

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        head = Head.from_vertices(model, model.vertices)
        rest = head.vertices
        masks = model.masks
        self.subdivide = surface.Subdivision(len(rest), model.triangles)
        self.rest = self.subdivide(rest)
        self.masks = {name: self.subdivide(mask) for name, mask in masks.items()}
        self.anatomy = Anatomy(head.landmarks, rest[masks["ears"] > 0.5])
        skin_only = (masks["skin"] > 0.5) & (masks["ears"] < 0.5)
        self.shell = HairShell(rest, model.triangles[skin_only[model.triangles].all(1)], self.anatomy)
        skin = self.masks["skin"]
        self.scalp = np.where(skin > 0.5, self.anatomy.scalp_field(self.rest), -1).astype(np.float32)
        beard = np.where(skin > 0.5, self.anatomy.beard_field(self.rest), -1)
        self.beard = np.where(self.masks["lips"] > 0.2, -1, beard).astype(np.float32)
        self.shell_scalp = self.anatomy.scalp_field(self.shell.rest)

    def dress(self, look: Look) -> PaintedHead:
        """The head of a look, in head space. The same look always gives the same arrays."""
        rng = np.random.default_rng(look.seed)
        posed = self.model.posed(np.asarray(look.identity, np.float32), EXPRESSIONS[look.expression])
        head = Head.from_vertices(self.model, posed)
        vertices = self.subdivide(head.vertices)
        normals = surface.vertex_normals(vertices, self.subdivide.triangles)
        colors = self._skin(look)
        hair = np.array(HAIR_COLORS[look.hair], np.float32) * rng.uniform(0.9, 1.1)
        self._brows(colors, look, hair)
        if look.beard:
            vertices = self._beard(vertices, normals, colors, hair, look.seed, rng)
        triangles = self.subdivide.triangles
        if look.style != "bald":
            self._roots(colors, hair, look)
            shell, shade, inside = self._hair(head.vertices, look, rng)
            seen = self.shell.triangles[(inside[self.shell.triangles] > 0).any(1)]
            triangles = np.concatenate([triangles, seen + len(vertices)])
            vertices = np.concatenate([vertices, shell])
            colors = np.concatenate([colors, np.clip(hair * shade[:, None], 0, 1)])
        mesh = Mesh(vertices.astype(np.float32), triangles, np.clip(colors, 0, 1).astype(np.float32))
        return PaintedHead(mesh, head.landmarks)

    def _skin(self, look: Look) -> Array:
        """Base colour with blotches and pores, blush, eye sockets, lips; then the eyes and the mouth's inside."""
        rest, masks, at = self.rest, self.masks, self.anatomy.landmarks
        skin = np.array(SKINS[look.skin], np.float32)
        mottle = 1 + 0.06 * fractal_noise(rest, 16, look.seed) + 0.035 * value_noise(rest, 140, look.seed + 9)
        colors = skin * mottle[:, None]
        cheeks = at[[61, 291]] * [1.15, 1, 0.9] + [0, 0.06, 0]
        blush = sum(
            np.exp(-((rest - spot) ** 2).sum(1) / r**2) for spot, r in ((at[1], 0.04), *((c, 0.055) for c in cheeks))
        )
        colors += 0.28 * blush[:, None] * (skin * [1.05, 0.72, 0.70] - colors)
        sockets = at[[33, 133]].mean(0), at[[362, 263]].mean(0)
        colors *= 1 - 0.16 * sum(np.exp(-((rest - s) ** 2).sum(1) / 0.045**2) for s in sockets)[:, None]
        lips = 0.65 * np.clip(1.3 * masks["lips"], 0, 1)[:, None]
        colors += lips * (skin * [0.95, 0.45, 0.45] + [0.06, 0, 0] - colors)
        colors[masks["mouth_bag"] > 0.5] = (0.35, 0.10, 0.10)
        self._eyes(colors, np.array(EYE_COLORS[look.eyes]))
        return colors.astype(np.float32)

    def _eyes(self, colors: Array, iris: NDArray) -> None:
        """White, iris with a dark rim and a pupil, painted by the angle from the eyeball's axis."""
        for side in (-1, 1):
            ball = np.flatnonzero((self.masks["eyeballs"] > 0.5) & (side * self.rest[:, 0] > 0))
            offset = self.rest[ball] - (self.rest[ball].max(0) + self.rest[ball].min(0)) / 2
            angle = np.arccos(np.clip(offset[:, 2] / np.linalg.norm(offset, axis=1), -1, 1))[:, None]
            color = np.where(angle < 0.54, iris * (0.7 + angle) * np.where(angle > 0.46, 0.4, 1), (0.93, 0.93, 0.92))
            colors[ball] = np.where(angle < 0.24, 0.02, color)

    def _brows(self, colors: Array, look: Look, hair: Array) -> None:
        bare = look.style == "bald" and not look.beard
        color = np.array(BROW_OF_THE_BALD) if bare else hair * 0.7
        strands = 0.75 + 0.5 * value_noise(self.rest, (200, 70, 70), look.seed + 3)
        amount = np.clip(1.1 * self.masks["brows"] * strands, 0, 1)[:, None]
        colors += amount * (color - colors)

    def _beard(
        self, vertices: Array, normals: Array, colors: Array, hair: Array, seed: int, rng: np.random.Generator
    ) -> Array:
        """Grows a beard from the skin: off the cheeks along the normal, from the chin downwards and forwards."""
        rest = self.rest
        inside = smoothstep(self.beard + 0.010 * fractal_noise(rest, 32, seed + 11, 3), 0, 0.02)
        chin = smoothstep(-np.abs(rest[:, 0]), -0.15, -0.02) * smoothstep(-rest[:, 1], -self.anatomy.mouth, 0.29)
        chin *= smoothstep(rest[:, 2], self.anatomy.ear[2] + 0.06, self.anatomy.ear[2] + 0.20)
        length = rng.uniform(0.018, 0.03) + rng.uniform(0.04, 0.11) * chin
        strands = value_noise(rest, (125, 36, 90), seed + 12)
        clumps = value_noise(rest, (40, 12, 40), seed + 17)
        growth = normals + chin[:, None] * np.array([0, -0.9, 0.45], np.float32)
        growth /= np.linalg.norm(growth, axis=1, keepdims=True)
        shade = 1 + 0.40 * strands + 0.15 * clumps
        cover = np.clip(1.5 * inside, 0, 1)[:, None]
        colors += cover * (np.clip(hair * shade[:, None], 0, 1) - colors)
        return vertices + growth * (inside * length * (1 + 0.30 * strands + 0.2 * clumps))[:, None]

    def _roots(self, colors: Array, hair: Array, look: Look) -> None:
        """Hair colour on the skin under the hair, with a soft and irregular border; only a shadow beside a mohawk."""
        amount = smoothstep(self.scalp + 0.013 * fractal_noise(self.rest, 23, look.seed + 13, 3), -0.006, 0.018)
        if look.style == "mohawk":
            amount = amount * np.where(np.abs(self.rest[:, 0]) < 0.025, 0.9, 0.22)
        colors += amount[:, None] * (hair * 0.75 - colors)

    def _hair(self, skin: Array, look: Look, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Scalp hair on a posed head [V, 3]: the shell's vertices [N, 3], brightness [N], where hair is [N] in 0..1.

        At its border the shell dips under the skin.
        """
        shell, seed = self.shell, look.seed
        chart = np.stack([np.cos(shell.turn), np.sin(shell.turn), shell.along], 1)
        locks = Locks(
            anchors=shell.anchors(skin),
            field=self.shell_scalp + 0.012 * fractal_noise(shell.rest, 23, seed + 13, 3),
            streaks=0.6 * value_noise(chart, (26, 26, 9), seed + 5) + 0.4 * value_noise(chart, (60, 60, 14), seed + 6),
            clumps=value_noise(chart, (8, 8, 7), seed + 7),
            seed=seed,
        )
        cut = {"short": self._short, "long": self._long, "mohawk": self._mohawk, "afro": self._afro}[look.style]
        inside, height, shade = cut(locks, rng)
        offset = inside * height - 0.03 * (1 - inside)
        return locks.anchors + shell.direction * offset[:, None], shade, inside

    def _short(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """Combed from the crown, close to the head."""
        height = rng.uniform(0.018, 0.04) * (1 + 0.35 * locks.streaks + 0.3 * locks.clumps)
        inside = smoothstep(locks.field, 0, 0.025)
        return inside, height, 1 + 0.40 * locks.streaks + 0.1 * locks.clumps

    def _long(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """Hair that falls behind or over the ears to between the jaw and the shoulders, parted on top."""
        shell, anatomy, streaks, clumps = self.shell, self.anatomy, locks.streaks, locks.clumps
        edge = np.deg2rad(rng.uniform(74, 104))  # where the curtain begins, from the face's middle
        bottom = rng.uniform(-0.43, -0.30)
        turn, y = np.abs(shell.turn), shell.origin[:, 1]
        curtain = smoothstep(turn + 0.05 * clumps, edge - 0.06, edge + 0.06)
        curtain *= smoothstep(y + 0.025 * clumps + 0.012 * streaks, bottom, bottom + 0.03)
        inside = np.maximum(smoothstep(locks.field, 0, 0.025), curtain)
        down = smoothstep(-y, -shell.center[1], 0.3)
        height = rng.uniform(0.035, 0.05) + rng.uniform(0.0, 0.03) * down
        height += 0.018 * smoothstep(-anatomy.ear_distance(shell.rest), -0.03, 0.02)  # ears lie below
        parting = np.exp(-(((shell.rest[:, 0] - rng.uniform(-0.07, 0.07)) / 0.010) ** 2)) * (shell.rest[:, 2] > -0.05)
        height *= (1 + 0.35 * streaks + 0.25 * clumps) * (1 - 0.6 * parting * (y > anatomy.eye))
        height += shell.hanging(locks.anchors)
        strands = value_noise(locks.anchors + shell.direction * (inside * height)[:, None], (70, 6, 70), locks.seed)
        top = smoothstep(locks.anchors[:, 1], anatomy.eye, anatomy.top)
        return inside, height, 1 + 0.35 * (top * streaks + (1 - top) * strands) + 0.15 * clumps

    def _mohawk(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """A notched ridge from the forehead over the crown to the nape."""
        rest, center, seed = self.shell.rest, self.shell.center, locks.seed
        arc = np.arctan2(rest[:, 1] - center[1], rest[:, 2] - center[2])
        spikes = value_noise(np.stack([4 * arc, np.zeros_like(arc), 20 * rest[:, 0]], 1), (2.2, 1, 1), seed + 14)
        width = rng.uniform(0.024, 0.036)
        ridge = np.exp(-((rest[:, 0] / width) ** 4))
        inside = smoothstep(locks.field, 0, 0.03) * smoothstep(-np.abs(rest[:, 0]), -2.0 * width, -1.2 * width)
        height = rng.uniform(0.11, 0.17) * ridge * (1 + 0.25 * spikes + 0.12 * locks.streaks) + 0.004
        strands = value_noise(np.stack([14 * arc, rest[:, 0] * 60, arc], 1), 1.5, seed + 18)
        return inside, height, 1 + 0.25 * spikes + 0.30 * strands

    def _afro(self, locks: Locks, rng: np.random.Generator) -> Volume:
        """A round volume of curls."""
        inside = smoothstep(locks.field, 0, 0.02)
        fullness = 0.5 + 0.5 * smoothstep(self.shell.rest[:, 1], self.anatomy.nose, self.anatomy.brow)
        height = rng.uniform(0.10, 0.19) * fullness * (0.75 + 0.25 * smoothstep(locks.field, 0.0, 0.08))
        points = locks.anchors + self.shell.direction * (inside * height)[:, None]
        curls = 0.6 * value_noise(points, 40, locks.seed + 15) + 0.4 * value_noise(points, 85, locks.seed + 16)
        return inside, height * (1 + 0.12 * curls + 0.05 * locks.clumps), 1.08 + 0.5 * curls
