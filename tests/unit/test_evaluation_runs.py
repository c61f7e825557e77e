# SPDX-License-Identifier: GPL-3.0-or-later
"""The showcase and the controls with a stand-in for the engine: what is made, what is kept, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_stand_ins import Engine, export, new_judge
from PIL import Image
from tiny_pack import make_tiny_pack

from headsculpt.errors import UserError
from headsculpt.evaluation import pages, runs
from headsculpt.evaluation.controls import CONTROLS, run_controls
from headsculpt.evaluation.examples import EXAMPLES
from headsculpt.evaluation.showcase import run_showcase
from headsculpt.head.builtin import load_builtin
from headsculpt.jobs.request import GenerateRequest, HeadShape
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.stages.presets import PRESETS

FIRST, SECOND = (example.name for example in EXAMPLES[:2])
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack") / "tiny")


@pytest.fixture
def template(pack: Path) -> GenerateRequest:
    return GenerateRequest("green skin", seed=5, pack=pack, threads=1)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "export_head", export)
    monkeypatch.setattr(runs, "load_judge", new_judge)


def test_the_showcase_does_nothing_twice(tmp_path: Path, template: GenerateRequest) -> None:
    engine = Engine()

    def show(request: GenerateRequest, *only: str) -> list[str]:
        engine.prompts.clear()
        run_showcase(tmp_path, request, print, only, generate=engine)
        return engine.prompts

    first, second = (example.prompt for example in EXAMPLES[:2])
    assert show(template, FIRST) == [first]
    assert show(template, FIRST) == []
    assert show(template, FIRST, SECOND) == [second]
    assert show(replace(template, seed=6), FIRST) == [first]
    assert show(template, FIRST) == [first]
    (tmp_path / FIRST / "report.json").write_text("{")  # a run that was cut short
    assert show(template, FIRST, SECOND) == [first]


def test_other_settings_or_another_model_are_another_run(
    tmp_path: Path, template: GenerateRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "head"
    runs.make(template, folder, print, generate=Engine())
    assert runs.finished(folder, template)
    assert not runs.finished(folder, template, random_unet=True)
    assert not runs.finished(folder, replace(template, negative_prompt="hair"))
    other = make_tiny_pack(tmp_path / "other", seed=1)
    assert not runs.finished(folder, replace(template, pack=other))
    monkeypatch.setitem(PRESETS, "preview", PRESETS["standard"])
    assert not runs.finished(folder, template)


def test_another_base_or_head_is_another_run(tmp_path: Path, template: GenerateRequest) -> None:
    runs.make(template, tmp_path, print, generate=Engine())
    assert not runs.finished(tmp_path, replace(template, base=Path("tuned.safetensors")))
    assert not runs.finished(tmp_path, replace(template, lora=((Path("clay.safetensors"), 0.8),)))
    assert not runs.finished(tmp_path, replace(template, head=HeadShape("mine", load_builtin().vertices)))


def test_what_the_showcase_writes(tmp_path: Path, template: GenerateRequest) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "showcase.md").write_text("Before\n<!-- showcase -->\nof last year\n<!-- /showcase -->\nafter\n")
    out = tmp_path / "out"
    run_showcase(out, template, print, [SECOND], generate=Engine())
    written = run_showcase(out, template, print, [FIRST], docs, Engine())
    assert all(path.is_file() for path in written)
    data = json.loads((out / "showcase.json").read_text())
    assert [entry["name"] for entry in data] == [FIRST, SECOND]  # also what another process has made
    assert data[0]["found"]["colors"]["skin"]["nearest"] == "green"
    assert data[0]["found"]["colors"]["skin"]["difference"] < 1
    assert data[0]["found"]["colors"]["hair"]["nearest"] == "green" and data[0]["asked"]["hair"] == "red"
    page = (docs / "showcase.md").read_text()
    assert page.startswith("Before\n<!-- showcase -->\n| |") and page.endswith("<!-- /showcase -->\nafter\n")
    assert "of last year" not in page
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {FIRST} |")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[2].startswith("green 0.") and "nearer" not in cells[2]
    assert cells[3].startswith("red ") and cells[3].endswith("(nearer to green)")
    assert cells[5] == f"{data[0]['found']['standoff']:.1%} (≥ 5%)" and cells[-1] == "3"
    asked, attributes = data[0]["asked"], data[0]["found"]["attributes"]
    assert asked["expression"] == "angry" and asked["sex"] == "man" and len(asked) == 6
    assert cells[1].startswith(f"{sum(attributes[name] == value for name, value in asked.items())} of 6")
    assert cells[7] == ("yes" if data[0]["found"]["second_face"]["two_faced"] else "no")
    picture = Image.open(docs / "pictures" / f"{FIRST}.jpg")
    assert picture.size == (4 * (16 + 2 * 8), 128)  # the bar is at most 8 pixels off the middle; then a rim
    middle = np.asarray(picture)[32, 16::32, 0].astype(int)
    assert np.abs(middle - [0, 20, 40, 80]).max() < 8  # front, three-quarter, side, back


def test_unknown_names_and_pages(tmp_path: Path, template: GenerateRequest) -> None:
    engine = Engine()
    with pytest.raises(UserError, match="no example called nobody"):
        run_showcase(tmp_path, template, print, ["nobody"], generate=engine)
    assert engine.prompts == []
    page = tmp_path / "page.md"
    page.write_text("<!-- showcase -->\nno end")
    with pytest.raises(UserError, match="no place"):
        pages.fill(page, "showcase", "new")
    assert page.read_text() == "<!-- showcase -->\nno end"
    with pytest.raises(UserError, match="can not be read"):
        pages.fill(tmp_path / "none.md", "showcase", "new")


def test_the_controls_are_judged_against_the_first_prompt(tmp_path: Path, template: GenerateRequest) -> None:
    engine = Engine()
    run_controls(tmp_path, template, print, generate=engine)
    assert engine.prompts == [control.prompt for control in CONTROLS]
    data = json.loads((tmp_path / "controls.json").read_text())
    as_it_is, random_unet, other_words = (entry["found"]["colors"]["skin"] for entry in data)
    assert as_it_is["difference"] < 1 and random_unet["difference"] > 20 and other_words["difference"] > 20
    assert other_words["asked"] == "green" and other_words["nearest"] == "pale"
    assert [entry["model"]["unet"] for entry in data] == ["trained", "random", "trained"]
    assert len({entry["seed"] for entry in data}) == 1
    assert Image.open(tmp_path / "pictures" / "controls.jpg").size == (8 * 100, 600)
    for control in CONTROLS:
        assert f"| {control.title} |" in (tmp_path / "controls.md").read_text()
    run_controls(tmp_path, template, print, generate=engine)
    assert len(engine.prompts) == 3


def test_an_untrained_unet(pack: Path) -> None:
    trained = load_pack(pack)
    state = torch.get_rng_state()
    first, again, other = (runs.untrained(trained, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)

    def noise(of: Pack) -> torch.Tensor:
        latents = torch.randn(1, 6, 8, 8, generator=torch.Generator().manual_seed(0))
        return of.predict_noise(latents, torch.tensor([500]), of.embed(["a red head"]))

    assert torch.equal(noise(first), noise(again)) and not torch.equal(noise(first), noise(other))
    assert not torch.allclose(noise(first), noise(trained), atol=1e-2)
    assert torch.equal(noise(trained), noise(load_pack(pack)))
    shapes: Callable[[Pack], list[torch.Size]] = lambda of: [p.shape for p in of.unet.parameters()]  # noqa: E731
    assert shapes(first) == shapes(trained) and not any(p.requires_grad for p in first.unet.parameters())


def test_the_documents_have_their_places(tmp_path: Path) -> None:
    for name in ("showcase", "controls"):
        page = tmp_path / f"{name}.md"
        page.write_text((DOCS / page.name).read_text())
        pages.fill(page, name, "THE TABLE")
        assert "\nTHE TABLE\n" in page.read_text()
