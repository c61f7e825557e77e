# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ControlNets, guidance and a negative prompt in one call: the noise of diffusers' own pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pack import make_tiny_pack
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.jobs.generate import POCKET
from headsculpt.packs.files import INSTRUCTIONS
from headsculpt.packs.pack import Pack, load_pack

GUIDANCE = 7.5
POSITIVE = ["a bald man with green skin", "a head with red hair, side view"]
NEGATIVE = ["red skin", ""]


def add_instruction_net(folder: Path) -> None:
    """A second ControlNet for the folder's U-Net, its last layers random: a new one's are zero and say nothing."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    landmarks: Any = ControlNetModel.from_pretrained(folder / "controlnet_landmarks", low_cpu_mem_usage=False)
    unet: Any = UNet2DConditionModel.from_pretrained(
        folder / "unet", low_cpu_mem_usage=False, torch_dtype=torch.float32
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        channels = landmarks.config.conditioning_embedding_out_channels
        net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)
        for parameter in net.parameters():
            if not parameter.any():
                parameter.data += 0.01 * torch.randn_like(parameter)
    net.save_pretrained(folder / INSTRUCTIONS)


@pytest.fixture(scope="module", params=["small random", "small random, v", "pocket"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "pack"
    if request.param == "pocket":
        shutil.copytree(POCKET, path, ignore=shutil.ignore_patterns("training", "__pycache__"))
    elif request.param == "small random":
        make_tiny_pack(path, "epsilon", "vae")
    else:
        make_tiny_pack(path, "v_prediction", "linear")
    add_instruction_net(path)
    return path


@pytest.fixture(scope="module")
def pack(folder: Path) -> Pack:
    return load_pack(folder)


class Recorder:
    """What the pipeline hands to its scheduler at each step."""

    def __init__(self, scheduler: Any) -> None:
        self.calls: list[tuple[Tensor, int, Tensor]] = []
        step = scheduler.step

        def recorded(output: Tensor, t: Any, sample: Tensor, *rest: Any, **options: Any) -> Any:
            self.calls.append((output, int(t), sample))
            return step(output, t, sample, *rest, **options)

        scheduler.step = recorded


def pipeline_of(folder: Path, pack: Pack) -> tuple[Any, Recorder]:
    """diffusers' pipeline with all of the folder's networks; the autoencoder, which noise does not go through, is a
    small one of as many channels."""
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        DDIMScheduler,
        MultiControlNetModel,
        StableDiffusionControlNetPipeline,
    )

    nets: list[Any] = [
        ControlNetModel.from_pretrained(folder / name, low_cpu_mem_usage=False, torch_dtype=torch.float32)
        for name in ("controlnet_landmarks", INSTRUCTIONS)
    ]
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    factor = pack.codec.factor
    blocks = factor.bit_length()
    autoencoder: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(4,) * blocks,
        latent_channels=pack.spec.latent_channels,
        norm_num_groups=2,
    )
    pipeline: Any = StableDiffusionControlNetPipeline(
        vae=autoencoder,
        text_encoder=pack.text_encoder,
        tokenizer=pack.tokenizer,
        unet=pack.unet,
        controlnet=MultiControlNetModel(nets),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, Recorder(pipeline.scheduler)


def test_the_noise_is_diffusers_own(folder: Path, pack: Pack) -> None:
    """Every step of three of the pipeline against one call of ours, on the latents that the pipeline had there."""
    generator = torch.Generator().manual_seed(3)
    side = pack.spec.image_size
    maps, pictures = torch.rand(2, 2, 3, side, side, generator=generator)
    latents = torch.randn(2, pack.spec.latent_channels, *2 * [pack.spec.latent_size], generator=generator)
    pipeline, recorder = pipeline_of(folder, pack)
    positive, negative = pack.embed(POSITIVE), pack.embed(NEGATIVE)
    pipeline(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        image=[maps, pictures],
        latents=latents,
        guidance_scale=GUIDANCE,
        controlnet_conditioning_scale=[0.6, 1.0],
        num_inference_steps=3,
        output_type="latent",
    )
    assert len(recorder.calls) == 3 and torch.equal(recorder.calls[0][2], latents)
    landmarks, reference = pack.read_landmarks(maps), pack.read_reference(pictures)
    for output, step, sample in recorder.calls:
        t = torch.full((4,), step)
        noise = pack.predict_noise(
            sample.repeat(2, 1, 1, 1),
            t,
            torch.cat([negative, positive]),
            landmarks.repeat(2, 1, 1, 1),
            torch.full((4,), 0.6),
            reference.repeat(2, 1, 1, 1),
        )
        against, asked = noise.chunk(2)
        guided = against + GUIDANCE * (asked - against)
        expected = output
        if pack.spec.prediction_type == "v_prediction":
            alpha = pack.alphas_cumprod[step]
            expected = alpha.sqrt() * output + (1 - alpha).sqrt() * sample
        size = max(1.0, float(expected.abs().max()))  # random nets blow up what they are given step after step
        torch.testing.assert_close(guided, expected, rtol=0, atol=1e-5 * size)
        assert (asked - against).abs().max() > 1e-3


def test_words_are_embedded_as_the_pipeline_does(folder: Path, pack: Pack) -> None:
    if pack.spec.drop_unknown_words:
        pytest.skip("the pipeline knows nothing of left-out words; test_pack.py has what is left")
    pipeline, _ = pipeline_of(folder, pack)
    asked, against = pipeline.encode_prompt(POSITIVE, "cpu", 1, True, NEGATIVE)
    torch.testing.assert_close(pack.embed(POSITIVE), asked, rtol=0, atol=1e-6)
    torch.testing.assert_close(pack.embed(NEGATIVE), against, rtol=0, atol=1e-6)


def test_each_net_counts(pack: Pack) -> None:
    generator = torch.Generator().manual_seed(3)
    size = pack.spec.image_size
    maps, pictures = torch.rand(2, 2, 3, size, size, generator=generator)
    latents = torch.randn(2, pack.spec.latent_channels, *2 * [pack.spec.latent_size], generator=generator)
    t, words = torch.tensor([300, 900]), pack.embed(POSITIVE)
    landmarks, reference = pack.read_landmarks(maps), pack.read_reference(pictures)
    both = pack.predict_noise(latents, t, words, landmarks, None, reference)
    without_landmarks = pack.predict_noise(latents, t, words, None, None, reference)
    for other in (
        pack.predict_noise(latents, t, words, landmarks),
        without_landmarks,
        pack.predict_noise(latents, t, words),
    ):
        assert (both - other).abs().max() > 1e-3
    off = pack.predict_noise(latents, t, words, landmarks, torch.zeros(2), reference)
    torch.testing.assert_close(off, without_landmarks, rtol=0, atol=1e-6)


def test_a_pack_that_can_not_edit_says_so() -> None:
    with pytest.raises(UserError, match="instruction ControlNet") as caught:
        load_pack(POCKET).read_reference(torch.zeros(1, 3, 128, 128))
    assert INSTRUCTIONS in caught.value.advice
