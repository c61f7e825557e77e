# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `packs`: get, check or remove a pack that HeadSculpt knows.

The add-on uses this module too, from the copy in its zip, and therefore its imports are relative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..errors import UserError
from ..packs.manifest import DEFAULT, PackPart, default_store, find_pack, size_text
from ..packs.store import Store
from .events import Event, JobControl
from .request import check_fields

ACTIONS = ("get", "check", "remove")
PROBLEMS_NAMED = 3


@dataclass(frozen=True)
class PackRequest:
    """Raises UserError for anything that a user can have got wrong."""

    KIND: ClassVar[str] = "packs"
    """The type of the frame that asks for it (jobs/kinds.py)."""

    action: str
    """One of ACTIONS."""
    pack: str = DEFAULT
    """Name of a known pack."""
    parts: tuple[str, ...] = ()
    """Names of its parts; empty for all that are not optional, of `remove` for all, of `check` for those begun."""
    store: Path | None = None
    """Folder that holds packs; None for this system's usual place."""
    online: bool = True
    """Whether the user allows a download."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UserError(f"Packs can not be asked to '{self.action}'.", f"Use one of: {', '.join(ACTIONS)}.")
        find_pack(self.pack).chosen(self.parts)

    def to_message(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The request as a JSON-able header and no arrays; `from_message` is the inverse."""
        store = None if self.store is None else str(self.store)
        header = {"action": self.action, "pack": self.pack, "parts": list(self.parts), "store": store}
        return header | {"online": self.online}, {}

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PackRequest:
        """Reads what another program sent. Missing fields take their defaults.

        Raises UserError for values that a user can have chosen, ValueError for a message that is not a request.
        """
        kinds = {"action": (str,), "pack": (str,), "parts": (list,), "store": (str, type(None)), "online": (bool,)}
        check_fields(header, kinds)
        if "action" not in header or arrays:
            raise ValueError("a request for packs needs an action and no arrays")
        fields = dict(header)
        fields["parts"] = tuple(str(name) for name in header.get("parts", ()))
        fields["store"] = Path(header["store"]) if header.get("store") else None
        return cls(**fields)


def pack_store(name: str, store: Path | None = None) -> Store:
    """The folder of a known pack below `store`, or below this system's usual place."""
    return Store((store or default_store()) / name, find_pack(name))


def run_packs(request: PackRequest, emit: Callable[[Event], None], control: JobControl) -> str:
    """Returns what was done, in a sentence. Raises UserError, also for damaged files, and errors.Cancelled."""
    from headsculpt.packs.disk import explained
    from headsculpt.packs.getting import check_pack, get_pack

    store = pack_store(request.pack, request.store)
    manifest = store.manifest
    if request.action == "get":
        get_pack(store, manifest.chosen(request.parts), emit, control, request.online)
        return f"{manifest.title} is complete: {store.folder}"
    if request.action == "remove":
        with explained(store.folder / "files"):
            freed = store.remove(manifest.chosen(request.parts) if request.parts else manifest.parts)
        return f"{size_text(freed)} of {manifest.title} were removed."
    parts = manifest.chosen(request.parts) if request.parts else begun(store)
    if problems := check_pack(store, parts, emit, control):
        named = " ".join(problems[:PROBLEMS_NAMED])
        more = f" And {len(problems) - PROBLEMS_NAMED} more." if len(problems) > PROBLEMS_NAMED else ""
        raise UserError(named + more, "Download the pack again: only what is not right comes.")
    return f"All files of {', '.join(part.title for part in parts)} are as they came."


def begun(store: Store) -> tuple[PackPart, ...]:
    """The parts of which something is there. Raises UserError when nothing is."""
    there = tuple(part for part in store.manifest.parts if store.bytes_there(part))
    if not there:
        raise UserError(f"{store.manifest.title} is not in {store.folder}.", "Download it, or choose another folder.")
    return there
