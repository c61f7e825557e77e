# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller asks for who has a FLAME file; the add-on uses this module too, so its imports are relative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UserError
from .request import Arrays, check_fields

SLIDERS = 50
"""The first 50 shapes carry all that the eye sees, and so do the expressions; more is work for nothing."""


@dataclass(frozen=True)
class FlameRequest:
    """The head in a FLAME file. Raises UserError for anything that a user can have got wrong."""

    KIND: ClassVar[str] = "flame"
    """The type of the frame that asks for it (jobs/kinds.py)."""

    path: Path
    """The .pkl, or an .npz with the same keys, as the worker sees it."""
    cache: Path
    """A folder for what is made of the file, so that it is read only once; made if need be."""
    shapes: int = SLIDERS
    """How many shape components are wanted; the answer has as many at most."""
    expressions: int = SLIDERS
    """How many expression components are wanted."""

    def __post_init__(self) -> None:
        if not self.path.name:
            raise UserError("There is no FLAME file.", "Set one in the add-on's preferences.")
        if min(self.shapes, self.expressions) < 0:
            raise UserError("Fewer than no sliders are not possible.", "Use 0 or more.")

    def to_message(self) -> tuple[dict[str, Any], Arrays]:
        """The request as a JSON-able header and named arrays; `from_message` is the inverse."""
        paths = {"path": str(self.path), "cache": str(self.cache)}
        return {**paths, "shapes": self.shapes, "expressions": self.expressions}, {}

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> FlameRequest:
        """Raises UserError for values that a user can have chosen, ValueError for a message that is not a request."""
        check_fields(header, {"path": (str,), "cache": (str,), "shapes": (int,), "expressions": (int,)})
        if not {"path", "cache"} <= set(header):
            raise ValueError("a request needs the file's path and a cache folder")
        return cls(**{**header, "path": Path(header["path"]), "cache": Path(header["cache"])})
