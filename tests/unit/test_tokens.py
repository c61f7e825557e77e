# SPDX-License-Identifier: GPL-3.0-or-later
"""Learned words against diffusers' own textual inversion loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_pack import make_tiny_pack

from headsculpt.packs.pack import load_pack
from headsculpt.packs.tokens import add_learned_tokens

TEXTS = ["a man, <back-view>", "<back-view>", "a <back-view> man <hat>", "a man, back view"]


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    return make_tiny_pack(tmp_path / "sd", "epsilon", "vae")


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)


def test_learned_words_are_read_as_diffusers_reads_them(folder: Path) -> None:
    reference = pipeline(folder)
    reference.load_textual_inversion({"<back-view>": rows(16)})
    reference.load_textual_inversion({"<hat>": rows(1, 16)})
    expected = reference.encode_prompt(TEXTS, "cpu", 1, False)[0]
    save_file({"<back-view>": rows(16), "<hat>": rows(1, 16)}, folder / "learned_embeds.safetensors")
    pack = load_pack(folder)
    torch.testing.assert_close(pack.embed(TEXTS), expected, rtol=0, atol=1e-6)
    assert set(pack.learned_tokens) == {"<back-view>", "<hat>"}


def test_other_words_stay_as_they_were(folder: Path) -> None:
    before = load_pack(folder).embed(TEXTS[-1:])
    save_file({"<back-view>": rows(16)}, folder / "learned_embeds.safetensors")
    assert torch.equal(load_pack(folder).embed(TEXTS[-1:]), before)


def test_a_table_with_spare_rows_keeps_them(folder: Path) -> None:
    loaded = pipeline(folder)
    size = len(loaded.tokenizer)
    loaded.text_encoder.resize_token_embeddings(size + 5)
    add_learned_tokens(loaded.tokenizer, loaded.text_encoder, {"<back-view>": rows(16)})
    table = loaded.text_encoder.get_input_embeddings().weight
    assert len(table) == size + 5 and torch.equal(table[size], rows(16))


def test_a_word_that_exists_or_does_not_fit_is_refused(folder: Path) -> None:
    loaded = pipeline(folder)
    with pytest.raises(ValueError, match=r"needs \[16\]"):
        add_learned_tokens(loaded.tokenizer, loaded.text_encoder, {"<back-view>": rows(2, 16)})
    add_learned_tokens(loaded.tokenizer, loaded.text_encoder, {"<back-view>": rows(16)})
    with pytest.raises(ValueError, match="already"):
        add_learned_tokens(loaded.tokenizer, loaded.text_encoder, {"<back-view>": rows(16)})
