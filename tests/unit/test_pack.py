# SPDX-License-Identifier: GPL-3.0-or-later
"""A pack gives what diffusers' own pipeline gives, and a broken one says which file is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pack import SIZE, make_tiny_pack

from headsculpt.errors import UserError
from headsculpt.packs.pack import Pack, load_pack

TEXTS = ["a bald old man", "", "a head with red hair, front view " * 9]


@pytest.fixture(scope="module")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "sd", "epsilon", "vae")


@pytest.fixture(scope="module")
def pocket_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "pocket", "v_prediction", "linear", half=True)


@pytest.fixture(scope="module")
def sd(sd_folder: Path) -> Pack:
    return load_pack(sd_folder)


@pytest.fixture(scope="module")
def pocket(pocket_folder: Path) -> Pack:
    return load_pack(pocket_folder)


@pytest.fixture()
def broken(pocket_folder: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(pocket_folder, tmp_path / "pack"))


def batch(pack: Pack, count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy latents, timesteps, embeddings, landmarks."""
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(count, pack.spec.latent_channels, 8, 8, generator=generator)
    maps = torch.rand(count, 3, SIZE, SIZE, generator=generator)
    return latents, torch.tensor([20, 500, 979])[:count], pack.embed(TEXTS[:count]), pack.read_landmarks(maps)


def test_embeds_like_the_diffusers_pipeline(sd: Pack, sd_folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(sd_folder, low_cpu_mem_usage=False)
    expected = pipeline.encode_prompt(TEXTS, "cpu", 1, False)[0]
    torch.testing.assert_close(sd.embed(TEXTS), expected, rtol=0, atol=1e-6)
    assert (sd.embed(TEXTS[:1]) - sd.embed(["a bald red man"])).abs().max() > 0.1


def test_a_folder_named_as_stable_diffusion_names_its_files(sd: Pack, sd_folder: Path, tmp_path: Path) -> None:
    """CLIP's two tokenizer files, `text_model.` before weights, a stray buffer, the fp16 variant, a checker unread."""
    folder = Path(shutil.copytree(sd_folder, tmp_path / "sd15"))
    (folder / "tokenizer" / "tokenizer.json").unlink()
    weights = load_file(folder / "text_encoder" / "model.safetensors")
    weights = {f"text_model.{name}".replace("text_model.text_model.", "text_model."): w for name, w in weights.items()}
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, folder / "text_encoder" / "model.fp16.safetensors", {"format": "pt"})
    (folder / "text_encoder" / "model.safetensors").unlink()
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"not read")
    torch.testing.assert_close(load_pack(folder).embed(TEXTS), sd.embed(TEXTS), rtol=0, atol=0)


def test_old_names_of_the_autoencoders_attention_are_understood(sd: Pack, sd_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd_folder, tmp_path / "sd15"))
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = {}
    for name, value in load_file(path).items():
        for new, old in names.items():
            name = name.replace(new, old) if ".attentions." in name else name
        weights[name] = value
    assert any(".query." in name for name in weights)
    save_file(weights, path, {"format": "pt"})
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load_pack(folder).codec.encode(images), sd.codec.encode(images))


def test_what_the_folder_says_decides(sd: Pack, pocket: Pack) -> None:
    assert (sd.spec.prediction_type, sd.spec.image_size, sd.spec.latent_size, sd.spec.latent_channels) == (
        "epsilon",
        SIZE,
        8,
        4,
    )
    assert (pocket.spec.prediction_type, pocket.spec.latent_size, pocket.spec.latent_channels) == ("v_prediction", 8, 6)
    assert sd.spec.cameras.radius == (1.0, 1.5) and pocket.spec.cameras.radius == (1.65, 2.1)  # Table 2, pack.json
    assert sd.spec.close_ups == () and [cameras.fov for cameras in pocket.spec.close_ups] == [(20, 22)]


def test_half_precision_files_are_computed_in_single(pocket: Pack, pocket_folder: Path) -> None:
    stored = load_file(pocket_folder / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"]
    assert stored.dtype == torch.float16 and pocket.unet.dtype == torch.float32
    assert torch.equal(pocket.unet.conv_in.weight, stored.float())


def test_schedule_is_the_closed_form(sd: Pack, pocket: Pack) -> None:
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    for pack in (sd, pocket):
        torch.testing.assert_close(pack.alphas_cumprod.double(), (1 - beta).cumprod(0), rtol=1e-5, atol=0)


def test_v_prediction_becomes_the_noise_of_diffusers_scheduler(pocket: Pack, pocket_folder: Path) -> None:
    from diffusers import DDIMScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(
        pocket_folder / "unet", low_cpu_mem_usage=False, torch_dtype=torch.float32
    )
    scheduler = DDIMScheduler.from_pretrained(pocket_folder / "scheduler")
    scheduler.set_timesteps(1000)
    latents, times, words, _ = batch(pocket)
    noise = pocket.predict_noise(latents, times, words)
    clean = pocket.remove_noise(latents, times, noise)
    for i, t in enumerate(times):
        with torch.no_grad():
            output = unet(latents[i : i + 1], t, words[i : i + 1]).sample
        step = scheduler.step(output, int(t), latents[i : i + 1], eta=0)
        torch.testing.assert_close(clean[i : i + 1], step.pred_original_sample, rtol=1e-4, atol=1e-5)
        again = pocket.add_noise(clean[i : i + 1], t[None] - 1, noise[i : i + 1])
        torch.testing.assert_close(again, step.prev_sample, rtol=1e-4, atol=1e-5)


def test_noise_added_is_noise_found(sd: Pack) -> None:
    latents, times, _, _ = batch(sd)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    noisy = sd.add_noise(latents, times, noise)
    torch.testing.assert_close(sd.find_noise(noisy, times, latents), noise, rtol=0, atol=1e-4)
    torch.testing.assert_close(sd.remove_noise(noisy, times, noise), latents, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["sd", "pocket"])
def test_landmarks_count_as_much_as_each_sample_says(name: str, request: pytest.FixtureRequest) -> None:
    pack: Pack = request.getfixturevalue(name)
    latents, times, words, landmarks = batch(pack)
    free = pack.predict_noise(latents, times, words)
    full = pack.predict_noise(latents, times, words, landmarks)
    assert (free - full).abs().amax((1, 2, 3)).min() > 1e-2
    assert torch.equal(pack.predict_noise(latents, times, words, landmarks, torch.zeros(3)), free)
    torch.testing.assert_close(
        pack.predict_noise(latents, times, words, landmarks, torch.ones(3)), full, rtol=0, atol=1e-5
    )
    mixed = pack.predict_noise(latents, times, words, landmarks, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(mixed[0], free[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(mixed[2], full[2], rtol=0, atol=1e-5)
    with torch.no_grad():
        one = [part[1:2] for part in (latents, times, words)]
        down, middle = pack.controlnet(*one, landmarks[1:2], conditioning_scale=0.5, return_dict=False)
        output = pack.unet(
            *one, down_block_additional_residuals=down, mid_block_additional_residual=middle, return_dict=False
        )[0]
    alpha = pack.alphas_cumprod[500]
    half = output if name == "sd" else alpha.sqrt() * output + (1 - alpha).sqrt() * latents[1:2]
    torch.testing.assert_close(mixed[1:2], half, rtol=0, atol=1e-5)


def test_networks_are_frozen(pocket: Pack) -> None:
    for network in (pocket.unet, pocket.controlnet, pocket.text_encoder):
        assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_unknown_words_are_named_and_left_out(pocket: Pack) -> None:
    text = "A grumpy old Wizard, grumpy, with green skin!"
    assert pocket.unknown_words(text) == ["grumpy", "wizard"]
    assert pocket.readable(text) == "A old , with green skin"
    assert torch.equal(pocket.embed([text]), pocket.embed(["a old, with green skin"]))
    assert pocket.known_words is not None
    assert "beard" in pocket.known_words and not {"<unk>", "<back-view>", ","} & set(pocket.known_words)


def test_a_learned_word_is_read(pocket: Pack) -> None:
    assert pocket.learned_tokens == ("<back-view>",)
    assert pocket.unknown_words("a man, <back-view>") == []
    assert (pocket.embed(["a man, <back-view>"]) - pocket.embed(["a man"])).abs().max() > 0.1


def test_a_tokenizer_of_letters_knows_every_word(sd: Pack) -> None:
    assert sd.known_words is None and sd.unknown_words("hovercraft") == []
    assert sd.readable("Hovercraft, ,") == "Hovercraft, ,"


def test_too_long_a_text_is_cut_between_words(sd: Pack, pocket: Pack) -> None:
    assert pocket.shortened("a head of a bald man", [", front view"]) == "a head of a bald man"
    cut = pocket.shortened("red hair , " * 10, [", front view", ", side view, close up"])
    assert cut == "red hair , red hair , red hair , red hair"  # 20 − start − end − six of the longest tail leaves 12
    long = "bald wizards " * 20
    cut = sd.shortened(long, [", back view"])
    assert long.startswith(cut) and cut.split()[-1] in ("bald", "wizards")
    tail = sd.embed([cut + ", back view"]) - sd.embed([cut + ", side view"])
    assert tail.abs().max() > 0.05  # what follows is still read


MISSING = [
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "controlnet_landmarks/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "codec/model.safetensors",
]


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_named(broken: Path, name: str) -> None:
    (broken / name).unlink()
    with pytest.raises(UserError, match=str(Path(name).parent)):
        load_pack(broken)


@pytest.mark.parametrize("name", [*(n for n in MISSING if "safetensors" in n), "learned_embeds.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_named(broken: Path, name: str, share: float) -> None:
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=Path(name).name):
        load_pack(broken)


@pytest.mark.parametrize(
    "name", ["unet/config.json", "scheduler/scheduler_config.json", "pack.json", "tokenizer/tokenizer.json"]
)
@pytest.mark.parametrize("content", ["", "[]", '{"a": ', "{}"])
def test_a_damaged_description_is_named(broken: Path, name: str, content: str) -> None:
    (broken / name).write_text(content)
    with pytest.raises(UserError, match=Path(name).parts[0]):
        load_pack(broken)


def test_pickles_are_refused(broken: Path) -> None:
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(UserError, match="pickle"):
        load_pack(broken)


def test_weights_of_another_model_are_refused(broken: Path, sd_folder: Path) -> None:
    shutil.copy(sd_folder / "unet" / "diffusion_pytorch_model.safetensors", broken / "unet")
    with pytest.raises(UserError, match="unet"):
        load_pack(broken)


def test_a_tensor_that_is_not_there_is_noticed(broken: Path) -> None:
    for name in ("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"):
        whole = load_file(broken / name)
        save_file({key: whole[key] for key in list(whole)[1:]}, broken / name, {"format": "pt"})
        with pytest.raises(UserError, match=next(iter(whole)).rpartition(".")[2]):
            load_pack(broken)
        save_file(whole, broken / name, {"format": "pt"})
    load_pack(broken)


def test_parts_that_do_not_fit_together_are_refused(broken: Path, sd_folder: Path) -> None:
    shutil.rmtree(broken / "codec")
    shutil.copytree(sd_folder / "vae", broken / "vae")
    with pytest.raises(UserError, match="unet and vae"):
        load_pack(broken)


def test_a_learned_word_of_another_width_is_refused(broken: Path) -> None:
    save_file({"<back-view>": torch.zeros(768)}, broken / "learned_embeds.safetensors")
    with pytest.raises(UserError, match="<back-view>"):
        load_pack(broken)


def test_an_unknown_prediction_type_is_refused(broken: Path) -> None:
    path = broken / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "sample"}))
    with pytest.raises(UserError, match="scheduler"):
        load_pack(broken)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model pack"):
        load_pack(tmp_path / "nowhere")
    with pytest.raises(UserError, match="lacks"):
        load_pack(tmp_path)


def test_a_base_model_without_landmark_net_says_what_to_add(sd_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd_folder, tmp_path / "sd"))
    shutil.rmtree(folder / "controlnet_landmarks")
    with pytest.raises(UserError) as caught:
        load_pack(folder)
    assert "ControlNet" in caught.value.advice
