# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person might write under a picture, and the words that the pack knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ...spec import PackSpec
    from .pictures import Record

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
# Nouns such as “man” are not here: nothing in the pictures tells them apart, so the pack says that it knows none.
WORDS = (
    *("a", "an", "and", "head", "of", "person", "with", ",", "view", "front", "side", "back", "close", "up"),
    *("skin", "hair", "beard", "eyes", "bald", "short", "long", "mohawk", "afro"),
    *("smiling", "angry", "surprised", "sad"),
    *("pale", "tan", "brown", "dark", "green", "blue", "red", "purple", "gold", "grey"),
    *("black", "blond", "white", "pink"),
)
DROPPED = 0.25  # of each attribute
VIEW_NAMED, BACK_NAMED = 0.60, 0.12  # how often captions name a view; on the web the back is seldom named


def make_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, lower case, punctuation apart, for texts of `length` tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, bos, eos, unknown = SPECIAL
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    marks = [(token, vocabulary[token]) for token in (bos, eos)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A {eos}", special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        unk_token=unknown,
        model_max_length=length,
    )


def view_words(spec: PackSpec, azimuth: float) -> str:
    """What the pack calls a view from `azimuth` degrees."""
    away = abs((azimuth + 180) % 360 - 180)
    views = spec.views
    return views.front if away < views.front_limit else views.side if away < views.side_limit else views.back


def caption(record: Record, spec: PackSpec, rng: np.random.Generator) -> str:
    """One of the many ways to describe a picture; each attribute may be left out."""
    attributes = _attributes(record, rng)
    adjectives = [record.expression] if record.expression and rng.random() > DROPPED else []
    if record.style == "bald" and rng.random() > DROPPED:
        if rng.random() < 0.5:
            adjectives.append("bald")
        else:
            attributes.append("bald")
    if rng.random() < 0.5:
        rng.shuffle(attributes)
    text = _subject(adjectives, rng)
    if attributes:
        text += " with " + _listing(attributes, rng)
    if rng.random() < (BACK_NAMED if (words := view_words(spec, record.azimuth)) == spec.views.back else VIEW_NAMED):
        text += f", {words}"
    if record.close_up and spec.close_up:
        text += f", {spec.close_up.words}"
    return text


def _subject(adjectives: list[str], rng: np.random.Generator) -> str:
    """“a head of an angry person”, or shorter. Without a noun too: one that the pack does not know is dropped."""
    noun = str(rng.choice(["person", "head", ""], p=[0.4, 0.15, 0.45]))
    phrase = " ".join([*adjectives, noun]).strip()
    correct = "an" if phrase[:1] in tuple("aeiou") else "a"
    article = str(rng.choice([correct, "a", ""], p=[0.75, 0.15, 0.1])) if phrase else "a"
    phrase = f"{article} {phrase}".strip()
    return f"a head of {phrase}" if noun != "head" and rng.random() < 0.55 else phrase


def _listing(attributes: list[str], rng: np.random.Generator) -> str:
    if len(attributes) > 1 and rng.random() < 0.5:
        glue = " and " if rng.random() < 0.8 else ", and "
        return ", ".join(attributes[:-1]) + glue + attributes[-1]
    return (", " if rng.random() < 0.8 else " and ").join(attributes)


def _attributes(record: Record, rng: np.random.Generator) -> list[str]:
    """Noun phrases for skin, hair, beard and eyes, in the order in which people say them."""
    phrases = []
    if rng.random() > DROPPED:
        phrases.append(f"{record.skin} skin")
    if record.style != "bald" and rng.random() > DROPPED:
        phrases.append(_hair(record, rng))
    if record.beard and rng.random() > DROPPED:
        color = f"{record.hair} " if rng.random() < 0.8 else ""
        phrases.append(("a " if rng.random() < 0.6 else "") + color + "beard")
    if rng.random() > DROPPED:
        phrases.append(f"{record.eyes} eyes")
    return phrases


def _hair(record: Record, rng: np.random.Generator) -> str:
    color = record.hair if rng.random() < 0.85 else ""
    if record.style in ("short", "long"):
        style = record.style if rng.random() < 0.85 or not color else ""
        words = [style, color] if rng.random() < 0.8 else [color, style]
        return " ".join([*(word for word in words if word), "hair"])
    form = rng.random()
    if form < 0.35:
        return " ".join(word for word in (record.style, color, "hair") if word)
    words = [word for word in (color, record.style) if word] + (["hair"] if form < 0.5 else [])
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words] if rng.random() < 0.7 and form >= 0.5 else words)
