# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person might write under a picture, and the words that the pack knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .looks.words import BEARDS, EXPRESSIONS, EYE_COLORS, HAIR_COLORS, HEADWEAR, LIPSTICKS, PAINTS, SKINS, STYLES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ...spec import PackSpec
    from .pictures import Record

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
_PLAIN = (
    *("a", "an", "and", "head", "of", "person", "man", "woman", "with", "wearing", "in", "like", ","),
    *("view", "front", "side", "back", "close", "up", "face", "young", "old"),
    *("skin", "hair", "eyes", "eyebrows", "thick", "thin", "lipstick", "paint", "painted"),
    *("moustache", "glasses", "elf", "ears"),
)
_TABLES = (SKINS, STYLES, HAIR_COLORS, BEARDS, EYE_COLORS, LIPSTICKS, PAINTS, HEADWEAR, EXPRESSIONS)
WORDS = tuple(dict.fromkeys([*_PLAIN, *(word for table in _TABLES for entry in table for word in entry.split())]))
TALK = (0.35, 0.6, 0.85, 1.0)
"""How much a caption says: the share of the attributes that it names, drawn anew for each."""
STRIKING = ("style", "beard", "moustache", "paint", "glasses", "headwear", "ears", "expression")
STRIKING_SAID = 0.85
"""What strikes the eye is named at least this often, or the model would put crowns on heads that ask for none."""
VIEW_NAMED, BACK_NAMED = 0.60, 0.12
"""How often captions name a view; on the web the back is seldom named."""

Rng = np.random.Generator


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


def caption(record: Record, spec: PackSpec, rng: Rng) -> str:
    """One of the many ways to describe a picture."""
    text = description(record.words, rng)
    if rng.random() < (BACK_NAMED if (words := view_words(spec, record.azimuth)) == spec.views.back else VIEW_NAMED):
        text += f", {words}"
    if record.shot:
        text += f", {spec.close_ups[record.shot - 1].words}"
    return text


def description(words: Mapping[str, str], rng: Rng) -> str:
    """What is said of a head, Look.words(), whatever the view; each attribute may be left out."""
    said = _chosen(words, rng)
    before, after = _adjectives(said, rng), _phrases(said, words["hair"], rng)
    text = _subject(before, said.get("sex", ""), rng)
    if after:
        text += " with " + _listing(after, rng)
    if worn := _worn(said, rng):
        text += (" wearing " if rng.random() < 0.5 else ", " if after else " with ") + _listing(worn, rng)
    return text


def _chosen(words: Mapping[str, str], rng: Rng) -> dict[str, str]:
    """The attributes that this caption names. The hair's colour comes with a style, beard or moustache."""
    talk = float(rng.choice(TALK))
    share = {name: max(talk, STRIKING_SAID) if name in STRIKING else talk for name in words}
    return {name: word for name, word in words.items() if word and name != "hair" and rng.random() < share[name]}


def _adjectives(said: dict[str, str], rng: Rng) -> list[str]:
    """What stands before the noun. What is said here is taken out of `said`."""
    words = [said.pop("expression", ""), said.pop("age", "")]
    if said.get("style") == "bald" and rng.random() < 0.6:
        words.append(said.pop("style"))
    if "skin" in said and rng.random() < 0.15:
        words.append(said.pop("skin"))  # a green man, a zombie
    return [word for word in words if word]


def _subject(adjectives: list[str], sex: str, rng: Rng) -> str:
    """“a head of an angry man”, or shorter. Without a noun too: words that the pack does not know are dropped."""
    noun = sex or str(rng.choice(["person", "head", "face", ""], p=[0.35, 0.2, 0.05, 0.4]))
    phrase = " ".join([*adjectives, noun]).strip()
    correct = "an" if phrase[:1] in tuple("aeiou") else "a"
    article = str(rng.choice([correct, "a", ""], p=[0.75, 0.15, 0.1])) if phrase else "a"
    phrase = f"{article} {phrase}".strip()
    return f"a head of {phrase}" if noun not in ("head", "face") and rng.random() < 0.5 else phrase


def _listing(attributes: list[str], rng: Rng) -> str:
    if len(attributes) > 1 and rng.random() < 0.5:
        glue = " and " if rng.random() < 0.8 else ", and "
        return ", ".join(attributes[:-1]) + glue + attributes[-1]
    return (", " if rng.random() < 0.8 else " and ").join(attributes)


def _phrases(said: dict[str, str], color: str, rng: Rng) -> list[str]:
    """Noun phrases for what grows on the head, in the order in which people say them, or in another."""
    color = color if rng.random() < 0.85 else ""
    makers: dict[str, Callable[[str], str]] = {
        "skin": lambda word: f"{word} skin",
        "style": lambda word: _hair(word, color, rng),
        "beard": lambda word: _beard(word, color, rng),
        "moustache": lambda word: _article(f"{color} {word}".strip(), rng, 0.7),
        "brows": lambda word: f"{word} eyebrows",
        "eyes": lambda word: f"{word} eyes",
        "lipstick": lambda word: f"{word} lipstick",
        "paint": lambda word: _paint(word, rng),
        "ears": lambda word: word,
    }
    phrases = [make(said[name]) for name, make in makers.items() if name in said]
    if rng.random() < 0.5:
        rng.shuffle(phrases)
    return phrases


def _worn(said: dict[str, str], rng: Rng) -> list[str]:
    """Noun phrases for hats and the like."""
    things = [said[name] for name in ("headwear", "glasses") if name in said]
    return [thing if thing in ("glasses", "horns") else _article(thing, rng, 0.85) for thing in things]


def _hair(style: str, color: str, rng: Rng) -> str:
    if style == "bald":
        return style
    if style in ("short", "long", "curly"):
        return " ".join([*filter(None, [style, color] if rng.random() < 0.8 else [color, style]), "hair"])
    if style in ("ponytail", "bun") and rng.random() < 0.4:
        return f"{color} hair in a {style}".strip()
    form = rng.random()
    if form < 0.3:
        return " ".join(word for word in (style, color, "hair") if word)
    return _article(" ".join(word for word in (color, style) if word) + (" hair" if form < 0.4 else ""), rng, 0.7)


def _beard(beard: str, color: str, rng: Rng) -> str:
    if beard == "long beard":
        return _article(" ".join(filter(None, ["long", color, "beard"])), rng, 0.7)
    return _article(f"{color} {beard}".strip(), rng, 0.0 if beard == "stubble" else 0.7)


def _paint(paint: str, rng: Rng) -> str:
    forms = (f"{paint} face paint", f"{paint} paint", f"face painted like a {paint}")
    return str(rng.choice(forms, p=[0.6, 0.2, 0.2]))


def _article(phrase: str, rng: Rng, share: float) -> str:
    """`phrase` with its article, in `share` of all cases."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}" if rng.random() < share else phrase
