# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints: the arithmetic against closed forms, and what an animator expects of the built-in head's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headsculpt.errors import UserError
from headsculpt.head.builtin import load_builtin
from headsculpt.head.skeleton import blend, rotation_matrix

MODEL = load_builtin()
REST = MODEL.posed()
MILLIMETRE = 1e-3


def part(name: str) -> np.ndarray:
    return MODEL.masks[name] > 0.5


def test_rotations_are_those_of_scipy() -> None:
    for vector in ([0, 0, 0], [1e-9, 0, 0], [0.3, -1.2, 2.0], [np.pi, 0, 0], [0, 4.0, 0]):
        assert np.allclose(rotation_matrix(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


def test_a_chain_bends_as_an_arm_does() -> None:
    """A shoulder in the origin, an elbow at (1, 0, 0), a hand at (2, 0, 0), in a half-way place at (1, 0, 0)."""
    vertices = np.array([[0.5, 0, 0], [2.0, 0, 0], [1.0, 0, 0], [1.0, 0.5, 0]])
    joints = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    weights = np.array([[1.0, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])
    quarter = np.pi / 2
    bent = blend(vertices, joints, (-1, 0), weights, np.array([[0, 0, quarter], [0, 0, quarter]]))
    # the shoulder takes the elbow to (0, 1), the elbow then the hand to (−1, 1)
    by_hand = [[0, 0.5, 0], [-1, 1, 0], [0, 1, 0], [-0.25, 0.75, 0]]
    assert np.allclose(bent, by_hand, atol=1e-6)
    assert np.allclose(blend(vertices, joints, (-1, 0), weights, np.zeros((2, 3))), vertices)


def test_weights_add_up_and_are_few() -> None:
    assert MODEL.joint_names == ("neck", "head", "jaw", "left_eye", "right_eye")
    assert MODEL.joint_parents == (-1, 0, 1, 1, 1)
    weights = MODEL.skin_weights
    assert weights.shape == (len(REST), 5) and weights.min() >= 0
    assert np.abs(weights.sum(1) - 1).max() < 1e-5 and (weights > 0).sum(1).max() <= 4
    flipped = weights[:, [0, 1, 2, 4, 3]]
    mirror = np.linalg.norm(REST[:, None, :2] * [-1, 1] - REST[None, ::61, :2], axis=-1).argmin(0)
    near = np.linalg.norm(REST[mirror] * [-1, 1, 1] - REST[::61], axis=1) < 1e-5
    assert near.mean() > 0.5 and np.abs(weights[mirror] - flipped[::61])[near].max() < 0.02


def test_joints_follow_the_face() -> None:
    strong = MODEL.posed(np.full(8, 1.5))
    for side, ball in (("left_eye", "eyeball_left"), ("right_eye", "eyeball_right")):
        joint = MODEL.joint_names.index(side)
        for vertices in (REST, strong):
            radius = np.linalg.norm(vertices[part(ball)] - MODEL.joint_positions(vertices)[joint], axis=1)
            assert radius.max() / radius.min() < 1.25  # a ball with a cornea
    shifted = MODEL.joint_positions(strong * 2 + [1, 2, 3])
    assert np.allclose(shifted, MODEL.joint_positions(strong) * 2 + [1, 2, 3], atol=1e-5)
    neck, head, jaw, left, right = MODEL.joint_positions(REST)
    assert neck[1] < head[1] < jaw[1] < left[1] == pytest.approx(right[1], abs=1e-6)
    ears = REST[part("ears")]
    assert ears[:, 1].min() - 0.01 < jaw[1] < ears[:, 1].max() and 0 < jaw[2] < left[2]


def test_the_jaw_opens_as_the_expression_does() -> None:
    opened = MODEL.posed(None, {"jawOpen": 1.0})
    joint = MODEL.turned(REST, {"jaw": [np.radians(25.3), 0, 0]})
    away = np.linalg.norm(joint - opened, axis=1)
    assert away[part("teeth")].max() < 1 * MILLIMETRE
    assert away[part("skin")].mean() < 2 * MILLIMETRE and away[part("lips")].max() < 6 * MILLIMETRE
    points = MODEL.landmarks(joint)
    assert points[13, 1] - points[14, 1] > 0.03
    assert np.abs(joint - REST)[part("scalp")].max() < 0.5 * MILLIMETRE


def test_eyes_turn_about_their_centres() -> None:
    turned = MODEL.turned(REST, {"left_eye": [0, np.radians(28), 0], "right_eye": [np.radians(22), 0, 0]})
    out, down = MODEL.posed(None, {"eyeLookOutLeft": 1.0}), MODEL.posed(None, {"eyeLookDownRight": 1.0})
    left, right = part("eyeball_left"), part("eyeball_right")
    assert np.abs(turned[left] - out[left]).max() < 0.1 * MILLIMETRE
    assert np.abs(turned[right] - down[right]).max() < 0.1 * MILLIMETRE
    assert np.allclose(turned[~(left | right)], REST[~(left | right)], atol=1e-6)


def test_the_neck_takes_the_head_along() -> None:
    nod = MODEL.turned(REST, {"head": [0.3, 0, 0]})
    scalp, jaw = part("scalp"), part("teeth")
    head = MODEL.joint_positions(REST)[1]
    by_hand = (REST - head) @ Rotation.from_rotvec([0.3, 0, 0]).as_matrix().T + head
    assert np.abs(nod - by_hand)[scalp & (MODEL.skin_weights[:, 1] > 0.999) | jaw].max() < 1e-5
    both = MODEL.turned(REST, {"neck": [0, 0.4, 0], "head": [0, 0.2, 0]})
    assert np.abs(both - REST)[scalp].max() > 0.03
    with pytest.raises(UserError, match="elbow"):
        MODEL.turned(REST, {"elbow": [0, 0, 1]})
