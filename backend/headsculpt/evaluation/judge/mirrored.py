# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads with a second face, made up: what the front shows is at the back once more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from headsculpt.mesh import Mesh

NECK = -0.27
"""Height in head space below which a head stays as it is: half a neck would be a tell-tale."""


def two_faced(mesh: Mesh, plane: float = 0.0) -> Mesh:
    """A second face in shape and colour: of the head above the neck the part in front of z = plane, and its mirror
    image behind; both end on the plane."""
    assert mesh.colors is not None
    corners = mesh.vertices[mesh.triangles]
    neck = corners[..., 1].mean(axis=1) < NECK
    in_front = (corners[..., 2] > plane).any(axis=1) & ~neck
    front = mesh.vertices.copy()
    front[:, 2] = np.maximum(front[:, 2], plane)
    back = front * np.array([1, 1, -1], np.float32) + np.array([0, 0, 2 * plane], np.float32)
    count = len(front)
    triangles = mesh.triangles[in_front], mesh.triangles[in_front][:, ::-1] + count, mesh.triangles[neck] + 2 * count
    return replace(
        mesh,
        vertices=np.concatenate([front, back, mesh.vertices]).astype(np.float32),
        triangles=np.concatenate(triangles).astype(np.int32),
        colors=np.concatenate([mesh.colors] * 3),
    )


def face_painted_behind(mesh: Mesh, plane: float = 0.0) -> Mesh:
    """A second face in colour alone: behind z = plane every vertex has the colour of what it mirrors."""
    assert mesh.colors is not None
    behind = (mesh.vertices[:, 2] < plane) & (mesh.vertices[:, 1] > NECK)
    mirrored = mesh.vertices[behind] * [1, 1, -1] + [0, 0, 2 * plane]
    colors = mesh.colors.copy()
    colors[behind] = mesh.colors[~behind][cKDTree(mesh.vertices[~behind]).query(mirrored)[1]]
    return replace(mesh, colors=colors)
