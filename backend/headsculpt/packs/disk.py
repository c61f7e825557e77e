# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk can refuse, each in a sentence with what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headsculpt.errors import UserError
from headsculpt.packs.manifest import size_text

RESERVE = 200_000_000
"""Bytes that stay free: a system whose disk is full to the brim misbehaves."""
LONGEST_PATH = 259 if os.name == "nt" else 4095
"""Characters that this system's programs can be relied on to open."""
ELSEWHERE = "Choose another folder for packs."


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into UserError. Errors of the network, which are OSErrors too, pass."""
    try:
        yield
    except OSError as error:
        if type(error).__module__ != "builtins":
            raise
        raise _sentence(error, path) from error


def check_room(folder: Path, needed: int) -> None:
    """Raises UserError when the disk has no room for so many bytes more. folder: exists."""
    free = shutil.disk_usage(folder).free
    if needed and needed + RESERVE > free:
        short = size_text(needed + RESERVE - free)
        raise UserError(
            f"The disk is too full: {size_text(needed)} are to come, {size_text(free)} are free at {folder}.",
            f"Make {short} free, or choose a folder on another disk.",
        )


def check_lengths(paths: Iterable[Path]) -> None:
    """Raises UserError when a path is longer than this system allows."""
    longest = max(paths, key=lambda path: len(str(path)))
    if len(str(longest)) > LONGEST_PATH:
        raise UserError(
            f"The path {longest} has {len(str(longest))} characters; this system allows {LONGEST_PATH}.",
            "Choose a folder for packs with a shorter path, near the top of a drive.",
        )


def _sentence(error: OSError, path: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full; {path.name} is not whole yet.",
            "Make room and start the download again: what has come is kept.",
        )
    if error.errno == errno.ENAMETOOLONG:
        advice = "Choose a folder for packs with a shorter path, near the top of a drive."
        return UserError(f"The path {path} is too long for this system.", advice)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"The folder {path.parent} can not be written to: {error.strerror}.", ELSEWHERE)
    return UserError(f"{path} can not be written: {error.strerror or type(error).__name__}.", ELSEWHERE)
