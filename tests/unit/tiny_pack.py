# SPDX-License-Identifier: GPL-3.0-or-later
"""Small random model packs, made with diffusers' and transformers' own classes and saved by their own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ("a", "head", "of", "man", "with", ",", "bald", "old", "green", "red", "skin", "hair", "beard")
VIEW_WORDS = ("front", "side", "back", "view", "close", "up")
SIZE = 32
"""Side of the pictures."""


def make_tiny_pack(
    folder: Path, prediction_type: str = "v_prediction", codec: str = "linear", seed: int = 0, half: bool = False
) -> Path:
    """Writes a pack of random weights; 32² pictures, 8² latents, milliseconds a call.

    codec "linear": laid out like the pocket pack, a tokenizer of the whole WORDS, pack.json, `<back-view>` learned.
    codec "vae": what StableDiffusionPipeline.save_pretrained writes, and a ControlNet; no pack.json.
    """
    from diffusers import ControlNetModel, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = codec == "linear"
        channels, length = (6, 20) if linear else (4, 77)
        tokenizer = _word_tokenizer(length) if linear else _clip_tokenizer(folder, length)
        encoder: Any = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet: Any = UNet2DConditionModel(
            sample_size=8,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
        )
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8))
        _randomise(encoder, unet, controlnet)
        beta = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
        scheduler: Any
        if linear:
            scheduler = DDIMScheduler(**beta, clip_sample=False, prediction_type=prediction_type)
        else:
            scheduler = PNDMScheduler(**beta, skip_prk_steps=True, steps_offset=1, prediction_type=prediction_type)
        if half:
            for network in (encoder, unet, controlnet):
                network.half()
        controlnet.save_pretrained(folder / "controlnet_landmarks")
        if linear:
            for name, part in (
                ("tokenizer", tokenizer),
                ("text_encoder", encoder),
                ("unet", unet),
                ("scheduler", scheduler),
            ):
                part.save_pretrained(folder / name)
            _save_linear_parts(folder, channels)
        else:
            _save_pipeline(folder, encoder, tokenizer, unet, scheduler)
    return folder


def _randomise(*networks: torch.nn.Module) -> None:
    """A new ControlNet's last layers are zero and a new text encoder says nearly the same for all words."""
    for network in networks:
        for parameter in network.parameters():
            if not parameter.any() or network.__class__.__name__ == "CLIPTextModel":
                parameter.data += 0.1 * torch.randn_like(parameter)


def _word_tokenizer(length: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *WORDS, *VIEW_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=length,
    )


def _clip_tokenizer(folder: Path, length: int) -> Any:
    """CLIP's tokenizer with few merges, read from Stable Diffusion 1.5's two files."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    merges = [
        ("a", "l"),
        ("b", "al"),
        ("m", "a"),
        ("ma", "n</w>"),
        ("b", "e"),
        ("h", "e"),
        ("he", "a"),
        ("hea", "d</w>"),
    ]
    merged = ["".join(pair) for pair in merges]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *merged, "<|startoftext|>", "<|endoftext|>"]
    path = folder / "tokenizer"
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (path / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{first} {second}\n" for first, second in merges))
    (path / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": length, "tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"})
    )
    return CLIPTokenizer.from_pretrained(path)


def _save_pipeline(folder: Path, encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> None:
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
        scaling_factor=0.18215,
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def _save_linear_parts(folder: Path, channels: int) -> None:
    from safetensors.torch import save_file

    basis = torch.linalg.qr(torch.randn(48, channels))[0]
    (folder / "codec").mkdir()
    save_file(
        {"mean": 0.1 * torch.randn(48), "basis": basis.contiguous(), "scale": torch.linspace(2, 0.5, channels)},
        folder / "codec" / "model.safetensors",
    )
    save_file({"<back-view>": torch.randn(16)}, folder / "learned_embeds.safetensors")
    camera = {"radius": [1.65, 2.1], "fov": [38, 42], "elevation": [-15, 45], "azimuth_limit": 180}
    aim = {"target": [0, 0, 0], "target_jitter": 0.03}
    description = {
        "format": 1,
        "name": "tiny",
        "image_size": SIZE,
        "unknown_words": "drop",
        "cameras": {
            "whole": camera | aim | {"words": ""},
            "close_up": camera | aim | {"fov": [20, 22], "words": "close up"},
        },
        "views": {
            "front": {"words": "front view", "up_to": 45},
            "side": {"words": "side view", "up_to": 120},
            "back": {"words": "back view", "token": "<back-view>", "up_to": 180},
            "landmark_limit": 90,
        },
        "lights": {
            "frame": "camera",
            "direction_mean": [0, 0.6, 0.9],
            "direction_std": [0.5, 0.2, 0],
            "ambient": [0.4, 0.65],
        },
        "backgrounds": {"grey": [0.1, 0.95], "tint": 0.1},
    }
    (folder / "pack.json").write_text(json.dumps(description))
