# SPDX-License-Identifier: GPL-3.0-or-later
"""Texture coordinates: nothing twice, few charts, little stretch, the face whole and upright."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapes import bumps, extracted, icosphere

from headsculpt.finish.clean import clean, decimate
from headsculpt.finish.unwrap import _without_overlap, unwrap
from headsculpt.mesh import Mesh

SIZE = 512
PADDING = 8


def torus(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    return np.hypot(np.hypot(x, y) - 0.28, z) - 0.1


def mohawk(points: np.ndarray) -> np.ndarray:
    """A ball with a thin, notched fin over its crown."""
    x, y, z = points.T
    angle = np.arctan2(y, z)
    fin = np.maximum(np.abs(x) - 0.03, np.hypot(y, z) - 0.38 - 0.02 * np.sin(20 * angle))
    fin = np.maximum(fin, np.abs(angle - np.pi / 2) - 1)
    return np.minimum(np.linalg.norm(points, axis=1) - 0.28, fin)


SURFACES = {
    "ball": icosphere(4),
    "bumps": decimate(icosphere(5, bumps), 4000),
    "mohawk": decimate(clean(extracted(mohawk, 60)), 4000),
    "handle": decimate(clean(extracted(torus)), 2500),
}


@pytest.fixture(scope="module", params=SURFACES)
def unwrapped(request: pytest.FixtureRequest) -> tuple[Mesh, np.ndarray]:
    mesh = SURFACES[request.param]
    return mesh, unwrap(mesh, SIZE, PADDING)


def areas(corners: np.ndarray) -> np.ndarray:
    """Signed, of triangles [T, 3, 2]."""
    (ux, uy), (vx, vy) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return (ux * vy - uy * vx).astype(np.float64) / 2


def surface_areas(mesh: Mesh) -> np.ndarray:
    a, b, c = np.moveaxis(mesh.vertices[mesh.triangles].astype(np.float64), 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def charts(mesh: Mesh, corner_uv: np.ndarray) -> np.ndarray:
    """Each triangle's chart: those that share an edge in the surface and in the texture."""
    keys = np.concatenate([mesh.triangles[..., None], corner_uv], axis=2).reshape(-1, 3)
    corner = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1, 3)
    start, end = corner[:, [0, 1, 2]].reshape(-1), corner[:, [1, 2, 0]].reshape(-1)
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(corner.max() + 1,) * 2)
    return connected_components(graph, directed=False)[1][corner[:, 0]]


def samples(corner_uv: np.ndarray) -> np.ndarray:
    """Points [K, T, 2] in every triangle, its rim included."""
    steps = 6
    weights = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.einsum("kc,tci->kti", np.array(weights) / steps, corner_uv)


def test_every_triangle_has_its_place(unwrapped: tuple[Mesh, np.ndarray]) -> None:
    mesh, corner_uv = unwrapped
    assert corner_uv.shape == (len(mesh.triangles), 3, 2) and corner_uv.dtype == np.float32
    assert corner_uv.min() >= PADDING / 2 / SIZE and corner_uv.max() <= 1 - PADDING / 2 / SIZE
    assert (areas(corner_uv) > 0).all()


def test_nothing_is_covered_twice(unwrapped: tuple[Mesh, np.ndarray]) -> None:
    """Brute force: of 20,000 points, how many triangles does each lie well inside of?"""
    _, corner_uv = unwrapped
    points = np.random.default_rng(0).random((20_000, 2))
    middles, reach = corner_uv.mean(axis=1), np.linalg.norm(corner_uv - corner_uv.mean(axis=1, keepdims=True), axis=2)
    near = cKDTree(middles).query_ball_point(points, reach.max())
    point = np.repeat(np.arange(len(points)), [len(found) for found in near])
    triangle = np.concatenate([found for found in near]).astype(int)
    a, b, c = np.moveaxis(corner_uv[triangle].astype(np.float64), 1, 0)
    p = points[point]
    parts = np.stack([areas(np.stack(corners, axis=1)) for corners in ((p, b, c), (a, p, c), (a, b, p))])
    inside = (parts / areas(corner_uv)[triangle] > 1e-3).all(axis=0)
    assert np.bincount(point[inside], minlength=len(points)).max() == 1


def test_charts_are_few_and_apart(unwrapped: tuple[Mesh, np.ndarray]) -> None:
    mesh, corner_uv = unwrapped
    chart = charts(mesh, corner_uv)
    large = np.bincount(chart, surface_areas(mesh)) > 0.005 * surface_areas(mesh).sum()
    assert large.sum() <= 16
    assert chart.max() < 60
    points = samples(corner_uv)
    for number in range(chart.max() + 1):
        own = points[:, chart == number].reshape(-1, 2)
        others = cKDTree(points[:, chart != number].reshape(-1, 2))
        gap = others.query(own, distance_upper_bound=PADDING / SIZE)[0].min() * SIZE
        assert gap > 0.7 * PADDING, "in texels; the rims of charts are sampled"


def test_little_stretch_and_good_use(unwrapped: tuple[Mesh, np.ndarray]) -> None:
    mesh, corner_uv = unwrapped
    scale = areas(corner_uv) / surface_areas(mesh)
    weight = surface_areas(mesh) / surface_areas(mesh).sum()
    order = np.argsort(scale)
    low, high = np.interp((0.05, 0.95), np.cumsum(weight[order]), scale[order])
    assert high / low < 8, "the face is meant to have 5 times the texels of the neck's cut"
    assert areas(corner_uv).sum() > 0.35


def test_face_is_upright_and_has_more_texels() -> None:
    mesh = SURFACES["bumps"]
    corner_uv = unwrap(mesh, SIZE, PADDING)
    points = mesh.vertices[mesh.triangles]
    direction = points.mean(axis=1) / 0.3
    face = direction[:, 2] > 0.8
    assert len(np.unique(charts(mesh, corner_uv)[face])) == 1
    uv, height = corner_uv[face].reshape(-1, 2), points[face, :, 1].reshape(-1)
    across = points[face, :, 0].reshape(-1)
    assert np.corrcoef(uv[:, 1], height)[0, 1] > 0.98 and np.corrcoef(uv[:, 0], across)[0, 1] > 0.98
    density = areas(corner_uv) / surface_areas(mesh)
    assert density[face].mean() > 1.5 * density[direction[:, 2] < -0.8].mean()


def test_same_mesh_same_coordinates() -> None:
    mesh = SURFACES["mohawk"]
    assert np.array_equal(unwrap(mesh, SIZE), unwrap(mesh, SIZE))


def test_of_two_pieces_one_within_the_other_the_larger_stays() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    flat = np.concatenate([0.2 * square + 0.4, square, [[2, 0.5]]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7], [5, 8, 6]])
    assert _without_overlap(flat, faces).tolist() == [False, False, True, True, True]
