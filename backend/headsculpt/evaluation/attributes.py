# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be read from a picture of a head: every attribute of Look.words(), and from where it can be seen."""

from __future__ import annotations

from collections.abc import Mapping

from headsculpt.packs.pocket.training.looks.words import (
    BEARDS,
    EXPRESSIONS,
    EYE_COLORS,
    HAIR_COLORS,
    HEADWEAR,
    LIPSTICKS,
    PAINTS,
    SKINS,
    STYLES,
    ears_hidden,
)

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKINS),
    "style": STYLES,
    "hair": tuple(HAIR_COLORS),
    "beard": ("", *BEARDS),
    "moustache": ("", "moustache"),
    "brows": ("", "thick", "thin"),
    "eyes": tuple(EYE_COLORS),
    "lipstick": ("", *LIPSTICKS),
    "paint": ("", *PAINTS),
    "glasses": ("", "glasses"),
    "headwear": ("", *HEADWEAR),
    "ears": ("", "elf ears"),
    "expression": tuple(EXPRESSIONS),
    "age": ("", "young", "old"),
    "sex": ("man", "woman"),
}
"""The values of each; "" is to have nothing there."""

SEEN_UP_TO: dict[str, float] = {
    "skin": 100,
    "style": 180,
    "hair": 180,
    "beard": 90,
    "moustache": 60,
    "brows": 50,
    "eyes": 40,
    "lipstick": 50,
    "paint": 60,
    "glasses": 90,
    "headwear": 180,
    "ears": 100,
    "expression": 50,
    "age": 70,
    "sex": 70,
}
"""Degrees of |azimuth| up to which each can be seen. Eyes lie deep: from the side the lids are all there is."""
BEYOND_THE_FACE = ("style", "hair", "beard", "headwear", "ears")
"""What a picture of nothing but the face may cut off."""
SMALL = ("moustache", "brows", "eyes", "lipstick", "expression", "age")
"""What only a picture of the face alone shows well."""
LONG_UNDER_HATS = ("long", "bob", "curly")
"""Styles that a hat leaves to be told apart."""
GONE_UNDER_HATS = ("bald", "mohawk", "bun")
"""Styles that show no hair under a hat."""
FULL_BEARDS = ("beard", "long beard", "goatee")
"""Those with a moustache of their own, and enough hair to show its colour."""


def seen_from(attribute: str, azimuth: float, near: bool = False) -> bool:
    """Whether an attribute can be seen from this azimuth in degrees. near: by a camera that sees the face alone."""
    away = abs((azimuth + 180) % 360 - 180)
    return away <= SEEN_UP_TO[attribute] and attribute not in (BEYOND_THE_FACE if near else SMALL)


def visible(words: Mapping[str, str], azimuth: float, near: bool = False) -> dict[str, str]:
    """Of a head with these attributes (Look.words()), those that nothing hides from this azimuth."""
    return {
        name: words[name]
        for name in ATTRIBUTES
        if seen_from(name, azimuth, near) and not _hidden(name, words, azimuth, near)
    }


def _hidden(attribute: str, words: Mapping[str, str], azimuth: float, near: bool) -> bool:
    """Whether other attributes hide this one."""
    style, hat, bearded = words["style"], words["headwear"] == "hat", words["beard"] in FULL_BEARDS
    if attribute == "hair":
        on_face = (bearded or words["moustache"] != "") and seen_from("beard", azimuth)
        return (style == "bald" or (hat and style in GONE_UNDER_HATS)) and not on_face
    return {
        "skin": near and words["paint"] != "",
        "style": hat and style not in LONG_UNDER_HATS,
        "ears": ears_hidden(style, words["headwear"]),
        "moustache": bearded,
        "eyes": words["expression"] == "sleeping",
    }.get(attribute, False)
