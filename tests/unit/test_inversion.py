# SPDX-License-Identifier: GPL-3.0-or-later
"""Textual inversion (Eq. 6) on small random packs of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import save_file
from tiny_pack import SIZE, make_tiny_pack

from headsculpt.guidance.inversion import InversionSettings, NewWord, inversion_loss, learn_word, replaced
from headsculpt.packs.pack import Pack, load_pack

SETTINGS = InversionSettings(initial_word="back", templates=("a head, {}", "{}"), steps=25, batch=4, learning_rate=0.1)


@pytest.fixture(scope="module", params=["linear-v_prediction", "vae-epsilon"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    codec, prediction = request.param.split("-")
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("pack"), prediction, codec))


def initial_word(pack: Pack) -> str:
    """A word that is one token."""
    return "back" if pack.known_words else "man"


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_diffusers_own(pack: Pack) -> None:
    generator = torch.Generator().manual_seed(1)
    shape = (3, pack.spec.latent_channels, pack.spec.latent_size, pack.spec.latent_size)
    latents, noise = torch.randn(2, *shape, generator=generator)
    t, words = torch.tensor([5, 400, 990]), pack.embed(["a head"] * 3)
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=pack.spec.prediction_type
    )
    epsilon = pack.spec.prediction_type == "epsilon"
    target = noise if epsilon else scheduler.get_velocity(latents, noise, t)
    output = pack.unet(scheduler.add_noise(latents, noise, t), t, words).sample
    expected = torch.nn.functional.mse_loss(output, target)
    torch.testing.assert_close(inversion_loss(pack, words, latents, t, noise), expected, rtol=1e-5, atol=1e-6)


def test_a_learned_word_explains_the_images_better_and_nothing_else_changes(pack: Pack) -> None:
    from dataclasses import replace

    settings = replace(SETTINGS, initial_word=initial_word(pack))
    networks = (pack.unet, pack.text_encoder, pack.controlnet)
    before = [parameter.clone() for network in networks for parameter in network.parameters()]
    steps: list[int] = []
    vector = learn_word(
        pack, images(), settings, torch.Generator().manual_seed(0), report=lambda step, loss: steps.append(step)
    )
    assert steps == list(range(1, settings.steps + 1))
    after = [parameter for network in networks for parameter in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in after)

    word = NewWord(pack, settings.initial_word)
    with torch.no_grad():
        latents = pack.codec.encode(images()).repeat(8, 1, 1, 1)
        generator = torch.Generator().manual_seed(9)
        noise = torch.randn(latents.shape, generator=generator)
        t = torch.randint(0, 1000, (len(latents),), generator=generator)
        losses = []
        for candidate in (word.start, vector):
            ids, mask = word.encode(["a head, {}"] * len(latents))
            with replaced(pack, mask, candidate):
                embeddings = pack.text_encoder(ids).last_hidden_state
            losses.append(float(inversion_loss(pack, embeddings, latents, t, noise)))
    assert losses[1] < losses[0] - 1e-4
    again = learn_word(pack, images(), settings, torch.Generator().manual_seed(0))
    assert torch.equal(vector, again)


def test_the_new_word_stands_where_the_mark_is(pack: Pack) -> None:
    """Replaced by its own start, the new word is the old one; replaced by another word's row, it is that word."""
    start, other = initial_word(pack), "bald" if pack.known_words else "head"
    word = NewWord(pack, start)
    ids, mask = word.encode(["a head, {}", "{}"])
    assert mask.sum().item() == 2
    for row, name in ((word.start, start), (NewWord(pack, other).start, other)):
        with replaced(pack, mask, row), torch.no_grad():
            found = pack.text_encoder(ids).last_hidden_state
        torch.testing.assert_close(found, pack.embed([f"a head, {name}", name]), atol=1e-6, rtol=0)


def test_a_saved_word_is_read_by_the_pack_as_it_was_learned(pack: Pack, tmp_path: Path) -> None:
    from dataclasses import replace

    settings = replace(SETTINGS, initial_word=initial_word(pack), steps=3)
    vector = learn_word(pack, images(), settings, torch.Generator().manual_seed(0), ["a head"] * 6)
    linear = bool(pack.known_words)
    folder = make_tiny_pack(tmp_path / "again", pack.spec.prediction_type, "linear" if linear else "vae")
    save_file({"<rear>": vector}, folder / "learned_embeds.safetensors")
    reloaded = load_pack(folder)
    assert reloaded.learned_tokens == ("<rear>",)
    word = NewWord(pack, settings.initial_word)
    ids, mask = word.encode(["a head, {}"])
    with replaced(pack, mask, vector), torch.no_grad():
        learned = pack.text_encoder(ids).last_hidden_state
    torch.testing.assert_close(reloaded.embed(["a head, <rear>"]), learned, atol=1e-5, rtol=0)


def test_a_start_that_is_no_single_known_word_is_refused(pack: Pack) -> None:
    with pytest.raises(ValueError, match="one known token"):
        NewWord(pack, "xylophone")
