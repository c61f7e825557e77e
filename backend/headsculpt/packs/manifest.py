# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packs can be had: their parts, where each file comes from, its size, hash and licence.

The add-on uses this module too, from the copy in its zip: standard library and relative imports only.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

KNOWN = Path(__file__).parent / "known"
DEFAULT = "stable-diffusion-1.5"


@dataclass(frozen=True)
class PackFile:
    """One file of a pack. path: below the pack's folder; source: below the repository; both with slashes."""

    path: str
    source: str
    bytes: int
    """About, until the hub has said it exactly."""
    sha256: str = ""
    """Empty where only the hub's own answer says it."""


@dataclass(frozen=True)
class PackPart:
    """What comes from one repository of the hub, under one licence."""

    name: str
    title: str
    repository: str
    revision: str
    """A commit, or `main` where none is known."""
    license: str
    terms: str
    """Address of the licence and, if there are any, of the terms to accept."""
    use: str
    """What the licence means for the user, in a sentence or two."""
    files: tuple[PackFile, ...]
    optional: bool = False

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """A pack that can be had. name: also that of its folder."""

    name: str
    title: str
    parts: tuple[PackPart, ...]

    def chosen(self, names: Collection[str] = ()) -> tuple[PackPart, ...]:
        """The parts of these names, all that are not optional without names. Raises UserError for an unknown one."""
        known = [part.name for part in self.parts]
        for name in names:
            if name not in known:
                raise UserError(f"{self.title} has no part '{name}'.", f"Use one of: {', '.join(known)}.")
        return tuple(part for part in self.parts if (part.name in names if names else not part.optional))


def known_packs() -> dict[str, Manifest]:
    """All packs that can be had, by name."""
    manifests = (_manifest(tomllib.loads(path.read_text(encoding="utf-8"))) for path in sorted(KNOWN.glob("*.toml")))
    return {manifest.name: manifest for manifest in manifests}


def find_pack(name: str) -> Manifest:
    """Raises UserError for a name that no pack has."""
    packs = known_packs()
    if name not in packs:
        raise UserError(f"There is no pack '{name}'.", f"Use one of: {', '.join(packs)}.")
    return packs[name]


def default_store() -> Path:
    """Where packs lie when nobody says otherwise: HEADSCULPT_PACKS, or this system's place for a user's data."""
    if chosen := os.environ.get("HEADSCULPT_PACKS"):
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        place = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        place = home / "Library" / "Application Support"
    else:
        place = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return place / "headsculpt" / "packs"


def size_text(count: float) -> str:
    """Bytes as a person reads them: 983 bytes, 24.2 MB, 2.86 GB."""
    if count < 1e5:
        return f"{count:,.0f} bytes"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _manifest(content: Mapping[str, Any]) -> Manifest:
    return Manifest(content["name"], content["title"], tuple(_part(entry) for entry in content["part"]))


def _part(entry: Mapping[str, Any]) -> PackPart:
    fields = {name: value for name, value in entry.items() if name != "files"}
    files = (PackFile(file["path"], file["from"], file["bytes"], file.get("sha256", "")) for file in entry["files"])
    return PackPart(**fields, files=tuple(files))
