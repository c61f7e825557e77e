# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions say what is in a picture, in words that the pocket pack knows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from headsculpt.packs.pocket.training import captions
from headsculpt.packs.pocket.training.looks.words import HELD_OUT, OVER_EARS, Look
from headsculpt.packs.pocket.training.pictures import Record, pack_spec

WORDS_SAID = {
    **{"skin": "green", "style": "mohawk", "hair": "red", "beard": "long beard", "moustache": "", "brows": ""},
    **{"eyes": "blue", "lipstick": "", "paint": "clown", "glasses": "glasses", "headwear": "horns"},
    **{"ears": "elf ears", "expression": "angry", "age": "old", "sex": "man"},
}
RECORD = Record(WORDS_SAID, azimuth=10.0, shot=0)
LENGTH = 40


def records(count: int) -> list[Record]:
    rng = np.random.default_rng(0)
    return [
        Record(Look.draw(rng, 1).words(), float(rng.uniform(-180, 180)), int(rng.integers(3))) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def said() -> list[tuple[Record, str]]:
    rng, spec = np.random.default_rng(1), pack_spec()
    return [(record, captions.caption(record, spec, rng)) for record in records(3000)]


def test_every_word_is_known_and_fits(said: list[tuple[Record, str]]) -> None:
    tokenizer = captions.make_tokenizer(LENGTH)
    lengths: list[int] = []
    for _, text in said:
        ids = tokenizer(text, verbose=False).input_ids
        assert tokenizer.unk_token_id not in ids, text
        lengths.append(len(ids))
    assert np.quantile(lengths, 0.995) <= LENGTH
    used = {word for _, text in said for word in tokenizer.tokenize(text)}
    assert used == set(captions.WORDS)  # no word of the pack goes without training


def test_a_saved_tokenizer_reads_the_same(tmp_path: object) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = captions.make_tokenizer(LENGTH)
    tokenizer.save_pretrained(str(tmp_path))
    text = "An ANGRY warlock,with a red beard"
    loaded = PreTrainedTokenizerFast.from_pretrained(str(tmp_path))
    words = ["an", "angry", "<unk>", ",", "with", "a", "red", "beard"]
    assert loaded.tokenize(text) == words
    ids = loaded(text, padding="max_length", max_length=LENGTH).input_ids
    assert ids[:2] == [1, loaded.get_vocab()["an"]] and ids[9] == 2 and ids[10:] == [0] * 30


def test_captions_are_true(said: list[tuple[Record, str]]) -> None:
    names = ("style", "expression", "paint", "headwear", "age")
    every = {name: {record.words[name] for record, _ in said} - {""} for name in names}
    for record, text in said:
        true = record.words
        words = text.replace(",", " ").split()
        for name in names:
            for word in every[name] - {true[name]}:
                assert word not in words or word == "long", (word, text)  # a beard can be long too
        assert ("beard" in words) <= (true["beard"] in ("beard", "long beard"))
        assert ("glasses" in words) <= bool(true["glasses"])
        assert ("ears" in words) <= bool(true["ears"])
        assert ("moustache" in words) <= bool(true["moustache"])
        assert ("man" in words) <= (true["sex"] == "man") and ("woman" in words) <= (true["sex"] == "woman")
        for color, noun in re.findall(r"(\w+) (skin|eyes|beard|goatee|stubble|lipstick|mohawk|afro|bun|bob)", text):
            value = {"skin": "skin", "eyes": "eyes", "lipstick": "lipstick"}.get(noun, "hair")
            assert color in (true[value], "a", "an", "and", "with", "wearing", "long") or color in true["style"], text


def test_what_strikes_the_eye_is_said_more_often_than_the_rest() -> None:
    rng, spec = np.random.default_rng(2), pack_spec()
    texts = [captions.caption(RECORD, spec, rng) for _ in range(1000)]
    share = {phrase: np.mean([phrase in text for text in texts]) for phrase in ("mohawk", "glasses", "horns", "angry")}
    assert all(0.83 < value < 0.95 for value in share.values()), share
    quiet = {phrase: np.mean([phrase in text for text in texts]) for phrase in ("blue eyes", "old", "man")}
    assert all(0.63 < value < 0.77 for value in quiet.values()), quiet
    assert len(set(texts)) > 900


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
        assert text.endswith(", close up") == (record.shot == 1)
        assert text.endswith(", face close up") == (record.shot == 2)
        assert ("close" in text) == bool(record.shot)


def test_no_training_picture_shows_a_held_out_pair() -> None:
    rng = np.random.default_rng(5)
    looks = [Look.draw(rng, 1) for _ in range(3000)]
    assert not any(look.pairs() & HELD_OUT for look in looks)
    said = {f"{name}:{word}" for look in looks for name, word in look.words().items()}
    assert {word for pair in HELD_OUT for word in pair} <= said  # each alone is shown


def test_elf_ears_are_said_only_where_they_can_be_seen() -> None:
    rng = np.random.default_rng(6)
    elves = [look for look in (Look.draw(rng, 1) for _ in range(2000)) if look.ears]
    assert len(elves) > 100
    assert not any(look.style in OVER_EARS or look.headwear == "hat" for look in elves)
    assert any(look.headwear == "crown" for look in elves)
    assert not any(look.headwear == "crown" and look.style == "short" for look in elves)
