# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of what a FLAME file's sliders do, to compare with what one knows of FLAME."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...mesh import Mesh
from ...render.camera import Camera
from ...render.meshview import picture
from .model import JAW_OPEN, FlameModel

AZIMUTHS = (0.0, 60.0)
DISTANCE, FOV = 1.0, 24.0  # metres, degrees
BACKGROUND = (0.93, 0.93, 0.93)


def heads(model: FlameModel) -> dict[str, NDArray[np.float32]]:
    """Vertices [V, 3] by title."""
    few = min(10, len(model.shape))
    somebody = np.random.default_rng(1).standard_normal(few)
    shown = {
        "as it is": model.vertices,
        "Shape1 = -2": model.shaped([-2]),
        "Shape1 = +2": model.shaped([2]),
        "somebody": model.shaped(somebody),
        "Jaw = 1": model.posed((), (), {"jaw": (JAW_OPEN, 0, 0)}),
    }
    if len(model.expression):
        shown |= {"Exp1 = +2": model.shaped((), [2]), "Exp1 = -2": model.shaped((), [-2])}
    return shown


def flame_sheet(model: FlameModel, size: int = 240) -> Image.Image:
    """Each of `heads` from the front above and from its left below; size: of one picture, in pixels."""
    shown = heads(model)
    whole = Image.new("RGB", (len(shown) * size, len(AZIMUTHS) * size + size // 8), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(size // 14)
    middle = (model.vertices.max(0) + model.vertices.min(0)) / 2
    one = torch.ones(len(AZIMUTHS))
    target = torch.from_numpy(middle).expand(len(AZIMUTHS), 3)
    camera = Camera.orbit(torch.tensor(AZIMUTHS), 0 * one, DISTANCE * one, FOV * one, size, target)
    for column, (title, vertices) in enumerate(shown.items()):
        views = picture(Mesh(vertices, model.triangles), camera, background=BACKGROUND)
        for number, view in enumerate(views):
            whole.paste(Image.fromarray(view), (column * size, number * size))
        draw.text(((column + 0.5) * size, len(AZIMUTHS) * size + size / 16), title, "black", font, "mm")
    return whole
