# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh with the landmarks that were found on it, from the front and both sides."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from headsculpt.head.space import HeadSpace
from headsculpt.mesh import Mesh
from headsculpt.render.camera import Camera
from headsculpt.render.landmark_map import LINES, PUPILS
from headsculpt.render.meshview import picture

AZIMUTHS = (-50.0, 0.0, 50.0)
SIZE = 480
FOV, RADIUS = 24.0, 2.2
DOT = 1


def landmark_picture(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    landmarks: NDArray[np.floating],
    space: HeadSpace,
) -> Image.Image:
    """Views beside each other. vertices [V, 3], landmarks [478, 3]: in the mesh's own coordinates."""
    count = len(AZIMUTHS)
    same = torch.ones(count)
    camera = Camera.orbit(torch.tensor(AZIMUTHS), 0 * same, RADIUS * same, FOV * same, SIZE)
    views = picture(Mesh(space.to_head(vertices), triangles.astype(np.int32)), camera)
    pixels = camera.project(torch.from_numpy(space.to_head(landmarks)))[0].numpy()
    sheet = Image.new("RGB", (SIZE * count, SIZE))
    for number, (view, points) in enumerate(zip(views, pixels, strict=True)):
        image = Image.fromarray(view)
        pen = ImageDraw.Draw(image)
        for color, chains in LINES:
            for chain in chains:
                pen.line([tuple(points[index]) for index in chain], fill=color)
        for x, y in points:
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=(255, 240, 200))
        for color, index in PUPILS:
            x, y = points[index]
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        sheet.paste(image, (number * SIZE, 0))
    return sheet
