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

from headsculpt.device import sent
from headsculpt.errors import UserError
from headsculpt.packs.base import load_base
from headsculpt.packs.codec import Codec
from headsculpt.packs.files import (
    FETCH_AGAIN,
    INSTRUCTIONS,
    QUICK,
    check_files,
    load_learned_words,
    load_network,
    load_quick_codec,
)
from headsculpt.packs.lora import add_lora
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
    instruction_net: ControlNetModel | None = field(default=None, repr=False)
    """The ControlNet of pictures to edit, without its first layers; None in a pack that can not edit."""
    instruction_encoder: torch.nn.Module | None = field(default=None, repr=False)
    """Those layers."""
    quick_codec: Codec | None = field(default=None, repr=False)
    """A small autoencoder that does nearly as `codec`; None in a pack that has none."""
    learned_tokens: tuple[str, ...] = ()
    """The pack's own and the user's for it (tokens.py), by name."""

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
        hidden = self.text_encoder(tokens.input_ids.to(self.text_encoder.device)).last_hidden_state
        return hidden.to(self.device, torch.float32)

    @property
    def _unknown_id(self) -> int | None:
        """The id that stands for all unknown words, for a tokenizer of whole words."""
        model = self.tokenizer.backend_tokenizer.model
        return self.tokenizer.unk_token_id if type(model).__name__ == "WordLevel" else None

    def _tokens(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """Id and place in `text` of every token, without start and end."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(zip(found["input_ids"], found["offset_mapping"], strict=True))

    # --- memory

    def spare_card(self, saving: bool = False) -> None:
        """Leaves on a graphics card what distillation needs in every step; text encoder and instruction net go to the
        processor. saving: pictures go through the autoencoder one by one, in a fraction of the memory."""
        for codec in (self.codec, self.quick_codec):
            if codec is not None:
                codec.one_by_one = saving
        if self.device.type == "cpu":
            return
        torch.nn.Module.to(self.text_encoder, "cpu", torch.float32)
        for network in (self.instruction_net, self.instruction_encoder):
            if network is not None:
                network.to("cpu")

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
    def read_reference(self, images: Tensor) -> Tensor:
        """What the instruction ControlNet sees in pictures to edit, [B, 3, S, S] in [0, 1]: features [B, F, h, w].

        Raises UserError when the pack has no such net.
        """
        if self.instruction_encoder is None:
            raise UserError(
                f"The pack “{self.spec.name}” has no instruction ControlNet, so it can not edit.",
                f"Download the part “instructions” of the pack, or put such a net into its folder {INSTRUCTIONS}.",
            )
        return self.instruction_encoder(images.to(self.dtype))

    @torch.no_grad()
    def predict_noise(
        self,
        latents: Tensor,
        t: Tensor,
        embeddings: Tensor,
        landmarks: Tensor | None = None,
        control_scale: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """ε̂ of noisy latents, whatever the U-Net's own prediction type; one call of each network.

        latents: [B, C, h, w]; t: [B] int64; embeddings: [B, T, C];
        landmarks: from read_landmarks, or None to leave the ControlNet out;
        control_scale: [B], on the processor, by which the ControlNet's residuals are scaled, 1 if None. Zero is the
        same as no map;
        reference: from read_reference, or None to leave the instruction ControlNet out; the nets' residuals add up.
        """
        noisy, words = latents.to(self.dtype), embeddings.to(self.dtype)
        ones = torch.ones(len(noisy))
        residuals: list[list[Tensor]] = []
        if landmarks is not None:
            scale = ones if control_scale is None else control_scale
            residuals += self._control(self.controlnet, noisy, t, words, landmarks, scale)
        if reference is not None and self.instruction_net is not None:
            residuals += self._control(self.instruction_net, noisy, t, words, reference, ones)
        added: dict[str, Any] = {}
        if residuals:
            *down, middle = (sum(of_all_nets) for of_all_nets in zip(*residuals, strict=True))
            added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        output = self.unet(noisy, t, words, **added, return_dict=False)[0].to(latents)
        if self.spec.prediction_type == "epsilon":
            return output
        signal, sigma = self._rates(t)  # v = √ᾱ·ε − √(1−ᾱ)·z₀ (Salimans and Ho 2022)
        return signal * output + sigma * latents

    def _control(
        self, net: ControlNetModel, noisy: Tensor, t: Tensor, words: Tensor, features: Tensor, scale: Tensor
    ) -> list[list[Tensor]]:
        """A ControlNet's residuals, the middle block's last, computed for those samples alone that want them; an empty
        list if none does."""
        wanted = scale.nonzero()[:, 0]  # known on the processor, so that a card is not waited for
        if len(wanted) == 0:
            return []
        scale, wanted = sent(scale[wanted], noisy.device).to(noisy), sent(wanted, noisy.device)
        down, middle = net(noisy[wanted], t[wanted], words[wanted], features[wanted], return_dict=False)

        def spread(residual: Tensor) -> Tensor:
            full = residual.new_zeros(len(noisy), *residual.shape[1:])
            full[wanted] = residual * scale[:, None, None, None]
            return full

        return [[spread(residual) for residual in (*down, middle)]]

    def _rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1−ᾱ) at t, [B, 1, 1, 1]."""
        alpha = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return alpha.sqrt(), (1 - alpha).sqrt()


def load_pack(
    folder: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    base: Path | None = None,
    lora: Sequence[tuple[Path, float]] = (),
) -> Pack:
    """Loads a pack folder. dtype: of the networks, whatever it was saved with; half precision needs a GPU.

    base: a folder or a single file that stands in for the pack's own text encoder, U-Net and codec; lora: files and
    their weights, added to those. Raises UserError, naming the file, for what is missing, damaged or does not belong
    together. Nothing that could run code of the pack's is ever read: weights are safetensors only.
    """
    folder, device = Path(folder), torch.device(device)
    for path in (folder, base):
        if path is not None and not path.exists():
            raise UserError(f"There is no model pack at {path}.", "Choose a pack's folder.")
    description = read_description(folder)
    check_files(folder, base or folder)
    parts = load_base(base or folder, device, dtype)
    learned = load_learned_words(folder, parts.tokenizer, parts.text_encoder)
    for path, weight in lora:
        add_lora(path, weight, parts.unet, parts.text_encoder)
    controlnet, landmark_encoder = _load_controlnet(folder / "controlnet_landmarks", device, dtype)
    instruction_net, instruction_encoder = None, None
    if (folder / INSTRUCTIONS).is_dir():
        instruction_net, instruction_encoder = _load_controlnet(folder / INSTRUCTIONS, device, dtype)
    unet_config: Any = parts.unet.config
    image_size = description.pop("image_size", unet_config.sample_size * parts.codec.factor)
    spec = PackSpec(
        **description,
        image_size=image_size,
        latent_channels=parts.codec.channels,
        latent_size=image_size // parts.codec.factor,
        text_length=min(parts.tokenizer.model_max_length, parts.text_encoder.config.max_position_embeddings),
        prediction_type=parts.schedule.config.prediction_type,
    )
    pack = Pack(
        spec=spec,
        device=device,
        dtype=dtype,
        codec=parts.codec,
        alphas_cumprod=parts.schedule.alphas_cumprod.to(device, torch.float32),
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        unet=parts.unet,
        controlnet=controlnet,
        landmark_encoder=landmark_encoder,
        instruction_net=instruction_net,
        instruction_encoder=instruction_encoder,
        quick_codec=load_quick_codec(folder, device, dtype),
        learned_tokens=learned,
    )
    _check_fit(pack, folder)
    return pack


def _load_controlnet(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, torch.nn.Module]:
    """A ControlNet without its first layers, and those."""
    from diffusers.models.controlnets.controlnet import ControlNetModel  # by module: the entrance imports far more

    net = load_network(folder, ControlNetModel, device, dtype)
    encoder, net.controlnet_cond_embedding = net.controlnet_cond_embedding, torch.nn.Identity()
    return net, encoder


def _check_fit(pack: Pack, folder: Path) -> None:
    """Parts of different models can each be whole and yet not work together."""
    unet: Any = pack.unet.config
    encoder = pack.text_encoder.config
    nets: dict[str, Any] = {"controlnet_landmarks": pack.controlnet.config}
    if pack.instruction_net is not None:
        nets[INSTRUCTIONS] = pack.instruction_net.config
    fits = {
        "unet and vae or codec": unet.in_channels == unet.out_channels == pack.codec.channels,
        "unet and text_encoder": unet.cross_attention_dim == encoder.hidden_size,
        "tokenizer and text_encoder": len(pack.tokenizer) <= encoder.vocab_size,
        f"vae and {QUICK}": pack.quick_codec is None
        or (pack.quick_codec.channels, pack.quick_codec.factor) == (pack.codec.channels, pack.codec.factor),
        "pack.json and vae or codec": pack.spec.image_size % pack.codec.factor == 0,
        "scheduler and this program": pack.spec.prediction_type in ("epsilon", "v_prediction"),
    }
    for name, net in nets.items():
        fits[f"unet and {name}"] = unet.in_channels == net.in_channels and list(unet.block_out_channels) == list(
            net.block_out_channels
        )
        fits[f"{name} and text_encoder"] = net.cross_attention_dim == encoder.hidden_size
    for parts, fit in fits.items():
        if not fit:
            raise UserError(f"In the model pack {folder}, {parts} do not fit together.", FETCH_AGAIN)


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
