# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the learned word turns heads away: drawing once, reading, counting, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_stand_ins import new_judge
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest
from tiny_pack import make_tiny_pack

from headsculpt import cli
from headsculpt.evaluation import back_view
from headsculpt.evaluation.back_view import Reading, prompts, sign_test, table, verdict
from headsculpt.jobs.generate import POCKET
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.pocket.training.captions import WORDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack") / "tiny")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_view, "PICTURES", 4)
    monkeypatch.setattr(back_view, "STEPS", 2)
    monkeypatch.setattr(back_view, "SHOWN", 3)


def readings(**views: list[int]) -> list[Reading]:
    words = {"none": "", "front": "front view", "back": "back view", "token": "<back-view>"}
    return [Reading(view, words[view], np.array(read)) for view, read in views.items()]


def test_the_words_are_the_pocket_packs() -> None:
    texts = prompts()
    assert len(texts) == 64 and len(set(texts)) == 32
    assert set(" ".join(texts).replace(",", "").split()) <= set(WORDS)
    pack = load_pack(POCKET)
    assert all(pack.shortened(text, [", <back-view>"]) == pack.readable(text) for text in texts)


def test_the_table_counts(folder: Path) -> None:
    pack = load_pack(folder)
    found = readings(none=[0] * 64, front=[0] * 64, back=[2] * 16 + [1] * 48, token=[2] * 48 + [0] * 16)
    text = table(found, pack)
    assert "| `back view` | 0 of 64, 0% | 48 of 64, 75% | 16 of 64, 25% | 16% to 37% |" in text
    assert "| `<back-view>` | 16 of 64, 25% | 0 of 64, 0% | 48 of 64, 75% | 63% to 84% |" in text
    assert "| no view word | 64 of 64, 100% |" in text


def test_the_verdict_is_by_pairs() -> None:
    better = verdict(readings(back=[2, 0, 0, 0, 0, 0, 0, 0, 0], token=[2, 2, 2, 2, 2, 2, 2, 2, 0]))
    assert "turned 7 heads away" in better and "both turned 1" in better and "`<back-view>` works better" in better
    worse = verdict(readings(back=[2] * 9, token=[0] * 9))
    assert "`back view` works better" in worse
    assert "not shown" in verdict(readings(back=[2, 2, 0, 0], token=[0, 2, 2, 2]))
    assert "not shown" in verdict(readings(back=[0, 0], token=[0, 0]))


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (9, 3), (4, 4), (2, 20)])
def test_the_sign_test_is_the_exact_one(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert sign_test(gained, lost) == pytest.approx(expected)


def test_the_command_draws_once_and_fills_the_page(
    folder: Path, tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = new_judge()
    monkeypatch.setattr(back_view, "load_judge", lambda: judge)
    drawn: list[list[str]] = []
    draw = back_view.draw_pictures

    def noted(pack: Pack, texts: list[str], *rest: Any, **options: Any) -> NDArray[np.uint8]:
        drawn.append(texts)
        return draw(pack, texts, *rest, **options)

    monkeypatch.setattr(back_view, "draw_pictures", noted)
    docs, out = tmp_path / "docs", tmp_path / "out"
    (docs / "pictures").mkdir(parents=True)
    (docs / "back-view.md").write_text("Before\n<!-- back-view -->\n<!-- /back-view -->\nafter\n")
    arguments = ["--pack", str(folder), "--out", str(out), "--docs", str(docs), "--threads", "1"]
    assert cli.main(["back-view", *arguments]) == 0
    tails = [{text.split(", ")[-1] for text in texts} for texts in drawn]
    assert tails[1:] == [{"front view"}, {"back view"}, {"<back-view>"}] and len(drawn) == 4
    data = json.loads((out / "back-view.json").read_text())
    pictures = np.load(out / "token.npy")
    assert pictures.shape == (4, 32, 32, 3)
    assert data["views"]["<back-view>"] == judge.scores(pictures)["view"].argmax(1).tolist()
    page = (docs / "back-view.md").read_text()
    assert page.startswith("Before\n") and page.endswith("after\n") and "The judge" in page and "`<back-view>`" in page
    assert Image.open(docs / "pictures" / "back-view.jpg").width > 3 * 2 * 150
    assert cli.main(["back-view", *arguments]) == 0 and len(drawn) == 4
    other = make_tiny_pack(tmp_path / "other", seed=5)
    assert cli.main(["back-view", "--pack", str(other), "--out", str(out), "--threads", "1"]) == 0 and len(drawn) == 8
