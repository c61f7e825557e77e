# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's surface without its mesh's flat faces, for what is computed from it: not for the artist's mesh."""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import NDArray

from .model import Head

PUSHES = 3  # how often what subdivision draws in is given back beforehand
LEVELS = 1  # of subdivision, each of which makes four triangles of one
SMOOTH = 40_000  # triangles from which on a mesh is smooth as it is


def smooth_surface(head: Head) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [S, 3] and triangles [R, 3] of the outside (`Head.surface`) in head space, as a smooth surface."""
    vertices, triangles = head.surface()
    return smooth(vertices, triangles, LEVELS)


def smooth(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], levels: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Loop's subdivision surface of a mesh, drawn through the mesh's own vertices instead of inside of them.

    vertices [V, 3]; triangles [T, 3], open ones too: borders become smooth curves. Returns those of them that triangles
    have, in their order, then the new ones; 4^levels · T triangles. Subdivision draws a surface in; the mesh is first
    pushed out until its vertices come back to their places, within a few hundredths of that. A mesh of very many
    triangles, or with edges that more than two triangles share, comes back as it is.
    """
    used, local = np.unique(triangles, return_inverse=True)
    local = local.reshape(-1, 3).astype(np.int64)
    points = vertices[used].astype(np.float64)
    if len(local) > SMOOTH or not igl.is_edge_manifold(local)[0]:
        return points.astype(np.float32), local.astype(np.int32)
    control = points.copy()
    for _ in range(PUSHES):
        control += points - igl.loop(control, local, levels)[0][: len(points)]
    fine, faces = igl.loop(control, local, levels)
    return fine.astype(np.float32), faces.astype(np.int32)
