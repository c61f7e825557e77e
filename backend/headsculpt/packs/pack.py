# SPDX-License-Identifier: GPL-3.0-or-later
"""A model pack, loaded: words to embeddings, noisy latents to noise, pictures to latents and back.

The pocket pack and a Stable Diffusion 1.5 folder load through the same code; what the folder says decides.
docs/architecture.md lists what a folder holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.packs.codec import Codec
from headsculpt.packs.files import (
    FETCH_AGAIN,
    check_files,
    load_codec,
    load_learned_tokens,
    load_network,
    load_schedule,
    load_tokenizer,
)
from headsculpt.packs.spec import PackSpec, read_description

if TYPE_CHECKING:
    from diffusers.models.controlnets.controlnet import ControlNetModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Pack:
    """A loaded model pack. Its networks are frozen; only `codec.encode` passes gradients, to pictures."""

    spec: PackSpec
    device: torch.device
    dtype: torch.dtype
    """Of the networks' weights; latents and embeddings keep their own."""
    codec: Codec = field(repr=False)
    alphas_cumprod: Tensor = field(repr=False)
    """ᾱ of every timestep, float32 [1000]."""
    tokenizer: PreTrainedTokenizerFast = field(repr=False)
    text_encoder: CLIPTextModel = field(repr=False)
    unet: UNet2DConditionModel = field(repr=False)
    controlnet: ControlNetModel = field(repr=False)
    """Without its first layers, which are `landmark_encoder`: it takes what `read_landmarks` gives."""
    landmark_encoder: torch.nn.Module = field(repr=False)
    learned_tokens: tuple[str, ...] = ()
    """Words from learned_embeds.safetensors."""

    # --- words

    @property
    def known_words(self) -> list[str] | None:
        """All words of a tokenizer of whole words; None if the tokenizer can spell any word."""
        if self._unknown_id is None:
            return None
        marks = set(self.tokenizer.all_special_tokens)
        words = self.tokenizer.get_vocab().keys() - marks - set(self.learned_tokens)
        return sorted(word for word in words if _is_word(word))

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` that the model has never seen, in order, each once."""
        words = (text[start:end].lower() for token, (start, end) in self._tokens(text) if token == self._unknown_id)
        return list(dict.fromkeys(word for word in words if _is_word(word)))

    def readable(self, text: str) -> str:
        """`text` as it is embedded: without unknown words, if the pack leaves those out."""
        if self._unknown_id is None or not self.spec.drop_unknown_words:
            return text
        kept: list[str] = []
        for token, (start, end) in self._tokens(text):
            dangling = text[start:end] == "," and (not kept or kept[-1] == ",")
            if token != self._unknown_id and not dangling:
                kept.append(text[start:end])
        return " ".join(kept[:-1] if kept[-1:] == [","] else kept)

    def shortened(self, text: str, reserve: Sequence[str] = ()) -> str:
        """As much of `readable(text)` as fits into the text encoder with the longest of `reserve` behind it."""
        text = self.readable(text)
        tokens = self._tokens(text)
        room = self.spec.text_length - 2 - max((len(self._tokens(tail)) for tail in reserve), default=0)
        if len(tokens) <= room:
            return text
        end, after = tokens[room - 1][1][1], tokens[room][1][0]
        within_word = end == after and text[end - 1].isalnum() and text[after].isalnum()
        return (text[:end].rpartition(" ")[0] if within_word else text[:end]).rstrip(" ,")

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """The text encoder's last hidden state, float32 [B, T, C], as Stable Diffusion's U-Net is conditioned on."""
        tokens = self.tokenizer(
            [self.readable(text) for text in texts],
            padding="max_length",
            max_length=self.spec.text_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state.float()

    @property
    def _unknown_id(self) -> int | None:
        """The id that stands for all unknown words, for a tokenizer of whole words."""
        model = self.tokenizer.backend_tokenizer.model
        return self.tokenizer.unk_token_id if type(model).__name__ == "WordLevel" else None

    def _tokens(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """Id and place in `text` of every token, without start and end."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(zip(found["input_ids"], found["offset_mapping"], strict=True))

    # --- noise

    def add_noise(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """√ᾱ·clean + √(1−ᾱ)·noise. clean, noise: [B, C, h, w]; t: [B] int64."""
        signal, sigma = self._rates(t)
        return signal * clean + sigma * noise

    def remove_noise(self, noisy: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The inverse of add_noise: what was clean, if `noise` is what was added."""
        signal, sigma = self._rates(t)
        return (noisy - sigma * noise) / signal

    def find_noise(self, noisy: Tensor, t: Tensor, clean: Tensor) -> Tensor:
        """What was added to `clean` to give `noisy`."""
        signal, sigma = self._rates(t)
        return (noisy - signal * clean) / sigma

    @torch.no_grad()
    def read_landmarks(self, maps: Tensor) -> Tensor:
        """What the ControlNet sees in landmark maps [B, 3, S, S] in [0, 1]: features [B, F, h, w].

        They depend neither on t nor on words. On a CPU they are a sixth of a small model's work: read maps once.
        """
        return self.landmark_encoder(maps.to(self.dtype))

    @torch.no_grad()
    def predict_noise(
        self,
        latents: Tensor,
        t: Tensor,
        embeddings: Tensor,
        landmarks: Tensor | None = None,
        control_scale: Tensor | None = None,
    ) -> Tensor:
        """ε̂ of noisy latents, whatever the U-Net's own prediction type; one call of each network.

        latents: [B, C, h, w]; t: [B] int64; embeddings: [B, T, C];
        landmarks: from read_landmarks, or None to leave the ControlNet out;
        control_scale: [B], by which the ControlNet's residuals are scaled, 1 if None. Zero is the same as no map.
        """
        noisy, words = latents.to(self.dtype), embeddings.to(self.dtype)
        residuals: dict[str, Any] = {}
        if landmarks is not None:
            scale = torch.ones(len(latents)) if control_scale is None else control_scale
            residuals = self._control(noisy, t, words, landmarks, scale.to(noisy))
        output = self.unet(noisy, t, words, **residuals, return_dict=False)[0].to(latents)
        if self.spec.prediction_type == "epsilon":
            return output
        signal, sigma = self._rates(t)  # v = √ᾱ·ε − √(1−ᾱ)·z₀ (Salimans and Ho 2022)
        return signal * output + sigma * latents

    def _control(self, noisy: Tensor, t: Tensor, words: Tensor, landmarks: Tensor, scale: Tensor) -> dict[str, Any]:
        """The U-Net's arguments with the ControlNet's residuals, computed for those samples alone that want them."""
        wanted = scale.nonzero()[:, 0]
        if len(wanted) == 0:
            return {}
        down, middle = self.controlnet(noisy[wanted], t[wanted], words[wanted], landmarks[wanted], return_dict=False)

        def spread(residual: Tensor) -> Tensor:
            full = residual.new_zeros(len(noisy), *residual.shape[1:])
            full[wanted] = residual * scale[wanted, None, None, None]
            return full

        return {
            "down_block_additional_residuals": [spread(residual) for residual in down],
            "mid_block_additional_residual": spread(middle),
        }

    def _rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1−ᾱ) at t, [B, 1, 1, 1]."""
        alpha = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return alpha.sqrt(), (1 - alpha).sqrt()


def load_pack(folder: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Pack:
    """Loads a pack folder. dtype: of the networks, whatever it was saved with; half precision needs a GPU.

    Raises UserError, naming the file, for what is missing, damaged or does not belong together. Nothing that could run
    code of the pack's is ever read: weights are safetensors only.
    """
    folder, device = Path(folder), torch.device(device)
    if not folder.is_dir():
        raise UserError(f"There is no model pack at {folder}.", "Choose a pack's folder.")
    description = read_description(folder)
    check_files(folder)
    # By module: the packages' own entrances import far more than these.
    from diffusers.models.controlnets.controlnet import ControlNetModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.modeling_clip import CLIPTextModel

    tokenizer = load_tokenizer(folder / "tokenizer")
    encoder = load_network(folder / "text_encoder", CLIPTextModel, device, dtype)
    learned = load_learned_tokens(folder / "learned_embeds.safetensors", tokenizer, encoder)
    unet = load_network(folder / "unet", UNet2DConditionModel, device, dtype)
    controlnet = load_network(folder / "controlnet_landmarks", ControlNetModel, device, dtype)
    codec = load_codec(folder, device, dtype)
    schedule = load_schedule(folder / "scheduler")
    image_size = description.pop("image_size", unet.config.sample_size * codec.factor)
    spec = PackSpec(
        **description,
        image_size=image_size,
        latent_channels=codec.channels,
        latent_size=image_size // codec.factor,
        text_length=min(tokenizer.model_max_length, encoder.config.max_position_embeddings),
        prediction_type=schedule.config.prediction_type,
    )
    landmark_encoder, controlnet.controlnet_cond_embedding = controlnet.controlnet_cond_embedding, torch.nn.Identity()
    pack = Pack(
        spec=spec,
        device=device,
        dtype=dtype,
        codec=codec,
        alphas_cumprod=schedule.alphas_cumprod.to(device, torch.float32),
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=unet,
        controlnet=controlnet,
        landmark_encoder=landmark_encoder,
        learned_tokens=learned,
    )
    _check_fit(pack, folder)
    return pack


def _check_fit(pack: Pack, folder: Path) -> None:
    """Parts of different models can each be whole and yet not work together."""
    unet: Any = pack.unet.config
    controlnet: Any = pack.controlnet.config
    encoder = pack.text_encoder.config
    fits = {
        "unet and controlnet_landmarks": unet.in_channels == controlnet.in_channels
        and list(unet.block_out_channels) == list(controlnet.block_out_channels),
        "unet and vae or codec": unet.in_channels == unet.out_channels == pack.codec.channels,
        "unet and text_encoder": unet.cross_attention_dim == encoder.hidden_size,
        "controlnet_landmarks and text_encoder": controlnet.cross_attention_dim == encoder.hidden_size,
        "tokenizer and text_encoder": len(pack.tokenizer) <= encoder.vocab_size,
        "pack.json and vae or codec": pack.spec.image_size % pack.codec.factor == 0,
        "scheduler and this program": pack.spec.prediction_type in ("epsilon", "v_prediction"),
    }
    for parts, fit in fits.items():
        if not fit:
            raise UserError(f"In the model pack {folder}, {parts} do not fit together.", FETCH_AGAIN)


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
