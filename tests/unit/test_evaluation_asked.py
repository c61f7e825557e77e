# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prompt asks for, by its words; and that the quality list asks for all that the pack was taught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headsculpt import evaluation
from headsculpt.evaluation.asked import asked
from headsculpt.evaluation.attributes import ATTRIBUTES, SEEN_UP_TO, visible
from headsculpt.evaluation.examples import EXAMPLES
from headsculpt.evaluation.plan import read_plan
from headsculpt.packs.pocket.training.captions import WORDS, description
from headsculpt.packs.pocket.training.looks.words import HELD_OUT, Look
from headsculpt.packs.pocket.training.pictures import pack_spec

QUALITY = Path(evaluation.__file__).parent / "quality.toml"

SENTENCES = {
    "an angry old man with green skin, a red mohawk and a long white beard": {
        "expression": "angry",
        "age": "old",
        "sex": "man",
        "skin": "green",
        "style": "mohawk",
        "hair": "red",
        "beard": "long beard",
    },
    "A zombie, short brown hair, thick eyebrows.": {
        "skin": "zombie",
        "style": "short",
        "hair": "brown",
        "brows": "thick",
    },
    "a head of a woman with black hair in a bun, blue eyes and red lipstick": {
        "sex": "woman",
        "hair": "black",
        "style": "bun",
        "eyes": "blue",
        "lipstick": "red",
    },
    "a purple man wearing a gold crown and red glasses": {
        "skin": "purple",
        "sex": "man",
        "headwear": "crown",
        "glasses": "glasses",
    },
    "a face painted like a tiger, with elf ears": {"paint": "tiger", "ears": "elf ears"},
    "white clown face paint and a green goatee": {"paint": "clown", "beard": "goatee", "hair": "green"},
    "red skull face paint": {"paint": "skull"},
    "a bald man without a beard, no glasses": {"style": "bald", "sex": "man", "beard": "", "glasses": ""},
    "a man without a beard or a moustache, with glasses": {"sex": "man", "beard": "", "moustache": ""}
    | {"glasses": "glasses"},
    "a man wearing a hat or glasses": {"sex": "man", "headwear": "hat", "glasses": "glasses"},
    "a castle by the sea": {},
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences(sentence: str) -> None:
    assert asked(sentence) == SENTENCES[sentence]


def test_synonyms_are_the_packs() -> None:
    known = pack_spec().synonyms
    assert asked("a blonde lady", known) == {"sex": "woman"}  # blond what?
    assert asked("a lady with blonde hair", known) == {"sex": "woman", "hair": "blond"}
    wizard = asked("a wizard", known)
    assert wizard.items() >= {"age": "old", "beard": "long beard", "hair": "white", "headwear": "hat"}.items()
    assert asked("a beardless guy", known) == {"sex": "man"}
    assert asked("the magician", {"magician": "a sad man"}) == {"expression": "sad", "sex": "man"}


def test_captions_ask_for_what_their_pictures_show() -> None:
    """Every way in which a training caption says a thing is understood, and nothing is read into it."""
    rng, said = np.random.default_rng(0), set()
    for _ in range(400):
        words = Look.draw(rng, 1).words()
        text = description(words, rng)
        for attribute, value in asked(text).items():
            assert words[attribute] == value, text
            said.add((attribute, value))
    everything = {(name, value) for name, values in ATTRIBUTES.items() for value in values if value}
    assert said == everything


def test_the_quality_list() -> None:
    plan = read_plan(QUALITY)
    prompts = {order.example.prompt for order in plan.orders}
    assert len(prompts) == 24 and len(plan.orders) == 48 and plan.preset == "preview"
    seen = set()
    for prompt in prompts:
        words = asked(prompt)
        assert 3 <= len(words) <= 5, prompt
        said = {f"{name}:{value}" for name, value in words.items()}
        assert any(pair <= said for pair in HELD_OUT), prompt
        assert set(prompt.replace(",", "").split()) <= set(WORDS), prompt
        seen |= said
    assert seen == {f"{name}:{value}" for name, values in ATTRIBUTES.items() for value in values if value}


def test_attributes_are_those_of_a_look() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        for name, value in Look.draw(rng, 1).words().items():
            assert value in ATTRIBUTES[name]
    assert set(SEEN_UP_TO) == set(ATTRIBUTES) == set(Look.draw(rng, 1).words())


def test_what_nobody_can_see_is_not_asked_of_the_judge() -> None:
    words = Look.draw(np.random.default_rng(2), 1).words()
    words |= {"style": "bald", "beard": "", "moustache": "", "headwear": "", "expression": "sleeping"}
    front, back = visible(words, 0), visible(words, 170)
    assert "hair" not in front and "eyes" not in visible(words, 0, near=True)  # no hair to see; the lids are closed
    assert set(back) == {"style", "headwear"}
    assert "style" not in visible(words, 0, near=True) and "expression" in visible(words, 0, near=True)
    assert "hair" in visible(words | {"beard": "beard"}, 0) and "hair" not in visible(words | {"beard": "beard"}, 180)
    hat = visible(words | {"headwear": "hat"}, 0)
    assert "style" not in hat and "ears" in visible(words, 0) and "ears" not in hat


def test_the_examples_ask_for_something() -> None:
    for example in EXAMPLES:
        words = asked(example.prompt)
        assert "skin" in words and "style" in words and set(example.prompt.replace(",", "").split()) <= set(WORDS)
