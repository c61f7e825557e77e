# SPDX-License-Identifier: GPL-3.0-or-later
"""Other words for what a pack knows: pack.json's `synonyms`."""

from __future__ import annotations

import re
from collections.abc import Mapping


def in_known_words(text: str, synonyms: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """`text` with every word or phrase of `synonyms` replaced, the longest first, and what was replaced by what.

    Case does not matter. What is put in is not looked at again; an article before it is fitted to it.
    """
    if not synonyms:
        return text, {}
    phrases = sorted(synonyms, key=len, reverse=True)
    either = "|".join(map(re.escape, phrases))
    found = re.compile(rf"\b(?:(an?)\s+)?({either})\b(?!-)", re.IGNORECASE)
    replaced: dict[str, str] = {}

    def known(match: re.Match[str]) -> str:
        word = match[2].lower()
        if synonyms[word] != word:
            replaced[word] = synonyms[word]
        article = f"{match[1]} " if match[1] else ""
        if article and synonyms[word]:
            article = "an " if synonyms[word][0] in "aeiou" else "a "
        return article + synonyms[word]

    return re.sub(r"\s+([,.])", r"\1", re.sub(r"\s{2,}", " ", found.sub(known, text))).strip(), replaced
