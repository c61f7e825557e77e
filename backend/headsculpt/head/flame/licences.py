# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's versions and what each may be used for. Which one a file is it has to say itself, or the user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

HOME = "https://flame.is.tue.mpg.de"


@dataclass(frozen=True)
class Version:
    """key: short, for settings and command lines; name: for reading; licence: one sentence."""

    key: str
    name: str
    licence: str


VERSIONS = (
    Version(
        "2020", "FLAME 2020", "Non-commercial scientific research licence: no commercial use of what is made with it."
    ),
    Version(
        "2023", "FLAME 2023", "Non-commercial scientific research licence: no commercial use of what is made with it."
    ),
    Version(
        "2023-open",
        "FLAME 2023 Open",
        "CC-BY-4.0: free for all uses, if you name FLAME (Max Planck Institute) as source.",
    ),
)


def version_of(key: str) -> Version | None:
    return next((version for version in VERSIONS if version.key == key), None)


def stated_version(texts: Iterable[str]) -> Version | None:
    """The version that a file's own texts name. None if they name none, or are not clear: it is never guessed."""
    words = " ".join(texts).lower()
    years = {year for year in ("2020", "2023") if re.search(rf"flame[\W_]{{0,3}}{year}", words)}
    is_open = bool(re.search(r"flame[\W_]{0,3}2023[\W_]{0,3}open|cc[- ]by(?![- ]n)", words))
    if years == {"2020"} and not is_open:
        return version_of("2020")
    if years == {"2023"}:
        return version_of("2023-open" if is_open else "2023")
    return None
