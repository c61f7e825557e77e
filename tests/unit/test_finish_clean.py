# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning: one closed piece that faces outwards, whatever the stages leave."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import bumps, extracted, icosphere, is_closed_manifold

from headsculpt.errors import UserError
from headsculpt.finish.clean import clean, decimate, signed_volume
from headsculpt.mesh import Mesh

BALL = 4 / 3 * np.pi * 0.3**3


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles).astype(np.int32))


def volume(mesh: Mesh) -> float:
    return signed_volume(mesh.vertices, mesh.triangles)


def test_extracted_surface_loses_its_flecks() -> None:
    def three_balls(points: np.ndarray) -> np.ndarray:
        centers = ((0, 0, 0, 0.3), (0.42, 0.3, 0, 0.03), (-0.4, -0.35, 0.1, 0.04))
        return np.min([np.linalg.norm(points - center[:3], axis=1) - center[3] for center in centers], axis=0)

    surface = extracted(three_balls)
    cleaned = clean(surface)
    assert is_closed_manifold(cleaned)
    assert np.linalg.norm(cleaned.vertices, axis=1).max() < 0.31
    assert volume(cleaned) == pytest.approx(BALL, rel=0.02)


def test_a_finely_tessellated_fleck_is_not_the_head() -> None:
    fleck = icosphere(4)
    fleck = Mesh(fleck.vertices * 0.1 + 0.5, fleck.triangles)
    cleaned = clean(joined(icosphere(2), fleck))
    assert len(cleaned.triangles) == 320


def test_open_neck_is_closed_and_nothing_moves() -> None:
    ball = icosphere(4)
    kept = (ball.vertices[ball.triangles][..., 1] > -0.2).all(axis=1)
    cleaned = clean(Mesh(ball.vertices, ball.triangles[kept]))
    assert is_closed_manifold(cleaned)
    cap = np.pi * 0.1**2 * (3 * 0.3 - 0.1) / 3  # of height 0.1, which is cut off
    assert volume(cleaned) == pytest.approx(BALL - cap, rel=0.02)
    inside = np.setdiff1d(cleaned.vertices.round(6), ball.vertices.round(6))
    assert len(inside) <= 3, "one new vertex, the middle of the lid"


def test_inside_out_is_turned() -> None:
    ball = icosphere(2)
    assert volume(clean(Mesh(ball.vertices, ball.triangles[:, ::-1]))) == pytest.approx(volume(ball))


def test_triangles_that_disagree_are_turned_alike() -> None:
    ball = icosphere(2)
    turned = ball.triangles.copy()
    turned[::3] = turned[::3, ::-1]
    cleaned = clean(Mesh(ball.vertices, turned))
    assert is_closed_manifold(cleaned) and volume(cleaned) == pytest.approx(volume(ball))


def test_doubled_split_and_folded_triangles_go() -> None:
    ball = icosphere(2)
    soup = Mesh(ball.vertices[ball.triangles].reshape(-1, 3), np.arange(960, dtype=np.int32).reshape(-1, 3))
    doubled = np.concatenate([soup.triangles, soup.triangles[:50], [[0, 0, 1]]]).astype(np.int32)
    cleaned = clean(Mesh(soup.vertices, doubled))
    assert len(cleaned.vertices) == len(ball.vertices) and is_closed_manifold(cleaned)


def test_fin_where_three_sheets_meet_is_cut_off() -> None:
    ball = icosphere(3)
    a, b = ball.triangles[0, :2]
    tip = np.array([[0.9, 0.9, 0.9]], np.float32)
    fin = np.array([[a, b, len(ball.vertices)]], np.int32)
    cleaned = clean(Mesh(np.concatenate([ball.vertices, tip]), np.concatenate([ball.triangles, fin])))
    assert is_closed_manifold(cleaned)
    assert volume(cleaned) == pytest.approx(volume(ball), rel=1e-2)


def test_decimated_surface_stays_closed_and_near() -> None:
    surface = clean(icosphere(5, bumps))
    light = decimate(surface, 2000)
    assert is_closed_manifold(light) and 1900 <= len(light.triangles) <= 2000
    direction = light.vertices / np.linalg.norm(light.vertices, axis=1, keepdims=True)
    off = np.abs(np.linalg.norm(light.vertices, axis=1) - bumps(direction.astype(np.float64)))
    assert off.max() < 0.003
    assert decimate(light, 5000) is light


@pytest.mark.parametrize("triangles", [np.empty((0, 3), np.int32), np.array([[0, 1, 2]], np.int32)])
def test_nothing_left_is_said(triangles: np.ndarray) -> None:
    with pytest.raises(UserError, match="no surface left"):
        clean(Mesh(np.eye(3, dtype=np.float32), triangles))
