# SPDX-License-Identifier: GPL-3.0-or-later
"""The pocket pack as it ships: complete, small, and a model of what its words mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.photos import draw_camera, photograph
from headsculpt.packs.pocket.training.captions import WORDS
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import Look
from headsculpt.packs.pocket.training.pictures import PACK
from headsculpt.render.landmark_map import landmark_maps

LOOKS = [
    ("green", "mohawk", "red", "a head of a person with green skin, a red mohawk"),
    ("pale", "long", "blond", "a head of a person with pale skin, long blond hair"),
    ("dark", "afro", "black", "a head of a person with dark skin, a black afro"),
    ("blue", "bald", "white", "a head of a person with blue skin, bald"),
]
UNSAID = dict.fromkeys(
    ("beard", "moustache", "lipstick", "paint", "glasses", "headwear", "ears", "expression", "age"), ""
)
AZIMUTHS = (-30.0, 0.0, 30.0, 180.0)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(PACK)


@pytest.fixture(scope="module")
def views(pack: Pack) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Pictures [16, 3, S, S] of LOOKS from AZIMUTHS, their landmark maps, and what they show."""
    wardrobe, rng = Wardrobe(load_builtin()), np.random.default_rng(77)
    pictures, maps, texts = [], [], []
    for skin, style, hair, text in LOOKS:
        look = replace(Look.draw(rng, 60), **UNSAID, skin=skin, style=style, hair=hair)
        head = wardrobe.dress(look)
        for azimuth in AZIMUTHS:
            camera = draw_camera(pack.spec.cameras, azimuth, pack.spec.image_size, rng)
            pictures.append(photograph(head.mesh, camera, pack.spec, rng))
            maps.append(landmark_maps(torch.from_numpy(head.landmarks), camera))
            texts.append(text)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255, torch.cat(maps), texts


def error(pack: Pack, clean: torch.Tensor, texts: list[str], maps: torch.Tensor | None = None) -> torch.Tensor:
    """Mean error [B] of the denoised latents at three noise levels, always with the same noise."""
    generator = torch.Generator().manual_seed(0)
    words, landmarks = pack.embed(texts), None if maps is None else pack.read_landmarks(maps)
    errors = []
    for level in (400, 600, 800):
        noise = torch.randn(clean.shape, generator=generator)
        t = torch.full((len(clean),), level)
        noisy = pack.add_noise(clean, t, noise)
        denoised = pack.remove_noise(noisy, t, pack.predict_noise(noisy, t, words, landmarks))
        errors.append((denoised - clean).square().mean((1, 2, 3)))
    return torch.stack(errors).mean(0)


def test_it_is_complete_and_small(pack: Pack) -> None:
    names = ("pack.json", "learned_embeds.safetensors", "tokenizer", "text_encoder", "unet")
    for name in (*names, "controlnet_landmarks", "codec", "scheduler"):
        assert (PACK / name).exists(), name
    weights = [path for path in PACK.rglob("*") if path.is_file() and "training" not in path.parts]
    assert sum(path.stat().st_size for path in weights if path.suffix != ".pyc") <= 18e6
    assert pack.spec.views.back_token in pack.learned_tokens
    assert len(pack.known_words or ()) >= 70 and set(pack.known_words or ()) <= set(WORDS)


def test_prompts_are_read_without_the_words_it_does_not_know(pack: Pack) -> None:
    assert not pack.unknown_words("an angry old man with green skin, a red mohawk and a red beard")
    prompt = "an angry plumber with green skin and a red mohawk"
    assert pack.unknown_words(prompt) == ["plumber"]
    assert pack.readable(prompt) == "an angry with green skin and a red mohawk"


def test_the_codec_keeps_what_one_sees(pack: Pack, views: tuple[torch.Tensor, torch.Tensor, list[str]]) -> None:
    pictures = views[0]
    difference = (pack.codec.decode(pack.codec.encode(pictures)) - pictures).square().mean()
    assert -10 * float(difference.log10()) > 25  # PSNR in dB
    assert 0.5 < float(pack.codec.encode(pictures).square().mean().sqrt()) < 2


def test_it_denoises_better_with_the_right_words(
    pack: Pack, views: tuple[torch.Tensor, torch.Tensor, list[str]]
) -> None:
    pictures, _, texts = views
    clean = pack.codec.encode(pictures)
    right = error(pack, clean, texts)
    wrong = error(pack, clean, [*texts[4:], *texts[:4]])
    assert (right < wrong).float().mean() > 0.9
    assert float(right.mean()) < 0.9 * float(wrong.mean())


def test_it_follows_the_landmarks(pack: Pack, views: tuple[torch.Tensor, torch.Tensor, list[str]]) -> None:
    front = [i for i in range(16) if AZIMUTHS[i % 4] != 180]
    pictures, maps, texts = views[0][front], views[1][front], [views[2][i] for i in front]
    clean = pack.codec.encode(pictures)
    with_map, without = error(pack, clean, texts, maps), error(pack, clean, texts)
    swapped = error(pack, clean, texts, maps.roll(1, 0))
    assert float(with_map.mean()) < 0.95 * float(without.mean())
    assert float(with_map.mean()) < 0.95 * float(swapped.mean())


def test_the_back_token_explains_the_back_best(pack: Pack, views: tuple[torch.Tensor, torch.Tensor, list[str]]) -> None:
    back = [i for i in range(16) if AZIMUTHS[i % 4] == 180]
    clean, texts = pack.codec.encode(views[0][back]), [views[2][i] for i in back]
    token = error(pack, clean, [f"{text}, {pack.spec.views.back_token}" for text in texts])
    front = error(pack, clean, [f"{text}, {pack.spec.views.front}" for text in texts])
    assert float(token.mean()) < float(front.mean())
