# SPDX-License-Identifier: GPL-3.0-or-later
"""The sweep with a stand-in for the engine: which settings reach a job, what is done twice, what the tables say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_stand_ins import Engine, ball, export, new_judge
from PIL import Image

import build
from headsculpt.bench.measures import chroma_over_asked, model_calls, texture_chroma
from headsculpt.bench.sweep import run_sweep
from headsculpt.bench.sweep_pages import HEIGHT, Row, table
from headsculpt.bench.variants import SWEEP, Sweep, changed, read_sweep
from headsculpt.errors import UserError
from headsculpt.evaluation import runs
from headsculpt.evaluation.colors import lab
from headsculpt.guidance.methods import Method
from headsculpt.jobs.events import GenerateResult
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.pack import Pack
from headsculpt.packs.pocket.training.looks.words import HAIR_COLORS, SKINS
from headsculpt.stages.presets import PRESETS, PREVIEW
from headsculpt.stages.settings import Preset

TOML = """
preset = "preview"
seeds = [0]
[[prompts]]
name = "green"
prompt = "a bald man with green skin"
[[prompts]]
name = "blue"
prompt = "a bald man with blue skin"
[[groups]]
name = "guidance"
question = "How strong?"
variants = [
    { name = "7", settings = { "*.score.guidance_scale" = 7 } },
    { name = "the same", settings = { "coarse.steps" = 160 } },
    { name = "9 once", settings = { "fine.score.guidance_scale" = 9.0 } },
]
[[groups]]
name = "words"
question = "Which?"
variants = [{ name = "no beard", negative_prompt = "beard", seeds = [3] }]
"""
DOCS = Path(__file__).parents[2] / "docs"


class Watched(Engine):
    """Notes the settings in force at each job; can break down after some."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[str, int, str, Preset]] = []
        self.breaks_after = 100
        self.fails_at = -1.0

    def __call__(self, request: GenerateRequest, emit: object, control: object, pack: Pack | None) -> GenerateResult:
        settings = PRESETS[request.preset]
        if len(self.jobs) == self.breaks_after:
            raise KeyboardInterrupt
        if settings.coarse.score.guidance_scale == self.fails_at:
            raise UserError("The head dissolved.", "Try another seed.")
        self.jobs.append((request.prompt, request.seed, request.negative_prompt, settings))
        return super().__call__(request, emit, control, pack)

    def made(self) -> list[tuple[str, int, str, Preset]]:
        jobs, self.jobs = self.jobs, []
        return jobs


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GenerateRequest:
    pack = tmp_path / "pack"  # the stand-in loads no model
    pack.mkdir()
    monkeypatch.setattr(runs, "export_head", export)
    monkeypatch.setattr(runs, "load_judge", new_judge)
    return GenerateRequest("any", pack=pack, threads=1)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "sweep.toml").write_text(TOML)
    return read_sweep(tmp_path / "sweep.toml")


def quiet(event: object) -> None:
    pass


def test_a_path_changes_one_setting() -> None:
    expected = asdict(PREVIEW)
    expected["coarse"]["score"]["guidance_scale"] = 7.0
    expected["coarse"]["resolutions"] = ((0.0, 48), (0.5, 80))
    expected["fine"]["steps"] = 3
    preset = changed(PREVIEW, "coarse.score.guidance_scale", 7)
    preset = changed(preset, "coarse.resolutions", [[0, 48], [0.5, 80]])
    preset = changed(preset, "fine.steps", 3)
    assert asdict(preset) == expected
    assert isinstance(preset.coarse.score.guidance_scale, float)
    assert changed(PREVIEW, "fine.score.method", "csd").fine.score.method is Method.CSD
    assert not changed(PREVIEW, "coarse.score.landmarks", False).coarse.score.landmarks
    assert changed(PREVIEW, "paint.views.close_up_shares", []).paint.views.close_up_shares == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("coarse.score.guidance", 7.0),
        ("coarse.steps.more", 7),
        ("rough.steps", 7),
        ("", 7),
        ("coarse.steps", 7.5),
        ("coarse.steps", True),
        ("coarse.steps", "7"),
        ("coarse.score", 7),
        ("coarse.score.guidance_scale", "7"),
        ("coarse.score.method", "score"),
        ("coarse.score.landmarks", 0),
        ("coarse.resolutions", 64),
        ("coarse.resolutions", [64]),
        ("coarse.resolutions", [[0.0, 64, 1]]),
        ("coarse.resolutions", [[0.0, 64.5]]),
    ],
)
def test_a_wrong_path_or_value_is_named(path: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        changed(PREVIEW, path, value)
    assert f"setting {path}" in caught.value.message


def test_the_sweep_that_comes_with_headsculpt() -> None:
    sweep = read_sweep(SWEEP)
    calls = model_calls(asdict(PREVIEW))
    for group in sweep.groups:
        for variant in group.variants:
            variant.of(PREVIEW)
            if group.name in ("targets", "views", "painting"):
                assert model_calls(asdict(variant.of(PREVIEW))) == calls, variant.name
    assert sum(variant.differs_from(PREVIEW) for group in sweep.groups for variant in group.variants) > 30


@pytest.mark.parametrize(
    "change",
    [
        ("[[groups]]", "[[others]]"),
        ('name = "7"', 'name = "../7"'),
        ('name = "7"', 'name = "9 once"'),
        ('name = "words"', 'name = "preset"'),
        ("negative_prompt", "negative"),
    ],
)
def test_a_file_that_is_no_sweep(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / "sweep.toml").write_text(TOML.replace(*change))
    with pytest.raises(UserError, match="is no sweep"):
        read_sweep(tmp_path / "sweep.toml")


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, sweep: Sweep, template: GenerateRequest) -> None:
    engine, out = Watched(), tmp_path / "out"
    engine.breaks_after = 3
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, out, template, quiet, generate=engine)
    scales = [(job[3].coarse.score.guidance_scale, job[3].fine.score.guidance_scale) for job in engine.made()]
    assert scales == [(5, 5), (5, 5), (7, 7)]  # the preset, then the first variant's first head
    assert PRESETS["preview"] is PREVIEW
    engine.breaks_after = 100
    run_sweep(sweep, out, template, quiet, ["guidance"], generate=engine)
    scales = [(job[3].coarse.score.guidance_scale, job[3].fine.score.guidance_scale) for job in engine.made()]
    assert scales == [(7, 7), (5, 9), (5, 9)]  # what is the preset itself is not made
    said: list[str] = []
    run_sweep(sweep, out, template, lambda event: said.append(str(event)), generate=engine)
    assert [job[:3] for job in engine.made()] == [
        ("a bald man with green skin", 3, "beard"),
        ("a bald man with blue skin", 3, "beard"),
    ]
    assert "Head 1 of 2: words, no beard" in said[0] and "Head 2 of 2, 0 h 00 min left" in said[2]
    run_sweep(sweep, out, template, quiet, generate=engine)
    assert engine.made() == []
    (out / "guidance" / "7" / "blue-0" / "report.json").write_text("{")  # cut short
    run_sweep(sweep, out, template, quiet, generate=engine)
    assert len(engine.made()) == 1


def test_what_a_sweep_writes(tmp_path: Path, sweep: Sweep, template: GenerateRequest) -> None:
    engine, out, docs = Watched(), tmp_path / "out", tmp_path / "docs"
    docs.mkdir()
    (docs / "sweep.md").write_text((DOCS / "sweep.md").read_text())
    engine.fails_at = 7.0
    written = run_sweep(sweep, out, template, quiet, docs=docs, generate=engine)
    assert all(path.is_file() for path in written)
    data = json.loads((out / "sweep.json").read_text())
    seven, nine = data["groups"][0]["variants"]
    assert seven["heads"] == [] and seven["settings"] == {"*.score.guidance_scale": 7}
    assert [head["name"] for head in nine["heads"]] == ["green-0", "blue-0"]
    assert nine["together"]["ΔE skin"] < 1 and nine["heads"][0]["seconds"] == {"Growing": 2.0, "Refining": 1.0}
    assert nine["heads"][0]["calls"] == 2 * (2 * (160 + 70) + 4 * 40)  # with and without the prompt, views
    page = (docs / "sweep.md").read_text()
    assert "| preview, as it is |" in page and "| 9 once |" in page and "| 7 |" not in page
    assert "Not all there: 7 (0 of 2 heads)." in page
    for name in ("guidance", "words"):
        assert f"(pictures/sweep/preview-{name}.jpg)" in page
        assert Image.open(docs / "pictures" / "sweep" / f"preview-{name}.jpg").height == 2 * HEIGHT


def test_the_presets_own_heads_must_succeed(tmp_path: Path, sweep: Sweep, template: GenerateRequest) -> None:
    engine = Watched()
    engine.fails_at = 5.0
    with pytest.raises(UserError, match="dissolved"):
        run_sweep(sweep, tmp_path / "out", template, quiet, generate=engine)
    with pytest.raises(UserError, match="no group called nothing"):
        run_sweep(sweep, tmp_path / "out", template, quiet, ["nothing"], generate=engine)
    wrong = replace(sweep.groups[0].variants[0], settings={"coarse.nothing": 1})
    broken = replace(sweep, groups=(replace(sweep.groups[0], variants=(wrong,)),))
    with pytest.raises(UserError, match=r"coarse\.nothing"):
        run_sweep(broken, tmp_path / "out", template, quiet, generate=engine)


def head(skin: float, standoff: float, style: str, over: float, asked: int, there: int, second: bool) -> dict[str, Any]:
    """What is known of a made-up head."""
    wanted = {"style": style, **{f"attribute {number}": "yes" for number in range(asked - 1)}}
    read = {name: value if number < there else "no" for number, (name, value) in enumerate(wanted.items())}
    return {
        "asked": wanted,
        "found": {
            "attributes": read,
            "second_face": {"seen": 3 * second, "looked": 11, "two_faced": second},
            "colors": {"skin": {"difference": skin}},
            "standoff": standoff,
            "thickness": standoff / 2,
        },
        "seconds": {"Growing the head": 10.0, "Painting": 5.0},
        "calls": 80,
        "chroma": 20.0,
        "chroma_over_asked": over,
    }


def row(name: str, heads: Sequence[dict[str, Any]]) -> Row:
    return Row(name, tuple(heads), (), 3)


def test_the_table() -> None:
    first = [
        head(10, 0.08, "mohawk", 4, 4, 4, False),
        head(20, 0.04, "afro", 6, 2, 1, True),
        head(12, 0.01, "bald", 9, 3, 2, False),
    ]
    second = [
        head(9, 0.10, "mohawk", -3, 4, 3, False),
        head(30, 0.06, "afro", -5, 2, 1, False),
        head(16, 0.02, "bald", -4, 3, 2, False),
    ]
    text = table([row("as it is", first), row("other", second), row("half", first[:1])])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    titles, _, one, other = lines
    found = {title: (a, b) for title, a, b in zip(titles, one, other, strict=True)}
    assert found.pop("") == ("as it is", "other")
    assert found == {
        "asked and there": ("**78%**", "67%"),  # 7 and 6 of 9
        "second faces": ("1", "**0**"),
        "ΔE skin": ("**12.0**", "16.0"),
        "chroma over asked": ("+6.0", "**-4.0**"),  # nearer to none
        "chroma": ("20.0", "20.0"),
        "tall hair stands off": ("6.0%", "**8.0%**"),
        "over the scalp": ("3.0%", "**4.0%**"),
        "bald stands off": ("**1.0%**", "2.0%"),
        "model calls": ("80", "80"),
        "s coarse": ("10", "10"),
        "s painting": ("5", "5"),
        "s in all": ("15", "15"),
    }
    assert text.endswith("\nNot all there: half (1 of 3 heads).\n")


def test_chroma() -> None:
    red, grey = ball((1, 0, 0)), ball((0.5, 0.5, 0.5))
    assert texture_chroma(red) == pytest.approx(104.55, abs=0.05)  # sRGB's red: L*a*b* 53.24, 80.09, 67.20
    assert texture_chroma(grey) == pytest.approx(0, abs=0.05)
    mixed = red.base_color.copy()
    mixed[:, : mixed.shape[1] // 2] = grey.base_color[:, : mixed.shape[1] // 2]
    assert 20 < texture_chroma(replace(red, base_color=mixed)) < 85
    colors = {"skin": {"asked": "grey", "lab": (60, 3, 4)}, "hair": {"asked": "white", "lab": (90, 0, 7)}}
    asked = [np.hypot(*lab(color)[1:]) for color in (SKINS["grey"], HAIR_COLORS["white"])]
    assert chroma_over_asked(colors) == pytest.approx((5 - asked[0] + 7 - asked[1]) / 2, abs=0.01)
    assert chroma_over_asked({}) is None


def test_build_hands_the_sweeps_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def command_run(arguments: Sequence[str]) -> int:
        calls.append(list(arguments))
        return 3

    monkeypatch.setattr(build, "command_run", command_run)
    assert build.main(["bench", "--sweep", "--only", "guidance", "noise", "--docs", "docs"]) == 3
    assert build.main(["bench", "--sweep"]) == 3
    assert calls == [["sweep", "--only", "guidance", "noise", "--docs", "docs"], ["sweep"]]
