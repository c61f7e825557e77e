# SPDX-License-Identifier: GPL-3.0-or-later
"""`headsculpt ablate` and `headsculpt compare` with a stand-in for the engine: what is made, what the page says."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_stand_ins import Engine, export, new_judge
from PIL import Image
from tiny_pack import make_tiny_pack

from headsculpt.bench.contest import ABLATION, COMPARISON, CONTEST, Side, run_contest, table, verdicts
from headsculpt.bench.measures import model_calls
from headsculpt.bench.sweep_pages import HEIGHT
from headsculpt.bench.variant_heads import Job
from headsculpt.bench.variants import Sweep, Variant, read_sweep
from headsculpt.cli import main
from headsculpt.errors import UserError
from headsculpt.evaluation import runs
from headsculpt.evaluation.examples import Example
from headsculpt.evaluation.shares import difference
from headsculpt.jobs.events import GenerateResult
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.pack import Pack
from headsculpt.shape.prior import Prior
from headsculpt.stages.presets import PRESETS, PREVIEW
from headsculpt.stages.settings import Look, Preset

TOML = """
preset = "preview"
seeds = [0, 4]
[settings]
"coarse.steps" = 7
[[prompts]]
name = "green"
prompt = "a bald man with green skin"
[[prompts]]
name = "blue"
prompt = "a bald man with blue skin"
[[groups]]
name = "ablation"
question = "What do landmarks do?"
variants = [{ name = "without landmarks", settings = { "*.score.landmarks" = false } }]
[[groups]]
name = "comparison"
question = "And others?"
variants = [{ name = "DreamFusion", settings = { "coarse.field.prior" = "blob" } }]
"""
DOCS = Path(__file__).parents[2] / "docs"


class Watched(Engine):
    """Notes the settings in force at each job; dissolves blue blobs."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Preset] = []

    def __call__(self, request: GenerateRequest, emit: object, control: object, pack: Pack | None) -> GenerateResult:
        settings = PRESETS[request.preset]
        if settings.coarse.field.prior is Prior.BLOB and "blue" in request.prompt:
            raise UserError("The head dissolved.", "Try another seed.")
        self.jobs.append(settings)
        return super().__call__(request, emit, control, pack)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "export_head", export)
    monkeypatch.setattr(runs, "load_judge", new_judge)


@pytest.fixture
def template(tmp_path: Path) -> GenerateRequest:
    (tmp_path / "pack").mkdir()  # the stand-in loads no model
    return GenerateRequest("any", pack=tmp_path / "pack", threads=1)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "list.toml").write_text(TOML)
    return read_sweep(tmp_path / "list.toml")


def quiet(event: object) -> None:
    pass


def test_both_contests_share_the_whole_methods_heads(tmp_path: Path, sweep: Sweep, template: GenerateRequest) -> None:
    engine, out, docs, said = Watched(), tmp_path / "out", tmp_path / "docs", list[str]()
    docs.mkdir()
    for name in ("ablation", "comparison"):
        (docs / f"{name}.md").write_text((DOCS / f"{name}.md").read_text())
    written = run_contest(ABLATION, sweep, out, template, quiet, docs=docs, generate=engine)
    assert all(path.is_file() for path in written)
    assert [(job.coarse.steps, job.coarse.score.landmarks) for job in engine.jobs] == [(7, True)] * 4 + [(7, False)] * 4
    assert PRESETS["preview"] is PREVIEW
    engine.jobs.clear()
    run_contest(COMPARISON, sweep, out, template, lambda event: said.append(str(event)), docs=docs, generate=engine)
    assert [job.coarse.field.prior for job in engine.jobs] == [Prior.BLOB] * 2
    assert sum("dissolved" in text for text in said) == 2
    page = (docs / "ablation.md").read_text()
    assert "| with both | 4 of 4 |" in page and "| without landmarks | 4 of 4 |" in page
    assert "(pictures/ablation/green.jpg)" in page
    page = (docs / "comparison.md").read_text()
    assert "| ours | 4 of 4 |" in page and "| DreamFusion | 2 of 4 |" in page
    assert "2 of 4 heads could not be made" in page
    data = json.loads((out / "comparison.json").read_text())
    assert [head["found"] is None for head in data[1]["heads"]] == [False, False, True, True]
    green, blue = (Image.open(docs / "pictures" / "comparison" / f"{name}.jpg") for name in ("green", "blue"))
    assert green.height == blue.height == 2 * HEIGHT and green.width == blue.width
    pixels = [np.asarray(picture)[HEIGHT + 8 : -8] for picture in (green, blue)]
    assert np.ptp(pixels[0][:, 200:]) > 60  # heads
    assert np.ptp(pixels[1][:, 200:].astype(int), axis=(0, 1)).max() < 12  # none beside the name


def test_rows_can_be_made_alone(tmp_path: Path, sweep: Sweep, template: GenerateRequest) -> None:
    engine, out = Watched(), tmp_path / "out"
    run_contest(ABLATION, sweep, out, template, quiet, ["without landmarks"], generate=engine)
    assert len(engine.jobs) == 4 and "| with both" not in (out / "ablation.md").read_text()
    run_contest(ABLATION, sweep, out, template, quiet, ["with both"], generate=engine)
    assert len(engine.jobs) == 8
    with pytest.raises(UserError, match="nothing called Magic3D"):
        run_contest(ABLATION, sweep, out, template, quiet, ["Magic3D"], generate=engine)
    with pytest.raises(UserError, match="no group called comparison"):
        run_contest(COMPARISON, replace(sweep, groups=sweep.groups[:1]), out, template, quiet, generate=engine)


def test_the_list_that_comes_with_headsculpt() -> None:
    """Eight prompts, three seeds; three ablations and three rivals, each with as many model calls as ours."""
    sweep = read_sweep(CONTEST)
    assert len(sweep.plan.orders) == 24 and {order.seed for order in sweep.plan.orders} == {0, 1, 2}
    ours = sweep.base.of(PREVIEW)
    assert ours.fine.steps == ours.paint.steps == 0 and ours.finish.detail == 0
    by_name = {variant.name: variant.of(ours) for group in sweep.groups for variant in group.variants}
    assert len(by_name) == 6
    for name, preset in by_name.items():
        assert model_calls(asdict(preset)) == model_calls(asdict(ours)), name
        assert preset.coarse.score.method is ours.coarse.score.method
    scores = {name: preset.coarse.score for name, preset in by_name.items()}
    switches = {name: (score.landmarks, score.view_token) for name, score in scores.items()}
    assert switches.pop("without landmarks") == (False, True) and switches.pop("without token") == (True, False)
    assert set(switches.values()) == {(False, False)}
    assert by_name["DreamFusion"].coarse.field.prior is by_name["Latent-NeRF"].coarse.field.prior is Prior.BLOB
    assert by_name["Latent-NeRF"].coarse.latent and by_name["Latent-NeRF"].coarse.weight_sketch > 0
    fantasia = by_name["Fantasia3D"]
    assert fantasia.coarse.steps == 0 and fantasia.fine.look is Look.NORMALS
    assert fantasia.paint.steps == fantasia.fine.steps


def found(asked: int, there: int, second: bool, seen: int) -> dict[str, Any]:
    wanted = {f"attribute {number}": "yes" for number in range(asked)}
    read = {name: "yes" if number < there else "no" for number, name in enumerate(wanted)}
    return {
        "asked": wanted,
        "found": {
            "attributes": read,
            "second_face": {"seen": seen, "looked": 11, "two_faced": second},
            "colors": {"skin": {"difference": 10.0 + there}},
        },
        "seconds": {"Growing the head": 10.0},
        "chroma": 20.0,
    }


def side(name: str, heads: list[dict[str, Any] | None]) -> Side:
    request, preset = GenerateRequest("any"), PREVIEW
    examples = [Example("one", "any"), Example("two", "any")]
    jobs = [
        Job("ablation", Variant(name), examples[index // 2], request, preset, Path(name)) for index in range(len(heads))
    ]
    return Side(name, tuple(jobs), tuple(heads))


def test_the_table_and_what_it_says() -> None:
    whole = side("whole", [found(4, 4, False, 0), found(4, 2, False, 1), found(4, 3, False, 0), found(4, 3, False, 0)])
    less = side("less", [found(4, 0, True, 6), found(4, 1, True, 7), None, found(4, 1, True, 9)])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([whole, less]).splitlines()]
    titles, _, one, two = lines
    first, second = dict(zip(titles, one, strict=True)), dict(zip(titles, two, strict=True))
    assert first["asked and there"] == "12 of 16, 75% (51% to 90%)"  # Wilson, by hand
    assert second["asked and there"].startswith("2 of 12, 17%") and second["heads"] == "3 of 4"
    assert first["in the worst seed"] == "62%"  # (2/4 + 3/4) / 2
    assert second["in the worst seed"] == "0%"  # the one of “one”, the missing one of “two”
    assert first["heads with a second face"].startswith("0 of 4") and second["heads with a second face"].startswith(
        "3 of 3"
    )
    assert first["such views from behind"] == "2%" and second["such views from behind"] == "67%"
    assert first["ΔE skin"] == "13.0" and "CLIP-R" not in titles and "ΔE hair" not in titles
    text = verdicts([whole, less, whole])
    worse, same = text.splitlines()
    assert "asked attributes -58 points" in worse and "second face +100 points" in worse
    assert worse.count("chance") == 0 and "1 of 4 heads could not be made" in worse
    assert same.count("that can be chance") == 2


def test_the_interval_of_a_difference() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 873, table II, method 10."""
    for counts, low, high in (
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ):
        assert difference(*counts) == pytest.approx((low, high), abs=2e-4)


TINY = """
preset = "preview"
seeds = [0]
[settings]
"coarse.steps" = 3
"coarse.resolutions" = [[0.0, 16]]
"coarse.samples" = 8
"coarse.prior_resolution" = 33
"coarse.extraction_resolution" = 32
"fine.steps" = 0
"fine.resolution" = 32
"paint.steps" = 0
"finish.detail" = 0.0
"finish.texture" = 64
"finish.triangles" = 1500
[[prompts]]
name = "green"
prompt = "a bald man with green skin"
"""


@pytest.mark.slow
def test_each_method_runs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real engine and the shipped rivals, on a tiny pack, with a few steps, by the command line."""
    make_tiny_pack(tmp_path / "pack")
    shipped = CONTEST.read_text()
    groups = shipped[shipped.index("[[groups]]") :]
    groups = groups.replace('steps" = 20', 'steps" = 2').replace('picture" = 128', 'picture" = 32')
    (tmp_path / "tiny.toml").write_text(TINY + groups)
    made: list[str] = []

    def note(result: GenerateResult, folder: Path) -> None:
        made.append(folder.parent.name)
        export(result, folder)

    monkeypatch.setattr(runs, "export_head", note)
    options = ["--out", str(tmp_path / "out"), "--pack", str(tmp_path / "pack"), "--threads", "1"]
    assert main(["ablate", str(tmp_path / "tiny.toml"), *options, "--only", "without either"]) == 0
    rivals = ["DreamFusion", "Latent-NeRF", "Fantasia3D"]
    assert main(["compare", str(tmp_path / "tiny.toml"), *options, "--only", *rivals]) == 0
    assert made == ["without either", *rivals]
    steps = json.loads((tmp_path / "out/comparison/Fantasia3D/green-0/report.json").read_text())["steps"]
    assert steps == {"coarse": 0, "fine": 2, "paint": 2}
