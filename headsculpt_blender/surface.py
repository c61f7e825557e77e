# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh object as it stands in the scene: its evaluated surface, its place, and what tells its faces from others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from .backend.headsculpt.errors import UserError


@dataclass(frozen=True)
class Surface:
    """vertices: float32 [V, 3] in the object's coordinates; triangles: int32 [T, 3]; topology: as of `topology_of`."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    topology: str


def evaluated_surface(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Surface:
    """With shape keys, bones and modifiers, in edit mode with what is being edited.

    Raises UserError for an object that is switched off: Blender does not work out its shape keys and modifiers.
    """
    if obj.mode == "EDIT":
        obj.update_from_editmode()
        depsgraph.update()
    if not _enabled(obj, depsgraph.view_layer.layer_collection):
        advice = "Enable it and its collection in the Outliner (the screen icon, and the collection's tick)."
        raise UserError(f"“{obj.name}” is disabled in viewports, so that its shape is not known.", advice)
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.to_mesh()
    try:
        mesh.calc_loop_triangles()
        triangles = np.empty(len(mesh.loop_triangles) * 3, np.int32)
        mesh.loop_triangles.foreach_get("vertices", triangles)
        return Surface(vertices_of(mesh), triangles.reshape(-1, 3), topology_of(mesh))
    finally:
        evaluated.to_mesh_clear()


def _enabled(obj: bpy.types.Object, layer: bpy.types.LayerCollection) -> bool:
    """Whether Blender evaluates an object that stands in this layer's collection or one within. `is_evaluated` does not
    say so: a scene's settings that point to the object are enough for it. The eye icon changes nothing."""
    if obj.hide_viewport or layer.collection.hide_viewport:
        return False
    here = not layer.exclude and obj.name in layer.collection.objects
    return here or any(_enabled(obj, child) for child in layer.children)


def vertices_of(mesh: bpy.types.Mesh) -> NDArray[np.float32]:
    """Places of a mesh's vertices, [V, 3]."""
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    return vertices.reshape(-1, 3)


def topology_of(mesh: bpy.types.Mesh) -> str:
    """Counts and a fingerprint of which vertices make up which faces; not of where they are."""
    corners = np.empty(len(mesh.loops), np.int32)
    if len(corners):
        mesh.attributes[".corner_vert"].data.foreach_get("value", corners)
    mark = hashlib.blake2b(corners.tobytes(), digest_size=16).hexdigest()
    return f"{len(mesh.vertices)} {len(mesh.loops) - 2 * len(mesh.polygons)} {mark}"


def standing(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where an object stands, [4, 4] with the same size in all directions, perhaps mirrored; and how its mesh is
    stretched in itself beforehand, [3, 3], symmetric and of determinant 1. Both together are its matrix in the world.

    Raises UserError for an object without extent.
    """
    matrix = np.array(obj.evaluated_get(depsgraph).matrix_world, np.float64)
    left, sizes, right = np.linalg.svd(matrix[:3, :3])
    if not sizes[2] > 1e-6 * sizes[0]:
        raise UserError(f"“{obj.name}” is scaled to nothing.", "Give it a scale other than zero.")
    size = sizes.prod() ** (1 / 3)
    if np.allclose(sizes, size, rtol=1e-5):
        return matrix, np.eye(3)
    matrix[:3, :3] = size * left @ right
    return matrix, right.T @ np.diag(sizes / size) @ right
