# SPDX-License-Identifier: GPL-3.0-or-later
"""Other words for what a pack knows."""

from __future__ import annotations

import pytest

from headsculpt.guidance.prompts import EMPTY_WORDS
from headsculpt.packs.pocket.training.captions import WORDS
from headsculpt.packs.pocket.training.pictures import pack_spec
from headsculpt.packs.synonyms import in_known_words


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("a lady with blonde hair", "a woman with blond hair"),
        ("An Elderly guy", "an old man"),
        ("a grumpy man", "an angry man"),
        ("a beardless man, smiling", "a man, smiling"),
        ("a wizard", "an old man with a long white beard and a hat"),
        ("a person with pointed ears", "a person with elf ears"),
        ("elf ears", "elf ears"),
        ("a mustache and spectacles", "a moustache and glasses"),
        ("an unguyed man", "an unguyed man"),
        ("a man with short-cropped hair", "a man with short hair"),
    ],
)
def test_people_say_it_in_other_words(said: str, known: str) -> None:
    assert in_known_words(said, pack_spec().synonyms)[0] == known


def test_what_was_replaced_is_told() -> None:
    _, replaced = in_known_words("a blonde lady with elf ears", pack_spec().synonyms)
    assert replaced == {"blonde": "blond", "lady": "woman"}


def test_synonyms_lead_to_words_that_were_trained_and_hide_none() -> None:
    for said, known in pack_spec().synonyms.items():
        assert set(known.replace(",", " ").split()) <= {*WORDS, *EMPTY_WORDS}, said
        assert (said not in WORDS or said in known.split() or said == known) and said == said.lower()
