# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files: converted once, by a process of its own (`convert`), and read from what that made from then on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from ...errors import UserError
from .convert import MAX_FILE, MAX_SECONDS, REFUSED, WRONG_FILE
from .model import FlameModel

BACKEND = Path(__file__).parents[3]
PROGRAM = f"{Path(__file__).parents[2].name}.head.flame.convert"
FORMAT = 1
"""Counts up when what `convert` writes changes."""


def load_flame(path: Path, cache: Path) -> FlameModel:
    """The model in FLAME's .pkl, or in an .npz with the same keys.

    cache: folder that is made if need be, and gets flame-<hash of the file>.npz; from then on that is read, without
    any pickle. Raises UserError when the file can not be read or is no FLAME model.
    """
    converted = cache / f"flame-{FORMAT}-{_hash(path)}.npz"
    if converted.is_file():
        with contextlib.suppress(
            OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile
        ):  # damaged: it is made again
            return _read(converted)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".flame-", dir=cache) as folder:
            unfinished = Path(folder, "model.npz")
            _convert(path, unfinished)
            model = _read(unfinished)
            os.replace(unfinished, converted)
    except OSError as error:
        raise UserError(
            f"The folder '{cache}' can not be written to ({error.strerror or error}).", "Free some space on its disk."
        ) from error
    return model


def _hash(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise UserError(f"The file '{path.name}' is larger than any FLAME file.", WRONG_FILE)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"The FLAME file '{path}' can not be read ({reason}).", WRONG_FILE) from error


def _convert(source: Path, target: Path) -> None:
    """Runs the program. Raises UserError with what it says, or for how it ended."""
    environment = {**os.environ, "PYTHONPATH": str(BACKEND), "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", PROGRAM, source.absolute(), target.absolute()],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"Reading '{source.name}' took more than {2 * MAX_SECONDS} s.", WRONG_FILE) from None
    if done.returncode == REFUSED:
        said = json.loads(done.stdout)
        raise UserError(f"{source.name}: {said['message']}", said["advice"])
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = f"exit code {done.returncode}{''.join(f', {line[:200]}' for line in last)}"
        raise UserError(f"Reading '{source.name}' ended unexpectedly ({reason}).", WRONG_FILE)


def _read(path: Path) -> FlameModel:
    with np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data if name != "texts"}
        return FlameModel(**arrays, texts=json.loads(str(data["texts"])))
