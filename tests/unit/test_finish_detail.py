# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen head's details on a surface that follows it."""

from __future__ import annotations

import igl
import numpy as np
import pytest
import trimesh

from headsculpt.finish.clean import clean
from headsculpt.finish.detail import restore_detail
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.jobs.generate import solid_pieces
from headsculpt.mesh import Mesh
from headsculpt.shape.distance import closed_pieces, nodes_near

RADIUS, CELL = 0.2, 0.006


def ball(subdivisions: int, height: object = None) -> Mesh:
    """A ball about the origin; height: of its surface above RADIUS in a unit direction, [N, 3] → [N]."""
    sphere = trimesh.creation.icosphere(subdivisions)
    rise = height(sphere.vertices) if callable(height) else 0.0
    points = sphere.vertices * (RADIUS + rise)[..., None] if callable(height) else sphere.vertices * RADIUS
    return Mesh(points.astype(np.float32), sphere.faces.astype(np.int32))


def dimples(ways: np.ndarray) -> np.ndarray:
    """What a head has and its coarse surface has lost: fine waves around the front."""
    return 0.004 * np.sin(40 * ways[:, 0]) * np.clip(ways[:, 2], 0, 1)


def tuft(ways: np.ndarray) -> np.ndarray:
    """What the words have grown."""
    return 0.08 * np.exp(-(((1 - ways[:, 1]) / 0.05) ** 2))


def off(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Distances [N] of points from a mesh."""
    squared = igl.point_mesh_squared_distance(
        points.astype(np.float64), mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64)
    )[0]
    return np.sqrt(squared)


@pytest.fixture(scope="module")
def restored() -> Mesh:
    swollen = ball(4, lambda ways: 0.003 + tuft(ways))
    head = ball(5, dimples)
    return clean(restore_detail(swollen, closed_pieces(head.vertices, head.triangles), CELL))


def test_the_head_comes_back_where_the_surface_follows_it(restored: Mesh) -> None:
    below = restored.vertices[restored.vertices[:, 1] < 0.1]
    wanted = ball(5, lambda ways: 0.003 + dimples(ways))
    assert np.quantile(off(below, wanted), 0.99) < 0.0012
    assert np.quantile(off(below, ball(5)), 0.99) > 0.005  # it was not there before


def test_what_has_grown_stays(restored: Mesh) -> None:
    grown = ball(4, lambda ways: 0.003 + tuft(ways))
    tip = grown.vertices[grown.vertices[:, 1] > RADIUS + 0.03]
    assert len(tip) > 20 and off(tip, restored).max() < CELL  # it is pointed


def test_it_is_closed_and_manifold(restored: Mesh) -> None:
    mesh = trimesh.Trimesh(restored.vertices, restored.triangles, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    assert mesh.euler_number == 2


def test_a_roughness_of_the_surface_is_no_growth() -> None:
    rng = np.random.default_rng(0)
    rough = ball(4)
    rough = Mesh(rough.vertices * rng.normal(1, 0.02, (len(rough.vertices), 1)).astype(np.float32), rough.triangles)
    smooth = clean(restore_detail(rough, [ball(5)], CELL))
    assert np.quantile(off(smooth.vertices, ball(5)), 0.95) < 0.002 < np.quantile(off(rough.vertices, ball(5)), 0.5)


def test_the_pieces_of_the_built_in_head_are_closed_and_skin_comes_first() -> None:
    model = load_builtin()
    pieces = solid_pieces(Head.from_vertices(model, model.vertices))
    assert len(pieces) == 4  # skin, two eyeballs, tongue
    for piece in pieces:
        assert trimesh.Trimesh(piece.vertices, piece.triangles, process=False).is_watertight
    assert len(pieces[0].triangles) > 5 * len(pieces[1].triangles)


def test_nodes_near_a_triangle_are_those_within_the_band() -> None:
    corners = np.array([[[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0.01]]], np.float64)
    nodes, cells = nodes_near(corners, 0.02, 0.005)
    triangle = Mesh(corners[0].astype(np.float32), np.array([[0, 1, 2]], np.int32))
    assert off(nodes, triangle).max() <= 0.02 + 1e-6
    step = np.ptp(nodes[cells[0]], axis=0)
    np.testing.assert_allclose(step, step[0])
    axis = [np.arange(nodes[:, i].min() - 2 * step[i], nodes[:, i].max() + 2 * step[i], step[i]) for i in range(3)]
    every = np.stack(np.meshgrid(*axis, indexing="ij"), -1).reshape(-1, 3)
    assert abs((off(every, triangle) < 0.02).sum() - len(nodes)) < 0.02 * len(nodes)
