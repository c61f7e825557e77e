# SPDX-License-Identifier: GPL-3.0-or-later
"""The landmarks of a chosen mesh: kept on its object, found by the worker, moved by hand.

They are a custom property of the object, so saving, undo and copying take them along, and they name vertices, so they
move with whatever moves these. They hold as long as the mesh has the faces that they were found on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils.geometry import closest_point_on_tri
from numpy.typing import NDArray

from .backend.headsculpt.errors import UserError
from .backend.headsculpt.head.builtin import load_builtin
from .backend.headsculpt.head.landmarks import CHIN, COUNT, MeshPoints
from .backend.headsculpt.jobs.request import HeadShape, RegisterRequest
from .backend.headsculpt.protocol import Frame, ProtocolError
from .scene import checked_arrays, numbered
from .session import Job
from .surface import Surface, topology_of, vertices_of

PROPERTY = "headsculpt_landmarks"
HEIGHT_TO_WIDTH = 1.22
"""Of the built-in head: crown to chin beside ear to ear."""
ENOUGH = 4
"""Landmarks set by hand from which on the worker needs no others to begin with."""


@dataclass(frozen=True)
class Landmarks:
    """MediaPipe's 478 points on a mesh.

    corners: int32 [478, 3], vertices of the mesh; weights: float32 [478, 3], one for each; fixed: bool [478], those
    that were set by hand; topology: of the mesh that they lie on; fit_error and doubt: as the worker has said, infinite
    and empty where it has said nothing yet.
    """

    corners: NDArray[np.int32]
    weights: NDArray[np.float32]
    fixed: NDArray[np.bool_]
    topology: str
    fit_error: float
    doubt: str

    def on(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where they are [478, 3] when the mesh's vertices are there [V, 3]."""
        return np.einsum("nk,nkc->nc", self.weights, vertices[self.corners])

    def moved(self, index: int, corners: NDArray[np.int32], weights: NDArray[np.float32]) -> Landmarks:
        """With one of them set by hand to another place: corners [3], weights [3]."""
        new = replace(self, corners=self.corners.copy(), weights=self.weights.copy(), fixed=self.fixed.copy())
        new.corners[index], new.weights[index], new.fixed[index] = corners, weights, True
        return new


# --- on the object --------------------------------------------------------------------------------------------------


def stored(obj: bpy.types.Object | None) -> Landmarks | None:
    """What is kept on an object; None when there is nothing, or nothing sound: anybody can write to a property."""
    group = obj.get(PROPERTY) if obj else None
    try:
        landmarks = Landmarks(
            np.array(group["corners"], np.int32).reshape(COUNT, 3),
            np.array(group["weights"], np.float32).reshape(COUNT, 3),
            np.array(group["fixed"], np.bool_).reshape(COUNT),
            str(group["topology"]),
            float(group["fit_error"]),
            str(group["doubt"]),
        )
        count = int(landmarks.topology.split()[0])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    sound = landmarks.corners.min() >= 0 and landmarks.corners.max() < count and np.isfinite(landmarks.weights).all()
    return landmarks if sound else None


def store(obj: bpy.types.Object, landmarks: Landmarks) -> None:
    obj[PROPERTY] = {
        "corners": landmarks.corners.reshape(-1),
        "weights": landmarks.weights.reshape(-1),
        "fixed": landmarks.fixed.astype(np.int32),
        "topology": landmarks.topology,
        "fit_error": landmarks.fit_error,
        "doubt": landmarks.doubt,
    }


def forget(obj: bpy.types.Object) -> None:
    del obj[PROPERTY]


def current(obj: bpy.types.Object | None, topology: str) -> Landmarks | None:
    """An object's landmarks, unless its mesh has got other faces since they were found."""
    landmarks = stored(obj)
    return landmarks if landmarks and landmarks.topology == topology else None


_topologies: dict[int, str] = {}


def seen_topology(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> str:
    """Of the evaluated mesh, remembered until that changes; empty in edit mode, where it always does, and for no
    mesh."""
    if obj.mode == "EDIT" or obj.type != "MESH":
        return ""
    if obj.session_uid not in _topologies:
        _topologies[obj.session_uid] = topology_of(obj.evaluated_get(depsgraph).data)
    return _topologies[obj.session_uid]


def on_change(_: object, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """After a step of Blender's: what is remembered may be wrong now."""
    if depsgraph is None or any(update.is_updated_geometry for update in depsgraph.updates):
        _topologies.clear()


# --- to the worker and back -----------------------------------------------------------------------------------------


def on_triangles(landmarks: Landmarks, surface: Surface) -> MeshPoints:
    """As the worker has them. A face with four or more corners is cut in triangles as its shape suggests: where it was
    cut otherwise than it is now, the nearest place on the triangles beside takes the landmark."""
    count = len(surface.vertices)
    keys = keys_of(surface.triangles, count)
    order = np.argsort(keys)
    wanted = keys_of(landmarks.corners, count)
    rows = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    same = landmarks.corners[:, None] == surface.triangles[rows][:, :, None]
    weights = (same * landmarks.weights[:, None]).sum(2)
    places = landmarks.on(surface.vertices)
    for index in np.flatnonzero(keys[rows] != wanted):
        beside = np.flatnonzero(np.isin(surface.triangles, landmarks.corners[index]).sum(1) >= 2)
        row, weights[index] = nearest(Vector(places[index]), surface.vertices[surface.triangles[beside]])
        rows[index] = beside[row]
    return MeshPoints(rows.astype(np.int32), weights.astype(np.float32))


def keys_of(triangles: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """A number for each triangle [N, 3] of a mesh with so many vertices, whatever corner comes first."""
    a, b, c = np.sort(triangles.astype(np.int64), axis=1).T
    return (a * count + b) * count + c


def nearest(place: Vector, corners: NDArray[np.float32]) -> tuple[int, NDArray[np.float64]]:
    """Which of some triangles with these corners [N, 3, 3] is nearest to a place, and the weights [3] of the point on
    it."""
    points = [closest_point_on_tri(place, *map(Vector, triangle)) for triangle in corners]
    row = min(range(len(points)), key=lambda row: (points[row] - place).length)
    return row, weights_at(np.array(points[row]), corners[row])


def weights_at(place: NDArray[Any], corners: NDArray[Any]) -> NDArray[np.float64]:
    """Barycentric weights [3], none negative, of a place [3] on a triangle with these corners [3, 3]."""
    origin, *edges = corners.astype(np.float64)
    share = np.linalg.lstsq(np.stack([edge - origin for edge in edges], 1), place - origin, rcond=None)[0]
    weights = np.array([1 - share.sum(), *share]).clip(0)
    return weights / weights.sum()


def request(head: HeadShape, known: Landmarks | None) -> RegisterRequest:
    """known: what to begin with, which the head brings; None to find all anew. UserError for the built-in head."""
    if head.triangles is None:
        raise UserError("The landmarks of the built-in head are known.", "Choose another mesh to find its landmarks.")
    anew = HeadShape(head.name, head.vertices, head.triangles)
    if known is None or head.landmarks is None:
        return RegisterRequest(anew)
    fixed, points = np.flatnonzero(known.fixed).astype(np.int32), head.landmarks
    only_laid = np.isinf(known.fit_error) and len(fixed) >= ENOUGH  # then those set by hand say more than the others
    places = MeshPoints(points.triangles[fixed], points.barycentric[fixed])
    return RegisterRequest(anew if only_laid else head, fixed, places)


def take_result(job: Job, frame: Frame) -> bpy.types.Object:
    """Keeps what the worker has found on the object that it was asked for.

    Raises UserError when that is gone, ProtocolError for a frame without landmarks of its mesh.
    """
    obj = numbered(bpy.data.objects, job.target.head)
    if obj is None:
        raise UserError(f"“{job.target.head_name}” is no longer there, and its landmarks went with it.")
    asked = job.request
    arrays = checked_arrays(frame, {"landmark_triangles": ("int32", ()), "landmark_barycentric": ("float32", (3,))})
    rows, weights = arrays["landmark_triangles"], arrays["landmark_barycentric"]
    if len(rows) != COUNT or len(weights) != COUNT or not np.isfinite(weights).all():
        raise ProtocolError("landmarks came that are none")
    if rows.min() < 0 or rows.max() >= len(asked.head.triangles):
        raise ProtocolError("landmarks came that lie on another mesh")
    fixed = np.zeros(COUNT, np.bool_)
    fixed[asked.fixed] = True
    corners = asked.head.triangles[rows]
    landmarks = Landmarks(corners, weights, fixed, job.target.topology, *said(frame.fields))
    store(obj, landmarks)
    return obj


def said(fields: Mapping[str, object]) -> tuple[float, str]:
    """Fit error and doubt."""
    error = fields.get("fit_error")
    if not isinstance(error, int | float):
        raise ProtocolError("landmarks came without saying how well they fit")
    return float(error), str(fields.get("doubt", ""))


# --- by hand --------------------------------------------------------------------------------------------------------


def move(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, index: int, face: int, place: Vector) -> None:
    """Sets a landmark to a place, in the object's coordinates, on a face of its evaluated mesh."""
    landmarks = current(obj, seen_topology(obj, depsgraph))
    if landmarks is None:
        raise UserError(f"“{obj.name}” has no landmarks for the faces that it has now.", "Find them first.")
    store(obj, landmarks.moved(index, *on_face(obj.evaluated_get(depsgraph).data, face, place)))


def on_face(mesh: bpy.types.Mesh, face: int, place: Vector) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Vertices [3] and their weights [3] of the point of a face that is nearest to a place."""
    polygon = mesh.polygons[face]
    mesh.calc_loop_triangles()
    first = polygon.loop_start - 2 * face  # each face before has two triangles fewer than corners
    rows = range(first, first + polygon.loop_total - 2)
    triangles = np.array([mesh.loop_triangles[row].vertices for row in rows], np.int32)
    corners = np.array([[mesh.vertices[vertex].co for vertex in triangle] for triangle in triangles.tolist()])
    row, weights = nearest(place, corners)
    return triangles[row], weights


def lay(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, view: Matrix) -> None:
    """Lays the landmarks of an average head over an object as it is seen, to be dragged where they belong.

    view: 3 × 3, its columns right, up and backward of whoever looks the head in the face. The head is taken to be what
    is uppermost. Raises UserError when the object has no surface.
    """
    evaluated = obj.evaluated_get(depsgraph)
    mesh, axes = evaluated.data, np.array(view)
    vertices, matrix = vertices_of(mesh), np.array(evaluated.matrix_world)
    if not len(mesh.polygons):
        raise UserError(f"“{obj.name}” has no faces.", "Choose a mesh object that is a head.")
    seen = (vertices @ matrix[:3, :3].T + matrix[:3, 3]) @ axes  # right, up, backward
    to_local = evaluated.matrix_world.inverted()
    mirrored = evaluated.matrix_world.determinant() < 0  # left and right are the mesh's, and it is seen in a mirror
    places = average_places(seen, -1 if mirrored else 1) @ axes.T
    rows = []
    for place in places.tolist():
        start, ahead = to_local @ Vector(place), to_local.to_3x3() @ -view.col[2]
        hit, point, _, face = obj.ray_cast(start, ahead, depsgraph=depsgraph)
        if not hit:
            _, point, _, face = obj.closest_point_on_mesh(start, depsgraph=depsgraph)
        rows.append(on_face(mesh, face, point))
    corners, weights = (np.array(part) for part in zip(*rows, strict=True))
    nothing = np.zeros(COUNT, np.bool_)
    store(obj, Landmarks(corners, weights.astype(np.float32), nothing, seen_topology(obj, depsgraph), np.inf, ""))


def average_places(seen: NDArray[np.floating], left: int) -> NDArray[np.float64]:
    """Where an average head's landmarks are [478, 3] before a mesh with vertices [V, 3], both along right, up and
    backward. left: 1 where the head's left is on the right, −1 where it is on the left."""
    model = load_builtin()
    own = model.landmarks(model.vertices).astype(np.float64)
    crown = model.vertices[model.masks["scalp"] > 0.5][:, 1].max()
    low, high = seen.min(0), seen.max(0)
    upper = seen[seen[:, 1] > high[1] - 0.5 * (high[1] - low[1])]
    height = min(high[1] - low[1], HEIGHT_TO_WIDTH * np.ptp(upper[:, 0]))
    scale = height / (crown - own[CHIN, 1])
    places = np.empty_like(own)
    places[:, 0] = (upper[:, 0].min() + upper[:, 0].max()) / 2 + left * scale * own[:, 0]
    places[:, 1] = high[1] + scale * (own[:, 1] - crown)
    places[:, 2] = high[2] + 0.1 * height
    return places
