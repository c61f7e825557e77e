# SPDX-License-Identifier: GPL-3.0-or-later
"""Head shapes from mesh files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

MESH_FILES = (".obj", ".ply", ".stl", ".glb")


def read_vertices(path: Path) -> NDArray[np.float32]:
    """The vertices float32 [V, 3] of an OBJ or PLY file in the file's own order and unit; y up, the face along +z.

    Formats that split vertices at texture seams, as GLB does, lose the order that a head's topology needs.
    Raises UserError when the file can not be read or is of another kind.
    """
    if path.suffix.lower() not in (".obj", ".ply"):
        raise UserError(f"'{path.name}' is not an OBJ or PLY file.", "Export the head as OBJ with y up.")
    try:
        vertices = _read_obj(path) if path.suffix.lower() == ".obj" else _read_ply(path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"The head '{path}' can not be read ({error}).", "Export it again.") from error
    return vertices


def read_mesh(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices float32 [V, 3] and triangles int32 [T, 3] of an OBJ, PLY, STL or GLB file, all its objects in one.

    Raises UserError when the file can not be read, is of another kind or holds no faces.
    """
    import trimesh

    if path.suffix.lower() not in MESH_FILES:
        kinds = ", ".join(kind[1:].upper() for kind in MESH_FILES)
        raise UserError(f"'{path.name}' is none of {kinds}.", "Export the head as one of these.")
    try:
        mesh = trimesh.load_scene(path, process=False).to_mesh()
    except Exception as error:  # trimesh raises whatever comes to its mind
        raise UserError(f"The head '{path}' can not be read ({error}).", "Export it again.") from error
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise UserError(f"There are no faces in '{path.name}'.", "Export the mesh of a head.")
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)


def _read_obj(path: Path) -> NDArray[np.float32]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float32).reshape(-1, 3)


def _read_ply(path: Path) -> NDArray[np.float32]:
    import trimesh

    return np.asarray(trimesh.load_mesh(path, process=False).vertices, np.float32)
