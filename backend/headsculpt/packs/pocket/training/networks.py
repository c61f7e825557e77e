# SPDX-License-Identifier: GPL-3.0-or-later
"""The pocket pack's networks: made anew, taken over from an earlier pack, written as a pack folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, PreTrainedTokenizerFast
from transformers.models.clip.modeling_clip import CLIPTextModel

from ...codec import LinearCodec
from .captions import make_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXT_LENGTH = 40
TEXT_WIDTH = 128
PATCH = 8  # pixels
LATENT_CHANNELS = 12
SCHEDULE = {  # Stable Diffusion 1.5's noise; what is predicted is v (Salimans and Ho 2022)
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
UNET: dict[str, Any] = {
    "block_out_channels": (48, 96, 128),
    "layers_per_block": 1,
    # attention at 8×8 and 4×4 only: at 16×16 a step takes five times as long
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 8,
    "norm_num_groups": 16,
}
TEXT: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": TEXT_LENGTH,
}
CONTROL_CHANNELS = (8, 16, 32, 48)


@dataclass
class Networks:
    """All that is trained, and the codec, which is not: tensors `mean`, `basis`, `scale` of packs/codec.py."""

    tokenizer: PreTrainedTokenizerFast
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    codec_tensors: dict[str, Tensor]

    @property
    def parts(self) -> dict[str, Any]:
        """The trained networks by their folder's name."""
        return {"text_encoder": self.text_encoder, "unet": self.unet, "controlnet_landmarks": self.controlnet}

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for part in self.parts.values() for parameter in part.parameters()]

    def codec(self, device: torch.device | str = "cpu") -> LinearCodec:
        return LinearCodec(**self.codec_tensors, device=device)

    def to(self, device: torch.device | str) -> Networks:
        """Moves the networks; convolutions get the memory order in which they are fast."""
        for name, part in self.parts.items():
            part.to(device) if name == "text_encoder" else part.to(device, memory_format=torch.channels_last)
        return self

    def load_words(self, state: dict[str, Tensor], vocabulary: dict[str, int]) -> None:
        """Takes over a text encoder's weights; rows of words by the word, those of places in the text by their number.
        New words and places keep their random rows."""
        own = self.text_encoder.state_dict()
        words = next(key for key in own if key.endswith("token_embedding.weight"))
        places = next(key for key in own if key.endswith("position_embedding.weight"))
        rows, positions = own[words].clone(), own[places].clone()
        for word, index in self.tokenizer.get_vocab().items():
            if word in vocabulary:
                rows[index] = state[words][vocabulary[word]]
        known = min(len(positions), len(state[places]))
        positions[:known] = state[places][:known]
        self.text_encoder.load_state_dict({**state, words: rows, places: positions})

    def save(self, folder: Path) -> None:
        """Writes a pack folder without pack.json and learned_embeds.safetensors, in half precision."""
        self.tokenizer.save_pretrained(folder / "tokenizer")
        for name, part in self.parts.items():
            halves = {key: _half(value) for key, value in part.state_dict().items()}
            part.save_pretrained(folder / name, state_dict=halves) if name == "text_encoder" else _save_diffusers(
                part, folder / name, halves
            )
        (folder / "codec").mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.float().contiguous() for k, v in self.codec_tensors.items()}, folder / "codec/model.safetensors"
        )
        text = json.dumps({"kind": "linear", "patch": PATCH, "channels": LATENT_CHANNELS}, indent=2)
        (folder / "codec" / "config.json").write_text(text + "\n", encoding="utf-8")
        DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def _save_diffusers(part: Any, folder: Path, state: dict[str, Tensor]) -> None:
    part.save_config(folder)
    save_file(state, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def create(codec_tensors: dict[str, Tensor], seed: int) -> Networks:
    """Random networks for the words of captions.py."""
    torch.manual_seed(seed)  # the libraries' initialisations take no generator
    tokenizer = make_tokenizer(TEXT_LENGTH)
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **TEXT, **marks))
    unet = UNet2DConditionModel(sample_size=16, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, **UNET)
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=CONTROL_CHANNELS)
    return Networks(tokenizer, text, unet, control, codec_tensors)


def continue_from(folder: Path, seed: int) -> Networks:
    """Networks with the weights and the codec of an earlier pack of the same sizes; its words are found by name."""
    networks = create(load_file(folder / "codec" / "model.safetensors"), seed)
    vocabulary = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer").get_vocab()
    networks.load_words(_floats(folder / "text_encoder" / "model.safetensors"), vocabulary)
    networks.unet.load_state_dict(_floats(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    networks.controlnet.load_state_dict(
        _floats(folder / "controlnet_landmarks" / "diffusion_pytorch_model.safetensors")
    )
    return networks


def _floats(path: Path) -> dict[str, Tensor]:
    return {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}


def attend_plainly(networks: Networks) -> None:
    """Attention by matrix products: torch's fused attention has a slow gradient in bfloat16 on processors."""
    networks.unet.set_attn_processor(AttnProcessor())
    networks.controlnet.set_attn_processor(AttnProcessor())
    networks.text_encoder.set_attn_implementation("eager")


def fit_codec(pictures: NDArray[np.uint8], channels: int = LATENT_CHANNELS, limit: int = 2000) -> dict[str, Tensor]:
    """Principal components of the 8×8 patches of up to `limit` pictures [N, S, S, 3].

    Latents are divided by the square root of their standard deviations, and by one number so that their overall rms is
    1: divided by the deviations themselves, most of the loss would be detail that nobody sees.
    """
    few = torch.from_numpy(pictures[:: max(1, len(pictures) // limit)]).float() / 127.5 - 1
    count, side = len(few), few.shape[1] // PATCH
    patches = few.reshape(count, side, PATCH, side, PATCH, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, PATCH * PATCH * 3)
    mean = patches.mean(0)
    centred = (patches - mean).double()
    variance, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    basis, deviation = vectors[:, -channels:].flip(1).float(), variance[-channels:].flip(0).sqrt().float()
    return {"mean": mean, "basis": basis, "scale": (deviation * deviation.mean()).sqrt()}
