# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a pack that makes pictures of words: tokenizer, text encoder, U-Net, codec and noise schedule.

It comes from a folder, or from a single .safetensors file as programs around Stable Diffusion exchange them: that holds
weights under the names of Stable Diffusion's first program and nothing else, so what the networks look like and how
words become tokens is in `sd15/` here, and no network is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.packs.codec import Codec, VaeCodec
from headsculpt.packs.files import FETCH_AGAIN, load_codec, load_network, load_schedule, load_tokenizer, settled

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

SD15 = Path(__file__).parent / "sd15"
"""Configurations of Stable Diffusion 1.5 and CLIP's byte pairs."""
INPUT_KEY = "model.diffusion_model.input_blocks.0.0.weight"
WORDS_KEY = ".attn2.to_k.weight"
"""How the names of the layers end that take in the text."""


@dataclass(frozen=True)
class Base:
    """What every step of a pack goes through; its networks are frozen."""

    tokenizer: PreTrainedTokenizerFast
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    codec: Codec
    schedule: Any


def load_base(path: Path, device: torch.device, dtype: torch.dtype, configs: Path = SD15) -> Base:
    """From a folder or a single file. configs: what networks a file's weights belong to. Raises UserError."""
    return _from_file(path, device, dtype, configs) if path.is_file() else _from_folder(path, device, dtype)


def _from_folder(folder: Path, device: torch.device, dtype: torch.dtype) -> Base:
    # By module: the packages' own entrances import far more than these.
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.modeling_clip import CLIPTextModel

    return Base(
        load_tokenizer(folder / "tokenizer"),
        load_network(folder / "text_encoder", CLIPTextModel, device, dtype),
        load_network(folder / "unet", UNet2DConditionModel, device, dtype),
        load_codec(folder, device, dtype),
        load_schedule(folder / "scheduler"),
    )


def _from_file(path: Path, device: torch.device, dtype: torch.dtype, configs: Path) -> Base:
    from diffusers.loaders import single_file_utils as names
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    weights = _read(path)
    unet_config = UNet2DConditionModel.load_config(configs / "unet")
    vae_config = AutoencoderKL.load_config(configs / "vae")
    _check_kind(path, weights, unet_config)
    encoder: Any = CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder"))
    with torch.device("meta"):  # no time for random numbers that are overwritten
        unet: Any = UNet2DConditionModel.from_config(unet_config)
        vae: Any = AutoencoderKL.from_config(vae_config)
    words = {name.removeprefix("text_model."): w for name, w in names.convert_ldm_clip_checkpoint(weights).items()}
    words.pop("embeddings.position_ids", None)  # counts from 0
    try:
        encoder.load_state_dict(words)
        unet.load_state_dict(names.convert_ldm_unet_checkpoint(weights, unet_config), assign=True)
        vae.load_state_dict(names.convert_ldm_vae_checkpoint(weights, vae_config), assign=True)
    except (RuntimeError, KeyError) as error:
        raise UserError(f"{path} holds no whole Stable Diffusion 1.5: weights are missing.", FETCH_AGAIN) from error
    encoder, unet, vae = (settled(network.to(dtype), device) for network in (encoder, unet, vae))
    return Base(
        clip_tokenizer(configs / "tokenizer"), encoder, unet, VaeCodec(vae), load_schedule(configs / "scheduler")
    )


def _read(path: Path) -> dict[str, Tensor]:
    """The file's weights, without the running averages that training leaves."""
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path} is no .safetensors file; older formats can hold a program, and are not read.",
            "Get this model as .safetensors.",
        )
    try:
        return {name: tensor for name, tensor in load_file(path).items() if not name.startswith("model_ema.")}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short.", FETCH_AGAIN) from error


def _check_kind(path: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Raises UserError, saying why, for what is not Stable Diffusion 1.5's kind of model."""
    advice = "Choose a checkpoint of Stable Diffusion 1.5 or of a fine-tune of it."
    width = next((tensor.shape[1] for name, tensor in weights.items() if name.endswith(WORDS_KEY)), None)
    if INPUT_KEY not in weights or width is None:
        raise UserError(f"{path} is no Stable Diffusion checkpoint, or one of a newer kind.", advice)
    if width != config["cross_attention_dim"]:
        kind = {1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}.get(width, "another model")
        raise UserError(f"{path} is of {kind}, which has other landmark networks.", advice)
    if (channels := weights[INPUT_KEY].shape[1]) != config["in_channels"]:
        raise UserError(f"{path} takes {channels} channels: it is for inpainting or editing.", advice)


def clip_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """CLIP's tokenizer from its byte pairs alone (`folder`/merges.txt): vocab.json follows from them."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    pairs: Any = [tuple(line.split()) for line in merges]  # what tokenizers takes, whatever the annotation says
    return CLIPTokenizer(vocab=clip_vocabulary(merges), merges=pairs, model_max_length=77)


def clip_vocabulary(merges: list[str]) -> dict[str, int]:
    """CLIP's tokens and their numbers: 256 bytes, the same at the end of a word, each pair joined, start and end."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = [chr(byte) for byte in visible] + [chr(256 + number) for number in range(len(hidden))]
    joined = [line.replace(" ", "") for line in merges]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *joined, "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}
