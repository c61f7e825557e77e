# SPDX-License-Identifier: GPL-3.0-or-later
"""A word from pictures: what is read of a folder, where the word lies, stopping and going on, broken numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from shapes import icosphere
from tiny_pack import SIZE, make_tiny_pack

from headsculpt import cli
from headsculpt.errors import Cancelled, UserError
from headsculpt.evaluation.runs import fingerprint
from headsculpt.guidance import images, inversion
from headsculpt.guidance.images import read_images
from headsculpt.guidance.inversion import InversionSettings, learn_word, recipe
from headsculpt.jobs import learn_view
from headsculpt.jobs.events import Event, JobControl, Notice, Progress
from headsculpt.jobs.kinds import KINDS
from headsculpt.jobs.learn_view import STAGE, run_learn_view
from headsculpt.jobs.learn_view_request import LearnViewRequest
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.tokens import save_token, tokens_folder

STEPS = 9


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A pack of the test's own."""
    return shutil.copytree(made, tmp_path / "packs" / "tiny")


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "POCKET", replace(inversion.POCKET, batch=4, at_once=4))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four noisy pictures of different sizes, two with captions."""
    path, rng = tmp_path / "pictures", np.random.default_rng(0)
    path.mkdir()
    for number, size in enumerate([(40, 60), (64, 33), (32, 32), (100, 80)]):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(path / f"{number}.png")
    (path / "1.txt").write_text("a bald man\n")
    (path / "3.txt").write_text("a head with red hair, {} and so on " * 9)
    return path


def request(folder: Path, pictures: Path, **fields: Any) -> LearnViewRequest:
    return LearnViewRequest(images=pictures, pack=folder, steps=STEPS, threads=1, **fields)


# --- the folder


def test_pictures_are_cut_square_and_the_rest_is_named(tmp_path: Path) -> None:
    bands = np.zeros((40, 120, 3), np.uint8)
    bands[:, :40, 0], bands[:, 40:80, 1], bands[:, 80:, 2] = 255, 255, 255
    Image.fromarray(bands).save(tmp_path / "bands.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # taken with the camera on its side
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32] = 255
    Image.fromarray(upright).save(tmp_path / "camera.jpg", exif=turned, quality=95)
    clear = np.zeros((64, 64, 4), np.uint8)
    clear[:32] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "clear.webp", lossless=True)
    Image.new("L", (600, 400), 128).save(tmp_path / "grey.gif")
    Image.new("RGB", (200, 10)).save(tmp_path / "narrow.png")
    whole = (tmp_path / "bands.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "film.mp4").write_bytes(b"\0" * 100)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "grey.txt").write_text("an  old\nman")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "folder.png").mkdir()
    found = read_images(tmp_path, SIZE)
    assert found.pictures.shape == (4, 3, SIZE, SIZE)
    cut, camera, opaque, grey = found.pictures
    assert cut[1].min() > 0.95 and cut[[0, 2]].max() < 0.05 and cut[1, :, 2:-2].min() == 1
    assert camera[:, :, -10:].min() > 0.9 and camera[:, :, :10].max() < 0.1  # the upper half is at the right
    assert opaque[:, -4:].min() == 1 and float(opaque[1, 4, 4]) == pytest.approx(20 / 255)
    assert grey.unique().tolist() == pytest.approx([128 / 255])
    assert found.captions == ["", "", "", "an old man"]
    reasons = " ".join(found.skipped)
    assert len(found.skipped) == 4 and "notes.txt is no picture" in reasons
    for said in (
        "cut.png can not be read",
        "film.mp4 can not be read",
        "narrow.png is too small: 200 × 10",
    ):
        assert said in reasons


def test_too_few_pictures_are_refused_with_the_reasons(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (SIZE, SIZE)).save(tmp_path / name)
    (tmp_path / "c.png").write_text("no picture")
    with pytest.raises(UserError, match=r"2 pictures .* c.png can not be read"):
        read_images(tmp_path, SIZE)
    with pytest.raises(UserError, match="no folder"):
        read_images(tmp_path / "nowhere", SIZE)


# --- the word


def test_a_word_is_learned_beside_the_pack_and_used_by_name(
    folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "learned_embeds.safetensors").unlink()
    (pictures / "broken.jpg").write_text("no picture")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made_by = fingerprint(folder)
    arguments = ["--images", str(pictures), "--pack", str(folder), "--steps", "6", "--threads", "1"]
    assert cli.main(["learn-view", *arguments]) == 0
    said = capsys.readouterr()
    path = folder.parent / "tiny.tokens" / "back-view.safetensors"
    assert str(path) in said.out and "4 pictures" in said.out and "Left out: broken.jpg" in said.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    pack = load_pack(folder)
    assert pack.learned_tokens == ("<back-view>",)
    assert (
        fingerprint(folder) != made_by
    )  # what was measured without the word is not taken for what is measured with it
    row = load_file(path)["<back-view>"]
    table: Any = pack.text_encoder.get_input_embeddings()
    assert torch.equal(table.weight[pack.tokenizer.get_vocab()["<back-view>"]], row)
    assert not torch.allclose(row, table.weight[pack.tokenizer.get_vocab()["back"]])


def test_diffusers_reads_the_file_as_we_do(tmp_path: Path, pictures: Path) -> None:
    from diffusers import StableDiffusionPipeline

    folder = make_tiny_pack(tmp_path / "sd", "epsilon", "vae")
    out = tmp_path / "elsewhere" / "word.safetensors"
    result = run_learn_view(request(folder, pictures, out=out, initial_word="man"), lambda event: None, JobControl())
    assert result.path == out and result.used == 4 and result.steps == STEPS
    reference: Any = StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    reference.load_textual_inversion(out)
    texts = ["a man, <back-view>", "<back-view> head"]
    tokens_folder(folder).mkdir()
    out.rename(tokens_folder(folder) / "any-name.safetensors")
    torch.testing.assert_close(
        load_pack(folder).embed(texts), reference.encode_prompt(texts, "cpu", 1, False)[0], rtol=0, atol=1e-6
    )


def test_a_user_s_word_goes_before_the_pack_s(folder: Path) -> None:
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    tokens_folder(folder).mkdir()
    save_token(tokens_folder(folder) / "a.safetensors", "<back-view>", rows[0])
    save_token(tokens_folder(folder) / "a.safetensors", "<hat>", rows[1])
    pack = load_pack(folder)
    assert pack.learned_tokens == ("<back-view>", "<hat>")
    save_file({"<back-view>": rows[0], "<hat>": rows[1]}, folder / "learned_embeds.safetensors")
    (tokens_folder(folder) / "a.safetensors").unlink()
    texts = ["a man, <back-view>", "a <hat>"]
    assert torch.equal(pack.embed(texts), load_pack(folder).embed(texts))
    for content, told in ((torch.zeros(768), "do not belong"), (None, "damaged")):
        path = tokens_folder(folder) / "b.safetensors"
        save_file({"<rear>": content}, path) if content is not None else path.write_bytes(b"no file")
        with pytest.raises(UserError, match=told) as caught:
            load_pack(folder)
        assert str(path) in caught.value.message and "take the file away" in caught.value.advice


def test_words_of_the_built_in_pack_outlive_an_update(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from headsculpt.jobs.generate import POCKET

    monkeypatch.setenv("HEADSCULPT_PACKS", str(tmp_path))
    assert tokens_folder(POCKET) == tmp_path / "pocket.tokens"


def test_what_can_not_be_done_leaves_nothing_behind(folder: Path, pictures: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="no model pack"):
        run_learn_view(request(tmp_path / "nowhere", pictures), lambda event: None, JobControl())
    with pytest.raises(UserError, match="no folder"):
        run_learn_view(request(folder, tmp_path / "nowhere"), lambda event: None, JobControl())
    assert sorted(tmp_path.rglob("*")) == before


def test_names_that_mean_something_are_refused(folder: Path, pictures: Path) -> None:
    with pytest.raises(UserError, match="<pad> means something"):
        run_learn_view(request(folder, pictures, token="<pad>"), lambda event: None, JobControl())
    with pytest.raises(UserError, match="“xylophone” as one word"):
        run_learn_view(request(folder, pictures, initial_word="xylophone"), lambda event: None, JobControl())
    again = run_learn_view(request(folder, pictures, token="<back-view>"), lambda event: None, JobControl())
    assert again.path.exists()  # the pack's own may be learned anew


# --- stopping and going on


def interrupted(order: LearnViewRequest, step: int, how: Callable[[JobControl], None]) -> list[Event]:
    """Runs a job until `how` ends it after a step. Returns its events."""
    control, events = JobControl(), []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.stage == STAGE and event.step == step:
            how(control)

    run_learn_view(order, emit, control)
    return events


def ctrl_c(control: JobControl) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(("how", "raised"), [(JobControl.cancel, Cancelled), (ctrl_c, KeyboardInterrupt)])
def test_an_interrupted_job_goes_on_to_the_same_result(
    folder: Path, pictures: Path, tmp_path: Path, how: Callable[[JobControl], None], raised: type[BaseException]
) -> None:
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    run_learn_view(request(folder, pictures, out=straight), lambda event: None, JobControl())
    with pytest.raises(raised):
        interrupted(request(folder, pictures, out=broken), 5, how)
    assert not broken.exists() and (tmp_path / "broken.safetensors.unfinished").exists()
    events: list[Event] = []
    run_learn_view(request(folder, pictures, out=broken), events.append, JobControl())
    assert Notice("Going on after step 5.") in events
    steps = [event.step for event in events if isinstance(event, Progress) and event.stage == STAGE]
    assert steps == list(range(6, STEPS + 1))
    assert broken.read_bytes() == straight.read_bytes() and not (tmp_path / "broken.safetensors.unfinished").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["other pictures", "damaged"])
def test_another_job_s_state_is_not_used(folder: Path, pictures: Path, tmp_path: Path, what: str) -> None:
    out = tmp_path / "word.safetensors"
    with pytest.raises(Cancelled):
        interrupted(request(folder, pictures, out=out), 5, JobControl.cancel)
    order = request(folder, pictures, out=out)
    if what == "other pictures":
        (pictures / "0.png").unlink()
    if what == "damaged":
        (tmp_path / "word.safetensors.unfinished").write_bytes(b"nothing")
    events: list[Event] = []
    run_learn_view(order, events.append, JobControl())
    assert any(isinstance(event, Notice) and "starts anew" in event.text for event in events)
    fresh = tmp_path / "fresh.safetensors"
    run_learn_view(replace(order, out=fresh), lambda event: None, JobControl())
    assert out.read_bytes() == fresh.read_bytes()


def test_stop_keeps_what_is_learned(folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "word.safetensors"
    interrupted(request(folder, pictures, out=out), 4, JobControl.stop)
    assert "<back-view>" in load_file(out) and list(tmp_path.glob("*.unfinished")) == []


def test_a_state_is_written_every_now_and_then(
    folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed has no time to write one."""
    monkeypatch.setattr(learn_view, "SAVE_SECONDS", 0.0)
    seen: list[bool] = []
    state = tmp_path / "word.safetensors.unfinished"
    order = request(folder, pictures, out=tmp_path / "word.safetensors")
    run_learn_view(order, lambda event: seen.append(state.exists()), JobControl())
    assert seen[-1] and not state.exists()


# --- broken numbers


def test_a_step_without_numbers_is_left_out_and_told(
    folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = inversion.inversion_loss, iter(range(1000))
    monkeypatch.setattr(
        inversion, "inversion_loss", lambda *given: loss(*given) * (torch.nan if next(calls) == 3 else 1)
    )
    events: list[Event] = []
    out = tmp_path / "word.safetensors"
    run_learn_view(request(folder, pictures, out=out), events.append, JobControl())
    assert sum(isinstance(event, Notice) and "out of range" in event.text for event in events) == 1
    assert load_file(out)["<back-view>"].isfinite().all()


def test_numbers_that_stay_broken_end_the_job(folder: Path, pictures: Path, tmp_path: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.bias"][0] = torch.nan
    save_file(weights, path, {"format": "pt"})
    out = tmp_path / "word.safetensors"
    with pytest.raises(UserError, match="8 steps in a row"):
        run_learn_view(request(folder, pictures, out=out), lambda event: None, JobControl())
    assert not out.exists()


# --- settings


@pytest.fixture(scope="module")
def pack(made: Path) -> Pack:
    return load_pack(made)


def learned(pack: Pack, photos: torch.Tensor, **changes: Any) -> torch.Tensor:
    settings = InversionSettings(
        **{"templates": ("a head, {}",), "steps": 3, "batch": 4, "learning_rate": 0.05} | changes
    )
    return learn_word(pack, photos, settings, torch.Generator().manual_seed(0), ["a man"] * len(photos))


def test_pictures_a_few_at_once_and_in_a_mirror(pack: Pack) -> None:
    photos = torch.rand(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    together = learned(pack, photos, at_once=4)
    torch.testing.assert_close(learned(pack, photos, at_once=1, thrifty=True), together, rtol=0, atol=1e-4)
    mirrored = learned(pack, photos, mirrored=1.0)
    torch.testing.assert_close(mirrored, learned(pack, photos.flip(3), mirrored=1e-9), rtol=0, atol=1e-4)
    assert not torch.allclose(mirrored, learned(pack, photos, mirrored=1e-9), rtol=0, atol=1e-3)
    plain, decayed = (learned(pack, photos, learning_rate=1e-4, weight_decay=decay) for decay in (0.0, 1e3))
    kept = (1 - 0.1) * (1 - 0.07) * (1 - 0.04)  # the rate falls to a tenth
    assert decayed.norm() == pytest.approx(float(kept * plain.norm()), rel=0.01)


def test_the_papers_recipe_is_for_packs_that_can_spell(pack: Pack, tmp_path: Path) -> None:
    """diffusers/examples/textual_inversion: --train_batch_size 1 --gradient_accumulation_steps 4 --learning_rate 5e-4
    --scale_lr --max_train_steps 3000 --lr_scheduler constant; its defaults adam_weight_decay 1e-2, flip_p .5."""
    paper = recipe(load_pack(make_tiny_pack(tmp_path / "sd", "epsilon", "vae")))
    assert (paper.at_once, paper.batch, paper.steps) == (1, 1 * 4, 3000)
    assert paper.templates and all(text.count("{}") == 1 for text in paper.templates)
    assert (paper.learning_rate, paper.last_rate) == (5e-4 * 1 * 4, 1.0)
    assert (paper.weight_decay, paper.mirrored) == (1e-2, 0.5)
    assert recipe(pack).steps == 300


class Dresser:
    """Makes of every look a ball that is red in front and green behind: a wardrobe takes seconds to open."""

    def __init__(self, model: Any) -> None:
        self.model = SimpleNamespace(identity=range(3))

    def dress(self, look: Any) -> SimpleNamespace:
        ball = icosphere(3)
        colors = np.where(ball.vertices[:, 2:] > 0, (1.0, 0, 0), (0, 1.0, 0)).astype(np.float32)
        return SimpleNamespace(mesh=replace(ball, colors=colors))


def test_renders_of_backs_stand_in_for_pictures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "Wardrobe", Dresser)
    spec = load_pack(folder).spec
    found = images.render_back_views(replace(spec, image_size=64), np.random.default_rng(0), 20)
    middle = found.pictures[:, :, 32, 32]
    assert (middle[:, 1] > middle[:, 0] + 0.2).all() and all(found.captions)
    assert len({picture.numpy().tobytes() for picture in found.pictures}) == 20
    order = LearnViewRequest(render=3, pack=folder, out=tmp_path / "word.safetensors", steps=2, threads=1)
    events: list[Event] = []
    assert run_learn_view(order, events.append, JobControl()).used == 3
    rendered = [event.step for event in events if isinstance(event, Progress) and event.stage == learn_view.RENDERING]
    assert rendered == [0, 1, 2]


# --- the request


def test_a_request_travels(tmp_path: Path) -> None:
    order = LearnViewRequest(
        images=tmp_path, pack=tmp_path / "p", token="<rear>", out=tmp_path / "o.safetensors", seed=3
    )
    assert LearnViewRequest.from_message(*order.to_message()) == order
    assert LearnViewRequest.from_message({"render": 34}, {}) == LearnViewRequest(render=34)
    for header in ({"render": "34"}, {"render": 34, "colour": "red"}):
        with pytest.raises(ValueError, match="field"):
            LearnViewRequest.from_message(header, {})


def test_the_worker_learns_words(folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "word.safetensors"
    kind = KINDS["learn_view"]
    result = kind.run(kind.read(*request(folder, pictures, out=out).to_message()), lambda event: None, JobControl())
    fields, arrays = kind.answer(result)
    told = json.loads(json.dumps(fields))
    assert told["path"] == str(out) and told["token"] == "<back-view>" and told["used"] == 4 and arrays == {}
    assert 0 < told["loss"][1] < 10


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"images": Path("a"), "render": 3},
        {"render": 2},
        {"render": 5000},
        {"render": 34, "token": "back"},
        {"render": 34, "token": "<a b>"},
        {"render": 34, "out": Path("word.pt")},
        {"render": 34, "steps": 0},
        {"render": 34, "seed": -1},
        {"render": 34, "threads": 0},
    ],
)
def test_what_can_not_be_learned_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        LearnViewRequest(**fields)
    assert caught.value.advice
