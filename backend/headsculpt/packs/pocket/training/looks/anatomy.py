# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on the neutral head, and the head that is being dressed. Head space throughout."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .....head.model import Head, HeadModel
from .....mesh import Mesh
from .. import surface
from .words import HAIR_COLORS, Look

Array = NDArray[np.floating]


def smoothstep(x: Array, low: float | Array, high: float | Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def blend(colors: Array, amount: Array, color: Array) -> None:
    """Moves colours [N, 3] in place towards `color` ([3] or [N, 3]) by `amount` [N] in 0 … 1."""
    colors += np.clip(amount, 0, 1)[:, None] * (np.asarray(color, np.float32) - colors)


HAT_NORMAL = np.array([0.0, 0.976, -0.218], np.float32)
"""Of the plane on which hats sit: high on the forehead, low at the back."""


def hat_line(landmarks: Array) -> Array:
    """[3], the point of the forehead's middle through which the hat's plane goes, for a head's landmarks [478, 3].

    What is above has a positive (points − hat_line) @ HAT_NORMAL.
    """
    brow = landmarks[[70, 105, 107, 336, 334, 300], 1].mean()
    return np.array([0, brow + 0.066, landmarks[151, 2]], np.float32)


@dataclass
class Sitter:
    """A head while it is being dressed: every dresser changes it in place.

    vertices, normals, colors: float32 [N, 3] of the body's subdivided head, sRGB; coarse: [V, 3], the head as it was
    posed, before any hair; landmarks: [478, 3]; parts: meshes with colours that are worn (hair, glasses, hats).
    """

    look: Look
    coarse: Array
    landmarks: Array
    vertices: Array
    normals: Array
    colors: Array
    hair: Array
    """The hair's colour [3]."""
    rng: np.random.Generator
    parts: list[Mesh] = field(default_factory=list)


class Body:
    """What is the same for every sitter: the neutral head, subdivided once, its masks and its anatomy.

    rest: [N, 3]; triangles: [T, 3]; masks: name → [N]; coarse: the head model's own vertices [V, 3] in head space.
    """

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        head = Head.from_vertices(model, model.vertices)
        self.coarse = head.vertices
        self.subdivide = surface.Subdivision(len(self.coarse), model.triangles)
        self.triangles = self.subdivide.triangles
        self.rest = self.subdivide(self.coarse)
        self.masks = {name: self.subdivide(mask) for name, mask in model.masks.items()}
        self.anatomy = Anatomy(head.landmarks, self.coarse[model.masks["ears"] > 0.5])
        self.rest_normals = surface.vertex_normals(self.rest, self.triangles)

    def seat(self, look: Look, posed: Array, rng: np.random.Generator) -> Sitter:
        """A sitter of the shape `posed` [V, 3] (the model's vertices, metres), bare and white."""
        head = Head.from_vertices(self.model, posed)
        vertices = self.subdivide(head.vertices)
        return Sitter(
            look,
            head.vertices,
            head.landmarks,
            vertices,
            surface.vertex_normals(vertices, self.triangles),
            np.ones_like(vertices),
            np.array(HAIR_COLORS[look.hair], np.float32) * np.float32(rng.uniform(0.9, 1.1)),
            rng,
        )


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
