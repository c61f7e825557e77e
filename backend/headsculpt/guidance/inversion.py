# SPDX-License-Identifier: GPL-3.0-or-later
"""Textual inversion (Eq. 6): one new word for what a few pictures have in common, such as <back-view>."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    """How a word is learned. The defaults suit the pocket pack; found by trial on it (docs/back-view.md)."""

    initial_word: str = "back"
    """A word of one token, whose embedding is the start. The paper does not name its own."""
    templates: tuple[str, ...] = ("{}", "a head, {}", "a head of a person, {}", "a person, {}")
    """Texts in which the new word stands where {} is: behind a comma, as it will in prompts (guidance/prompts.py)."""
    captioned: float = 0.5
    """Share of the texts that are a picture's own caption with the new word behind it, where there is one."""
    mirrored: float = 0.0
    """Share of the pictures that are seen in a mirror."""
    steps: int = 300
    batch: int = 16
    """Pictures for one step."""
    at_once: int = 16
    """As many of them go through the networks together; fewer need less memory, with the same result."""
    thrifty: bool = False
    """Whether the U-Net keeps few of its results for the way back and computes the others again: a third slower, in a
    fraction of the memory (gradient checkpointing, an option of diffusers' recipe)."""
    learning_rate: float = 2e-2
    last_rate: float = 0.1
    """Share of the learning rate that it falls to, linearly, so that the last steps average out the noise."""
    weight_decay: float = 0.0


POCKET = InversionSettings()
DIFFUSERS = InversionSettings(
    templates=("a photo of a head, {}", "a photo of a person, {}", "a close-up photo, {}", "a portrait, {}", "{}"),
    mirrored=0.5,
    steps=3000,
    batch=4,
    at_once=1,
    thrifty=True,
    learning_rate=2e-3,
    last_rate=1.0,
    weight_decay=1e-2,
)
"""The paper's, for Stable Diffusion 1.5: “the default training recipe provided by HuggingFace Diffusers” (A.2), that is
examples/textual_inversion there with the arguments of its page: batches of 1, gradients of 4 of them together, a
constant rate of 5e-4 scaled by those 4, 3,000 steps, AdamW's usual betas, decay 1e-2, half of the pictures mirrored.
Its 27 templates name an object (“a photo of a {}”); these here are ours and name a view. Captions are ours, too."""


def recipe(pack: Pack) -> InversionSettings:
    """The settings for a pack: POCKET's if it knows whole words alone, DIFFUSERS' if it can spell any word."""
    return DIFFUSERS if pack.known_words is None else POCKET


class NewWord:
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
def replaced(pack: Pack, mask: Tensor, vector: Tensor) -> Iterator[None]:
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


class WordLearner:
    """Learns one new word, step by step; may stop after any step and go on from its `state` with the same result."""

    def __init__(
        self,
        pack: Pack,
        images: Tensor,
        settings: InversionSettings,
        generator: torch.Generator,
        captions: Sequence[str] | None = None,
    ) -> None:
        """images: [N, 3, S, S] in [0, 1], S the pack's image size; generator: on the CPU; captions: what else is in
        each image, empty where that is not known."""
        self.steps = 0
        """How many are done."""
        self._pack, self._settings, self._generator = pack, settings, generator
        if settings.thrifty:
            pack.unet.enable_gradient_checkpointing()  # of no effect where there are no gradients: everywhere but here
        self._word = NewWord(pack, settings.initial_word)
        room = [f", {settings.initial_word}"]
        own = captions or [""] * len(images)
        self._captions = [pack.shortened(text.replace("{}", ""), room) for text in own]
        self._latents = _encoded(pack, images)
        self._mirrored = _encoded(pack, images.flip(3)) if settings.mirrored else self._latents
        self._vector = self._word.start.clone().requires_grad_(True)
        self._optimizer = torch.optim.AdamW([self._vector], settings.learning_rate, weight_decay=settings.weight_decay)

    @property
    def vector(self) -> Tensor:
        """The embedding as it is now, float32 [C] on the CPU."""
        return self._vector.detach().cpu().clone()

    def advance(self) -> float:
        """One step; returns its loss, NaN for a step whose numbers are broken: it changes nothing but what is drawn
        next."""
        settings, pack = self._settings, self._pack
        chosen = self._random(len(self._latents), settings.batch)
        texts = self._texts(chosen)
        clean = self._latents[chosen]
        if settings.mirrored:
            flipped = torch.rand(settings.batch, generator=self._generator) < settings.mirrored
            clean = torch.where(flipped.view(-1, 1, 1, 1).to(clean.device), self._mirrored[chosen], clean)
        t = torch.tensor(self._random(len(pack.alphas_cumprod), settings.batch)).to(pack.device)
        noise = torch.randn(clean.shape, generator=self._generator).to(clean)
        self._optimizer.zero_grad()
        total = 0.0
        for start in range(0, settings.batch, settings.at_once):
            part = slice(start, start + settings.at_once)
            ids, mask = self._word.encode(texts[part])
            with replaced(pack, mask, self._vector):
                embeddings = pack.text_encoder(ids).last_hidden_state.float()
            loss = inversion_loss(pack, embeddings, clean[part], t[part], noise[part]) * len(ids) / settings.batch
            loss.backward()
            total += loss.item()
        gradient = self._vector.grad
        whole = math.isfinite(total) and gradient is not None and bool(gradient.isfinite().all())
        if whole:
            rate = 1 - (1 - settings.last_rate) * self.steps / settings.steps
            self._optimizer.param_groups[0]["lr"] = settings.learning_rate * rate
            self._optimizer.step()
        self.steps += 1
        return total if whole else math.nan

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, as copies."""
        moments = self._optimizer.state.get(self._vector, {})
        return {
            "vector": self.vector,
            "random": self._generator.get_state(),
            "steps": torch.tensor(self.steps),
            **{f"adam.{name}": value.detach().cpu().clone() for name, value in moments.items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back, or on, to a `state` of a learner that was made alike. Raises KeyError or RuntimeError for what is
        none."""
        vector, random, steps = state["vector"], state["random"], int(state["steps"])
        moments = {key.removeprefix("adam."): value for key, value in state.items() if key.startswith("adam.")}
        with torch.no_grad():
            self._vector.copy_(vector)
        self._generator.set_state(random)
        self.steps = steps
        if moments:
            means = {key: value.to(self._vector) for key, value in moments.items() if key != "step"}
            self._optimizer.state[self._vector] = means | {"step": moments["step"]}  # AdamW counts on the CPU

    def _texts(self, chosen: Sequence[int]) -> list[str]:
        """A text with {} for each of the chosen images."""
        settings, count = self._settings, len(chosen)
        texts = [settings.templates[index] for index in self._random(len(settings.templates), count)]
        own = (torch.rand(count, generator=self._generator) < settings.captioned).tolist()
        captions = [self._captions[index] for index in chosen]
        return [
            f"{caption}, {{}}" if use and caption else text
            for use, caption, text in zip(own, captions, texts, strict=True)
        ]

    def _random(self, high: int, count: int) -> list[int]:
        numbers: list[int] = torch.randint(0, high, (count,), generator=self._generator).tolist()
        return numbers


def learn_word(
    pack: Pack,
    images: Tensor,
    settings: InversionSettings,
    generator: torch.Generator,
    captions: Sequence[str] | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Tensor:
    """The embedding, float32 [C] on the CPU, of a new word that makes `pack` see `images`; all networks stay frozen.

    images, generator, captions: as WordLearner's; report: called after every step with its number and loss.
    """
    learner = WordLearner(pack, images, settings, generator, captions)
    while learner.steps < settings.steps:
        loss = learner.advance()
        if report is not None:
            report(learner.steps, loss)
    return learner.vector


@torch.no_grad()
def _encoded(pack: Pack, images: Tensor) -> Tensor:
    """Latents of images, one after the other: an autoencoder needs much memory for each."""
    return torch.cat([pack.codec.encode(image[None].to(pack.device)) for image in images])
