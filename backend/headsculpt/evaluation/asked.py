# SPDX-License-Identifier: GPL-3.0-or-later
"""Which attributes a sentence asks for, by the pocket pack's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from headsculpt.evaluation.attributes import ATTRIBUTES
from headsculpt.packs.pocket.training.looks.words import (
    EXPRESSIONS,
    EYE_COLORS,
    HAIR_COLORS,
    HEADWEAR,
    LIPSTICKS,
    PAINTS,
    SKINS,
    STYLES,
)
from headsculpt.packs.synonyms import in_known_words

BY_THEMSELVES: dict[str, tuple[str, str]] = {
    **{word: ("expression", word) for word in EXPRESSIONS if word},
    **{word: ("headwear", word) for word in HEADWEAR},
    **{word: ("paint", word) for word in PAINTS},
    **{word: ("age", word) for word in ("young", "old")},
    **{word: ("sex", word) for word in ("man", "woman")},
    "moustache": ("moustache", "moustache"),
    "glasses": ("glasses", "glasses"),
    "elf": ("ears", "elf ears"),
    "bald": ("style", "bald"),
    "goatee": ("beard", "goatee"),
    "stubble": ("beard", "stubble"),
    "zombie": ("skin", "zombie"),
    **{word: ("style", word) for word in ("mohawk", "afro", "bob", "ponytail", "bun")},
}
"""Words that say what they say whatever stands around them."""
HAIRY = ("hair", "mohawk", "afro", "bob", "ponytail", "bun", "beard", "goatee", "stubble", "moustache")
"""What a colour of hair may stand before; of a head whose beard has another colour, the hair's counts."""
PEOPLE = ("man", "woman", "person", "head", "face")
COLORLESS = ("hat", "crown", "horns", "glasses", "paint", "ears")
"""Nouns whose colour the pack does not know: a colour before them says nothing."""
QUALITIES = {*SKINS, *HAIR_COLORS, *EYE_COLORS, *LIPSTICKS, "long", "short", "curly", "thick", "thin"} - {"zombie"}
"""Words that say something of the next noun."""
NOUNS = {*HAIRY, *PEOPLE, *COLORLESS, "skin", "eyes", "eyebrows", "lipstick"}
NEGATIONS, FURTHER = ("no", "without"), ("or", "nor")
"""Words that take back what comes next, and words that go on so: “without a beard or a hat”."""


def asked(prompt: str, synonyms: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the prompt asks for: attribute → value, as in Look.words(); "" where it says "no" or "without".

    synonyms: a pack's, see PackSpec.
    """
    found: dict[str, str] = {}
    for noun, qualities, negated in _phrases(in_known_words(prompt, synonyms or {})[0].lower()):
        for attribute, value in _meaning(noun, qualities).items():
            if attribute == "hair" and noun not in STYLES and noun != "hair" and attribute in found:
                continue
            if not negated:
                found[attribute] = value
            elif "" in ATTRIBUTES[attribute]:
                found[attribute] = ""
    return found


def _phrases(text: str) -> Iterator[tuple[str, list[str], bool]]:
    """Each word that is a noun or speaks for itself, the qualities before it, and whether it is negated."""
    qualities: list[str] = []
    negated = was_negated = False
    for word in re.findall(r"[a-z]+", text.replace("face paint", "paint")):
        if word in QUALITIES:
            qualities.append(word)
        elif word in NEGATIONS or (word in FURTHER and was_negated):
            negated = True
        elif word in NOUNS or word in BY_THEMSELVES:
            yield word, qualities if word in NOUNS else [], negated
            was_negated = negated
            if word in NOUNS:
                qualities, negated = [], False
        elif word in ("with", "wearing"):
            qualities, negated, was_negated = [], False, False


def _meaning(noun: str, qualities: list[str]) -> dict[str, str]:
    """What a noun and the qualities before it say."""
    said = dict([BY_THEMSELVES[noun]]) if noun in BY_THEMSELVES else {}
    for word in qualities:
        if noun in ("skin", *PEOPLE) and word in SKINS:
            said["skin"] = word
        elif noun in HAIRY and word in HAIR_COLORS:
            said["hair"] = word
        elif noun == "hair" and word in STYLES:
            said["style"] = word
        elif noun == "eyes" and word in EYE_COLORS:
            said["eyes"] = word
        elif noun == "lipstick" and word in LIPSTICKS:
            said["lipstick"] = word
        elif noun == "eyebrows" and word in ("thick", "thin"):
            said["brows"] = word
    if noun == "beard":
        said["beard"] = "long beard" if "long" in qualities else "beard"
    return said
