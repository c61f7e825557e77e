# SPDX-License-Identifier: GPL-3.0-or-later
"""Six prompts, and what a head made from each must show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """name: of its folder and picture; skin, hair, beard: the colour words of the prompt (keys of looks.py's tables),
    None where the prompt asks for no such thing; style: a key of looks.STYLES."""

    name: str
    prompt: str
    skin: str
    style: str
    hair: str | None = None
    beard: str | None = None


EXAMPLES = (
    Example(
        "green-mohawk",
        "an angry man with green skin, a red mohawk and a red beard",
        skin="green",
        style="mohawk",
        hair="red",
        beard="red",
    ),
    Example("pale-long", "a smiling woman with pale skin and long blond hair", skin="pale", style="long", hair="blond"),
    Example("brown-bald", "a bald man with brown skin", skin="brown", style="bald"),
    Example("dark-afro", "a person with dark skin and a black afro", skin="dark", style="afro", hair="black"),
    Example(
        "blue-short",
        "a sad man with blue skin, short white hair and a white beard",
        skin="blue",
        style="short",
        hair="white",
        beard="white",
    ),
    Example(
        "gold-mohawk",
        "a surprised woman with gold skin and a purple mohawk",
        skin="gold",
        style="mohawk",
        hair="purple",
    ),
)
