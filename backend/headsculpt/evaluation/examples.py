# SPDX-License-Identifier: GPL-3.0-or-later
"""Six prompts, for the showcase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """name: of its folder and picture; prompt: what is asked for."""

    name: str
    prompt: str


EXAMPLES = (
    Example("green-mohawk", "an angry man with green skin, a red mohawk and a red beard"),
    Example("pale-long", "a smiling woman with pale skin and long blond hair"),
    Example("brown-bald", "a bald man with brown skin"),
    Example("dark-afro", "a person with dark skin and a black afro"),
    Example("blue-short", "a sad man with blue skin, short white hair and a white beard"),
    Example("gold-mohawk", "a surprised woman with gold skin and a purple mohawk"),
)
