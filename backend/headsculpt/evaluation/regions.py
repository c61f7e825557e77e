# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures on a finished head beside the head that it grew from. Both are in head space.

Every measure is weighted by area and drawn from the triangles' centres: no random numbers, the same figure each time.
"""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import NDArray
from trimesh.triangles import points_to_barycentric

from headsculpt.evaluation.colors import lab
from headsculpt.head.model import Head
from headsculpt.head.space import CROWN_TO_CHIN
from headsculpt.mesh import TexturedMesh
from headsculpt.render.meshview import texture_kernel

Floats = NDArray[np.floating]

INSET = 0.03
"""How far below the chosen head a ray still looks, so that it also finds a surface that has sunk."""
REACH = 0.25
"""How far off the chosen head rays begin, in head space: beyond the tallest mohawk."""
RIDGE = 0.02
"""Half the width of the strip along the middle of the scalp that carries a mohawk."""
STANDOFF_SHARE = 0.95


def region_color(mesh: TexturedMesh, head: Head, region: str) -> NDArray[np.float64]:
    """What an onlooker sees where a region of the chosen head lies: the median CIELAB colour [3] of the result there.

    Towards the middle of each of the region's triangles a ray comes in against the normal, from REACH off the head.
    The first surface of the result that it meets is what shows; if it meets none, the nearest point of the result.
    region: skin, scalp, ridge or beard.
    """
    triangles = region_triangles(head, region)
    middle, normal, area = _facets(head.vertices, triangles)
    triangle, bary, _ = _seen_above(mesh, middle, normal)
    colors = np.empty((1, len(triangle), 3), np.float32)
    texture_kernel(mesh.base_color, mesh.corner_uv, triangle[None], bary[None], colors)
    return np.array([weighted_quantile(channel, area, 0.5) for channel in lab(colors[0]).T])


def standoff(mesh: TexturedMesh, head: Head) -> float:
    """How far the result stands off the chosen head's scalp, as a share of the head's height (crown to chin).

    Taken are those points of the result whose nearest point on the chosen head's skin lies on the scalp; measured is
    the distance to it; the answer is the 95th percentile over their area. The other direction, from the scalp to the
    nearest point of the result, would not do: under a mohawk's crest the nearest point is its side wall, so it would
    measure half the crest's width, however tall it is. `thickness` is a stricter second opinion.
    Raises ValueError when no part of the result is over the scalp.
    """
    points, _, area = _facets(mesh.vertices, mesh.triangles)
    skin = head.triangles[(head.masks["skin"][head.triangles] > 0.5).all(axis=1)]
    squared, nearest, _ = igl.point_mesh_squared_distance(
        points, head.vertices.astype(np.float64), skin.astype(np.int64)
    )
    over_scalp = _on(head.masks["scalp"], skin)[nearest]
    if not over_scalp.any():
        raise ValueError("no part of this mesh is over the scalp")
    return weighted_quantile(np.sqrt(squared[over_scalp]), area[over_scalp], STANDOFF_SHARE) / CROWN_TO_CHIN


def thickness(mesh: TexturedMesh, head: Head) -> float:
    """How high the result stands over the chosen head's scalp along its normals, as a share of the head's height.

    The 95th percentile over the scalp's own area: a mohawk counts here only by the strip that it stands on, a tenth of
    the scalp at most, so that gaps in the crest show at once.
    """
    middle, normal, area = _facets(head.vertices, region_triangles(head, "scalp"))
    *_, height = _seen_above(mesh, middle, normal)
    return weighted_quantile(np.abs(height), area, STANDOFF_SHARE) / CROWN_TO_CHIN


def region_triangles(head: Head, region: str) -> NDArray[np.int32]:
    """The chosen head's triangles [T, 3] in one of its regions: skin (of the face, where neither lips, brows, eyes nor
    a beard are), scalp, ridge (what a mohawk stands on) or beard."""
    masks = head.masks
    if region == "skin":
        others = np.max([masks[name] for name in ("lips", "brows", "eyes", "beard")], axis=0)
        inside = _on(masks["face"] * (1 - others), head.triangles)
    elif region == "beard":
        inside = _on(masks["beard"] * (1 - masks["lips"]), head.triangles)
    else:
        inside = _on(masks["scalp"], head.triangles)
    if region == "ridge":
        inside &= np.abs(head.vertices[head.triangles, 0].mean(axis=1)) < RIDGE
    return head.triangles[inside & _on(masks["skin"], head.triangles)]


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The smallest of the values [N] that has at least `share` of all weight [N] at or below it."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


def _on(mask: Floats, triangles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which triangles [T] are in a mask [V], at their middle."""
    return np.asarray(mask[triangles].mean(axis=1) > 0.5)


def _facets(vertices: Floats, triangles: NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
    """Centre [T, 3], unit normal [T, 3] and area [T] of each triangle, in float64."""
    corners = vertices.astype(np.float64)[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return corners.mean(axis=1), cross / np.maximum(length, 1e-30)[:, None], length / 2


def _seen_above(
    mesh: TexturedMesh, points: Floats, directions: Floats
) -> tuple[NDArray[np.int32], NDArray[np.float32], Floats]:
    """The result's outermost place over each point [N, 3], found by a ray that comes in against `directions` [N, 3].

    Returns triangle [N], barycentric coordinates [N, 3], and how far the ray ends above the point [N]; where it meets
    nothing, the nearest place and its distance.
    """
    surface = mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64)
    tree = igl.AABB()
    tree.init(*surface)
    start = points + REACH * directions
    triangle, way, uv = tree.intersect_ray_first(*surface, start, -directions, REACH + INSET)
    lost = triangle < 0
    uv[lost] = 0  # igl leaves it as the memory was
    bary = np.stack([1 - uv.sum(axis=1), *uv.T], axis=1)
    height = REACH - way
    if lost.any():
        squared, nearest, place = tree.squared_distance(*surface, points[lost])
        triangle[lost], height[lost] = nearest, np.sqrt(squared)
        inside = points_to_barycentric(surface[0][surface[1][nearest]], place)
        bary[lost] = np.clip(np.nan_to_num(inside, nan=1 / 3), 0, 1)
    return triangle.astype(np.int32), bary.astype(np.float32), height
