# SPDX-License-Identifier: GPL-3.0-or-later
"""Textures of a light mesh from the detailed surface behind it."""

from __future__ import annotations

from collections.abc import Callable

import igl
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from headsculpt.mesh import Mesh
from headsculpt.render.raster import rasterize_kernel
from headsculpt.render.shading import corner_tangents

Colors = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Colours, float32 [N, 3] sRGB in [0, 1], at points of the surface, float32 [N, 3]."""

_APRON = 3
"""Texels around a chart whose colours are computed as if its triangles went on; those farther out copy the nearest.

Bilinear filtering at a chart's rim reads one texel beyond it. Were that a copy, the two sides of a seam would differ.
"""
_BATCH = 1 << 17


def bake(
    mesh: Mesh, normals: NDArray[np.float32], corner_uv: NDArray[np.float32], detail: Mesh, color_at: Colors, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Base colour (sRGB) and normal map (tangent space, OpenGL's +y), uint8 [size, size, 3] each, row 0 at the top.

    mesh with vertex normals [V, 3] and corner_uv [T, 3, 2]: what is textured; detail: what is shown, near `mesh`;
    color_at is asked at points on the detailed surface only. No texel is left empty. Tangents: `corner_tangents`,
    as MikkTSpace has them; as there, the shader interpolates normal and tangent without making them unit vectors.
    """
    triangle, bary, row, column, inside = _texels(corner_uv, size)
    corners = mesh.triangles[triangle]
    points, shown = _on_detail(_mix(bary, mesh.vertices[corners]), detail)
    colors = np.concatenate([color_at(points[i : i + _BATCH]) for i in range(0, len(points), _BATCH)])
    base_color = _image(colors, row, column, size)

    # a normal is relative to the chart's own frame, which does not go on beyond its rim
    bary, corners, shown = bary[inside], corners[inside], shown[inside]
    frames = corner_tangents(mesh.vertices, mesh.triangles, normals, corner_uv)[triangle[inside]]
    normal, tangent = _mix(bary, normals[corners]), _mix(bary, frames[..., :3])
    bitangent = frames[:, 0, 3:] * np.cross(normal, tangent)
    local = _in_frame(tangent, bitangent, normal, shown)
    return base_color, _image(0.5 + 0.5 * local, row[inside], column[inside], size)


def _texels(
    corner_uv: NDArray[np.float32], size: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of charts and aprons: triangle [N], barycentric coordinates [N, 3], row, column, and whether it is in a chart.

    In aprons the coordinates go beyond 0 … 1.
    """
    pixels = (corner_uv * (1, -1) + (0, 1)).reshape(-1, 2).astype(np.float32) * size
    order = np.arange(len(pixels), dtype=np.int32).reshape(-1, 3)
    ids, bary = np.empty((size, size), np.int32), np.empty((size, size, 3), np.float32)
    rasterize_kernel(pixels, np.ones(len(pixels), np.float32), order, ids, bary)
    distance, (near_row, near_column) = distance_transform_edt(ids < 0, return_indices=True)
    row, column = np.nonzero(distance <= _APRON)
    triangle = ids[near_row[row, column], near_column[row, column]]
    centers = np.stack([column, row], axis=1) + 0.5
    return triangle, _barycentric(pixels[order[triangle]], centers), row, column, ids[row, column] >= 0


def _barycentric(corners: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of points [N, D] in the planes of triangles [N, 3, D]; outside of the triangles, too."""
    a, b, c = np.moveaxis(corners.astype(np.float64), 1, 0)
    ab, ac, ap = b - a, c - a, points - a
    bb, cc, bc = (ab * ab).sum(1), (ac * ac).sum(1), (ab * ac).sum(1)
    pb, pc = (ap * ab).sum(1), (ap * ac).sum(1)
    area = np.maximum(bb * cc - bc * bc, 1e-30)
    v, w = (cc * pb - bc * pc) / area, (bb * pc - bc * pb) / area
    v, w = np.clip(v, -2, 3), np.clip(w, -2, 3)  # a needle that is extended by a texel must not end far away
    return np.stack([1 - v - w, v, w], axis=1)


def _on_detail(where: NDArray[np.float64], detail: Mesh) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The nearest points of the detailed surface [N, 3] and its smooth unit normals there [N, 3]."""
    vertices, triangles = detail.vertices.astype(np.float64), detail.triangles.astype(np.int64)
    _, nearest, points = igl.point_mesh_squared_distance(where, vertices, triangles)
    corners = triangles[nearest]
    normals = _mix(_barycentric(vertices[corners], points), area_normals(detail)[corners])
    return points.astype(np.float32), normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def area_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Unit vertex normals [V, 3] weighted by area: the slivers of an extracted surface have none, and do not count."""
    weights = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    return igl.per_vertex_normals(mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64), weights)


def angle_normals(mesh: Mesh) -> NDArray[np.float32]:
    """Unit vertex normals [V, 3] weighted by the corners' angles: those that Blender gives a smooth mesh."""
    weights = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_ANGLE
    normals = igl.per_vertex_normals(mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64), weights)
    return normals.astype(np.float32)


def _mix(bary: NDArray[np.float64], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values at three corners [N, 3, C], weighted [N, 3]."""
    return np.einsum("nc,nci->ni", bary, values)


def _in_frame(
    tangent: NDArray[np.float64],
    bitangent: NDArray[np.float64],
    normal: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Unit (x, y, z) with x · tangent + y · bitangent + z · normal along the vector; [N, 3], frames not orthonormal."""
    across = np.cross(bitangent, normal), np.cross(normal, tangent), np.cross(tangent, bitangent)
    side = np.sign((tangent * across[0]).sum(1))
    parts = np.stack([(vector * axis).sum(1) * side for axis in across], axis=1)
    return parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-20)


def _image(
    values: NDArray[np.floating], row: NDArray[np.int64], column: NDArray[np.int64], size: int
) -> NDArray[np.uint8]:
    """uint8 [size, size, 3] from values [N, 3] in [0, 1] at their texels; all others copy the nearest of them."""
    image = np.zeros((size, size, 3), np.uint8)
    image[row, column] = np.rint(np.clip(values, 0, 1) * 255)
    empty = np.ones((size, size), np.bool_)
    empty[row, column] = False
    near_row, near_column = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return image[near_row, near_column]
