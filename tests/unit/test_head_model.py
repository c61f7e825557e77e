# SPDX-License-Identifier: GPL-3.0-or-later
"""Head models and head space, on a model small enough to be checked by hand and on the built-in one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headsculpt.errors import UserError
from headsculpt.head.builtin import load_builtin
from headsculpt.head.landmarks import CHIN, FACE_OVAL
from headsculpt.head.model import Head, HeadModel, split_quads
from headsculpt.head.space import HeadSpace
from headsculpt.shape.distance import signed_distance_grid


def small_model() -> HeadModel:
    """Two faces, five vertices, two identities, two expressions."""
    generator = np.random.default_rng(1)

    def some(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    return HeadModel(
        vertices=some(5, 3),
        quads=np.array([[0, 1, 2, 3], [0, 3, 4, 4]], np.int32),
        uv=np.zeros((1, 2), np.float32),
        quad_uv=np.zeros((2, 4), np.int32),
        identity=some(2, 5, 3),
        expression=some(2, 5, 3),
        expression_names=("smile", "blink"),
        masks={},
        joint_names=("root", "end"),
        joint_parents=(-1, 0),
        joint_regressor=np.eye(2, 5, dtype=np.float32),
        skin_weights=np.full((5, 2), 0.5, np.float32),
        landmark_triangles=np.array([0, 2], np.int32),
        landmark_barycentric=np.array([[0.5, 0.25, 0.25], [0, 0, 1]], np.float32),
    )


def test_quads_become_two_triangles_and_triangles_stay() -> None:
    triangles = split_quads(np.array([[0, 1, 2, 3], [0, 3, 4, 4]], np.int32))
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert triangles.dtype == np.int32


def test_posing_adds_up() -> None:
    model = small_model()
    posed = model.posed([0.5], {"blink": 2.0, "smile": -1.0})
    by_hand = model.vertices + 0.5 * model.identity[0] + 2 * model.expression[1] - model.expression[0]
    assert np.allclose(posed, by_hand, atol=1e-6)
    neutral = model.posed()
    assert np.array_equal(neutral, model.vertices) and neutral is not model.vertices


def test_posing_says_what_it_does_not_have() -> None:
    with pytest.raises(UserError, match="wink"):
        small_model().posed(None, {"wink": 1.0})
    with pytest.raises(UserError, match="2 identity weights"):
        small_model().posed(np.zeros(3))


def test_landmarks_are_weighted_corners() -> None:
    model = small_model()
    v = model.vertices
    expected = [0.5 * v[0] + 0.25 * v[1] + 0.25 * v[2], v[4]]
    assert np.allclose(model.landmarks(v), expected, atol=1e-6)


def test_head_space_there_and_back() -> None:
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    space = HeadSpace(2.5, rotation.astype(np.float32), np.array([1, -2, 3], np.float32))
    points = np.random.default_rng(0).normal(size=(4, 7, 3))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2.5 * rotation, (1, -2, 3)
    expected = (np.c_[points.reshape(-1, 3), np.ones(28)] @ matrix.T)[:, :3].reshape(points.shape)
    moved = space.to_head(points)
    assert moved.dtype == np.float32 and np.allclose(moved, expected, atol=1e-5)
    assert np.allclose(space.from_head(moved), points, atol=1e-5)


@pytest.mark.parametrize(("scale", "place"), [(1.0, (0, 0, 0)), (100.0, (5, -40, 900)), (0.01, (0, 0.5, 0))])
def test_any_unit_and_place_give_the_same_head(scale: float, place: tuple[float, float, float]) -> None:
    model = load_builtin()
    own = model.vertices * scale + np.array(place)
    head = Head.from_vertices(model, own)
    crown, chin = head.vertices[:, 1].max(), head.landmarks[CHIN, 1]
    assert np.isclose(crown, 0.3, atol=1e-4) and np.isclose(chin, -0.3, atol=1e-4)
    assert abs(head.landmarks[list(FACE_OVAL), 0].mean()) < 1e-4
    front = head.vertices[model.masks["face"] > 0.5, 2].max()
    back = head.vertices[model.masks["scalp"] > 0.5, 2].min()
    assert abs(front + back) < 1e-4
    assert np.allclose(head.space.from_head(head.vertices), own, atol=2e-6 * (scale + np.abs(place).max()))
    assert np.array_equal(head.space.rotation, np.eye(3))
    assert head.triangles is model.triangles and head.landmarks.shape == (478, 3)
    assert np.abs(head.vertices).max() < 0.75  # inside the cube that the radiance field fills


def test_a_strong_face_keeps_its_size_from_crown_to_chin() -> None:
    model = load_builtin()
    head = Head.from_vertices(model, model.posed(np.full(5, 1.5), {"mouthSmileLeft": 1.0}))
    assert np.isclose(head.vertices[:, 1].max() - head.landmarks[CHIN, 1], 0.6, atol=1e-4)


def test_meshes_that_can_not_be_this_head_are_refused() -> None:
    model = load_builtin()
    with pytest.raises(UserError, match="8 vertices"):
        Head.from_vertices(model, np.zeros((8, 3)))
    broken = model.vertices.copy()
    broken[17, 1] = np.nan
    with pytest.raises(UserError, match="no valid position"):
        Head.from_vertices(model, broken)
    with pytest.raises(UserError, match="crown"):
        Head.from_vertices(model, model.vertices * [1, -1, -1])
    with pytest.raises(UserError, match="crown"):
        Head.from_vertices(model, np.zeros_like(model.vertices))


def test_models_are_values() -> None:
    model = small_model()
    assert replace(model, expression_names=("a", "b")).expression_names == ("a", "b")
    with pytest.raises(AttributeError):
        model.vertices = model.vertices  # type: ignore[misc]


def test_teeth_and_tongue_do_not_change_the_outside_of_a_head() -> None:
    """What the shape prior sees of a head with its mouth closed is what it saw before there were teeth."""
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    bare = model.triangles[
        np.all([model.masks[name][model.triangles] < 0.5 for name in ("teeth", "gums", "tongue")], 0).all(1)
    ]
    assert np.array_equal(signed_distance_grid(*head.surface(), 64), signed_distance_grid(head.vertices, bare, 64))
