# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pack's words do to skin and shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headsculpt.evaluation.colors import difference, lab
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import LIPSTICKS, PAINTS, SKINS, Look
from headsculpt.packs.pocket.training.surface import vertex_normals
from headsculpt.render.camera import Camera
from headsculpt.render.raster import rasterize

PLAIN = Look("tan", "bald", "brown", "", "", "", "blue", "", "", "", "", "", "", "", "man", (0.0,) * 60, 7)
EXPRESSED = ("smiling", "laughing", "angry", "surprised", "sad", "sleeping")


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_builtin())


def people(count: int, **words: str) -> list[Look]:
    rng = np.random.default_rng(3)
    return [
        replace(PLAIN, identity=tuple(rng.normal(size=60).clip(-2, 2).tolist()), seed=100 + i, **words)
        for i in range(count)
    ]


def head_of(wardrobe: Wardrobe, look: Look) -> Head:
    return Head.from_vertices(wardrobe.model, wardrobe.people.shape(look))


def colors_of(wardrobe: Wardrobe, look: Look, where: np.ndarray) -> np.ndarray:
    colors = wardrobe.dress(look).mesh.colors
    assert colors is not None
    return colors[: len(where)][where]


def facial_skin(wardrobe: Wardrobe) -> np.ndarray:
    masks = wardrobe.body.masks
    plain = (masks["face"] > 0.5) & (masks["skin"] > 0.5) & (masks["lips"] < 0.1) & (masks["eyes"] < 0.5)
    return plain & (masks["brows"] < 0.1) & (masks["mouth_bag"] < 0.5)


@pytest.mark.parametrize("skin", SKINS)
def test_facial_skin_is_of_the_word_s_colour_in_the_median(wardrobe: Wardrobe, skin: str) -> None:
    face = facial_skin(wardrobe)
    for look in people(3, skin=skin):
        median = np.median(colors_of(wardrobe, look, face), 0)
        assert difference(lab(median), lab(SKINS[skin])) < 6
    old = colors_of(wardrobe, replace(PLAIN, skin=skin, age="old"), face)
    assert difference(lab(np.median(old, 0)), lab(SKINS[skin])) < 6


def test_skins_have_texture_and_differ_from_head_to_head(wardrobe: Wardrobe) -> None:
    face = facial_skin(wardrobe)
    for skin, least in (("tan", 0.02), ("green", 0.03), ("gold", 0.06), ("stone", 0.05), ("zombie", 0.06)):
        one, other = (colors_of(wardrobe, look, face) for look in people(2, skin=skin))
        assert one.std(0).max() > least
        assert np.abs(one - other).mean() > 0.01


def sexes_apart(wardrobe: Wardrobe, measure: object) -> float:
    """Cohen's d of a measure of heads [a number each] between men and women."""
    men, women = (
        np.array([measure(head_of(wardrobe, look)) for look in people(24, sex=sex)])  # type: ignore[operator]
        for sex in ("man", "woman")
    )
    return float((men.mean() - women.mean()) / np.sqrt((men.var() + women.var()) / 2))


def test_men_and_women_differ_by_jaw_nose_lips_and_neck(wardrobe: Wardrobe) -> None:
    neck = (wardrobe.body.coarse[:, 1] < -0.36) & (wardrobe.body.coarse[:, 1] > -0.42)

    def width(left: int, right: int) -> object:
        return lambda head: head.landmarks[left, 0] - head.landmarks[right, 0]

    assert sexes_apart(wardrobe, width(397, 172)) > 2
    assert sexes_apart(wardrobe, width(358, 129)) > 2
    assert sexes_apart(wardrobe, lambda head: head.landmarks[0, 1] - head.landmarks[17, 1]) < -1.2
    assert sexes_apart(wardrobe, lambda head: np.abs(head.vertices[neck, 0]).max()) > 1.5


def test_the_old_are_wrinkled_and_the_young_are_rounder_and_have_larger_eyes(wardrobe: Wardrobe) -> None:
    def roughness(look: Look) -> float:
        mesh = wardrobe.dress(look).mesh
        count = len(wardrobe.body.rest)
        edges = wardrobe.body.triangles[:, :2]
        skin = facial_skin(wardrobe)
        edges = edges[skin[edges].all(1)]
        normals = vertex_normals(mesh.vertices[:count], wardrobe.body.triangles)
        return float((1 - (normals[edges[:, 0]] * normals[edges[:, 1]]).sum(1)).mean())

    def opening(look: Look) -> float:
        at = head_of(wardrobe, look).landmarks
        return float(at[263, 0] - at[362, 0])

    for look in people(4):
        assert roughness(replace(look, age="old")) > 1.5 * roughness(look)
        assert opening(replace(look, age="young")) > 1.03 * opening(look)


def test_wrinkles_can_be_seen_without_colour(wardrobe: Wardrobe) -> None:
    """Beside the nose, on the forehead and under the eyes the old skin goes in and out by 0.004 head units or more."""
    old, body = wardrobe.dress(replace(PLAIN, age="old")), wardrobe.body
    smooth = body.subdivide(head_of(wardrobe, replace(PLAIN, age="old")).vertices)
    normals = body.rest_normals
    depth = ((old.mesh.vertices[: len(smooth)] - smooth) * normals).sum(1)
    at = body.anatomy.landmarks
    for place in (at[206], at[151] + [0.04, -0.02, 0], at[330], at[9]):
        near = np.linalg.norm(body.rest - place, axis=1) < 0.045
        assert depth[near].max() - depth[near].min() > 0.004


def test_expressions_move_what_they_name(wardrobe: Wardrobe) -> None:
    for look in people(3):
        calm = head_of(wardrobe, look).landmarks
        at = {name: head_of(wardrobe, replace(look, expression=name)).landmarks for name in EXPRESSED}

        def corners(points: np.ndarray) -> float:
            return float(points[[61, 291], 1].mean() - points[[0, 17], 1].mean())

        def lids(points: np.ndarray) -> float:
            return float(np.linalg.norm(points[[159, 386]] - points[[145, 374]], axis=1).mean())

        assert corners(at["smiling"]) > corners(calm) + 0.008
        assert corners(at["sad"]) < corners(calm) - 0.008
        assert at["laughing"][13, 1] - at["laughing"][14, 1] > 0.03
        assert at["surprised"][13, 1] - at["surprised"][14, 1] > 0.03
        assert lids(at["surprised"]) > 1.15 * lids(calm)
        assert at["angry"][[55, 285], 1].mean() < calm[[55, 285], 1].mean() - 0.006


def eyes_seen(wardrobe: Wardrobe, look: Look) -> int:
    """Pixels of eyeballs in a picture of the face."""
    head = head_of(wardrobe, look)
    one = torch.ones(1)
    camera = Camera.orbit(0 * one, 0 * one, 1.8 * one, 12 * one, 384)
    pixels, depth = camera.project(torch.from_numpy(head.vertices))
    ids, _ = rasterize(pixels[0], depth[0], torch.from_numpy(head.triangles), 384, 384)
    ball = torch.from_numpy(head.masks["eyeballs"] > 0.5)[torch.from_numpy(head.triangles)[:, 0].long()]
    return int(ball[ids[ids >= 0].long()].sum())


def test_a_sleeper_s_eyes_are_shut(wardrobe: Wardrobe) -> None:
    for look in (*people(4), *people(4, sex="woman", age="young")):
        assert eyes_seen(wardrobe, replace(look, expression="sleeping")) < 0.06 * eyes_seen(wardrobe, look)


@pytest.mark.parametrize("paint", PAINTS)
def test_paint_stays_on_the_face(wardrobe: Wardrobe, paint: str) -> None:
    look = replace(PLAIN, skin="blue")
    everywhere = np.ones(len(wardrobe.body.rest), bool)
    bare, painted = (colors_of(wardrobe, one, everywhere) for one in (look, replace(look, paint=paint)))
    changed = np.abs(painted - bare).max(1) > 0.02
    masks = wardrobe.body.masks
    assert not changed[(masks["face"] < 0.05) | (masks["eyeballs"] > 0.5)].any()
    assert changed[facial_skin(wardrobe) & (masks["face"] > 0.9)].mean() > 0.95


def test_lipstick_colours_the_lips_only(wardrobe: Wardrobe) -> None:
    lips = wardrobe.body.masks["lips"] > 0.9
    for word, color in LIPSTICKS.items():
        look = replace(PLAIN, sex="woman", lipstick=word)
        assert difference(lab(np.median(colors_of(wardrobe, look, lips), 0)), lab(color)) < 5


def test_elf_ears_end_in_a_tip_above_and_behind(wardrobe: Wardrobe) -> None:
    plain, elf = (head_of(wardrobe, replace(PLAIN, ears=ears)).vertices for ears in ("", "elf ears"))
    ears = wardrobe.model.masks["ears"] > 0.5
    grown = elf[ears, 1].max() - plain[ears, 1].max()
    assert 0.05 < grown < 0.13
    tip = elf[ears][elf[ears, 1] > elf[ears, 1].max() - 0.015]
    left = tip[tip[:, 0] > 0]
    assert np.ptp(left[:, 2]) < 0.03 and left[:, 0].min() > np.abs(plain[ears, 0]).min() + 0.03
    assert np.allclose(elf[wardrobe.model.masks["face"] > 0.9], plain[wardrobe.model.masks["face"] > 0.9], atol=2e-3)


def test_the_same_look_is_the_same_head_and_all_numbers_are_finite(wardrobe: Wardrobe) -> None:
    for skin in ("zombie", "stone", "gold"):
        for look in people(2, skin=skin, age="old", expression="laughing", ears="elf ears", paint="skull"):
            one, again = wardrobe.dress(look).mesh, wardrobe.dress(look).mesh
            assert one.colors is not None and again.colors is not None
            assert np.array_equal(one.vertices, again.vertices) and np.array_equal(one.colors, again.colors)
            assert np.isfinite(one.vertices).all() and one.colors.min() >= 0 and one.colors.max() <= 1
