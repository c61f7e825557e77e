# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller asks for, checked where it is made; imports nothing heavy, so that bad input answers at once.

The add-on uses this module too, from the copy in its zip, and therefore its imports are relative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

PRESETS = ("preview", "standard", "paper")
MAX_PROMPT = 1000
"""Characters. CLIP's text encoder reads 77 tokens, about 350 characters; more is a pasted document, not a prompt."""
MAX_SEED = 2**31 - 1
"""The largest seed that Blender's integer properties hold, so that every result can be made again there."""
PREVIEW_SECONDS = 5.0


@dataclass(frozen=True)
class HeadShape:
    """A head that the user has chosen.

    name: what to call it in messages; vertices: float32 [V, 3] in the head's own unit and place, y up.
    """

    name: str
    vertices: NDArray[np.float32]

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 4:
            raise UserError(f"The head '{self.name}' has no surface.", "Choose a mesh object that is a head.")
        if not np.isfinite(vertices).all():
            raise UserError(
                f"The head '{self.name}' has vertices at no finite place.", "Repair the mesh or choose another one."
            )
        if not (np.ptp(vertices, axis=0) > 0).all():
            raise UserError(f"The head '{self.name}' is flat.", "Choose a mesh object that is a head.")
        object.__setattr__(self, "vertices", vertices)


@dataclass(frozen=True)
class GenerateRequest:
    """A head from a sentence. Raises UserError for anything that a user can have got wrong."""

    KIND: ClassVar[str] = "generate"
    """The type of the frame that asks for it (jobs/kinds.py)."""

    prompt: str
    """What the head is to be."""
    negative_prompt: str = ""
    """What it is not to be; empty for the pack's own."""
    seed: int = 0
    """0 … MAX_SEED. The same seed and settings give the same arrays on one machine."""
    preset: str = "preview"
    """One of PRESETS."""
    head: HeadShape | None = None
    """The shape to start from; None for the built-in head."""
    pack: Path | None = None
    """Folder of the model pack; None for the built-in pocket pack."""
    threads: int | None = None
    """CPU threads; None for all cores but one."""
    preview_seconds: float = PREVIEW_SECONDS
    """Seconds between two preview meshes; 0 for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _one_line(self.prompt))
        object.__setattr__(self, "negative_prompt", _one_line(self.negative_prompt))
        if not self.prompt:
            raise UserError("The prompt is empty.", "Write what the head should be, for example “a bald old man”.")
        for name, text in (("prompt", self.prompt), ("negative prompt", self.negative_prompt)):
            if len(text) > MAX_PROMPT:
                raise UserError(
                    f"The {name} has {len(text):,} characters; the limit is {MAX_PROMPT:,}.",
                    "Shorten it to one sentence: the model reads only the first 50 words or so.",
                )
        if not 0 <= self.seed <= MAX_SEED:
            raise UserError(f"The seed {self.seed} is out of range.", f"Use a whole number from 0 to {MAX_SEED}.")
        if self.preset not in PRESETS:
            raise UserError(f"There is no preset '{self.preset}'.", f"Use one of: {', '.join(PRESETS)}.")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"{self.threads} threads can not do any work.", "Use 1 or more, or leave it out.")
        if not 0 <= self.preview_seconds < float("inf"):
            raise UserError(
                f"{self.preview_seconds} seconds between previews is not possible.", "Use 0 for none, or more."
            )

    def to_message(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """The request as a JSON-able header and named arrays; `from_message` is the inverse."""
        header = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "preset": self.preset,
            "pack": None if self.pack is None else str(self.pack),
            "threads": self.threads,
            "preview_seconds": self.preview_seconds,
            "head": None if self.head is None else self.head.name,
        }
        return header, {} if self.head is None else {"vertices": self.head.vertices}

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> GenerateRequest:
        """Reads what another program sent. Missing fields take their defaults.

        Raises UserError for values that a user can have chosen, ValueError for a message that is not a request.
        """
        kinds: dict[str, tuple[type, ...]] = {
            "prompt": (str,),
            "negative_prompt": (str,),
            "seed": (int,),
            "preset": (str,),
            "pack": (str, type(None)),
            "threads": (int, type(None)),
            "preview_seconds": (int, float),
            "head": (str, type(None)),
        }
        if unknown := set(header) - set(kinds):
            raise ValueError(f"unknown fields in a request: {sorted(unknown)}")
        for name, value in header.items():
            if not isinstance(value, kinds[name]) or isinstance(value, bool):
                raise ValueError(f"field {name!r} of a request is of type {type(value).__name__}")
        fields = {name: value for name, value in header.items() if name not in ("head", "pack")}
        fields.setdefault("prompt", "")
        head = header.get("head")
        if (head is None) != ("vertices" not in arrays):
            raise ValueError("a request needs both the head's name and its vertices, or neither")
        pack = header.get("pack")
        return cls(
            **fields,
            head=None if head is None else HeadShape(head, np.asarray(arrays["vertices"], np.float32)),
            pack=Path(pack) if pack else None,
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
