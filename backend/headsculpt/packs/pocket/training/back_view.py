# SPDX-License-Identifier: GPL-3.0-or-later
"""Learns <back-view> (Eq. 6) from renders of the backs of heads, and measures how often each view word works.

    python -m headsculpt.packs.pocket.training.back_view PACK_FOLDER --reader out/pocket/data --held-out out/pocket/held

Writes PACK_FOLDER/learned_embeds.safetensors in diffusers' textual inversion format. The measure, made when both
folders of pictures are given, reads the view of 64 pictures a word, all words from the same noise, by a linear
classifier.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ....guidance.inversion import InversionSettings, learn_word
from ....head.builtin import load_builtin
from ...pack import Pack, load_pack
from ...spec import PackSpec
from .captions import description, view_words
from .looks.wardrobe import Wardrobe
from .looks.words import Look
from .pictures import draw_camera, load_shards, photograph
from .sampling import sample

BACK_VIEWS, BEYOND = 34, 150.0  # as many as in the paper; degrees
PROMPTS = 64
GUIDANCE, SAMPLING_STEPS = 4.0, 20
SKINS = ("pale", "tan", "brown", "green", "blue", "gold", "purple", "grey")
HAIR = ("bald", "short black hair", "an afro", "long blond hair")


def render_back_views(spec: PackSpec, rng: np.random.Generator, count: int = BACK_VIEWS) -> tuple[Tensor, list[str]]:
    """Pictures [count, 3, S, S] in [0, 1] of different heads from behind, and what they show, but for the view."""
    wardrobe = Wardrobe(load_builtin())
    pictures, captions = [], []
    for _ in range(count):
        look = Look.draw(rng, len(wardrobe.model.identity))
        azimuth = 180 + rng.uniform(BEYOND - 180, 180 - BEYOND)
        camera = draw_camera(spec.cameras, azimuth, spec.image_size, rng)
        pictures.append(photograph(wardrobe.dress(look), camera, spec, rng))
        captions.append(description(look.words(), rng))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255, captions


def learn_back_view(folder: Path, seed: int) -> None:
    """Learns the pack's back token and writes it beside the weights."""
    path = folder / "learned_embeds.safetensors"
    path.unlink(missing_ok=True)
    pack = load_pack(folder)
    images, captions = render_back_views(pack.spec, np.random.default_rng(seed))
    losses: list[float] = []
    settings = InversionSettings(initial_word="back")
    vector = learn_word(
        pack, images, settings, torch.Generator().manual_seed(seed), captions, lambda step, loss: losses.append(loss)
    )
    partial = path.with_suffix(".part")
    save_file({pack.spec.views.back_token: vector}, partial)
    os.replace(partial, path)
    print(f"{settings.steps} steps, loss {np.mean(losses[:50]):.4f} at first, {np.mean(losses[-50:]):.4f} at last")


class ViewReader:
    """Front, side or back, read from latents by ridge regression on the means of them and of their size, 2×2 each."""

    def __init__(self, latents: Tensor, views: Tensor, ridge: float = 1000.0) -> None:
        """latents: [N, C, h, w]; views: int64 [N], 0, 1, 2."""
        features = self._features(latents)
        self._mean, self._deviation = features.mean(0), features.std(0) + 1e-5
        design = self._design(latents)
        target = functional.one_hot(views, 3).float()
        self._weights = torch.linalg.solve(design.T @ design + ridge * torch.eye(design.shape[1]), design.T @ target)

    def __call__(self, latents: Tensor) -> Tensor:
        """int64 [N]."""
        return (self._design(latents) @ self._weights).argmax(1)

    @staticmethod
    def _features(latents: Tensor) -> Tensor:
        return torch.cat([functional.avg_pool2d(part, 2).flatten(1) for part in (latents, latents.abs())], 1)

    def _design(self, latents: Tensor) -> Tensor:
        features = (self._features(latents) - self._mean) / self._deviation
        return torch.cat([features, torch.ones(len(features), 1)], 1)


def whole_views(pack: Pack, data: Path, mirrored: bool = False) -> tuple[Tensor, Tensor]:
    """Latents and views (0 front, 1 side, 2 back) of the pictures in a folder that are no close-ups."""
    pictures, _, records = load_shards(data)
    whole = [i for i, record in enumerate(records) if not record.shot]
    names = (pack.spec.views.front, pack.spec.views.side, pack.spec.views.back)
    views = torch.tensor([names.index(view_words(pack.spec, records[i].azimuth)) for i in whole])
    chunks = [torch.from_numpy(pictures[whole[i : i + 256]]).permute(0, 3, 1, 2) for i in range(0, len(whole), 256)]
    latents = torch.cat([pack.codec.encode((chunk.flip(3) if mirrored else chunk) / 255) for chunk in chunks])
    return latents, views


def train_reader(pack: Pack, data: Path, held_out: Path) -> ViewReader:
    """A reader trained on one folder's pictures and their mirror images; prints how often it is right on another's."""
    straight, mirrored = whole_views(pack, data), whole_views(pack, data, mirrored=True)
    reader = ViewReader(torch.cat([straight[0], mirrored[0]]), torch.cat([straight[1], mirrored[1]]))
    latents, true = whole_views(pack, held_out)
    read = reader(latents)
    recall = [float((read[true == view] == view).float().mean()) for view in range(3)]
    right = float((read == true).float().mean())
    print(
        f"view reader on {len(true)} held-out renders: {right:.1%} right; " + _shares(("front", "side", "back"), recall)
    )
    return reader


def measure(pack: Pack, reader: ViewReader, words: Sequence[str], seed: int = 5) -> dict[str, list[float]]:
    """For each view word the shares of PROMPTS pictures that are read as front, side, back."""
    generator = torch.Generator().manual_seed(seed)
    spec = pack.spec
    noise = torch.randn(PROMPTS, spec.latent_channels, spec.latent_size, spec.latent_size, generator=generator)
    prompts = [f"a head of a person with {SKINS[k % 8]} skin, {HAIR[k // 8 % 4]}" for k in range(PROMPTS)]
    shares = {}
    for word in words:
        texts = [f"{prompt}, {word}" if word else prompt for prompt in prompts]
        read = reader(sample(pack, texts, noise, GUIDANCE, SAMPLING_STEPS))
        shares[word] = [float((read == view).float().mean()) for view in range(3)]
        print(f"{word or 'no view word':12s} " + _shares(("front", "side", "back"), shares[word]), flush=True)
    return shares


def _shares(names: Sequence[str], values: Sequence[float]) -> str:
    return ", ".join(f"{name} {value:.0%}" for name, value in zip(names, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--reader", type=Path, help="folder of pictures.py's shards to train the view reader on")
    parser.add_argument("--held-out", type=Path, help="folder of shards to measure the view reader on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learn_back_view(arguments.pack, arguments.seed)
    if arguments.reader and arguments.held_out:
        pack = load_pack(arguments.pack)
        views = pack.spec.views
        reader = train_reader(pack, arguments.reader, arguments.held_out)
        measure(pack, reader, ("", views.front, views.back, views.back_token))


if __name__ == "__main__":
    main()
