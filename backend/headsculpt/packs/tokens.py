# SPDX-License-Identifier: GPL-3.0-or-later
"""Learned words: embeddings that textual inversion found, as learned_embeds.safetensors keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import CLIPTextModel
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast


def add_learned_tokens(
    tokenizer: PreTrainedTokenizerFast, encoder: CLIPTextModel, embeddings: Mapping[str, Tensor]
) -> None:
    """Teaches tokenizer and text encoder new words.

    embeddings: a row [C], or [1, C], for each word, in diffusers' textual inversion format.
    Raises ValueError for a word that exists already or a row of another width.
    """
    table = _table(encoder)
    width = table.weight.shape[1]
    for word, row in embeddings.items():
        if row.numel() != width:
            raise ValueError(f"the embedding of {word} is {list(row.shape)}, this text encoder needs [{width}]")
        if tokenizer.add_tokens([word]) != 1:
            raise ValueError(f"the tokenizer has the word {word} already")
    # The table may have spare rows behind the tokenizer's last word.
    encoder.resize_token_embeddings(max(len(tokenizer), table.num_embeddings), mean_resizing=False)
    with torch.no_grad():
        for word, row in embeddings.items():
            weight = _table(encoder).weight
            weight[tokenizer.get_vocab()[word]] = row.reshape(-1).to(weight)
    encoder.requires_grad_(False)


def _table(encoder: CLIPTextModel) -> torch.nn.Embedding:
    return cast("torch.nn.Embedding", encoder.get_input_embeddings())
