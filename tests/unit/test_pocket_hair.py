# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair and beards of the training pictures are what their words say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from headsculpt.head.builtin import load_builtin
from headsculpt.packs.pocket.training.looks.anatomy import HAT_NORMAL, hat_line
from headsculpt.packs.pocket.training.looks.wardrobe import PaintedHead, Wardrobe
from headsculpt.packs.pocket.training.looks.words import BEARDS, STYLES, Look

SEEDS = (3, 11, 42)
PLAIN = {"beard": "", "moustache": "", "headwear": "", "glasses": "", "ears": "", "paint": "", "brows": ""}
CROWN_TO_CHIN = 0.6


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_builtin())


def dressed(wardrobe: Wardrobe, seed: int = 3, **words: str) -> PaintedHead:
    look = Look.draw(np.random.default_rng(1), len(wardrobe.model.identity))
    words = {"style": "bald", "expression": "", "sex": "man", "age": "", **PLAIN, **words}
    return wardrobe.dress(dataclasses.replace(look, seed=seed, **words))


def grown(wardrobe: Wardrobe, head: PaintedHead) -> np.ndarray:
    """The vertices that are seen of what is worn, [N, 3]."""
    count = len(wardrobe.body.rest)
    return head.mesh.vertices[np.unique(head.mesh.triangles[head.mesh.triangles.min(1) >= count])]


@pytest.fixture(scope="module")
def hair(wardrobe: Wardrobe) -> dict[str, list[np.ndarray]]:
    """Each style's hair with each seed."""
    return {
        style: [grown(wardrobe, dressed(wardrobe, seed, style=style)) for seed in SEEDS]
        for style in STYLES
        if style != "bald"
    }


def test_a_look_always_gets_the_same_hair(wardrobe: Wardrobe) -> None:
    one, two = (dressed(wardrobe, style="curly", beard="beard") for _ in range(2))
    np.testing.assert_array_equal(one.mesh.vertices, two.mesh.vertices)
    np.testing.assert_array_equal(one.mesh.colors, two.mesh.colors)
    other = dressed(wardrobe, seed=4, style="curly", beard="beard")
    assert other.mesh.vertices.shape != one.mesh.vertices.shape or not np.allclose(
        other.mesh.vertices, one.mesh.vertices
    )


def test_hair_is_finite(hair: dict[str, list[np.ndarray]]) -> None:
    for heads in hair.values():
        assert all(np.isfinite(points).all() and np.abs(points).max() < 0.75 for points in heads)


def test_tall_styles_stand_over_the_crown(hair: dict[str, list[np.ndarray]]) -> None:
    over = {style: [(p[:, 1].max() - 0.3) / CROWN_TO_CHIN for p in heads] for style, heads in hair.items()}
    assert all(0.15 < share < 0.33 for share in over["mohawk"])
    assert all(0.12 < share < 0.42 for share in over["afro"])
    assert all(0.12 < share < 0.5 for share in over["bun"])
    assert all(0.01 < share < 0.15 for style in ("short", "long", "bob") for share in over[style])


def test_falling_styles_end_where_their_word_says(hair: dict[str, list[np.ndarray]]) -> None:
    """Heights: the chin is at −0.3, the shoulders begin at about −0.42."""
    lowest = {style: [p[:, 1].min() for p in heads] for style, heads in hair.items()}
    assert all(y < -0.37 for y in lowest["long"])
    assert all(-0.33 < y < -0.17 for y in lowest["bob"])
    assert all(-0.36 < y < -0.10 for y in lowest["curly"])
    assert all(y < -0.27 for y in lowest["ponytail"])
    assert all(y > -0.2 for style in ("short", "mohawk", "bun") for y in lowest[style])


def test_a_tail_is_behind_or_beside_the_head(hair: dict[str, list[np.ndarray]]) -> None:
    for points in hair["ponytail"]:
        tail = points[points[:, 1] < -0.15]
        assert tail[:, 2].max() < 0 and (tail[:, 2].min() < -0.33 or np.abs(tail[:, 0]).max() > 0.3)


def test_mohawks_are_narrow_and_afros_wide(hair: dict[str, list[np.ndarray]]) -> None:
    assert all(np.abs(p[p[:, 1] > 0.33][:, 0]).max() < 0.12 for p in hair["mohawk"])
    assert all(np.abs(p[:, 0]).max() > 0.28 for p in hair["afro"])


@pytest.mark.parametrize("style", [style for style in STYLES if style != "bald"])
def test_the_eyes_are_free(wardrobe: Wardrobe, style: str) -> None:
    for seed in SEEDS:
        head = dressed(wardrobe, seed, style=style)
        points, marks = grown(wardrobe, head), head.landmarks
        for corners in ((33, 133, 159, 145), (362, 263, 386, 374)):
            low, high = marks[list(corners)].min(0) - 0.012, marks[list(corners)].max(0) + 0.012
            over = (points[:, :2] > low[:2]).all(1) & (points[:, :2] < high[:2]).all(1) & (points[:, 2] > 0.1)
            assert not over.any()


@pytest.mark.parametrize("style", [style for style in STYLES if style != "bald"])
def test_a_hat_holds_the_hair(wardrobe: Wardrobe, style: str) -> None:
    bare = dressed(wardrobe, style="bald")
    hat = dressed(wardrobe, style="bald", headwear="hat")
    both = dressed(wardrobe, style=style, headwear="hat")
    count = len(both.mesh.vertices) - (len(hat.mesh.vertices) - len(bare.mesh.vertices))
    above = lambda points: (points - hat_line(both.landmarks)) @ HAT_NORMAL  # noqa: E731
    points = both.mesh.vertices[len(wardrobe.body.rest) : count]
    assert above(points).max() < above(bare.mesh.vertices).max() + 0.02


def test_beards_reach_where_they_should(wardrobe: Wardrobe) -> None:
    for seed in SEEDS:
        bare = dressed(wardrobe, seed)
        chin = bare.landmarks[152, 1]
        heads = {beard: dressed(wardrobe, seed, beard=beard) for beard in BEARDS}
        below = {name: chin - grown(wardrobe, head)[:, 1].min() for name, head in heads.items() if name != "stubble"}
        assert 0.02 < below["beard"] < 0.12 < below["long beard"] < 0.30
        assert 0.02 < below["goatee"] < 0.14
        assert np.abs(grown(wardrobe, heads["goatee"])[:, 0]).max() < 0.12
        assert np.abs(grown(wardrobe, heads["beard"])[:, 0]).max() > 0.15
        np.testing.assert_array_equal(heads["stubble"].mesh.vertices, bare.mesh.vertices)
        assert np.abs(heads["stubble"].mesh.colors - bare.mesh.colors).max() > 0.1


def test_moustaches_lie_on_the_lip(wardrobe: Wardrobe) -> None:
    head = dressed(wardrobe, moustache="moustache")
    points, marks = grown(wardrobe, head), head.landmarks
    middle = points[np.abs(points[:, 0]) < 0.03]
    assert len(points) and middle[:, 1].max() < marks[2, 1] + 0.02 and middle[:, 1].min() > marks[14, 1]
    assert np.abs(points[:, 0]).max() > marks[291, 0]
