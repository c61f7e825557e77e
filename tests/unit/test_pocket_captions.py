# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions say what is in a picture, in words that the pocket pack knows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from headsculpt.packs.pocket.training import captions
from headsculpt.packs.pocket.training.looks import EXPRESSIONS, EYE_COLORS, HAIR_COLORS, SKINS, STYLES
from headsculpt.packs.pocket.training.pictures import Record, pack_spec

RECORD = Record("green", "mohawk", "red", True, "blue", "angry", azimuth=10.0, close_up=False)


def records(count: int) -> list[Record]:
    rng = np.random.default_rng(0)

    def pick(table: object) -> str:
        return str(rng.choice(list(table)))  # type: ignore[call-overload]

    return [
        Record(
            pick(SKINS),
            pick(STYLES),
            pick(HAIR_COLORS),
            bool(rng.random() < 0.5),
            pick(EYE_COLORS),
            pick(EXPRESSIONS),
            float(rng.uniform(-180, 180)),
            bool(rng.random() < 0.3),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def said() -> list[tuple[Record, str]]:
    rng, spec = np.random.default_rng(1), pack_spec()
    return [(record, captions.caption(record, spec, rng)) for record in records(3000)]


def test_every_word_is_known_and_fits(said: list[tuple[Record, str]]) -> None:
    tokenizer = captions.make_tokenizer(28)
    for _, text in said:
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids, text
        assert len(ids) <= 28, text
    used = {word for _, text in said for word in tokenizer.tokenize(text)}
    assert used == set(captions.WORDS)  # no word of the pack goes without training


def test_a_saved_tokenizer_reads_the_same(tmp_path: object) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = captions.make_tokenizer(28)
    tokenizer.save_pretrained(str(tmp_path))
    text = "An ANGRY wizard,with a red beard"
    loaded = PreTrainedTokenizerFast.from_pretrained(str(tmp_path))
    words = ["an", "angry", "<unk>", ",", "with", "a", "red", "beard"]
    assert loaded.tokenize(text) == words
    ids = loaded(text, padding="max_length", max_length=28).input_ids
    assert ids[:2] == [1, loaded.get_vocab()["an"]] and ids[9] == 2 and ids[10:] == [0] * 18


def test_captions_are_true(said: list[tuple[Record, str]]) -> None:
    for record, text in said:
        assert ("beard" in text) <= record.beard
        assert ("bald" in text.split()) <= (record.style == "bald")
        for style in ("mohawk", "afro"):
            assert (style in text) <= (record.style == style)
        for word in filter(None, EXPRESSIONS):
            assert (word in text) <= (record.expression == word)
        for color, noun in re.findall(r"(\w+) (skin|eyes|beard)", text.replace("with beard", "")):
            true = {"skin": record.skin, "eyes": record.eyes, "beard": record.hair}[noun]
            assert color in (true, "a", "and", ","), text
        named = set(re.findall(r"(\w+) (?:short |long |mohawk |afro )?(?:hair|mohawk|afro)", text)) & set(HAIR_COLORS)
        assert named <= {record.hair}, text


def test_every_attribute_is_said_in_most_captions_but_not_in_all() -> None:
    rng, spec = np.random.default_rng(2), pack_spec()
    texts = [captions.caption(RECORD, spec, rng) for _ in range(1000)]
    for phrase in ("green skin", "mohawk", "beard", "blue eyes", "angry"):
        assert 0.70 < np.mean([phrase in text for text in texts]) < 0.80  # 1 − DROPPED
    assert len(set(texts)) > 700


@pytest.mark.parametrize(
    ("azimuth", "words"),
    [
        (0, "front"),
        (44, "front"),
        (-44, "front"),
        (46, "side"),
        (-119, "side"),
        (121, "back"),
        (180, "back"),
        (314, "side"),
    ],
)
def test_view_words_match_the_azimuth(azimuth: float, words: str) -> None:
    spec = pack_spec()
    assert captions.view_words(spec, azimuth) == f"{words} view"
    rng = np.random.default_rng(3)
    texts = [captions.caption(replace(RECORD, azimuth=float(azimuth)), spec, rng) for _ in range(600)]
    share = np.mean([f", {words} view" in text for text in texts])
    assert abs(share - (0.12 if words == "back" else 0.60)) < 0.06
    assert not any(other in text for text in texts for other in {"front", "side", "back"} - {words})


def test_close_ups_are_always_said_and_last(said: list[tuple[Record, str]]) -> None:
    for record, text in said:
        assert text.endswith(", close up") == record.close_up
        assert ("close" in text) == record.close_up
