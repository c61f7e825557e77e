# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pack has learned of each word: sentences, resuming, the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_stand_ins import new_judge
from tiny_pack import make_tiny_pack

from headsculpt.evaluation import words
from headsculpt.evaluation.asked import asked
from headsculpt.evaluation.words import (
    Findings,
    Share,
    Word,
    all_words,
    count_unasked,
    measure_words,
    prompts,
    sheet,
    table,
)
from headsculpt.jobs.generate import POCKET
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.pocket.training.captions import WORDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack") / "tiny")


@pytest.fixture(scope="module")
def pack(folder: Path) -> Pack:
    return load_pack(folder)


def test_every_word_is_asked_for(pack: Pack) -> None:
    everything = all_words()
    assert len(everything) == len({word.name for word in everything}) > 60
    for word in everything:
        texts = prompts(word, pack, 6)
        if word.question == "view":
            assert {text.split(", ")[1] for text in texts} == {
                {"front": "front view", "side": "side view", "back": "<back-view>"}[word.value]
            }
            continue
        for text in texts:
            assert asked(text)[word.question] == word.value, text
            assert set(text.replace(",", "").split()) <= set(WORDS), text
            assert text.endswith("close up") == (word.question in words.SMALL)


def test_words_are_drawn_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "PICTURES", 4)
    monkeypatch.setattr(words, "BATCH", 2)
    monkeypatch.setattr(words, "STEPS", 2)
    some = [Word("skin", "green"), Word("eyes", "red")]
    drawn: list[str] = []
    draw = words.draw
    monkeypatch.setattr(words, "draw", lambda pack, word: drawn.append(word.name) or draw(pack, word))
    first = measure_words(folder, tmp_path, new_judge(), some[:1])
    assert [share.pictures for share in first.shares] == [4] and drawn == ["skin green"]
    again = measure_words(folder, tmp_path, new_judge(), some)
    assert again.shares[0] == first.shares[0] and drawn == ["skin green", "eyes red"]
    pictures = np.load(tmp_path / "skin-green.npy")
    assert pictures.shape == (4, 32, 32, 3) and len({picture.tobytes() for picture in pictures}) == 4
    assert sheet(tmp_path, again.shares).size[0] == 2 * (120 + 6 * 96)
    other = make_tiny_pack(tmp_path / "other", seed=3)
    measure_words(other, tmp_path, new_judge(), some[:1])
    assert drawn[-1] == "skin green" and len(drawn) == 3 and not (tmp_path / "eyes-red.npy").exists()


def test_the_table() -> None:
    shares = [
        Share(Word("skin", "green"), 64, 64, ""),
        Share(Word("skin", "stone"), 32, 64, "grey"),
        Share(Word("age", "old"), 60, 64, "none"),
    ]
    findings = Findings(shares, {Word("ears", "elf ears"): 0.25})
    text = table(findings)
    assert "On average 81.2%" in text and "age" in text and "Below 60 %: skin stone 50%." in text
    assert "| skin | green 100%, stone 50% (grey) |" in text and "| age | old 94% |" in text
    data = json.loads(words.as_json(findings, {"guidance": 5.0}))
    assert data["words"]["skin stone"] == {"right": 32, "mistaken_for": "grey"} and data["guidance"] == 5.0
    assert "something else: ears elf ears 25.0%." in text and data["unasked"] == {"ears elf ears": 0.25}


def test_what_comes_unasked_is_counted_where_whole_heads_were_asked_for_something_else() -> None:
    def answers(*ears: str) -> dict[str, list[str]]:
        nothing = {question: [""] * len(ears) for question in words.ADDED}
        return nothing | {"ears": list(ears)}

    read = {
        Word("skin", "green"): answers("elf ears", ""),
        Word("style", "bald"): answers("elf ears", "elf ears"),
        Word("ears", "elf ears"): answers("elf ears", "elf ears"),  # asked
        Word("eyes", "red"): answers("elf ears", "elf ears"),  # of the face alone
        Word("view", "back"): answers("elf ears", "elf ears"),
    }
    unasked = count_unasked(read)
    assert unasked[Word("ears", "elf ears")] == 3 / 4
    assert unasked[Word("glasses", "glasses")] == 0 and {word.question for word in unasked} == set(words.ADDED)


def test_the_pocket_packs_pictures_keep_their_words() -> None:
    """The longest sentence fits into its text encoder."""
    pocket = load_pack(POCKET)
    for word in all_words():
        for text in prompts(word, pocket, 2):
            assert pocket.shortened(text) == pocket.readable(text)
