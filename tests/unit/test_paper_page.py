# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/paper.md names files, functions and tests: all of them are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py): (\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_what_the_page_names_is_there(file: str, name: str) -> None:
    folder = ROOT / "tests" / "unit" if file.startswith("test_") else ROOT / "backend" / "headsculpt"
    assert re.search(rf"^(def|class) {name}\b", (folder / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_names_every_equation_and_figure() -> None:
    assert len(NAMED) > 40
    equations = {int(number) for number in re.findall(r"Eq\. (\d+)", PAGE)}
    assert equations == set(range(1, 8))
    lists = re.findall(r"^\| Fig\. ((?:\d+(?: \(\w+\))?, )*\d+)", PAGE, re.MULTILINE)
    assert {int(number) for numbers in lists for number in re.findall(r"\d+", numbers)} == set(range(1, 18))
