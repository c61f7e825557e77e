# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole job on a small random pack: what comes out, that it comes out again, and how it ends early."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from tiny_pack import make_tiny_pack

from headsculpt.bench.strangers import ellipsoid, ellipsoid_triangles
from headsculpt.errors import Cancelled, UserError
from headsculpt.evaluation import runs
from headsculpt.evaluation.answers import LINE, SIDE, AnswerSheet
from headsculpt.finish.finish import NECK
from headsculpt.head.builtin import load_builtin
from headsculpt.head.landmarks import MeshPoints
from headsculpt.head.model import Head
from headsculpt.jobs import generate
from headsculpt.jobs.events import Event, GenerateResult, JobControl, Notice, Preview, Progress
from headsculpt.jobs.request import GenerateRequest, HeadShape
from headsculpt.stages.distillation import Watch
from headsculpt.stages.presets import PAPER, PREVIEW
from headsculpt.stages.settings import FinishSettings, Preset

SMALL = Preset(
    coarse=replace(
        PREVIEW.coarse, steps=12, resolutions=((0.0, 24),), samples=8, prior_resolution=65, extraction_resolution=48
    ),
    fine=replace(PREVIEW.fine, steps=3, resolution=48, picture=32, smoothing=2),
    paint=replace(PREVIEW.paint, steps=2, picture=32),
    finish=FinishSettings(triangles=1500, texture=64, detail=0.012),
)
STILL = replace(
    SMALL,
    coarse=replace(SMALL.coarse, learning_rate_grid=0.0, learning_rate_mlp=0.0),
    fine=replace(SMALL.fine, learning_rate_shape=0.0, learning_rate_color=0.0),
)
"""A random model's words move nothing."""
PROMPT = "a bald old man with green skin"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(autouse=True)
def small_presets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(generate, "PRESETS", {"preview": SMALL, "paper": replace(SMALL, coarse=_warm(SMALL))})
    yield


def _warm(preset: Preset):
    return replace(preset.coarse, warmup_steps=PAPER.coarse.warmup_steps)


def run(
    pack: Path, control: JobControl | None = None, watch: Watch | None = None, **fields: object
) -> tuple[GenerateResult, list[Event]]:
    events: list[Event] = []
    request = GenerateRequest(**{"prompt": PROMPT, "pack": pack, "threads": 1} | fields)  # type: ignore[arg-type]
    return generate.run_generate(request, events.append, control or JobControl(), watch=watch), events


def test_what_no_word_changes_comes_out_where_and_as_large_as_the_chosen_head(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "PRESETS", {"preview": STILL})
    model = load_builtin()
    moved = (model.vertices * 25 + (3, -7, 11)).astype(np.float32)
    result, events = run(pack, head=HeadShape("Head", moved))
    found = trimesh.Trimesh(result.mesh.vertices, result.mesh.triangles, process=False)
    assert found.is_watertight and found.is_winding_consistent and found.volume > 0
    height, top = float(np.ptp(moved[:, 1])), float(moved[:, 1].max())
    neck = Head.from_vertices(model, moved).space.from_head(np.array([0, NECK, 0]))[1]
    assert found.bounds[0, 1] == pytest.approx(float(neck), abs=1e-3 * height)
    assert found.bounds[1, 1] == pytest.approx(top, abs=0.02 * height)
    assert found.centroid[0] == pytest.approx(3, abs=0.01 * height)
    previews = [event.mesh for event in events if isinstance(event, Preview)]
    assert previews and previews[0].colors is not None
    assert previews[0].vertices[:, 1].max() == pytest.approx(top, abs=0.02 * height)


def test_a_stranger_s_head_that_lies_on_its_back_with_shoulders_gives_a_head_that_lies_there(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside out, all its vertices doubled, landmarks known."""
    monkeypatch.setattr(generate, "PRESETS", {"preview": STILL})
    model = load_builtin()
    chest = ellipsoid(np.array([0.19, 0.15, 0.1]))
    chest[:, 1] -= 0.3
    upright = np.concatenate([model.vertices, chest])
    triangles = np.concatenate([model.triangles, ellipsoid_triangles() + len(model.vertices)])[:, ::-1]
    lying = (0.1 * upright[:, [0, 2, 1]] * [1, 1, -1]).astype(np.float32)  # the face looks along +y
    landmarks = MeshPoints(model.landmark_triangles, model.landmark_barycentric[:, ::-1])
    shape = HeadShape(
        "scan", lying[triangles].reshape(-1, 3), np.arange(triangles.size, dtype=np.int32).reshape(-1, 3), landmarks
    )
    result, _ = run(pack, head=shape)
    found = trimesh.Trimesh(result.mesh.vertices, result.mesh.triangles, process=False)
    assert found.is_watertight and found.volume > 0
    skin = model.vertices[model.masks["skin"] > 0.5]
    crown = -0.1 * skin[:, 1].max()  # the crown points along −z
    assert found.bounds[0, 2] == pytest.approx(crown, abs=0.003)
    assert found.bounds[1, 1] == pytest.approx(0.1 * skin[:, 2].max(), abs=0.003)
    assert found.bounds[1, 2] < 0.1 * 0.16  # the shoulders are gone
    assert (found.vertex_normals * result.mesh.normals).sum(1).mean() > 0.99  # and they lie there as well


def test_the_same_request_gives_the_same_arrays_whoever_watches(pack: Path, tmp_path: Path) -> None:
    sheet = AnswerSheet(tmp_path / "answers.jpg")
    first, _ = run(pack, seed=3)
    second, _ = run(pack, seed=3, preview_seconds=0, watch=sheet)
    other, _ = run(pack, seed=4)
    for name in ("vertices", "triangles", "corner_uv", "base_color", "normal_map"):
        assert np.array_equal(getattr(first.mesh, name), getattr(second.mesh, name)), name
    assert not np.array_equal(first.mesh.base_color, other.mesh.base_color)
    written = sheet.write()
    assert written is not None
    picture = np.asarray(Image.open(written)).astype(int)
    # 12, 3 and 2 steps: two rows of pairs for growing, one for each of the others, eight pairs a row
    assert picture.shape == (4 * (SIDE + LINE), 8 * 2 * SIDE, 3)
    shown, answered = picture[:SIDE, :SIDE], picture[:SIDE, SIDE : 2 * SIDE]
    assert np.ptp(shown) > 60  # a grey head before a background
    assert np.abs(shown - answered).mean() > 5
    assert picture[SIDE + LINE :, -SIDE:].max() < 30, "there was no sixteenth step"


def test_a_job_that_asked_nothing_has_no_answers(tmp_path: Path) -> None:
    assert AnswerSheet(tmp_path / "answers.jpg").write() is None
    assert not list(tmp_path.iterdir())


def test_a_sheet_of_answers_is_a_jpeg_and_named_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="JPEG"):
        AnswerSheet(tmp_path / "answers.png")


def test_progress_is_in_order_and_the_report_tells_what_was_done(pack: Path) -> None:
    result, events = run(pack, prompt="a bald wizard with green skin")
    steps = [(event.stage, event.step) for event in events if isinstance(event, Progress) and event.steps]
    assert [step for _, step in steps] == [*range(1, 13), *range(1, 4), 1, 2]
    assert result.report["steps"] == {"coarse": 12, "fine": 3, "paint": 2}
    assert result.report["unknown_words"] == ["wizard"]
    assert any("wizard" in event.text for event in events if isinstance(event, Notice))
    assert result.report["seed"] == 0 and result.report["settings"]["fine"]["steps"] == 3


def test_stop_keeps_what_there_is(pack: Path) -> None:
    control = JobControl()

    def stop_at_five(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 5:
            control.stop()

    request = GenerateRequest(PROMPT, pack=pack, threads=1)
    result = generate.run_generate(request, stop_at_five, control)
    assert result.report["steps"] == {"coarse": 5, "fine": 0, "paint": 0}
    assert len(result.mesh.triangles) > 500


def test_cancel_ends_the_job_at_the_next_step(pack: Path) -> None:
    control = JobControl()
    seen: list[int] = []

    def cancel_at_five(event: Event) -> None:
        if isinstance(event, Progress) and event.steps:
            seen.append(event.step)
            if event.step == 5:
                control.cancel()

    with pytest.raises(Cancelled):
        generate.run_generate(GenerateRequest(PROMPT, pack=pack, threads=1), cancel_at_five, control)
    assert seen[-1] == 5


def test_a_warm_up_that_a_pack_cannot_do_is_left_out_and_said_and_the_job_is_known_again(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, events = run(pack, preset="paper")
    assert any("warm-up" in event.text for event in events if isinstance(event, Notice))
    assert any("warm-up" in text for text in result.report["notices"])
    monkeypatch.setattr(runs, "PRESETS", generate.PRESETS)
    request = GenerateRequest(PROMPT, pack=pack, threads=1, preset="paper")
    model = runs.model_used(request, random_unet=False)
    (tmp_path / "report.json").write_text(json.dumps(result.report | {"model": model}))
    assert runs.finished(tmp_path, request)
    assert not runs.finished(tmp_path, replace(request, preset="preview"))


def test_stable_diffusion_layout_warms_up_on_normals(tmp_path: Path) -> None:
    result, events = run(make_tiny_pack(tmp_path, "epsilon", "vae"), preset="paper")
    assert result.report["settings"]["coarse"]["warmup_steps"] == PAPER.coarse.warmup_steps
    assert not [event for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": "zebra giraffe"}, "knows no word"),
        ({"head": HeadShape("Cube", np.eye(4, 3, dtype=np.float32) + 1)}, "4 vertices"),
        ({"pack": Path("no-such-pack")}, "no model pack"),
    ],
)
def test_bad_input_is_one_clear_sentence(pack: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(**{"pack": pack} | fields)  # type: ignore[arg-type]
