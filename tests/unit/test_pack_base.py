# SPDX-License-Identifier: GPL-3.0-or-later
"""A fine-tune from elsewhere, as a folder or a single file, does what it does in its own folder, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ldm_names import save_checkpoint
from safetensors.torch import load_file, save_file
from tiny_pack import SIZE, make_tiny_pack

from headsculpt.errors import UserError
from headsculpt.jobs.events import JobControl
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.base import SD15, clip_tokenizer, load_base
from headsculpt.packs.pack import Pack, load_pack

TEXTS = ["a bald old man", "a head with red hair"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "sd", "epsilon", "vae", seed=1)


@pytest.fixture(scope="module")
def tuned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "tuned", "epsilon", "vae", seed=2)


def noise(pack: Pack) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    maps = pack.read_landmarks(torch.rand(2, 3, SIZE, SIZE, generator=generator))
    return pack.predict_noise(latents, torch.tensor([20, 700]), pack.embed(TEXTS), maps)


def test_another_folder_stands_in_for_the_base(pack_folder: Path, tuned_folder: Path, tmp_path: Path) -> None:
    """Its own networks and the pack's ControlNet: the same as one folder with these parts."""
    merged = Path(shutil.copytree(tuned_folder, tmp_path / "merged"))
    shutil.rmtree(merged / "controlnet_landmarks")
    shutil.copytree(pack_folder / "controlnet_landmarks", merged / "controlnet_landmarks")
    for unneeded in ("unet", "vae", "text_encoder", "tokenizer"):
        assert (pack_folder / unneeded).is_dir()
    landmarks_only = tmp_path / "landmarks"
    shutil.copytree(pack_folder / "controlnet_landmarks", landmarks_only / "controlnet_landmarks")
    pack = load_pack(landmarks_only, base=tuned_folder)
    assert torch.equal(noise(pack), noise(load_pack(merged)))
    assert not torch.allclose(noise(pack), noise(load_pack(pack_folder)), atol=1e-2)


def test_a_single_file_is_the_folder_it_was_made_of(
    tuned_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("no network is needed"))
    file = save_checkpoint(tuned_folder, tmp_path / "tuned.safetensors")
    whole, base = load_pack(tuned_folder), load_base(file, CPU, torch.float32, configs=tuned_folder)
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(base.codec.encode(images), whole.codec.encode(images), rtol=0, atol=1e-5)
    torch.testing.assert_close(base.codec.decode(torch.ones(1, 4, 8, 8)), whole.codec.decode(torch.ones(1, 4, 8, 8)))
    for ours, theirs in ((base.unet, whole.unet), (base.text_encoder, whole.text_encoder)):
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
        assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert torch.equal(base.schedule.alphas_cumprod, whole.alphas_cumprod)


def test_the_built_in_words_are_clip_s() -> None:
    """Numbers from OpenAI's CLIP itself (clip.tokenize): "a photo of a cat", an accent, a contraction, a number."""
    tokenizer = clip_tokenizer(SD15 / "tokenizer")
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(tokenizer) == 49408 and tokenizer.model_max_length == 77
    assert tokenizer("A  PHOTO of a CAT").input_ids == tokenizer("a photo of a cat").input_ids
    assert tokenizer.decode(tokenizer("naïve, isn't it? 42").input_ids, skip_special_tokens=True).split() == [
        *("naïve", ",", "isn", "'t", "it", "?", "4", "2")
    ]


def test_the_shipped_configurations_are_the_published_sizes() -> None:
    """Parameters of Stable Diffusion 1.5's parts as published: 859.5 M, 83.7 M, 123.1 M; ControlNet 361.3 M."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        networks = {
            859_520_964: UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(SD15 / "unet")),
            83_653_863: AutoencoderKL.from_config(AutoencoderKL.load_config(SD15 / "vae")),
            361_279_120: ControlNetModel.from_config(ControlNetModel.load_config(SD15 / "controlnet")),
            123_060_480: CLIPTextModel(CLIPTextConfig.from_pretrained(SD15 / "text_encoder")),
        }
    for count, network in networks.items():
        assert sum(parameter.numel() for parameter in network.parameters()) == count


def changed(file: Path, change: str) -> None:
    weights = load_file(file)
    key = "model.diffusion_model.input_blocks.0.0.weight"
    if change == "inpainting":
        weights[key] = torch.zeros(8, 9, 3, 3)
    elif change == "wider":
        weights = {
            name: torch.zeros(tensor.shape[0], 2048) if name.endswith("attn2.to_k.weight") else tensor
            for name, tensor in weights.items()
        }
    elif change == "no autoencoder":
        weights = {name: tensor for name, tensor in weights.items() if "first_stage_model.encoder" not in name}
    elif change == "no text encoder":
        weights = {name: tensor for name, tensor in weights.items() if "cond_stage_model" not in name}
    else:
        weights = {"lora_unet_x.lora_down.weight": torch.zeros(4, 4)}
    save_file(weights, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("inpainting", "9 channels"),
        ("wider", "Stable Diffusion XL"),
        ("no autoencoder", "weights are missing"),
        ("no text encoder", "weights are missing"),
        ("a lora", "no Stable Diffusion checkpoint"),
    ],
)
def test_a_file_that_is_something_else(tuned_folder: Path, tmp_path: Path, change: str, message: str) -> None:
    file = save_checkpoint(tuned_folder, tmp_path / "tuned.safetensors")
    changed(file, change)
    with pytest.raises(UserError, match=message) as caught:
        load_base(file, CPU, torch.float32, configs=tuned_folder)
    assert str(file) in caught.value.message and caught.value.advice


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
def test_a_pickle_or_a_cut_file_is_refused(pack_folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04 not weights")
    with pytest.raises(UserError, match="safetensors"):
        load_pack(pack_folder, base=tmp_path / name)


def test_a_base_that_is_not_there(pack_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        load_pack(pack_folder, base=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": Path("nowhere.safetensors")}, "no model pack at nowhere"),
        ({"lora": ((Path("nowhere.safetensors"), 1.0),)}, "no LoRA at nowhere"),
    ],
)
def test_a_job_takes_base_and_lora(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_generate(GenerateRequest("a bald head", threads=1, **changes), lambda event: None, JobControl())


def test_a_lora_s_weight_has_limits() -> None:
    with pytest.raises(UserError, match=r"5\.0 of the LoRA clay"):
        GenerateRequest("a head", lora=((Path("clay.safetensors"), 5.0),))
    with pytest.raises(UserError, match="nan"):
        GenerateRequest("a head", lora=((Path("clay.safetensors"), float("nan")),))
