# SPDX-License-Identifier: GPL-3.0-or-later
"""Learned words: embeddings that textual inversion found, in diffusers' format, and where a pack finds them.

A pack's own words are in its learned_embeds.safetensors. A user's words for a pack that must stay as it is, such as a
downloaded one, are .safetensors files in a folder beside it: `tokens_folder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.finish.files import write_whole
from headsculpt.packs.manifest import default_store

if TYPE_CHECKING:
    from transformers import CLIPTextModel
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

PACKS_OWN = "learned_embeds.safetensors"


def tokens_folder(pack: Path) -> Path:
    """Where a user's own words for a pack lie, whether it exists or not: PACK.tokens beside the pack's folder.

    Of a pack that comes with HeadSculpt it is where downloaded packs are: an update replaces what lies beside that one.
    """
    pack = pack.resolve()
    shipped = pack.parent == Path(__file__).resolve().parent
    return (default_store() if shipped else pack.parent) / f"{pack.name}.tokens"


def token_files(pack: Path) -> list[Path]:
    """The files with learned words of a pack; where two have the same word, the later one's counts."""
    own = [path] if (path := pack / PACKS_OWN).exists() else []
    return own + sorted(tokens_folder(pack).glob("*.safetensors"))


def read_tokens(path: Path) -> dict[str, Tensor]:
    """A file's words, each a row [C] or [1, C]. Raises UserError."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short.", "Learn its words again, or take the file away.") from error


def save_token(path: Path, word: str, row: Tensor) -> None:
    """Writes a word's row [C] as diffusers' textual inversion does; other words that the file has stay in it."""
    others = read_tokens(path) if path.exists() else {}
    write_whole(path, save({**others, word: row.detach().float().cpu().contiguous()}, {"format": "pt"}))


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
