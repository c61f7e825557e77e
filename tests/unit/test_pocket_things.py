# SPDX-License-Identifier: GPL-3.0-or-later
"""Glasses, hats, crowns and horns on the heads that the pocket pack learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay

from headsculpt.head.builtin import load_builtin
from headsculpt.mesh import Mesh
from headsculpt.packs.pocket.training.looks.anatomy import HAT_NORMAL, hat_line
from headsculpt.packs.pocket.training.looks.forms import ball, tube
from headsculpt.packs.pocket.training.looks.wardrobe import PaintedHead, Wardrobe
from headsculpt.packs.pocket.training.looks.words import Look

PLAIN = Look("tan", "bald", "brown", "", "", "", "blue", "", "", "", "", "", "", "", "man", (0.0,) * 60, 7)
SEEDS = range(12)


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_builtin())


def person(seed: int, **words: str) -> Look:
    identity = np.random.default_rng(seed).normal(size=60).clip(-2, 2).tolist()
    return replace(PLAIN, identity=tuple(identity), seed=seed, sex=("man", "woman")[seed % 2], **words)


def worn(wardrobe: Wardrobe, head: PaintedHead) -> np.ndarray:
    """The vertices [N, 3] of what a bald head wears."""
    return head.mesh.vertices[len(wardrobe.body.rest) :]


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2).astype(np.float64)
    return float((np.cross(a, b) * c).sum() / 6)


def test_forms_face_outwards_and_have_the_volume_of_what_they_are() -> None:
    colour = np.array([0.5, 0.5, 0.5])
    assert volume(ball(np.zeros(3), 1.0, colour, 40, 60)) == pytest.approx(4 / 3 * np.pi, rel=0.02)
    line = np.linspace(0, 2, 30)[:, None] * [1.0, 0, 0]
    assert volume(tube(line, 0.3, colour, np.array([0, 0, 1.0]), 48)) == pytest.approx(0.09 * np.pi * 2, rel=0.02)
    turn = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    torus = tube(ring, 0.2, colour, np.array([0, 0, 1.0]), 48, closed=True)
    assert volume(torus) == pytest.approx(2 * np.pi**2 * 0.04, rel=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_glasses_stand_before_the_eyes_and_rest_on_the_ears(wardrobe: Wardrobe, seed: int) -> None:
    expression = ("", "surprised", "angry", "laughing")[seed % 4]
    head = wardrobe.dress(person(seed, glasses="glasses", expression=expression))
    frame, at = worn(wardrobe, head), head.landmarks
    for outer, inner in ((33, 133), (263, 362)):
        eye = (at[outer] + at[inner]) / 2
        beside = frame[np.sign(frame[:, 0]) == np.sign(eye[0])]
        rim = beside[beside[:, 2] > eye[2]]
        assert np.ptp(rim[:, 1]) > 0.07 and abs((rim[:, 1].max() + rim[:, 1].min()) / 2 - eye[1]) < 0.025
        assert np.linalg.norm(rim[:, :2] - eye[:2], axis=1).min() > 0.02  # nothing across the pupil
    skin = wardrobe.body.masks["skin"] > 0.5
    front = head.mesh.vertices[: len(skin)][skin & (wardrobe.body.masks["eyes"] > 0.2)]
    rims = frame[(frame[:, 2] > at[[33, 263], 2].mean()) & (np.abs(frame[:, 0]) > 0.04)]
    for point in rims[::5]:  # in front of the skin behind it
        near = front[np.linalg.norm(front[:, :2] - point[:2], axis=1) < 0.004]
        assert not len(near) or point[2] > near[:, 2].max() - 0.002
    ears = wardrobe.model.masks["ears"] > 0.5
    ear = head.mesh.vertices[: len(ears)][ears]
    assert frame[:, 2].min() < ear[:, 2].max() and abs(frame[:, 1].max() - at[168, 1]) < 0.09


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hat_covers_the_skull_and_leaves_the_eyes_free(wardrobe: Wardrobe, seed: int) -> None:
    head = wardrobe.dress(person(seed, headwear="hat"))
    hat = worn(wardrobe, head)
    skin = head.mesh.vertices[: len(wardrobe.body.rest)][wardrobe.body.masks["skin"] > 0.5]
    above = skin[(skin - hat_line(head.landmarks)) @ HAT_NORMAL > 0.01]
    assert (Delaunay(hat[ConvexHull(hat).vertices]).find_simplex(above) >= 0).all()
    front = hat[(hat[:, 2] > 0.1) & (np.abs(hat[:, 0]) < 0.15)]
    assert front[:, 1].min() > head.landmarks[[159, 386], 1].max() + 0.015
    assert hat[:, 1].max() > skin[:, 1].max() and np.abs(hat).max() < 0.75


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crown_goes_round_the_skull_and_has_points(wardrobe: Wardrobe, seed: int) -> None:
    head = wardrobe.dress(person(seed, headwear="crown"))
    crown, mesh = worn(wardrobe, head), head.mesh
    assert mesh.colors is not None
    gold = np.median(mesh.colors[-len(crown) :], 0)
    assert gold[0] > 0.7 and gold[2] < 0.4
    assert crown[crown[:, 2] > 0.1][:, 1].min() > head.landmarks[[159, 386], 1].max() + 0.05
    skin = mesh.vertices[: len(wardrobe.body.rest)][wardrobe.body.masks["skin"] > 0.5]
    height = (crown - hat_line(head.landmarks)) @ HAT_NORMAL
    ring = crown[height < height.min() + 0.03]
    assert np.abs(ring[:, 0]).max() > np.abs(skin[skin[:, 1] > 0.15][:, 0]).max()
    turn = np.arctan2(crown[:, 2] - ring[:, 2].mean(), crown[:, 0])
    tops = np.array([height[np.abs(turn - t) < 0.06].max() for t in np.linspace(-3, 3, 120)])
    assert np.ptp(tops) > 0.04 and np.count_nonzero(np.diff(np.sign(np.diff(tops))) < 0) >= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_horns_are_two_rooted_in_the_skull_and_stick_out(wardrobe: Wardrobe, seed: int) -> None:
    head = wardrobe.dress(person(seed, headwear="horns"))
    horns = worn(wardrobe, head)
    skull = head.mesh.vertices[: len(wardrobe.body.rest)][wardrobe.body.masks["skin"] > 0.5]
    hull = Delaunay(skull[skull[:, 1] > 0.0])
    for side in (-1, 1):
        horn = horns[side * horns[:, 0] > 0]
        inside = hull.find_simplex(horn) >= 0
        assert 0.005 < inside.mean() < 0.4
        assert np.linalg.norm(horn - skull[skull[:, 1].argmax()], axis=1).max() > 0.2
        eye = head.landmarks[[33, 133] if side < 0 else [263, 362]].mean(0)
        assert np.linalg.norm((horn - eye)[horn[:, 2] > eye[2] - 0.02], axis=1).min(initial=1) > 0.06


def test_things_follow_the_head_that_wears_them(wardrobe: Wardrobe) -> None:
    narrow, wide = (
        replace(person(4), identity=tuple(np.eye(60)[0] * weight), headwear="hat", glasses="glasses")
        for weight in (-2.0, 2.0)
    )
    moved = worn(wardrobe, wardrobe.dress(wide)) - worn(wardrobe, wardrobe.dress(narrow))
    assert np.linalg.norm(moved, axis=1).max() > 0.005


def test_kinds_and_colours_vary_and_repeat(wardrobe: Wardrobe) -> None:
    for words in ({"headwear": "hat"}, {"headwear": "crown"}, {"headwear": "horns"}, {"glasses": "glasses"}):
        heads = [wardrobe.dress(replace(person(1, **words), seed=seed)).mesh for seed in SEEDS]
        count = len(wardrobe.body.rest)
        shapes = {round(float(np.ptp(mesh.vertices[count:], axis=0).sum()), 3) for mesh in heads}
        assert len(shapes) >= 6
        again = wardrobe.dress(replace(person(1, **words), seed=0)).mesh
        assert np.array_equal(again.vertices, heads[0].vertices)
        assert all(np.isfinite(mesh.vertices).all() for mesh in heads)
