# SPDX-License-Identifier: GPL-3.0-or-later
"""Dresses the built-in head: a Look becomes a head that can be photographed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .....head.model import HeadModel
from .....mesh import Mesh
from .age import Wrinkles
from .anatomy import Array, Body, Sitter
from .facial_hair import Barber
from .glasses import Optician
from .hair import Hairdresser
from .headwear import Hatter
from .paint import FacePaint
from .people import People
from .skin import Skin
from .words import Look


@dataclass(frozen=True)
class PaintedHead:
    """A head ready to be seen, in head space: its mesh with colours, and landmarks float32 [478, 3]."""

    mesh: Mesh
    landmarks: Array


class Wardrobe:
    """All that dresses sitters."""

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        self.people = People(model)
        self.body = Body(model)
        self.skin, self.wrinkles, self.paint = Skin(self.body), Wrinkles(self.body), FacePaint(self.body)
        self.barber = Barber(self.body)
        self.hairdresser = Hairdresser(self.body)
        self.hatter, self.optician = Hatter(self.body), Optician(self.body)

    def dress(self, look: Look) -> PaintedHead:
        """The head of a look, in head space. The same look always gives the same arrays."""
        sitter = self.body.seat(look, self.people.shape(look), np.random.default_rng(look.seed))
        self.skin.paint(sitter)
        if look.age == "old":
            self.wrinkles.wear(sitter)
        if look.paint:  # below brows and beard, which stay to be seen
            self.paint.paint(sitter)
        self.barber.dress(sitter)
        self.hairdresser.dress(sitter)
        if look.headwear:
            self.hatter.dress(sitter)
        if look.glasses:
            self.optician.dress(sitter)
        return PaintedHead(_joined(sitter, self.body), sitter.landmarks)


def _joined(sitter: Sitter, body: Body) -> Mesh:
    vertices, triangles, colors = [sitter.vertices], [body.triangles], [sitter.colors]
    count = len(sitter.vertices)
    for part in sitter.parts:
        assert part.colors is not None
        vertices.append(part.vertices)
        triangles.append(part.triangles + count)
        colors.append(part.colors)
        count += len(part.vertices)
    return Mesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.clip(np.concatenate(colors), 0, 1).astype(np.float32),
    )
