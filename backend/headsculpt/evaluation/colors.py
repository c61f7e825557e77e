# SPDX-License-Identifier: GPL-3.0-or-later
"""How different two colours look: sRGB to CIELAB, and CIEDE2000."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ under D65, from the primaries of IEC 61966-2-1."""
_WHITE = _TO_XYZ.sum(axis=1)
_BEND = 6 / 29


def lab(srgb: ArrayLike) -> NDArray[np.float64]:
    """CIELAB (D65, 2°) [..., 3] of display-referred sRGB [..., 3] in [0, 1]."""
    encoded = np.asarray(srgb, np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    share = linear @ _TO_XYZ.T / _WHITE
    bent = np.where(share > _BEND**3, np.cbrt(share), share / (3 * _BEND**2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def difference(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """CIEDE2000 [...] between CIELAB colours [..., 3], with k_L = k_C = k_H = 1.

    1 is about what an eye just notices side by side, 10 is another shade, 50 another colour. The equations' numbers are
    those of Sharma, Wu, Dalal: The CIEDE2000 Color-Difference Formula (Color Research and Application 30, 2005).
    """
    light1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    light2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    stretch = 1.5 - 0.5 * _saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)  # (2) to (4)
    chroma1, chroma2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)  # (5), (6)
    hue1, hue2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))  # (7)
    grey = chroma1 * chroma2 == 0
    turn = np.where(grey, 0, (hue2 - hue1 + 180) % 360 - 180)  # (10)
    turn = np.where((turn == -180) & (hue2 > hue1), 180, turn)
    hue_step = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.radians(turn / 2))  # (11)
    light, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2  # (12), (13)
    hue = np.where(grey, hue1 + hue2, _mean_angle(hue1, hue2))  # (14)
    weight = (  # (15)
        1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    )
    rotation = (
        -2 * _saturation(chroma) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    )  # (16), (17), (21)
    off_middle = (light - 50) ** 2
    light_term = (light2 - light1) / (1 + 0.015 * off_middle / np.sqrt(20 + off_middle))  # (18)
    chroma_term = (chroma2 - chroma1) / (1 + 0.045 * chroma)  # (19)
    hue_term = hue_step / (1 + 0.015 * chroma * weight)  # (20)
    squared = light_term**2 + chroma_term**2 + hue_term**2 + rotation * chroma_term * hue_term  # (22)
    return np.sqrt(np.maximum(squared, 0))


def _saturation(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _mean_angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-way between two hues in 0 … 360, the short way round."""
    total, apart = first + second, np.abs(first - second) > 180
    return np.where(apart, np.where(total < 360, total + 360, total - 360), total) / 2


def _cos(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cos(np.radians(degrees))
