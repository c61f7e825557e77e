# SPDX-License-Identifier: GPL-3.0-or-later
"""Each view is told its own words, and a user is told what the model does not read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_pack import make_tiny_pack

from headsculpt.errors import UserError
from headsculpt.guidance.methods import Method, Words
from headsculpt.guidance.prompts import ViewPrompts, check_prompt, landmark_scale, view_weights
from headsculpt.guidance.score import ScoreSettings
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.spec import ViewWords

VIEWS = ViewWords(overhead="overhead view", front_limit=45, side_limit=120, overhead_limit=60)
LEVEL = torch.zeros(1)


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("packs") / "sd", "epsilon", "vae"))


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("packs") / "pocket"))


def weights(azimuth: float, elevation: float = 0.0, blend: float = 0.0, views: ViewWords = VIEWS) -> list[float]:
    found = view_weights(views, torch.tensor([azimuth]), torch.tensor([elevation]), blend)[0].tolist()
    return [round(value, 4) for value in found]


@pytest.mark.parametrize(
    ("azimuth", "view"),
    [
        (0, 0),
        (44, 0),
        (-44, 0),
        (316, 0),
        (46, 1),
        (-90, 1),
        (270, 1),
        (119, 1),
        (121, 2),
        (180, 2),
        (-180, 2),
        (540, 2),
    ],
)
def test_a_view_is_named_by_its_azimuth(azimuth: float, view: int) -> None:
    assert weights(azimuth) == [float(view == i) for i in range(4)]


def test_from_above_it_is_overhead_if_the_pack_says_so() -> None:
    assert weights(0, 61) == [0, 0, 0, 1] == weights(180, 80)
    assert weights(0, 80, views=replace(VIEWS, overhead="")) == [1, 0, 0, 0]


def test_neighbours_mix_near_a_limit_and_both_sides_alike() -> None:
    assert weights(45, blend=20) == [0.5, 0.5, 0, 0] == weights(-45, blend=20)
    assert weights(130, blend=20) == [0, 0.25, 0.75, 0] == weights(230, blend=20)
    assert weights(90, 60, blend=10) == [0, 0.5, 0, 0.5]
    around = torch.linspace(-180, 180, 721)
    found = view_weights(VIEWS, around, torch.zeros(721), 20)
    torch.testing.assert_close(found.sum(1), torch.ones(721))
    assert found.min() >= 0 and found.diff(dim=0).abs().max() < 0.5 / 20  # nowhere abrupt


def test_front_and_back_never_mix() -> None:
    with pytest.raises(ValueError, match="too wide"):
        weights(0, blend=38)


def test_landmarks_fade_out_behind_the_ears() -> None:
    azimuth = torch.tensor([0.0, 90, -90, 100, -100, 110, 180, 260, 271])
    expected = torch.tensor([1.0, 1, 1, 0.5, 0.5, 0, 0, 0.5, 1])
    torch.testing.assert_close(landmark_scale(VIEWS, azimuth), expected)


def test_views_are_told_their_words(pocket: Pack) -> None:
    prompts = ViewPrompts(pocket, "a bald man", blend=0)
    azimuth = torch.tensor([0.0, 90, 180])
    said = pocket.embed(["a bald man, front view", "a bald man, side view", "a bald man, <back-view>"])
    torch.testing.assert_close(prompts.of(Words.PROMPT, azimuth, torch.zeros(3)), said)
    close = pocket.embed(["a bald man, front view, close up"])
    torch.testing.assert_close(prompts.of(Words.PROMPT, LEVEL, LEVEL, shot=1), close)
    torch.testing.assert_close(prompts.of(Words.NEGATIVE, azimuth, torch.zeros(3)), pocket.embed([""] * 3))


def test_between_two_views_the_embedding_is_between(pocket: Pack) -> None:
    prompts = ViewPrompts(pocket, "a bald man", blend=15)
    front, side = pocket.embed(["a bald man, front view", "a bald man, side view"])
    torch.testing.assert_close(prompts.of(Words.PROMPT, LEVEL + 50, LEVEL)[0], front / 3 + 2 * side / 3)


def test_stable_diffusion_without_a_learned_word_uses_plain_words(sd: Pack) -> None:
    prompts = ViewPrompts(sd, "a bald man.", blend=0)
    torch.testing.assert_close(prompts.of(Words.PROMPT, LEVEL + 180, LEVEL), sd.embed(["a bald man, back view"]))
    torch.testing.assert_close(prompts.of(Words.PROMPT, LEVEL, LEVEL + 65), sd.embed(["a bald man, overhead view"]))
    torch.testing.assert_close(prompts.of(Words.NEGATIVE, LEVEL + 180, LEVEL), sd.embed(["eyes, face"]))
    torch.testing.assert_close(prompts.of(Words.NEGATIVE, LEVEL, LEVEL), sd.embed([""]))


def test_a_negative_prompt_replaces_the_packs_own(sd: Pack) -> None:
    sd = replace(sd, spec=replace(sd.spec, negative_prompt="cartoon"))
    torch.testing.assert_close(ViewPrompts(sd, "a man").of(Words.NEGATIVE, LEVEL, LEVEL), sd.embed(["cartoon"]))
    prompts = ViewPrompts(sd, "a man", "beard", blend=0)
    torch.testing.assert_close(prompts.of(Words.NEGATIVE, LEVEL, LEVEL), sd.embed(["beard"]))
    torch.testing.assert_close(prompts.of(Words.NEGATIVE, LEVEL + 180, LEVEL), sd.embed(["beard, eyes, face"]))


def test_what_each_branch_of_a_method_says(sd: Pack, pocket: Pack) -> None:
    azimuth = torch.tensor([0.0, 180])

    def said(pack: Pack, method: Method, words: Words, shot: int = 0) -> torch.Tensor:
        settings = ScoreSettings(method)
        prompts = ViewPrompts(pack, "a bald man", "beard", blend=0, settings=settings)
        return prompts.of(words, azimuth, torch.zeros(2), shot)

    torch.testing.assert_close(said(sd, Method.NFSD, Words.NOTHING), sd.embed(["", ""]))
    torch.testing.assert_close(said(sd, Method.NFSD, Words.NEGATIVE), sd.embed(["beard", "beard, eyes, face"]))
    torch.testing.assert_close(said(sd, Method.SSD, Words.NO_VIEW), sd.embed(["a bald man"] * 2))
    torch.testing.assert_close(said(pocket, Method.SSD, Words.NO_VIEW, 1), pocket.embed(["a bald man, close up"] * 2))
    faults = "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry"
    faulty = [f"a bald man, front view, {faults}", f"a bald man, back view, {faults}"]
    torch.testing.assert_close(said(sd, Method.BRIDGE, Words.FAULTS), sd.embed(faulty))
    with pytest.raises(UserError, match="faulty"):  # its vocabulary has none of these words
        said(pocket, Method.BRIDGE, Words.FAULTS)


def test_the_token_can_be_left_out(pocket: Pack) -> None:
    prompts = ViewPrompts(pocket, "a bald man", blend=0, settings=ScoreSettings(view_token=False))
    torch.testing.assert_close(prompts.of(Words.PROMPT, LEVEL + 180, LEVEL), pocket.embed(["a bald man, back view"]))


def test_the_text_encoder_runs_once(pocket: Pack) -> None:
    calls = []
    hook = pocket.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    prompts = ViewPrompts(pocket, "a bald man")
    for azimuth in (0.0, 50.0, 180.0):
        prompts.of(Words.PROMPT, LEVEL + azimuth, LEVEL)
        prompts.of(Words.NEGATIVE, LEVEL + azimuth, LEVEL)
    hook.remove()
    assert len(calls) == 1


def test_unknown_words_are_reported_and_the_rest_is_read(pocket: Pack) -> None:
    checked = check_prompt(pocket, "An angry old Wizard with green skin and his red beard.")
    assert checked.unknown_words == ["angry", "wizard"]
    assert len(checked.notices) == 1 and "angry, wizard" in checked.notices[0]
    torch.testing.assert_close(pocket.embed([checked.text]), pocket.embed(["old with green skin red beard"]))


def test_a_prompt_that_is_read_in_full_needs_no_words(sd: Pack, pocket: Pack) -> None:
    assert check_prompt(pocket, "a bald man with green skin").notices == []
    assert check_prompt(sd, "a grumpy wizard, from afar!").notices == []


@pytest.mark.parametrize("prompt", ["grumpy wizard", "a wizard with a hat", "of the", "", " ,.", "?!", "日本"])
def test_a_prompt_of_which_nothing_is_known_is_refused(pocket: Pack, prompt: str) -> None:
    with pytest.raises(UserError) as caught:
        check_prompt(pocket, prompt)
    assert "beard" in caught.value.advice or "bald" in caught.value.advice


def test_an_empty_prompt_is_refused_by_every_pack(sd: Pack) -> None:
    for prompt in ("", " , "):
        with pytest.raises(UserError):
            check_prompt(sd, prompt)


@pytest.mark.parametrize("name", ["sd", "pocket"])
def test_what_is_too_long_is_cut_and_told_and_the_view_is_still_said(name: str, request: pytest.FixtureRequest) -> None:
    pack: Pack = request.getfixturevalue(name)
    prompt = "a bald man with red hair, " * 6 + "green skin"
    checked = check_prompt(pack, prompt)
    assert len(checked.text) < len(prompt) and "green skin" in checked.notices[-1]
    prompts = ViewPrompts(pack, checked.text, blend=0)
    azimuth = torch.tensor([0.0, 90, 180])
    front, side, back = prompts.of(Words.PROMPT, azimuth, torch.zeros(3))
    assert min((front - side).abs().max(), (side - back).abs().max()) > 0.05
    if name == "pocket":  # Stable Diffusion has no such words
        assert not torch.equal(prompts.of(Words.PROMPT, azimuth[:1], LEVEL, shot=1)[0], front)


def test_a_very_long_prompt_is_no_trouble(sd: Pack) -> None:
    checked = check_prompt(sd, "bald man " * 200)
    assert set(checked.text.split()) == {"bald", "man"} and len(checked.notices) == 1
