# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's arithmetic against closed forms, and the stand-in for it against FLAME's layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headsculpt.errors import UserError
from headsculpt.evaluation.flame_stand_in import flame_stand_in
from headsculpt.head.flame.model import JOINTS, PARENTS, FlameModel

RANDOM = np.random.default_rng(3)
COUNT = 40


@pytest.fixture(scope="module")
def model() -> FlameModel:
    """A few points without meaning, each held by one joint; the joints are five of the points."""
    return FlameModel(
        vertices=RANDOM.normal(size=(COUNT, 3)).astype(np.float32),
        triangles=np.array([[0, 1, 2]], np.int32),
        shape=RANDOM.normal(size=(6, COUNT, 3)).astype(np.float32),
        expression=RANDOM.normal(size=(4, COUNT, 3)).astype(np.float32),
        correctives=np.zeros((36, COUNT, 3), np.float32),
        joint_regressor=np.eye(5, COUNT, dtype=np.float32),
        skin_weights=np.eye(5, dtype=np.float32)[np.arange(COUNT) % 5],
        texts={},
    )


def test_at_rest_it_is_the_template_and_its_components(model: FlameModel) -> None:
    np.testing.assert_allclose(model.posed(), model.vertices, atol=1e-6)
    posed = model.posed([0.5, -2], [0, 1.5])
    expected = model.vertices + 0.5 * model.shape[0] - 2 * model.shape[1] + 1.5 * model.expression[1]
    np.testing.assert_allclose(posed, expected, atol=1e-5)


def test_the_root_turns_all_about_itself(model: FlameModel) -> None:
    vector = np.array([0.3, -1.1, 0.7])
    rest = model.shaped([1, 1])
    joint = rest[0]
    expected = Rotation.from_rotvec(vector).apply(rest - joint) + joint
    np.testing.assert_allclose(model.posed([1, 1], (), {"root": vector}), expected, atol=1e-5)


def test_the_jaw_turns_what_it_holds_and_nothing_else(model: FlameModel) -> None:
    vector = np.array([0.4, 0.1, 0])
    held = model.skin_weights[:, JOINTS.index("jaw")] == 1
    joint = model.vertices[JOINTS.index("jaw")]
    posed = model.posed((), (), {"jaw": vector})
    turned = Rotation.from_rotvec(vector).apply(model.vertices[held] - joint) + joint
    np.testing.assert_allclose(posed[held], turned, atol=1e-6)
    np.testing.assert_array_equal(posed[~held], model.vertices[~held])


def test_a_joint_turns_with_those_that_it_hangs_on(model: FlameModel) -> None:
    """Homogeneous matrices along the chain, written out."""
    turns = {name: RANDOM.normal(size=3) for name in JOINTS}
    joints = model.vertices[:5].astype(np.float64)
    world: list[np.ndarray] = []
    for joint, (name, parent) in enumerate(zip(JOINTS, PARENTS, strict=True)):
        local = np.eye(4)
        local[:3, :3] = Rotation.from_rotvec(turns[name]).as_matrix()
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    posed = model.posed((), (), turns)
    for vertex, place in enumerate(model.vertices):
        joint = vertex % 5
        expected = world[joint] @ np.append(place - joints[joint], 1)
        np.testing.assert_allclose(posed[vertex], expected[:3], atol=1e-5)


def test_halfway_weights_give_the_mean_of_both(model: FlameModel) -> None:
    half = replace(model, skin_weights=np.tile(np.float32([0, 0.25, 0.75, 0, 0]), (COUNT, 1)))
    vector = np.array([0, 0.5, 0])
    joint = model.vertices[2]
    turned = Rotation.from_rotvec(vector).apply(model.vertices - joint) + joint
    expected = 0.25 * model.vertices + 0.75 * turned
    np.testing.assert_allclose(half.posed((), (), {"jaw": vector}), expected, atol=1e-5)


def test_correctives_follow_the_rotation_matrices_row_by_row(model: FlameModel) -> None:
    """Each of the 36 alone; the root has none. A quarter turn of the jaw about x: R = [[1,0,0],[0,0,-1],[0,1,0]]."""
    entries = {("neck", 0): 0, ("jaw", 4): -1, ("jaw", 5): -1, ("jaw", 7): 1, ("jaw", 8): -1, ("jaw", 1): 0}
    for (name, entry), value in entries.items():
        correctives = np.zeros((36, COUNT, 3), np.float32)
        correctives[9 * (JOINTS.index(name) - 1) + entry, 0] = (1, 2, 3)  # a vertex that the root holds
        moved = replace(model, correctives=correctives).posed((), (), {"jaw": (np.pi / 2, 0, 0)})[0]
        np.testing.assert_allclose(moved - model.vertices[0], value * np.array([1, 2, 3]), atol=1e-5)


def test_joints_follow_the_shape_but_not_the_correctives(model: FlameModel) -> None:
    """Equation 10 of SMPL: the regressor sees the head at rest."""
    correctives = np.full((36, COUNT, 3), 0.2, np.float32)
    vector = (np.pi / 2, 0, 0)
    posed = replace(model, correctives=correctives).posed([1], (), {"jaw": vector})
    rest = model.shaped([1])
    shift = (Rotation.from_rotvec(vector).as_matrix() - np.eye(3)).sum() * 0.2
    turned = Rotation.from_rotvec(vector).apply(rest[2] + shift - rest[2]) + rest[2]
    np.testing.assert_allclose(posed[2], turned, atol=1e-5)


def test_what_there_is_not_is_said(model: FlameModel) -> None:
    with pytest.raises(UserError, match="has 4 such components, not 5"):
        model.posed((), np.ones(5))
    with pytest.raises(UserError, match="no joint called “tail”"):
        model.posed((), (), {"tail": (0, 0, 0)})


# --- the stand-in ---------------------------------------------------------------------------------------------------


def test_the_stand_in_has_flame_s_layout() -> None:
    model = flame_stand_in()
    assert model.vertices.shape == (5023, 3) and model.triangles.shape == (9976, 3)
    assert (len(model.shape), len(model.expression), len(model.correctives)) == (300, 100, 36)
    assert len(np.unique(model.triangles)) == 5023, "some vertices have no triangle"
    np.testing.assert_allclose(model.skin_weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(model.joint_regressor.sum(1), 1, atol=1e-5)


def test_the_stand_in_s_eyeballs_are_apart_and_it_has_one_border() -> None:
    model = flame_stand_in()
    eyes = model.vertices[model.eyeballs()]
    joints = model.joint_positions(model.vertices)
    assert len(eyes) == 1122
    for side, joint in ((1, 3), (-1, 4)):
        middle = eyes[side * eyes[:, 0] > 0].mean(0)
        np.testing.assert_allclose(middle, joints[joint], atol=2e-3)
    edges = np.sort(model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert sorted(np.unique(count)) == [1, 2] and (count == 1).sum() == 60


def test_the_stand_in_is_a_head_that_faces_forward() -> None:
    """Its nose tip is what is foremost, its outward sides show outward, and its jaw opens downwards."""
    model = flame_stand_in()
    nose = model.vertices[model.vertices[:, 2].argmax()]
    assert abs(nose[0]) < 5e-3 and -0.03 < nose[1] < 0.03
    corners = model.vertices[model.triangles].astype(np.float64)
    assert np.einsum("tc,tc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0
    opened = model.posed((), (), {"jaw": (0.3, 0, 0)})
    held = model.skin_weights[:, 2] > 0.5
    assert held.sum() > 100 and (opened - model.vertices)[held, 1].mean() < -0.01
