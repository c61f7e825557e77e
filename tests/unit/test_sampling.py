# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a prompt: against diffusers' own pipeline, and as a user asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny_pack import make_tiny_pack

from headsculpt import cli
from headsculpt.evaluation import samples
from headsculpt.guidance.sampling import draw_noise, draw_pictures, sample
from headsculpt.packs.pack import Pack, load_pack

TEXTS = ["a bald man with green skin", "a head with red hair, side view", "a head"]
GUIDANCE = 4.0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packs")
    return {"pocket": make_tiny_pack(root / "pocket"), "sd": make_tiny_pack(root / "sd", "epsilon", "vae")}


@pytest.fixture(scope="module", params=["pocket", "sd"])
def pack(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Pack:
    return load_pack(folders[request.param])


def pipeline_of(pack: Pack) -> Any:
    """diffusers' pipeline around the pack's networks, with diffusers' DDIM."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline

    blocks = (pack.spec.image_size // pack.spec.latent_size).bit_length()
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(4,) * blocks,
        latent_channels=pack.spec.latent_channels,
        norm_num_groups=2,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=pack.spec.prediction_type,
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,  # of no effect with this spacing; the pipeline warns without
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=pack.text_encoder,
        tokenizer=pack.tokenizer,
        unet=pack.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_latents_are_those_of_diffusers_pipeline(pack: Pack, steps: int) -> None:
    noise = draw_noise(pack, len(TEXTS), 3)
    expected = pipeline_of(pack)(
        prompt_embeds=pack.embed(TEXTS),
        negative_prompt_embeds=pack.embed([""] * len(TEXTS)),
        latents=noise,
        guidance_scale=GUIDANCE,
        num_inference_steps=steps,
        output_type="latent",
    ).images
    found = sample(pack, TEXTS, noise, GUIDANCE, steps)
    size = max(1.0, float(expected.abs().max()))  # random nets blow up what they are given step after step
    torch.testing.assert_close(found / size, expected / size, rtol=0, atol=1e-5)
    assert (found - noise).abs().max() > 0.1


def test_landmarks_count_as_much_as_they_are_scaled(pack: Pack) -> None:
    noise = draw_noise(pack, 1, 0)
    maps = torch.rand(1, 3, pack.spec.image_size, pack.spec.image_size, generator=torch.Generator().manual_seed(0))
    without = sample(pack, TEXTS[:1], noise, GUIDANCE, 3)
    off = sample(pack, TEXTS[:1], noise, GUIDANCE, 3, maps, torch.zeros(1))
    full = sample(pack, TEXTS[:1], noise, GUIDANCE, 3, maps)
    torch.testing.assert_close(off, without)
    torch.testing.assert_close(full, sample(pack, TEXTS[:1], noise, GUIDANCE, 3, maps, torch.ones(1)))
    assert (full - without).abs().max() > 1e-3


def test_a_picture_does_not_depend_on_its_neighbours(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.equal(draw_noise(pack, 5, 7)[:2], draw_noise(pack, 2, 7))
    assert not torch.equal(draw_noise(pack, 2, 8), draw_noise(pack, 2, 7))
    noise = draw_noise(pack, 3, 7)
    together = draw_pictures(pack, TEXTS, noise, GUIDANCE, 2)
    monkeypatch.setattr("headsculpt.guidance.sampling.CELLS_AT_ONCE", 2 * pack.spec.latent_size**2)
    apart = draw_pictures(pack, TEXTS, noise, GUIDANCE, 2)
    assert together.shape == (3, 32, 32, 3) and len({picture.tobytes() for picture in together}) == 3
    assert np.abs(together.astype(int) - apart).max() <= 1


def drawn(folder: Path, out: Path, *words: str) -> NDArray[np.uint8]:
    arguments = ["--pack", str(folder), "--out", str(out), "--steps", "2", "--threads", "1", *words]
    assert cli.main(["sample", *arguments]) == 0
    return np.asarray(Image.open(out))


def last_row(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The tiles' part of a sheet with one row of tiles."""
    return sheet[-samples.SMALL - samples.GAP :]


def test_a_sheet_and_what_the_pack_reads(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = drawn(folders["pocket"], tmp_path / "a.png", "a bald purple man, with green skin", "--count", "1")
    said = capsys.readouterr()
    assert (
        "reads: “a bald man, with green skin”" in said.err
        and "purple" in said.err
        and str(tmp_path / "a.png") in said.out
    )
    two = drawn(folders["pocket"], tmp_path / "b.png", "a bald man, with green skin", "--count", "2")
    width = one.shape[1]
    assert two.shape[1] == 2 * width and np.array_equal(last_row(two)[:, :width], last_row(one))
    other = drawn(folders["pocket"], tmp_path / "c.png", "a bald man, with green skin", "--count", "1", "--seed", "1")
    assert not np.array_equal(last_row(other), last_row(one))
    side = drawn(folders["pocket"], tmp_path / "d.png", "a bald man", "--count", "1", "--view", "side")
    spelled = drawn(folders["pocket"], tmp_path / "e.png", "a bald man, side view", "--count", "1")
    assert np.array_equal(last_row(side), last_row(spelled))
    bare = drawn(folders["pocket"], tmp_path / "f.png", "a bald man", "--count", "1")
    assert not np.array_equal(last_row(side), last_row(bare))


def test_pairs_of_back_views_share_their_noise(folders: dict[str, Path], tmp_path: Path) -> None:
    """Left what “back view” gives alone, right what the learned word gives alone (Fig. 12)."""
    asked = ("a bald man", "--count", "1")
    pair = last_row(drawn(folders["pocket"], tmp_path / "pair.png", *asked, "--compare-back"))
    plain = last_row(drawn(folders["pocket"], tmp_path / "plain.png", *asked, "--view", "back"))
    token = last_row(drawn(folders["pocket"], tmp_path / "token.png", *asked, "--view", "token"))
    inner = samples.SMALL - 30  # the pair was enlarged together: pixels near its middle mix
    start = samples.GAP
    assert np.array_equal(pair[:, start : start + inner], plain[:, start : start + inner])
    right = start + samples.SMALL + 30
    assert np.array_equal(pair[:, right : right + inner], token[:, start + 30 : start + 30 + inner])
    assert not np.array_equal(plain, token)


def test_landmarks_from_an_azimuth(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The map stands beside the pictures, the view's words follow the azimuth, and behind the map is off."""
    asked = ("a bald man", "--count", "1")
    free = last_row(drawn(folders["pocket"], tmp_path / "free.png", *asked, "--view", "front"))
    capsys.readouterr()
    front = last_row(drawn(folders["pocket"], tmp_path / "front.png", *asked, "--landmarks", "0"))
    assert "landmarks say little" not in capsys.readouterr().err
    width = free.shape[1]
    assert front.shape[1] == 2 * width and not np.array_equal(front[:, :width], free)
    shown = front[:, width + samples.GAP : 2 * width - samples.GAP].reshape(-1, 3).astype(int)
    assert (shown.max(0) > 100).all() and (shown.sum(1) == 0).mean() > 0.5  # coloured lines on black
    behind = last_row(drawn(folders["pocket"], tmp_path / "behind.png", *asked, "--landmarks", "180"))
    assert "they count 0%" in capsys.readouterr().err
    token = last_row(drawn(folders["pocket"], tmp_path / "token.png", *asked, "--view", "token"))
    assert np.array_equal(behind[:, :width], token)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["xylophone"], "no word of this prompt"),
        (["a man", "--view", "top"], "no view 'top'"),
        (["a man", "--count", "0"], "0 pictures"),
        (["a man", "--steps", "0"], "0 steps"),
        (["a man", "--out", "sheet.jpg"], "sheet.jpg"),
    ],
)
def test_what_can_not_be_drawn_is_said(
    folders: dict[str, Path], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sample", *words, "--pack", str(folders["pocket"]), "--threads", "1"]) == 1
    assert told in capsys.readouterr().err


def test_a_pack_without_the_word_says_how_to_get_it(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "a.png")
    assert cli.main(["sample", "a man", "--compare-back", "--pack", str(folders["sd"]), "--out", out]) == 1
    assert "learn-view" in capsys.readouterr().err
