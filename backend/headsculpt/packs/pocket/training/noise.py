# SPDX-License-Identifier: GPL-3.0-or-later
"""Value noise in space: the irregularity of skin and hair."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray


@njit(cache=True)
def _lattice(x: int, y: int, z: int, seed: int) -> float:
    """A pseudo-random value in [0, 1] for a lattice point (integer hash, 32 bits)."""
    n = (x * 374761393 + y * 668265263 + z * 1440662683 + seed * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@njit(cache=True)
def _value_noise(points: np.ndarray, seed: int) -> np.ndarray:
    out = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        x0, y0, z0 = np.floor(points[i, 0]), np.floor(points[i, 1]), np.floor(points[i, 2])
        fx, fy, fz = points[i, 0] - x0, points[i, 1] - y0, points[i, 2] - z0
        fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
        total = 0.0
        for corner in range(8):
            dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
            weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fz if dz else 1 - fz)
            total += weight * _lattice(int(x0) + dx, int(y0) + dy, int(z0) + dz, seed)
        out[i] = 2 * total - 1
    return out


def value_noise(points: NDArray, frequency: ArrayLike, seed: int) -> NDArray[np.float32]:
    """Smooth noise in [−1, 1] at points [N, 3]; `frequency` (one, or one per axis) is in cells per unit."""
    return _value_noise(np.ascontiguousarray(points * np.asarray(frequency), np.float64), seed)


def fractal_noise(points: NDArray, frequency: float, seed: int, octaves: int = 4) -> NDArray[np.float32]:
    """Noise of `octaves` frequencies, each twice the last and half as strong; within about ±1."""
    layers = (value_noise(points, frequency * 2**k, seed + k) / 2**k for k in range(octaves))
    return sum(layers, np.zeros(len(points), np.float32)) / np.float32(1.8)
