# SPDX-License-Identifier: GPL-3.0-or-later
"""Learned words: embeddings that textual inversion found, as learned_embeds.safetensors keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
    table = encoder.get_input_embeddings()
    width = table.weight.shape[1]
    for word, row in embeddings.items():
        if row.numel() != width:
            raise ValueError(f"the embedding of {word} is {list(row.shape)}, this text encoder needs [{width}]")
        if tokenizer.add_tokens([word]) != 1:
            raise ValueError(f"the tokenizer has the word {word} already")
    if embeddings:
        rows = torch.stack([row.reshape(-1) for row in embeddings.values()]).to(table.weight)
        first = tokenizer.convert_tokens_to_ids(next(iter(embeddings)))
        # The table may have spare rows behind the tokenizer's last word, or lack some.
        encoder.resize_token_embeddings(max(len(tokenizer), len(table.weight)), mean_resizing=False)
        with torch.no_grad():
            encoder.get_input_embeddings().weight[first : first + len(rows)] = rows
    encoder.requires_grad_(False)
