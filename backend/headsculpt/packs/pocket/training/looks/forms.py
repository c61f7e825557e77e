# SPDX-License-Identifier: GPL-3.0-or-later
"""Tubes, balls and turned shapes: what glasses, hats, crowns and horns are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .....mesh import Mesh
from .anatomy import Array


def grid_triangles(rows: int, columns: int, closed_rows: bool = False) -> NDArray[np.int32]:
    """Two triangles a cell, int32 [T, 3]; the last column joins the first, and the last row where it is asked for.

    They face along (next row) × (next column).
    """
    row, column = np.meshgrid(np.arange(rows if closed_rows else rows - 1), np.arange(columns), indexing="ij")
    a, b = row * columns + column, row * columns + (column + 1) % columns
    c, d = ((row + 1) % rows) * columns + column, ((row + 1) % rows) * columns + (column + 1) % columns
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3).astype(np.int32)


def tube(path: Array, radius: Array | float, color: Array, aside: Array, sides: int = 8, closed: bool = False) -> Mesh:
    """A round tube along a path [P, 3], radius one or [P], colour [3] or [P, 3]; its ends are closed by a point.

    aside: [3], a direction that the path never takes.
    """
    path = np.asarray(path, np.float64)
    if not closed:
        path = np.concatenate([path[:1], path, path[-1:]])
        radius = np.concatenate([[0], np.broadcast_to(radius, len(path) - 2), [0]])
        color = np.broadcast_to(color, (len(path) - 2, 3))
        color = np.concatenate([color[:1], color, color[-1:]])
    steps = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
    across = np.cross(tangent, aside)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    other = np.cross(across, tangent)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    ring = np.cos(turn) * across[:, None] + np.sin(turn) * other[:, None]
    vertices = path[:, None] + ring * np.broadcast_to(radius, len(path))[:, None, None]
    colors = np.broadcast_to(np.broadcast_to(color, (len(path), 3))[:, None], vertices.shape)
    return _mesh(vertices, grid_triangles(len(path), sides, closed), colors)


def turned(origin: Array, right: Array, up: Array, front: Array, offsets: Array, colors: Array) -> Mesh:
    """A shape round the axis `up`: offsets [R, C, 3] along right, up and front, with colours [R, C, 3].

    Columns go from the right to the front; rows go upwards on what faces outwards.
    """
    vertices = origin + offsets @ np.stack([right, up, front])
    return _mesh(vertices, grid_triangles(*offsets.shape[:2]), colors)


def ball(centre: Array, radius: Array | float, color: Array, rows: int = 9, columns: int = 12) -> Mesh:
    """A sphere, or with a radius per axis [3] an ellipsoid."""
    tilt = np.linspace(0, np.pi, rows)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    unit = np.stack([np.sin(tilt) * np.cos(turn), -np.cos(tilt) + 0 * turn, np.sin(tilt) * np.sin(turn)], -1)
    return _mesh(centre + unit * radius, grid_triangles(rows, columns), np.broadcast_to(color, unit.shape))


def _mesh(vertices: Array, triangles: NDArray[np.int32], colors: Array) -> Mesh:
    flat = np.ascontiguousarray(vertices.reshape(-1, 3), np.float32)
    return Mesh(flat, triangles, np.ascontiguousarray(np.clip(colors, 0, 1).reshape(-1, 3), np.float32))
