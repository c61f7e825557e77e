# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of facial landmarks that the landmark ControlNet is shown: its colours, widths and connections.

MediaPipe's face mesh, connections only, on black; hidden lines as well, and no anti-aliasing, so that each pixel has
exactly one of the colours that the net has seen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..head import landmarks as face

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .camera import Camera

Chain = tuple[int, ...]
Color = tuple[int, int, int]

LINE_WIDTH = 2.9 / 512  # of the picture's side: what OpenCV's `line` of thickness 2 covers, which the net has seen
PUPIL_SIDE = 4 / 512

# sides are the subject's; what comes later is drawn over what comes earlier
LINES: tuple[tuple[Color, tuple[Chain, ...]], ...] = (
    ((10, 200, 10), ((*face.FACE_OVAL, face.FACE_OVAL[0]),)),
    ((10, 200, 180), (face.LEFT_EYE_UPPER, face.LEFT_EYE_LOWER)),
    ((10, 220, 180), (face.LEFT_BROW_UPPER, face.LEFT_BROW_LOWER)),
    ((180, 200, 10), (face.RIGHT_EYE_UPPER, face.RIGHT_EYE_LOWER)),
    ((180, 220, 10), (face.RIGHT_BROW_UPPER, face.RIGHT_BROW_LOWER)),
    ((10, 180, 10), (face.LIPS_UPPER_OUTER, face.LIPS_LOWER_OUTER, face.LIPS_UPPER_INNER, face.LIPS_LOWER_INNER)),
)
PUPILS: tuple[tuple[Color, int], ...] = (((250, 200, 10), face.RIGHT_PUPIL), ((10, 200, 250), face.LEFT_PUPIL))


def draw(pixels: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """The map of one face, uint8 [size, size, 3].

    pixels: [478, 2], where the landmarks are seen, (column, row) with pixel centres at .5; they may lie outside.
    Lines are 2.9 pixels wide at size 512 and never under 1, pupils squares of 4 and never under 1.
    """
    image = np.zeros((size, size, 3), np.uint8)
    points = np.asarray(pixels, np.float64)
    radius = max(1.0, LINE_WIDTH * size) / 2
    for color, chains in LINES:
        for chain in chains:
            for start, end in pairwise(chain):
                _line(image, points[start], points[end], radius, color)
    side = max(1, round(PUPIL_SIDE * size))
    for color, index in PUPILS:
        column, row = np.round(points[index] - side / 2).astype(int)
        image[max(row, 0) : max(row + side, 0), max(column, 0) : max(column + side, 0)] = color
    return image


def _line(
    image: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64], radius: float, color: Color
) -> None:
    """Colour the pixels whose centres are at most `radius` from the segment; from ½ on that leaves no gap."""
    low = np.maximum(np.floor(np.minimum(start, end) - radius), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + radius), image.shape[1]).astype(int)
    if (high <= low).any():
        return
    x = np.arange(low[0], high[0]) + 0.5 - start[0]
    y = (np.arange(low[1], high[1]) + 0.5 - start[1])[:, None]
    along_x, along_y = end - start
    t = np.clip((x * along_x + y * along_y) / max(along_x**2 + along_y**2, 1e-12), 0, 1)
    near = (x - t * along_x) ** 2 + (y - t * along_y) ** 2 <= radius**2
    image[low[1] : high[1], low[0] : high[0]][near] = color


def landmark_maps(landmarks: Tensor, camera: Camera, device: torch.device | None = None) -> Tensor:
    """One map per view, float32 [B, 3, S, S] in [0, 1], on the device or, if it is None, on that of the landmarks.

    landmarks: [478, 3], world, where they are drawn: on the processor, best; camera: B square views, S pixels a side. Nothing is culled: use it up to 90° from the
    front. A face with points behind the camera gives an empty map.
    """
    import torch

    from headsculpt.device import sent

    pixels, depth = camera.project(landmarks.detach())
    size = camera.height
    empty = np.zeros((size, size, 3), np.uint8)
    seen = (depth > 0).all(-1).tolist()
    drawn = [draw(p, size) if ok else empty for p, ok in zip(pixels.cpu().numpy(), seen, strict=True)]
    maps = sent(torch.from_numpy(np.stack(drawn)), device or landmarks.device)
    return maps.permute(0, 3, 1, 2).float() / 255
