# SPDX-License-Identifier: GPL-3.0-or-later
"""Textual inversion (Eq. 6): one new word for what a few pictures have in common, such as <back-view>."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..packs.pack import Pack


@dataclass(frozen=True)
class InversionSettings:
    """How a word is learned. The paper used diffusers' default recipe; these suit the pocket pack."""

    initial_word: str = "back"
    """A word of one token, whose embedding is the start."""
    templates: tuple[str, ...] = ("{}", "a head, {}", "a head of a person, {}", "a person, {}")
    """Texts in which the new word stands where {} is."""
    captioned: float = 0.5
    """Share of the texts that are a picture's own caption with the new word behind it, where there are captions."""
    steps: int = 300
    batch: int = 16
    learning_rate: float = 2e-2
    """Falls linearly to a tenth, so that the last steps average out the noise."""


class _NewWord:
    """Token ids of texts, with the initial word in the new word's place, and where that is."""

    def __init__(self, pack: Pack, initial_word: str) -> None:
        self._pack, self._word = pack, initial_word
        ids = self._ids(initial_word)
        if len(ids) != 1 or ids[0] == pack.tokenizer.unk_token_id:
            raise ValueError(f"“{initial_word}” is not one known token of this pack")
        table = cast(Tensor, pack.text_encoder.get_input_embeddings().weight)
        self.start = table[ids[0]].detach().float().clone()

    def _ids(self, text: str) -> list[int]:
        return list(self._pack.tokenizer(text, add_special_tokens=False).input_ids)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, T] and a mask [B, T, 1], 1 at the new word. Each text has {} once."""
        pack = self._pack
        length = pack.spec.text_length
        tokens = pack.tokenizer(
            [text.replace("{}", self._word) for text in texts],
            padding="max_length",
            max_length=length,
            truncation=True,
            return_tensors="pt",
        )
        mask = torch.zeros(len(texts), length, 1)
        for row, text in enumerate(texts):
            place = 1 + len(self._ids(text.split("{}")[0]))  # behind the start token
            if place < length - 1:
                mask[row, place] = 1
        return tokens.input_ids.to(pack.device), mask.to(pack.device)


@contextmanager
def _replaced(pack: Pack, mask: Tensor, vector: Tensor) -> Iterator[None]:
    """Within this, tokens under the mask have `vector` as their embedding; no weight is touched."""

    def replace(module: torch.nn.Module, inputs: object, output: Tensor) -> Tensor:
        return torch.where(mask > 0, vector.to(output.dtype), output)

    handle = pack.text_encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def inversion_loss(pack: Pack, embeddings: Tensor, latents: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Eq. 6's expectation for one batch, with gradients to `embeddings` [B, T, C].

    The error is that of the network's own output, as in diffusers' recipe: of ε, or of v for a model that predicts v.
    """
    noisy = pack.add_noise(latents, t, noise)
    output = pack.unet(noisy.to(pack.dtype), t, embeddings.to(pack.dtype), return_dict=False)[0].float()
    if pack.spec.prediction_type == "epsilon":
        return functional.mse_loss(output, noise)
    alpha = pack.alphas_cumprod[t].view(-1, 1, 1, 1)
    return functional.mse_loss(output, alpha.sqrt() * noise - (1 - alpha).sqrt() * latents)


def learn_word(
    pack: Pack,
    images: Tensor,
    settings: InversionSettings,
    generator: torch.Generator,
    captions: Sequence[str] | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Tensor:
    """The embedding, float32 [C] on the CPU, of a new word that makes `pack` see `images`; all networks stay frozen.

    images: [N, 3, S, S] in [0, 1], S the pack's image size; captions: what else is in each of them, in known words;
    generator: on the CPU; report: called after every step with its number and loss.
    """
    word = _NewWord(pack, settings.initial_word)
    with torch.no_grad():
        latents = pack.codec.encode(images.to(pack.device))
    vector = word.start.requires_grad_(True)
    optimizer = torch.optim.AdamW([vector], settings.learning_rate, weight_decay=0.0)

    def random(high: int, count: int) -> list[int]:
        return torch.randint(0, high, (count,), generator=generator).tolist()

    for step in range(settings.steps):
        chosen = random(len(images), settings.batch)
        texts = [settings.templates[k] for k in random(len(settings.templates), settings.batch)]
        if captions is not None:
            own = torch.rand(settings.batch, generator=generator) < settings.captioned
            texts = [f"{captions[i]}, {{}}" if use else text for i, use, text in zip(chosen, own, texts, strict=True)]
        ids, mask = word.encode(texts)
        with _replaced(pack, mask, vector):
            embeddings = pack.text_encoder(ids).last_hidden_state.float()
        clean = latents[chosen]
        t = torch.tensor(random(len(pack.alphas_cumprod), settings.batch)).to(pack.device)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        loss = inversion_loss(pack, embeddings, clean, t, noise)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - 0.9 * step / settings.steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report is not None:
            report(step + 1, loss.item())
    return vector.detach().cpu()
