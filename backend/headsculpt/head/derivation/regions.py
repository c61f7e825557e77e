# SPDX-License-Identifier: GPL-3.0-or-later
"""Region masks with soft edges, drawn as outlines on the neutral head (ICT's centimetres).

Three flat drawings serve: the front view (x, y), the side view (z, y), and the head unrolled about a vertical axis
(arc, y), in which `arc` is the angle from the front times a radius. All are drawn for one side and mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .surface import Floats

AXIS_Z = 1.0  # the vertical axis about which the head is unrolled, half-way between brow and back of the skull
ARC_RADIUS = 8.5

# (degrees from the front, y): from the middle of the forehead over temple and sideburn round the ear to the nape
HAIRLINE_FRONT = ((0, 10.6), (14, 10.8), (30, 10.9), (43, 10.3), (52, 8.6), (57, 6.4), (62, 4.6), (67, 3.2), (70, 1.0))
HAIRLINE_EAR = (
    (78, 1.0),
    (84, 3.2),
    (92, 4.2),
    (102, 3.8),
    (109, 2.0),
    (114, -0.4),
    (122, -1.9),
    (145, -3.0),
    (180, -3.6),
)
# the edge of the jaw from below the ear to the chin
JAW = ((84, -2.4), (80, -4.2), (70, -5.8), (50, -7.0), (28, -7.7), (0, -8.1))
# from the sideburn over the cheek to the corner of the mouth and the middle of the upper lip
BEARD_TOP = ((70, 1.6), (66, 0.0), (60, -2.0), (48, -3.2), (34, -3.3), (22, -2.7), (14, -2.2), (8, -1.55), (0, -1.45))
# from under the chin along the throat and up to the sideburn
BEARD_BOTTOM = ((0, -9.4), (30, -9.1), (58, -7.9), (74, -5.9), (81, -3.6), (79, -1.0), (79, 1.6))
# (z, y) of the ear's outline, from the upper front to the back and down to the lobe
EAR = (
    (2.0, 2.2),
    (1.3, 3.6),
    (-0.3, 4.1),
    (-1.7, 3.1),
    (-2.0, 1.5),
    (-1.2, -1.0),
    (0.4, -2.3),
    (2.2, -2.6),
    (2.8, -1.2),
    (2.4, 0.4),
)
EAR_INNER_X = 5.4
BEHIND_THE_FACE = np.array([80.0, 86.0])  # degrees from the front: none of it, all of it

LIP_OUTLINE = range(48, 60)  # of the 68 Multi-PIE landmarks
LEFT_BROW = range(22, 27)
BROW_HALF_WIDTH = (0.40, 0.46, 0.42, 0.34, 0.20)  # centimetres, from the nose to the temple


def smoothstep(x: Floats, zero: float, one: float) -> Floats:
    """0 at `zero` and beyond, 1 at `one` and beyond, cubic between; `one` may be the smaller."""
    t = np.clip((x - zero) / (one - zero), 0, 1)
    return t * t * (3 - 2 * t)


def to_outline(points: Floats, outline: ArrayLike) -> Floats:
    """Signed distance of points [N, 2] to a closed polygon [M, 2], negative inside (even-odd rule)."""
    start = np.asarray(outline, np.float64)
    along = np.roll(start, -1, 0) - start
    offset = points[:, None] - start
    t = np.clip((offset * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-12), 0, 1)
    distance = np.linalg.norm(offset - t[..., None] * along, axis=-1).min(1)
    crosses = (offset[..., 1] < 0) != (offset[..., 1] < along[..., 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        left = offset[..., 0] < offset[..., 1] * along[..., 0] / along[..., 1]
    inside = (crosses & left).sum(1) % 2 == 1
    return np.where(inside, -distance, distance)


def smooth_curve(points: ArrayLike, closed: bool, steps: int = 8) -> Floats:
    """A Catmull-Rom curve through points [M, D], each piece sampled `steps` times."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3)
    curve = curve.reshape(-1, p.shape[1])
    return curve if closed else np.concatenate([curve, p[-1:]])


def _arcs(points: ArrayLike) -> Floats:
    """(degrees, y) to the unrolled plane, in centimetres."""
    return np.asarray(points, np.float64) * [np.radians(1.0) * ARC_RADIUS, 1.0]


def skin_regions(vertices: Floats, landmarks: Floats, lids: Floats) -> dict[str, Floats]:
    """Masks [V] of vertices [V, 3] on the skin.

    landmarks: the 68 Multi-PIE points [68, 3]; lids: the left eye's opening [M, 3], in order.
    """
    x, y, z = np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]
    front, side = np.stack([x, y], 1), np.stack([z, y], 1)
    unrolled = np.stack([np.arctan2(x, z - AXIS_Z) * ARC_RADIUS, y], 1)

    ears = smoothstep(to_outline(side, smooth_curve(EAR, closed=True)), 0.3, -0.3)
    ears *= smoothstep(x, EAR_INNER_X, EAR_INNER_X + 0.4)
    hairline = smooth_curve(_arcs(HAIRLINE_FRONT + HAIRLINE_EAR), closed=False)
    above = np.concatenate([[[-9, hairline[0, 1]]], hairline, [[40, hairline[-1, 1]], [40, 60], [-9, 60]]])
    scalp = smoothstep(to_outline(unrolled, above), 0.25, -0.35) * (1 - ears)
    jaw = smooth_curve(_arcs(JAW), closed=False)
    below = np.concatenate([jaw, [[-9, jaw[-1, 1]], [-9, -60], [40, -60], [40, 3], [jaw[0, 0], 3]]])
    neck = smoothstep(to_outline(unrolled, below), 0.5, -0.5) * (1 - ears - scalp)
    rest = 1 - scalp - ears - neck  # the face, and a little between the ears and the hair
    behind = smoothstep(unrolled[:, 0], *(np.radians(BEHIND_THE_FACE) * ARC_RADIUS))
    lips = smoothstep(
        to_outline(vertices[:, :2], smooth_curve(landmarks[list(LIP_OUTLINE), :2], closed=True)), 0.12, -0.1
    )
    lips *= smoothstep(z, 8.0, 9.0)
    hairy = np.concatenate([_arcs(BEARD_TOP), [[-9, BEARD_TOP[-1][1]], [-9, BEARD_BOTTOM[0][1]]], _arcs(BEARD_BOTTOM)])
    beard = smoothstep(to_outline(unrolled, hairy), 0.45, -0.35) * (1 - lips) * (1 - ears)
    opening = to_outline(front, lids[:, :2])
    eyes = smoothstep(opening, 1.5, 0.6) * smoothstep(z, 5.0, 7.0)
    return {
        "scalp": scalp + rest * behind,
        "face": rest * (1 - behind),
        "ears": ears,
        "neck": neck,
        "lips": lips,
        "beard": beard,
        "brows": _brows(front, landmarks) * smoothstep(z, 5.0, 6.5),
        "eyes": eyes,
    }


def _brows(front: Floats, landmarks: Floats) -> Floats:
    """1 on the brow's line, 0 beyond a half-width that narrows towards the temple."""
    line = np.c_[landmarks[list(LEFT_BROW), :2], BROW_HALF_WIDTH]
    curve = smooth_curve(line, closed=False, steps=16)
    away = np.linalg.norm(front[:, None] - curve[:, :2], axis=-1) / curve[:, 2]
    return smoothstep(away.min(1), 1.15, 0.55)
