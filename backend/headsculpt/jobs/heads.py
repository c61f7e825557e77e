# SPDX-License-Identifier: GPL-3.0-or-later
"""The head that a request has chosen, as the stages want it: the built-in one, or whatever mesh there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from headsculpt.finish.clean import cut_below
from headsculpt.head.builtin import load_builtin
from headsculpt.head.files import read_mesh, read_vertices
from headsculpt.head.landmarks import COUNT
from headsculpt.head.model import Head, HeadModel
from headsculpt.head.registration.register import Registration
from headsculpt.head.registration.target import visible_surface
from headsculpt.jobs.events import Event, JobControl, Notice
from headsculpt.jobs.register import registered
from headsculpt.jobs.request import HeadShape, RegisterRequest
from headsculpt.mesh import Mesh
from headsculpt.shape.repair import reach_down, weld

CHEST = -0.5
"""Height, in head space, at which what hangs on a head is cut off; results are cut a little higher (finish.NECK)."""
THROAT = -0.2
"""An open border that lies below as a whole is where a neck ends."""


def chosen_head(
    shape: HeadShape | None, emit: Callable[[Event], None] = lambda event: None, control: JobControl | None = None
) -> Head:
    """The head of a request, or the built-in one for None, in head space.

    A mesh of its own that comes without landmarks is registered, and a notice says so. Raises UserError for what is no
    head.
    """
    model = load_builtin()
    if shape is None or shape.triangles is None:
        return Head.from_vertices(model, model.vertices if shape is None else shape.vertices)
    known = None
    if shape.landmarks is not None:
        known = RegisterRequest(shape, np.arange(COUNT, dtype=np.int32), shape.landmarks)
    found = registered(shape, emit, control or JobControl(), known)
    if known is None:
        text = f"The face of “{shape.name}” was found by itself, {100 * found.error:.1f} % of its height off the fit."
        emit(Notice(f"{text} {found.doubt}".rstrip()))
    return bust(model, shape, found, found.landmarks.on(shape.vertices, shape.triangles))


def head_of_file(path: Path) -> HeadShape:
    """What a mesh file holds: a head with the built-in one's vertices in their order, or any mesh.

    Raises UserError when it can not be read.
    """
    if path.suffix.lower() in (".obj", ".ply"):
        vertices = read_vertices(path)
        if len(vertices) == len(load_builtin().vertices):
            return HeadShape(path.stem, vertices)
    return HeadShape(path.stem, *read_mesh(path))


def bust(model: HeadModel, shape: HeadShape, found: Registration, landmarks: NDArray[np.float32]) -> Head:
    """What can be seen of a mesh from outside, down to the chest; a neck that ends above is made longer.

    landmarks [478, 3]: where they are on it.
    """
    assert shape.triangles is not None
    points, faces = visible_surface(found.space.to_head(shape.vertices), shape.triangles)
    cut = cut_below(Mesh(points.astype(np.float32), faces.astype(np.int32)), CHEST)
    points, faces = reach_down(*weld(cut.vertices, cut.triangles), THROAT, CHEST)
    _, nearest = cKDTree(found.head).query(points)
    masks = {name: mask[nearest] for name, mask in model.masks.items()}
    for inner in ("teeth", "gums", "mouth_bag", "eye_sockets"):  # what can be seen is none of these
        masks[inner] = np.zeros(len(points), np.float32)
    return Head(points.astype(np.float32), faces.astype(np.int32), found.space.to_head(landmarks), masks, found.space)
