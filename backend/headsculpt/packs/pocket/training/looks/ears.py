# SPDX-License-Identifier: GPL-3.0-or-later
"""Elf ears: the ear's upper half drawn out to a tip."""

from __future__ import annotations

import numpy as np

from .....head.model import Head
from .anatomy import Array, smoothstep

TIP = (0.085, 0.125, -0.075)  # where the tip goes from the ear's top, head units, on the subject's left
NARROWING = 0.93


def elf_ear_field(head: Head) -> Array:
    """[V, 3], head units: upwards, backwards and outwards, more so the higher on the ear; its width runs out."""
    field, ears = np.zeros_like(head.vertices), head.masks["ears"]
    for side in (-1, 1):
        own = (ears > 0.02) & (side * head.vertices[:, 0] > 0)
        points = head.vertices[own]
        core = head.vertices[(ears > 0.5) & (side * head.vertices[:, 0] > 0)]
        low, high = np.quantile(core[:, 1], (0.35, 1.0))
        rise = smoothstep(points[:, 1], low, high)
        axis = np.median(core[core[:, 1] > (low + high) / 2], 0)
        outward = smoothstep(side * points[:, 0], np.abs(core[:, 0]).min() - 0.005, np.abs(core[:, 0]).min() + 0.015)
        moved = (rise**1.6)[:, None] * (np.array(TIP) * [side, 1, 1])
        moved += (-NARROWING * rise)[:, None] * ((points - axis) * [0.7, 0, 1])
        field[own] = moved * (ears[own] * outward)[:, None]
    return field
