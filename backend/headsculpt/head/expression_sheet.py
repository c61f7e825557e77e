# SPDX-License-Identifier: GPL-3.0-or-later
"""A sheet with the built-in head's expressions, one a picture, and four close-ups.

python -m headsculpt.head.expression_sheet OUT.png      # or .jpg; half a minute
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..mesh import Mesh
from ..render.camera import Camera
from ..render.meshview import picture
from .builtin import load_builtin
from .model import HeadModel

COLUMNS = 8
FOV = 20.0  # degrees
BACKGROUND = (0.93, 0.93, 0.93)
SKIN = (0.87, 0.68, 0.58)
PAINT = {  # in this order: mask, colour, strength
    "mouth_bag": ((0.42, 0.15, 0.15), 1.0),
    "lips": ((0.74, 0.42, 0.39), 0.8),
    "brows": ((0.30, 0.21, 0.15), 0.8),
    "eyeballs": ((0.95, 0.94, 0.92), 1.0),
    "iris": ((0.30, 0.43, 0.55), 1.0),
    "pupil": ((0.03, 0.03, 0.03), 1.0),
    "gums": ((0.78, 0.43, 0.43), 1.0),
    "teeth": ((0.96, 0.94, 0.88), 1.0),
    "tongue": ((0.80, 0.42, 0.43), 1.0),
}


@dataclass(frozen=True)
class Shot:
    """One picture: expression weights, azimuth and elevation in degrees, distance and target [3] in metres."""

    title: str
    weights: Mapping[str, float]
    azimuth: float = 18.0
    elevation: float = 0.0
    distance: float = 0.62
    target: tuple[float, float, float] = field(default=(0.0, 0.0, 0.07))


CLOSE_UPS = (
    Shot("both eyes closed", {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, 25, 0, 0.36, (0.0, 0.035, 0.09)),
    Shot("jawOpen", {"jawOpen": 0.8}, 20, 8, 0.36, (0.0, -0.045, 0.09)),
    Shot(
        "a laugh",
        {"mouthSmileLeft": 1, "mouthSmileRight": 1, "jawOpen": 0.2, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5},
        15,
        0,
        0.36,
        (0.0, -0.035, 0.09),
    ),
    Shot("tongueOut", {"tongueOut": 1}, 40, 8, 0.36, (0.0, -0.05, 0.09)),
)


def shots(model: HeadModel) -> list[Shot]:
    """Every expression at weight 1 in alphabetical order, then the close-ups; mouthClose closes an opened jaw."""
    every = []
    for name in sorted(model.expression_names):
        jaw = {"jawOpen": 1.0} if name == "mouthClose" else {}
        every.append(Shot(" + ".join([*jaw, name]), {**jaw, name: 1.0}))
    return [*every, *CLOSE_UPS]


def painted(model: HeadModel) -> NDArray[np.float32]:
    """Colours [V, 3] by which the parts are told apart."""
    colors = np.tile(np.array(SKIN, np.float32), (len(model.vertices), 1))
    for name, (color, strength) in PAINT.items():
        share = strength * model.masks[name][:, None]
        colors = colors * (1 - share) + np.array(color, np.float32) * share
    return colors


def photograph(model: HeadModel, shot: Shot, size: int) -> NDArray[np.uint8]:
    """uint8 [size, size, 3]."""
    azimuth, elevation, distance, fov = torch.tensor([[shot.azimuth], [shot.elevation], [shot.distance], [FOV]])
    camera = Camera.orbit(azimuth, elevation, distance, fov, size, torch.tensor([shot.target]))
    mesh = Mesh(model.posed(None, shot.weights), model.triangles, painted(model))
    return picture(mesh, camera, background=BACKGROUND)[0]


def sheet(model: HeadModel, size: int) -> Image.Image:
    """All shots in rows of COLUMNS, each with its title below; size: of one picture, in pixels."""
    font = ImageFont.load_default(size // 15)
    height = size + size // 10
    every = shots(model)
    whole = Image.new("RGB", (COLUMNS * size, -(-len(every) // COLUMNS) * height), "white")
    draw = ImageDraw.Draw(whole)
    for number, shot in enumerate(every):
        left, top = number % COLUMNS * size, number // COLUMNS * height
        whole.paste(Image.fromarray(photograph(model, shot, size)), (left, top))
        draw.text((left + size / 2, top + size + size / 20), shot.title, "black", font, "mm")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("--size", type=int, default=300, help="pixels of one expression (default 300)")
    arguments = parser.parse_args()
    sheet(load_builtin(), arguments.size).save(arguments.out, quality=88)


if __name__ == "__main__":
    main()
