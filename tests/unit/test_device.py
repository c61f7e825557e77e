# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job computes, in which precision, and that it leaves no memory taken."""

from __future__ import annotations

import gc
import re
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pack import make_tiny_pack

from headsculpt import device
from headsculpt.bench.paper import paper_rows, print_paper
from headsculpt.errors import UserError
from headsculpt.guidance.prompts import ViewPrompts
from headsculpt.guidance.score import ScoreSettings
from headsculpt.jobs import generate
from headsculpt.jobs.events import JobControl, Notice
from headsculpt.jobs.kinds import KINDS
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.codec import VaeCodec
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.protocol import Frame
from headsculpt.stages.distillation import QUICK_SHARE, Distillation
from headsculpt.stages.presets import PAPER
from headsculpt.stages.views import ViewSampler, ViewSettings
from headsculpt.worker import Worker


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two cards that are not there; sets how many bytes are free on each."""

    def free(*bytes_free: float) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(bytes_free))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (bytes_free[where.index or 0], 24e9))

    return free


def test_a_card_with_room_is_taken_in_half_precision(card: Any, pack_folder: Path) -> None:
    card(20e9, 5e9)
    assert device.choose("auto", pack_folder) == device.Choice(torch.device("cuda"), torch.float16)
    assert device.choose("cuda:1", pack_folder) == device.Choice(torch.device("cuda:1"), torch.float16, saving=True)
    assert device.choose("cpu", pack_folder) == device.Choice(torch.device("cpu"))


def test_a_card_without_room_is_left_alone_and_that_is_said(card: Any, tmp_path: Path) -> None:
    card(6e9)
    with (tmp_path / "unet.safetensors").open("wb") as file:
        file.truncate(int(3.5e9))  # takes no room on the disk
    choice = device.choose("auto", tmp_path)
    assert choice.device.type == "cpu" and choice.dtype == torch.float32
    assert "6.0 GB free" in choice.reason and "6.5 GB" in choice.reason
    with pytest.raises(UserError, match=re.escape("6.0 GB free")):
        device.choose("cuda", tmp_path)


def test_what_can_not_be_used_is_said_only_to_those_who_asked_for_it(
    card: Any, pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert device.choose("auto", pack_folder) == device.Choice(torch.device("cpu"))
    with pytest.raises(UserError, match="no NVIDIA card"):
        device.choose("cuda", pack_folder)
    card(20e9)
    with pytest.raises(UserError, match="number 3"):
        device.choose("cuda:3", pack_folder)
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert "warp-lang" in device.choose("auto", pack_folder).reason
    with pytest.raises(UserError, match="no device 'gpu'"):
        GenerateRequest("a head", device="gpu")


def test_the_user_hears_why_the_card_stands_idle(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "The card is full. The processor computes instead."
    monkeypatch.setattr(device, "choose", lambda *_: device.Choice(torch.device("cpu"), reason=reason))
    heard: list[Any] = []
    control = JobControl()

    def emit(event: Any) -> None:
        heard.append(event)
        if isinstance(event, Notice):
            control.cancel()

    with pytest.raises(Exception):  # noqa: B017  cancelled
        generate.run_generate(GenerateRequest("a bald man", pack=pack_folder), emit, control)
    assert Notice(reason) in heard


def vae(half: bool) -> VaeCodec:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 16), "norm_num_groups": 4, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    network: Any = AutoencoderKL(**sizes, **blocks)
    return VaeCodec((network.half() if half else network).eval().requires_grad_(False))


def gradient(codec: VaeCodec, size: float) -> torch.Tensor:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    latents = codec.encode(images)
    push = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2)) * size
    (found,) = torch.autograd.grad((latents * push).sum(), images)
    return found / size


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e5])
def test_gradients_of_any_size_survive_half_precision(size: float) -> None:
    """The mean over views and pixels makes them so small that half precision has no number for them."""
    exact = gradient(vae(half=False), 1.0)
    found = gradient(vae(half=True), size)
    assert torch.nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.999
    assert found.norm() == pytest.approx(float(exact.norm()), rel=0.02)


def test_pictures_encoded_one_by_one_are_the_same_and_keep_less() -> None:
    codec = vae(half=False)
    together = gradient(codec, 1.0)
    kept = [0, 0]

    def encode(index: int) -> None:
        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[index] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            codec.encode(torch.rand(3, 3, 32, 32, requires_grad=True))

    encode(0)
    codec.one_by_one = True
    torch.testing.assert_close(gradient(codec, 1.0), together, rtol=1e-4, atol=1e-5)
    encode(1)
    assert kept[1] < kept[0] / 10


def test_a_packs_small_autoencoder_encodes_the_first_share_of_a_stage(tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    small: Any = AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4),
        decoder_block_out_channels=(4, 4, 4),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=6,
    )
    small.save_pretrained(make_tiny_pack(tmp_path) / "vae_tiny")
    pack = load_pack(tmp_path)
    score = ScoreSettings(landmarks=False)
    views = ViewSampler(pack.spec, ViewSettings(), np.random.default_rng(0)).sample(32)

    def gradient_at(progress: float) -> torch.Tensor:
        pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        prompts = ViewPrompts(pack, "a bald man", settings=score)
        distillation = Distillation(pack, prompts, np.zeros((478, 3)), score, torch.Generator().manual_seed(0))
        (found,) = torch.autograd.grad(distillation.picture_loss(pictures, views, progress), pictures)
        return found

    def expected(encode: Any) -> torch.Tensor:
        pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        prompts = ViewPrompts(pack, "a bald man", settings=score)
        distillation = Distillation(pack, prompts, np.zeros((478, 3)), score, torch.Generator().manual_seed(0))
        (found,) = torch.autograd.grad(distillation.latent_loss(encode(pictures), views, 0.5), pictures)
        return found

    torch.testing.assert_close(
        gradient_at(QUICK_SHARE - 0.01), expected(lambda pictures: small.encode(2 * pictures - 1).latents)
    )
    torch.testing.assert_close(gradient_at(QUICK_SHARE), expected(pack.codec.encode))


def test_a_pack_spares_a_card_what_no_step_needs(pack_folder: Path) -> None:
    pack = load_pack(pack_folder)
    expected = pack.embed(["a bald man"])
    networks = {name: getattr(pack, name).to("meta") for name in ("unet", "controlnet", "landmark_encoder")}
    spared = replace(pack, device=torch.device("meta"), **networks)
    spared.text_encoder.half()
    spared.spare_card(saving=True)
    assert spared.text_encoder.device.type == "cpu" and spared.codec.one_by_one
    embedded = spared.text_encoder(torch.tensor([[1, 5, 2]])).last_hidden_state
    assert embedded.dtype == torch.float32 and expected.dtype == torch.float32
    assert spared.embed(["a bald man"]).device.type == "meta"


@pytest.mark.parametrize("ends", ["cancelled", "failed"])
def test_nothing_of_a_job_stays_in_memory(pack_folder: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    packs: list[weakref.ref[Pack]] = []

    def load(*arguments: Any, **options: Any) -> Pack:
        pack = load_pack(*arguments, **options)
        packs.append(weakref.ref(pack))
        return pack

    monkeypatch.setattr(generate, "load_pack", load)

    def fail(*_: Any) -> None:
        if ends == "failed":
            raise RuntimeError("in the middle")
        control.cancel()
        control.check()

    monkeypatch.setattr(generate, "grow", fail)
    sent: list[Frame] = []
    worker = Worker(None, None, KINDS, lambda: "")  # type: ignore[arg-type]
    monkeypatch.setattr(worker, "_send", sent.append)
    control = worker._controls[1] = JobControl()
    fields, arrays = GenerateRequest("a bald man", pack=pack_folder, threads=1).to_message()
    gc.disable()
    try:
        worker._do(Frame("generate", 1, fields, arrays))
    finally:
        gc.enable()
    assert sent[-1].type == ("error" if ends == "failed" else "cancelled") and len(packs) == 1
    assert packs[0]() is None


def test_the_papers_speed_is_measured_beside_its_networks_alone(pack_folder: Path) -> None:
    small = replace(
        PAPER,
        coarse=replace(PAPER.coarse, samples=4, prior_resolution=33, resolutions=((0.0, 16),)),
        fine=replace(PAPER.fine, resolution=24, picture=32),
    )
    rows = list(paper_rows(load_pack(pack_folder), 2, small))
    assert [row.stage for row in rows] == ["Growing the head", "Refining the surface"]
    assert all(0 < row.steps < row.networks for row in rows), "a step can not be faster than its networks"


def test_without_a_card_the_command_says_so(
    pack_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from headsculpt.bench import paper

    monkeypatch.setattr(paper, "paper_rows", lambda pack, steps: iter([paper.Row("Growing", 3.0, 4.0)]))
    print_paper(pack_folder)
    said = capsys.readouterr().out
    assert "no NVIDIA card" in said and "75%" in said
