# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen of a mesh that is open, inside out, doubled."""

from __future__ import annotations

import numpy as np
from shapes import icosphere

from headsculpt.finish.clean import signed_volume
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.repair import cluster, on_border, outer_surface, reach_down, weld


def test_mixed_windings_are_turned_outwards() -> None:
    ball = icosphere(3)
    mixed = ball.triangles.copy()
    mixed[::3] = mixed[::3, ::-1]
    points, faces = outer_surface(ball.vertices[mixed].reshape(-1, 3), np.arange(mixed.size).reshape(-1, 3))
    assert len(points) == len(ball.vertices) and len(faces) == len(ball.triangles)
    assert signed_volume(points, faces) == signed_volume(ball.vertices, ball.triangles)


def test_what_lies_hidden_inside_goes_and_what_shows_stays() -> None:
    ball = icosphere(3)
    count = len(ball.vertices)
    vertices = np.concatenate([ball.vertices, 0.4 * ball.vertices, 0.2 * ball.vertices + [0, 0, 0.3], [[9, 9, 9]]])
    triangles = np.concatenate([ball.triangles, ball.triangles + count, ball.triangles + 2 * count])
    points, faces = outer_surface(vertices, triangles)
    assert len(faces) == 2 * len(ball.triangles)
    assert np.abs(points).max() < 1  # the vertex without a triangle is gone


def test_the_distance_to_an_open_mesh_that_was_inside_out() -> None:
    ball = icosphere(4)
    keep = ball.vertices[ball.triangles].mean(1)[:, 1] > -0.2
    grid = signed_distance_grid(*outer_surface(ball.vertices, ball.triangles[keep][:, ::-1]), 48)
    axis = np.linspace(-0.75, 0.75, 48)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    radius = np.linalg.norm(nodes, axis=-1)
    above = (nodes[..., 1] > -0.1) & (np.abs(radius - 0.3) < 0.05)
    assert np.abs(grid - (radius - 0.3))[above].max() < 0.004
    assert grid[24, 24, 24] < 0 < grid[24, 3, 24]


def test_welding_drops_doubles_and_what_has_no_area() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 0]], float)
    points, faces = weld(vertices, np.array([[0, 1, 2], [3, 1, 2], [0, 1, 4], [1, 1, 2]]))
    assert len(points) == 3 and len(faces) == 1


def test_thinning_out_keeps_the_shape() -> None:
    ball = icosphere(5)
    points, faces = cluster(ball.vertices.astype(float), ball.triangles.astype(np.int64), 0.06)
    assert len(faces) < len(ball.triangles) / 10
    assert np.abs(np.linalg.norm(points, axis=1) - 0.3).max() < 0.01


def test_rims() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    assert on_border(faces, 5).tolist() == [False, True, True, True, False]


def test_a_neck_that_ends_too_early_reaches_down_and_other_openings_stay() -> None:
    ball = icosphere(4)
    heights = ball.vertices[ball.triangles].mean(1)[:, 1]
    keep = (heights > -0.2) & (heights < 0.25)  # a hole at the crown, a ragged border at the neck
    points, faces = weld(ball.vertices.astype(float), ball.triangles[keep].astype(np.int64))
    longer, walled = reach_down(points, faces, top=-0.1, height=-0.4)
    border = longer[on_border(walled, len(longer))]
    assert set(np.unique(border[border[:, 1] < 0, 1])) == {-0.4} and (border[:, 1] > 0.2).any()
    corners = longer[walled]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * corners.mean(1))[:, [0, 2]].sum(1) > -1e-12).all()  # outwards, also the new wall
    again, same = reach_down(longer, walled, top=-0.1, height=-0.4)
    assert len(again) == len(longer) and len(same) == len(walled)
