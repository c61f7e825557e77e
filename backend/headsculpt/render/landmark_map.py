# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of facial landmarks that the landmark ControlNet is shown: its colours, widths and connections.

MediaPipe's face mesh, connections only, on black; hidden lines as well, and no anti-aliasing, so that each pixel has
exactly one of the colours that the net has seen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
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
                line_kernel(image, points[start], points[end], radius, color)
    side = max(1, round(PUPIL_SIDE * size))
    for color, index in PUPILS:
        column, row = np.round(points[index] - side / 2).astype(int)
        image[max(row, 0) : max(row + side, 0), max(column, 0) : max(column + side, 0)] = color
    return image


@njit(cache=True, error_model="numpy")
def line_kernel(image, start, end, radius, color):  # type: ignore[no-untyped-def]
    """Colour the pixels whose centres are at most `radius` from the segment; from ½ on that leaves no gap."""
    size = image.shape[0]
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    square = max(along_x * along_x + along_y * along_y, 1e-12)
    first = max(np.floor(min(start[0], end[0]) - radius), 0.0)
    last = min(np.ceil(max(start[0], end[0]) + radius), float(size))
    top = max(np.floor(min(start[1], end[1]) - radius), 0.0)
    bottom = min(np.ceil(max(start[1], end[1]) + radius), float(size))
    if not (first < last and top < bottom):
        return
    for row in range(int(top), int(bottom)):
        for column in range(int(first), int(last)):
            x, y = column + 0.5 - start[0], row + 0.5 - start[1]
            t = min(max((x * along_x + y * along_y) / square, 0.0), 1.0)
            if (x - t * along_x) ** 2 + (y - t * along_y) ** 2 <= radius * radius:
                for channel in range(3):
                    image[row, column, channel] = color[channel]


def landmark_maps(landmarks: Tensor, camera: Camera, device: torch.device | None = None) -> Tensor:
    """One map per view, float32 [B, 3, S, S] in [0, 1], on the device or, if it is None, on that of the landmarks.

    landmarks: [478, 3], world; camera: B square views, S pixels a side, where the landmarks are.
    Nothing is culled: use it up to 90° from the front. A face with points behind the camera gives an empty map.
    """
    import torch

    from headsculpt.device import by_channels, sent

    pixels, depth = camera.project(landmarks.detach())
    size = camera.height
    empty = np.zeros((size, size, 3), np.uint8)
    seen = (depth > 0).all(-1).tolist()
    drawn = [draw(p, size) if ok else empty for p, ok in zip(pixels.cpu().numpy(), seen, strict=True)]
    maps = sent(torch.from_numpy(np.stack(drawn)), device or landmarks.device)
    return by_channels(maps.permute(0, 3, 1, 2)).float() / 255
