# SPDX-License-Identifier: GPL-3.0-or-later
"""A pack's folder: what of the pack is there, and the receipt of where each file came from.

The add-on uses this module too, from the copy in its zip: standard library and relative imports only.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .manifest import Manifest, PackFile, PackPart

RECEIPT = "headsculpt-pack.json"


@dataclass(frozen=True)
class Entry:
    """What is known of a file that has come whole. hash: as hub.Remote's; mtime_ns: when it was right, so that a file
    that was changed since is looked at again."""

    repository: str
    commit: str
    size: int
    hash: str
    mtime_ns: int


@dataclass(frozen=True)
class Store:
    """The folder of one pack. It need not exist yet."""

    folder: Path
    manifest: Manifest

    def path(self, file: PackFile) -> Path:
        return self.folder / file.path

    def receipt(self) -> dict[str, Entry]:
        """What came whole, by path; empty when nothing did or the receipt is damaged: files are hashed again then."""
        try:
            content = json.loads((self.folder / RECEIPT).read_text(encoding="utf-8"))
            return {path: Entry(**entry) for path, entry in content["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write_receipt(self, entries: dict[str, Entry]) -> None:
        content = {"pack": self.manifest.name, "files": {path: asdict(entry) for path, entry in entries.items()}}
        unfinished = self.folder / f"{RECEIPT}.new"
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(unfinished, self.folder / RECEIPT)

    def missing(self, part: PackPart, receipt: dict[str, Entry] | None = None) -> list[PackFile]:
        """The files of a part that are not there as they came. Looks at sizes and dates, not into the files."""
        entries = self.receipt() if receipt is None else receipt
        return [file for file in part.files if not self._stands(file, entries.get(file.path))]

    def complete(self, part: PackPart) -> bool:
        return not self.missing(part)

    def _stands(self, file: PackFile, entry: Entry | None) -> bool:
        with contextlib.suppress(OSError):
            found = self.path(file).stat()
            return entry is not None and (found.st_size, found.st_mtime_ns) == (entry.size, entry.mtime_ns)
        return False

    def keep(self, file: PackFile, entry: Entry) -> None:
        """Notes that a file is there and right."""
        entry = replace(entry, mtime_ns=self.path(file).stat().st_mtime_ns)
        self.write_receipt(self.receipt() | {file.path: entry})

    def forget(self, paths: set[str]) -> None:
        """Notes that these files are not what they were: the next download looks at them again."""
        self.write_receipt({path: entry for path, entry in self.receipt().items() if path not in paths})

    def bytes_there(self, part: PackPart) -> int:
        """Bytes of a part that need not come any more, unfinished files among them."""
        return sum(found.stat().st_size for file in part.files for found in self._traces(file))

    def remove(self, parts: tuple[PackPart, ...]) -> int:
        """Deletes the files of these parts, whole or not, and folders that are empty then. Returns the bytes freed.

        What else lies in the folder stays: it is the user's.
        """
        freed = 0
        for file in (file for part in parts for file in part.files):
            for found in self._traces(file):
                freed += found.stat().st_size
                found.unlink()
        if self.receipt():
            self.forget({file.path for part in parts for file in part.files})
        if not self.receipt():
            (self.folder / RECEIPT).unlink(missing_ok=True)
        for folder in [*{self.path(file).parent for part in parts for file in part.files}, self.folder]:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return freed

    def _traces(self, file: PackFile) -> Iterator[Path]:
        """The file and its unfinished parts, as far as they exist."""
        path = self.path(file)
        if path.is_file():
            yield path
        yield from path.parent.glob(f"{path.name}.*.part")
