# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes as plain arrays: what leaves the stages and what leaves the finish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, counter-clockwise from outside.

    vertices: float32 [V, 3]; triangles: int32 [T, 3]; colors: float32 [V, 3], sRGB in [0, 1], or None.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class TexturedMesh:
    """A finished mesh with its textures.

    vertices, normals: float32 [V, 3]; triangles: int32 [T, 3];
    corner_uv: float32 [T, 3, 2], origin at the bottom left;
    base_color: uint8 [S, S, 3], sRGB, row 0 at the top;
    normal_map: uint8 [S, S, 3], tangent space, OpenGL's +y.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    normals: NDArray[np.float32]
    corner_uv: NDArray[np.float32]
    base_color: NDArray[np.uint8]
    normal_map: NDArray[np.uint8]
