# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from headsculpt.errors import UserError


def check_writable(folder: Path) -> None:
    """Makes the folder and tries it with an empty file. Raises UserError when that fails: before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"The folder '{folder}' can not be written to: {reason}.", "Choose another folder.") from error


def write_whole(path: Path, content: bytes) -> Path:
    """Writes beside the file, then puts it in its place, so that an interrupted write leaves what was there before."""
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(unfinished, 0o644)  # a temporary file is its owner's alone
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return path
