# SPDX-License-Identifier: GPL-3.0-or-later
"""The distillation gradient against one put together from diffusers' own ControlNet pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pack import SIZE, make_tiny_pack

from headsculpt.guidance.methods import Method, Words, rescaled
from headsculpt.guidance.score import (
    ScoreResult,
    ScoreSettings,
    distillation_loss,
    sample_timesteps,
    score_gradient,
)
from headsculpt.packs.pack import Pack, load_pack

PROMPTS = ["a bald man, front view", "a old head with red hair, side view"]
NEGATIVE = "green beard"
TIMES = torch.tensor([150, 800])
SETTINGS = ScoreSettings(guidance_scale=7.5)
KINDS = [("epsilon", "vae"), ("v_prediction", "linear")]


@pytest.fixture(scope="module", params=KINDS, ids=["stable diffusion", "pocket"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "pack", *request.param)


@pytest.fixture(scope="module")
def pack(folder: Path) -> Pack:
    return load_pack(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    """diffusers' pipeline of the same files, read by diffusers."""
    import diffusers
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

    options = {"low_cpu_mem_usage": False}
    has_vae = (folder / "vae").exists()
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False, set_alpha_to_one=False)
    return diffusers.StableDiffusionControlNetPipeline(
        vae=diffusers.AutoencoderKL.from_pretrained(folder / "vae", **options) if has_vae else None,
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
        unet=diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **options),
        controlnet=diffusers.ControlNetModel.from_pretrained(folder / "controlnet_landmarks", **options),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


class Inputs:
    """One batch: latents of two pictures, noise, landmark maps."""

    def __init__(self, pack: Pack) -> None:
        generator = torch.Generator().manual_seed(11)
        channels = pack.spec.latent_channels
        self.latents = torch.randn(2, channels, 8, 8, generator=generator)
        self.noise = torch.randn(2, channels, 8, 8, generator=generator)
        self.maps = torch.rand(2, 3, SIZE, SIZE, generator=generator)

    def score(self, pack: Pack, settings: ScoreSettings = SETTINGS, **changes: Any) -> ScoreResult:
        """The gradient at this batch, or at one with `changes`."""
        arguments: dict[str, Any] = {
            "latents": self.latents,
            "words": {Words.PROMPT: pack.embed(PROMPTS), Words.NEGATIVE: pack.embed([NEGATIVE] * 2)},
            "landmark_maps": self.maps,
            "control_scale": None,
            "t": TIMES,
            "noise": self.noise,
        }
        return score_gradient(pack, **arguments | changes, settings=settings)


def noise_by_pipeline(
    pipeline: Any, noisy: torch.Tensor, t: int, prompt: str, control: torch.Tensor, strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """ε̂ without and with the prompt, as StableDiffusionControlNetPipeline.__call__ goes about it, for one picture."""
    words, negative = pipeline.encode_prompt(prompt, "cpu", 1, True, NEGATIVE)
    control = pipeline.prepare_image(
        control, SIZE, SIZE, 1, 1, "cpu", torch.float32, do_classifier_free_guidance=True, guess_mode=False
    )
    pair, both = torch.cat([noisy] * 2), torch.cat([negative, words])
    with torch.no_grad():
        down, middle = pipeline.controlnet(
            pair, t, encoder_hidden_states=both, controlnet_cond=control, conditioning_scale=strength, return_dict=False
        )
        output = pipeline.unet(
            pair,
            t,
            encoder_hidden_states=both,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
    if pipeline.scheduler.config.prediction_type == "v_prediction":
        # v is to the noisy latents what −noise is to the clean ones: diffusers' get_velocity(x, ε) = √ᾱε − √(1−ᾱ)x
        alpha = pipeline.scheduler.alphas_cumprod[t]
        output = alpha.sqrt() * output + (1 - alpha).sqrt() * pair
    without, with_prompt = output.chunk(2)
    return without, with_prompt


@pytest.mark.parametrize("strengths", [(1.0, 1.0), (0.4, 0.0)])
def test_gradient_is_the_one_from_diffusers_pieces(pack: Pack, pipeline: Any, strengths: tuple[float, float]) -> None:
    inputs = Inputs(pack)
    found = inputs.score(pack, control_scale=torch.tensor(strengths))
    for i, (prompt, strength) in enumerate(zip(PROMPTS, strengths, strict=True)):
        latents, noise, t = inputs.latents[i : i + 1], inputs.noise[i : i + 1], TIMES[i : i + 1]
        noisy = pipeline.scheduler.add_noise(latents, noise, t)
        without, with_prompt = noise_by_pipeline(pipeline, noisy, int(t), prompt, inputs.maps[i : i + 1], strength)
        predicted = without + 7.5 * (with_prompt - without)
        alpha = pipeline.scheduler.alphas_cumprod[t]
        expected = alpha**0.5 * (1 - alpha) * (predicted - noise)
        assert expected.abs().max() > 0.05
        torch.testing.assert_close(found.gradient[i : i + 1], expected, rtol=0, atol=1e-5)


def test_denoised_is_what_diffusers_scheduler_finds(pack: Pack, pipeline: Any) -> None:
    inputs = Inputs(pack)
    found = inputs.score(pack)
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, prediction_type="epsilon")
    scheduler.set_timesteps(1000)
    for i, prompt in enumerate(PROMPTS):
        noisy = pipeline.scheduler.add_noise(inputs.latents[i : i + 1], inputs.noise[i : i + 1], TIMES[i : i + 1])
        without, with_prompt = noise_by_pipeline(pipeline, noisy, int(TIMES[i]), prompt, inputs.maps[i : i + 1], 1.0)
        predicted = without + 7.5 * (with_prompt - without)
        clean = scheduler.step(predicted, int(TIMES[i]), noisy).pred_original_sample
        torch.testing.assert_close(found.denoised[i : i + 1], clean, rtol=1e-4, atol=1e-4)


def test_a_target_is_where_diffusers_ddim_arrives(pack: Pack, pipeline: Any) -> None:
    """Four guided steps of DDIMScheduler, at t, ¾t, ½t, ¼t; the gradient leads there."""
    inputs = Inputs(pack)
    found = inputs.score(pack, replace(SETTINGS, method=Method.TARGET, guidance_scale=3.0, target_steps=4))
    torch.testing.assert_close(found.gradient, inputs.latents - found.denoised)
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, prediction_type="epsilon")
    scheduler.set_timesteps(5)  # a step of it leads from t to t − 200
    assert int(TIMES[1]) == 800
    noisy = pipeline.scheduler.add_noise(inputs.latents[1:], inputs.noise[1:], TIMES[1:])
    for level in (800, 600, 400, 200):
        without, with_prompt = noise_by_pipeline(pipeline, noisy, level, PROMPTS[1], inputs.maps[1:], 1.0)
        step = scheduler.step(without + 3 * (with_prompt - without), level, noisy, eta=0)
        noisy = step.prev_sample
    torch.testing.assert_close(found.denoised[1:], step.pred_original_sample, rtol=1e-4, atol=1e-4)


def test_without_maps_the_landmark_net_stays_out(pack: Pack) -> None:
    inputs = Inputs(pack)
    without = inputs.score(pack, landmark_maps=None).gradient
    blank = inputs.score(pack, control_scale=torch.zeros(2)).gradient
    assert torch.equal(without, blank)
    assert (without - inputs.score(pack).gradient).abs().max() > 1e-3


def test_rescaling_is_diffusers_rescale_of_what_is_clean(pack: Pack) -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    generator = torch.Generator().manual_seed(0)
    guided, conditional = 3 * torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    for share in (0.0, 0.5, 1.0):
        expected = rescale_noise_cfg(guided, conditional, share)
        torch.testing.assert_close(rescaled(guided, conditional, share), expected)
    inputs = Inputs(pack)
    plain = inputs.score(pack)
    conditional = inputs.score(pack, replace(SETTINGS, guidance_scale=1.0)).denoised
    full = inputs.score(pack, replace(SETTINGS, rescale=1.0))
    torch.testing.assert_close(full.denoised, rescale_noise_cfg(plain.denoised, conditional, 1.0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(full.denoised.std((1, 2, 3)), conditional.std((1, 2, 3)), rtol=1e-4, atol=0)


def test_the_gradient_leads_towards_what_is_denoised(pack: Pack) -> None:
    """Rescaled or not, w(ε̂ − ε) is ᾱ√(1−ᾱ) times the way from the denoised latents to those given."""
    inputs = Inputs(pack)
    alpha = pack.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    for settings in (SETTINGS, replace(SETTINGS, rescale=0.5)):
        found = inputs.score(pack, settings)
        expected = alpha * (1 - alpha).sqrt() * (inputs.latents - found.denoised)
        torch.testing.assert_close(found.gradient, expected, rtol=1e-4, atol=1e-4)


def test_the_loss_has_the_gradient_given(pack: Pack) -> None:
    inputs = Inputs(pack)
    images = torch.rand(2, 3, SIZE, SIZE, requires_grad=True)
    latents = pack.codec.encode(images)
    gradient = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3), requires_grad=True)
    at_latents, at_images = torch.autograd.grad(distillation_loss(latents, gradient), [latents, images])
    assert torch.equal(at_latents, gradient)
    assert at_images.abs().max() > 0
    assert not inputs.score(pack, latents=latents).gradient.requires_grad


def test_noise_levels_fall_as_the_stage_goes_on() -> None:
    settings = ScoreSettings(t_min=0.02, t_max=0.98, t_max_end=0.5)
    for progress, highest in ((0.0, 980), (0.25, 740), (1.0, 500)):  # .5 + (1 − √p)·.48
        t = sample_timesteps(settings, progress, 20000, 1000, torch.Generator().manual_seed(0))
        assert t.dtype == torch.int64
        assert 20 <= t.min() <= 22 and highest - 2 <= t.max() <= highest
        assert abs(t.float().mean() - (20 + highest) / 2) < 0.02 * highest  # uniform
    again = sample_timesteps(settings, 0.3, 5, 1000, torch.Generator().manual_seed(1))
    assert torch.equal(again, sample_timesteps(settings, 0.3, 5, 1000, torch.Generator().manual_seed(1)))


def test_equal_inputs_give_equal_gradients(pack: Pack) -> None:
    inputs = Inputs(pack)
    first = inputs.score(pack).gradient
    assert torch.equal(first, inputs.score(pack).gradient)
