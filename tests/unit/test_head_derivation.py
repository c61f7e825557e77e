# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that derive the built-in head, on meshes that can be drawn on paper."""

from __future__ import annotations

import numpy as np
import pytest

from headsculpt.head.derivation.collapse import Loop, collapse
from headsculpt.head.derivation.layout import disc, spread
from headsculpt.head.derivation.quadmesh import between_rings, border_loops, edges, rings
from headsculpt.head.derivation.regions import smooth_curve, smoothstep, to_outline
from headsculpt.head.derivation.surface import closest_on_triangles, weights_matrix
from headsculpt.head.model import split_quads

NO_EDGES = np.zeros((0, 2), np.int64)


def grid(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quads and vertices of a flat grid; vertex number = row · columns + column."""
    columns, rows = len(x), len(y)
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    quads = np.stack([first, first + 1, first + columns + 1, first + columns], 1)
    return quads, np.array([[a, b, 0.0] for b in y for a in x])


def mirrored(columns: int, rows: int) -> np.ndarray:
    return np.arange(rows * columns).reshape(rows, columns)[:, ::-1].ravel()


def test_the_narrowest_strip_goes_first_and_with_its_mirror_image() -> None:
    x, y = np.array([-3.0, -2, -1, -0.7, 0.7, 1, 2, 3]), np.array([0.0, 1, 2, 3, 4])
    quads, vertices = grid(x, y)
    left, owner = collapse(quads, vertices, mirrored(8, 5), np.ones(40), [], NO_EDGES, 30)
    assert len(np.unique(left)) == 30 and len(left) == len(quads) - 2 * 4
    assert np.array_equal(owner.reshape(5, 8) % 8, np.tile([0, 1, 2, 2, 4, 4, 6, 7], (5, 1)))


def test_spacing_decides_what_is_narrow() -> None:
    x, y = np.array([-2.0, -1, 0, 1, 2]), np.array([0.0, 0.5, 2, 4])
    quads, vertices = grid(x, y)
    spacing = np.where(vertices[:, 1] > 1, 1.0, 0.1)  # fine below, so that the low row may stay
    _, owner = collapse(quads, vertices, mirrored(5, 4), spacing, [], NO_EDGES, 15)
    rows = owner.reshape(4, 5)[:, 0] // 5
    assert rows[0] != rows[1] and len(np.unique(rows)) + len(np.unique(owner.reshape(4, 5)[0])) < 9


def test_guarded_strips_and_loops_stay() -> None:
    x, y = np.array([-2.0, -1.9, 0, 1.9, 2]), np.array([0.0, 1, 2, 3])
    quads, vertices = grid(x, y)
    everything = dict(mirror=mirrored(5, 4), spacing=np.ones(20))
    _, owner = collapse(quads, vertices, **everything, loops=[], guarded=np.array([[0, 1]]), target=15)
    assert owner[0] != owner[1] and owner[3] != owner[4]  # another strip went, though it is wider
    low = Loop(np.arange(5), 5)
    _, owner = collapse(quads, vertices, **everything, loops=[low], guarded=NO_EDGES, target=15)
    assert len(np.unique(owner[:5])) == 5


def test_a_mesh_that_can_not_be_made_smaller_says_so() -> None:
    quads, vertices = grid(np.array([-1.0, 1]), np.array([0.0, 1]))
    with pytest.raises((RuntimeError, ValueError)):
        collapse(quads, vertices, mirrored(2, 2), np.ones(4), [], NO_EDGES, 2)


def test_edges_loops_and_rings_of_a_grid_with_a_hole() -> None:
    quads, _ = grid(np.arange(6.0), np.arange(6.0))
    quads = np.delete(quads, 12, 0)  # the middle one
    edge, side, uses = edges(quads)
    assert len(edge) == 60 and (uses == 1).sum() == 24 and np.array_equal(np.bincount(side.ravel()), uses)
    outer, inner = border_loops(quads)
    assert len(outer) == 20 and set(inner) == {14, 15, 20, 21}
    ring = rings(quads, inner, 1, 36).reshape(6, 6)
    assert (ring == 0).sum() == 4 and (ring == 1).sum() == 8 and (ring < 0).sum() == 24
    across = between_rings(quads, inner, 0)
    assert len(across) == 8 and all((a in inner) != (b in inner) for a, b in across.tolist())


def test_nearest_points_of_triangles_against_many_samples() -> None:
    generator = np.random.default_rng(3)
    corners, points = generator.normal(size=(60, 3, 3)), 2 * generator.normal(size=(60, 3))
    barycentric, squared = closest_on_triangles(points, corners)
    assert barycentric.min() >= 0 and np.allclose(barycentric.sum(1), 1)
    reached = np.einsum("nk,nkc->nc", barycentric, corners)
    assert np.allclose(((reached - points) ** 2).sum(1), squared)
    steps = np.linspace(0, 1, 201)
    u, v = (a.ravel() for a in np.meshgrid(steps, steps))
    some = np.stack([1 - u - v, u, v], 1)[u + v <= 1]
    sampled = ((some @ corners - points[:, None]) ** 2).sum(-1).min(1)
    assert (squared <= sampled + 1e-12).all() and np.abs(np.sqrt(sampled) - np.sqrt(squared)).max() < 0.02


def test_weights_move_with_the_surface() -> None:
    weights = weights_matrix(np.array([[0, 2, 3]]), np.array([[0.25, 0.25, 0.5]]), 4)
    assert np.allclose(weights @ np.arange(12.0).reshape(4, 3), [[6, 7, 8]])
    assert np.allclose(weights @ np.array([1.0, 99, 1, 1]), 1)


def test_outlines_curves_and_steps() -> None:
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    distance = to_outline(np.array([[1.0, 1], [1, 1.75], [3, 1], [3, 3], [-1, -1]]), square)
    assert np.allclose(distance, [-1, -0.25, 1, np.sqrt(2), np.sqrt(2)])
    curve = smooth_curve([[0, 0], [1, 0], [2, 0]], closed=False, steps=4)
    assert np.allclose(curve[[0, 4, 8]], [[0, 0], [1, 0], [2, 0]]) and np.allclose(curve[:, 1], 0)
    assert len(smooth_curve(square, closed=True, steps=4)) == 16
    assert np.allclose(smoothstep(np.array([-1.0, 0, 0.5, 1, 2]), 0, 1), [0, 0, 0.5, 1, 1])
    assert np.allclose(smoothstep(np.array([0.0, 1]), 1, 0), [1, 0])


def signed_areas(uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    one, other = uv[triangles[:, 1]] - uv[triangles[:, 0]], uv[triangles[:, 2]] - uv[triangles[:, 0]]
    return 0.5 * (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])


def test_a_hemisphere_unfolds_without_a_flip_and_better_than_the_disc() -> None:
    quads, flat = grid(np.linspace(-1, 1, 13), np.linspace(-1, 1, 13))
    vertices = flat * [1.2, 1.2, 0] + [0, 0, 2]
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True) / 2
    vertices[:, 2] *= 2.5  # a steep cap
    hollow = np.delete(quads, [65, 66, 77, 78], 0)  # with a hole, which must stay open
    triangles = split_quads(hollow)
    corners = vertices[triangles]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    uneven = []
    for unfold in (disc, spread):
        used, uv = unfold(hollow, vertices)
        signed = signed_areas(uv, np.searchsorted(used, triangles))
        assert (signed > 0).all()
        uneven.append(np.std(np.log(signed / area)))
    assert uneven[1] < 0.5 * uneven[0]
    _, hole = border_loops(hollow)
    x, y = uv[np.searchsorted(used, hole)].T  # walked with the surface on its left: clockwise about the hole
    assert 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < -0.05
