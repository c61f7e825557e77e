# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller asks for who wants a word for a view; the add-on uses this module too, and therefore its imports are
relative."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UserError
from .request import MAX_SEED, Arrays, check_fields

BACK_VIEW = "<back-view>"
TOKEN = re.compile(r"<[a-z0-9][a-z0-9_-]{0,40}>")
MAX_RENDERED = 1000


@dataclass(frozen=True)
class LearnViewRequest:
    """A word for what pictures have in common (Eq. 6). Raises UserError for anything that a user can have got wrong."""

    KIND: ClassVar[str] = "learn_view"
    """The type of the frame that asks for it (jobs/kinds.py)."""

    images: Path | None = None
    """A folder of pictures; None to render some."""
    render: int = 0
    """How many backs of heads to render instead."""
    pack: Path | None = None
    """Folder of the model pack; None for the built-in pocket pack."""
    token: str = BACK_VIEW
    """The word, in angle brackets, so that it can be no word of anybody's prompt."""
    out: Path | None = None
    """The .safetensors file to write; None for where jobs with this pack find it (packs/tokens.py)."""
    initial_word: str = ""
    """A word of one token to start from; empty for the recipe's."""
    steps: int | None = None
    """None for as many as the pack's recipe has (guidance/inversion.py)."""
    seed: int = 0
    """0 … MAX_SEED. The same seed, pictures and settings give the same word on one machine."""
    threads: int | None = None
    """CPU threads; None for all cores but one."""

    def __post_init__(self) -> None:
        if (self.images is None) == (self.render == 0):
            raise UserError("A word is learned from pictures.", "Choose a folder with pictures, or have some rendered.")
        if not 0 <= self.render <= MAX_RENDERED:
            raise UserError(f"{self.render} pictures can not be rendered.", f"Use 3 to {MAX_RENDERED}; 34 suffice.")
        if self.render in (1, 2):
            raise UserError(f"{self.render} pictures are too few to learn from.", "Use 34 or so.")
        if not TOKEN.fullmatch(self.token):
            raise UserError(
                f"“{self.token}” can not be the name of a word.",
                f"Use small letters, digits and hyphens between angle brackets, as in {BACK_VIEW}.",
            )
        if self.out is not None and self.out.suffix != ".safetensors":
            raise UserError(f"{self.out.name} is no name for this file.", "Let it end with .safetensors.")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"{self.steps} steps learn nothing.", "Use 1 or more, or leave it out.")
        if not 0 <= self.seed <= MAX_SEED:
            raise UserError(f"The seed {self.seed} is out of range.", f"Use a whole number from 0 to {MAX_SEED}.")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"{self.threads} threads can not do any work.", "Use 1 or more, or leave it out.")

    def to_message(self) -> tuple[dict[str, Any], Arrays]:
        """The request as a JSON-able header and no arrays; `from_message` is the inverse."""
        paths = {"images": self.images, "pack": self.pack, "out": self.out}
        numbers = {"render": self.render, "steps": self.steps, "seed": self.seed, "threads": self.threads}
        words = {"token": self.token, "initial_word": self.initial_word}
        return {name: path and str(path) for name, path in paths.items()} | numbers | words, {}

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> LearnViewRequest:
        """Reads what another program sent. Missing fields take their defaults.

        Raises UserError for values that a user can have chosen, ValueError for a message that is not a request.
        """
        paths = dict.fromkeys(("images", "pack", "out"), (str, type(None)))
        numbers = {"render": (int,), "seed": (int,)} | dict.fromkeys(("steps", "threads"), (int, type(None)))
        check_fields(header, paths | numbers | {"token": (str,), "initial_word": (str,)})
        if arrays:
            raise ValueError("a request to learn a word has no arrays")
        chosen = {name: Path(header[name]) if header.get(name) else None for name in paths}
        return cls(**{**header, **chosen})
