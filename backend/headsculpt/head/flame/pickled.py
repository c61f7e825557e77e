# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays and texts in a FLAME pickle, read without running anything that the pickle asks for.

A pickle is a program: it names functions and calls them. Here every name that FLAME's files need (numpy's arrays,
scipy's sparse matrices, chumpy's wrappers, and what Python itself writes around them) leads to an inert note of what
was asked for, every other name is refused, and the arrays are built from the notes afterwards, checked, by this module.
Neither numpy's, scipy's nor chumpy's own unpickling takes part, and only plain numbers are read.

Python's own unpickler is used, not the one in C: that one sets memory aside for whatever size a file claims.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError

MAX_STEPS = 200_000
"""Instructions of a pickle; FLAME's have some hundreds. Each makes an object of some hundred bytes at most."""
MAX_ARRAY = 1 << 28
"""Bytes of one array. The largest of FLAME's, 400 components in float64, has 48 MB."""
DISTRUST = "Do not trust this file; download FLAME again from https://flame.is.tue.mpg.de."

NAMES = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((builtins, name) for builtins in ("__builtin__", "builtins") for name in ("object", "set")),
    *((copying, "_reconstructor") for copying in ("copy_reg", "copyreg")),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
SPARSE = re.compile(r"scipy\.sparse(\._?(csc|csr|coo))?\.(csc|csr|coo)_(matrix|array)")
CHUMPY = re.compile(r"chumpy(\.\w+)+")
NUMBERS = re.compile(r"[<>|=]?([fiub][1248])")


class Note:
    """What a pickle asked for: a name, its arguments and its state. It does nothing."""

    origin = ""

    def __new__(cls, *args: object) -> Note:
        note = super().__new__(cls)
        note.args = args
        note.state = None
        return note

    args: tuple[Any, ...]
    state: Any

    def __setstate__(self, state: object) -> None:
        self.state = state


@lru_cache
def _note(origin: str) -> type[Note]:
    return type("Note", (Note,), {"origin": origin})


def read_pickle(data: bytes) -> dict[str, Any]:
    """The dictionary in a pickle: arrays and other things as `Note`s, which `array_of` takes.

    Raises UserError for a pickle that asks for more than data, is damaged, or holds no dictionary.
    """
    try:
        content = _Reader(io.BytesIO(data), encoding="latin1").load()
    except UserError:
        raise
    except Exception as error:  # whatever a malformed program of instructions leads to
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise UserError(
            f"This file is no pickle, or a damaged one ({reason}).", "Choose FLAME's .pkl file, or download it again."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(
            "This pickle holds no dictionary of names, so it is no FLAME model.", "Choose FLAME's .pkl file."
        )
    return content


def _counted(step: Callable[[Any], None]) -> Callable[[Any], None]:
    def counted(reader: _Reader) -> None:
        reader.steps += 1
        if reader.steps > MAX_STEPS:
            raise UserError("This pickle has far more instructions than a FLAME file needs.", DISTRUST)
        step(reader)

    return counted


class _Reader(pickle._Unpickler):
    """An unpickler in which all names are notes."""

    dispatch = {code: _counted(step) for code, step in pickle._Unpickler.dispatch.items()}  # noqa: RUF012
    steps = 0

    def find_class(self, module: str, name: str) -> type[Note]:
        full = f"{module}.{name}"
        if (module, name) in NAMES or SPARSE.fullmatch(full) or CHUMPY.fullmatch(full):
            return _note(full)
        raise UserError(
            f"This file asks for “{full[:100]}”, which no FLAME file needs; nothing of it was run.", DISTRUST
        )


def array_of(value: object, name: str) -> NDArray[Any]:
    """The numbers that a value of `read_pickle`'s dictionary stands for; a sparse matrix in full.

    name: what to call it in messages. Raises UserError for anything but numbers in an array of their size.
    """
    try:
        return _array(value)
    except UserError:
        raise
    except Exception as error:  # the notes hold whatever the file put into them
        raise UserError(f"“{name}” in this file is no array of numbers ({error}).", "Download FLAME again.") from error


def _array(value: object) -> NDArray[Any]:
    if isinstance(value, Note) and CHUMPY.fullmatch(_kind(value)):
        if not _kind(value).endswith(".Ch"):
            raise ValueError(f"it is a {_kind(value)}, which is a computation")
        value = value.state["x"]
    if not isinstance(value, Note):
        raise ValueError(f"it is of type {type(value).__name__}")
    if SPARSE.fullmatch(_kind(value)):
        return _dense(value)
    if value.origin.endswith("._reconstruct"):
        _, shape, dtype, fortran, raw = value.state
        return _numbers(raw, dtype, shape, "F" if fortran else "C")
    if value.origin.endswith("._frombuffer"):
        return _numbers(*value.args)
    raise ValueError(f"it is a {value.origin}")


def _kind(note: Note) -> str:
    """The class that a note is of; the oldest protocols name it as an argument of Python's `_reconstructor`."""
    return str(note.args[0].origin if note.origin.endswith("._reconstructor") else note.origin)


def _numbers(raw: object, dtype: Note, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    kind = _dtype(dtype)
    content = _bytes(raw)
    if not all(isinstance(size, int) and size >= 0 for size in shape) or order not in ("C", "F"):
        raise ValueError("its shape is none")
    if len(content) != math.prod(shape) * kind.itemsize or len(content) > MAX_ARRAY:
        raise ValueError(f"its size is not that of its shape {shape}"[:200])
    return np.frombuffer(content, kind).reshape(shape, order="F" if order == "F" else "C")


def _dtype(note: Note) -> np.dtype[Any]:
    if note.origin != "numpy.dtype" or not (match := NUMBERS.fullmatch(note.args[0])):
        raise ValueError("it holds other things than numbers")
    swapped = (note.state is not None and note.state[1] == ">") or note.args[0].startswith(">")
    return np.dtype((">" if swapped else "<") + match[1])


def _bytes(raw: object) -> bytes:
    """Python 2 has raw bytes as text, Python 3 in its oldest protocols as text to encode."""
    if isinstance(raw, Note) and raw.origin == "_codecs.encode" and raw.args[1] == "latin1":
        raw = raw.args[0]
    if isinstance(raw, str):
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return bytes(raw)
    raise ValueError("its content is no row of bytes")


def _dense(matrix: Note) -> NDArray[Any]:
    """scipy's csc, csr and coo layouts, of all its versions."""
    state = matrix.state
    rows, columns = state["_shape"] if "_shape" in state else state["shape"]
    values = _array(state["data"])
    if not (rows > 0 and columns > 0 and rows * columns * 8 <= MAX_ARRAY):
        raise ValueError(f"a matrix of {rows} × {columns} is too large")
    if "indptr" in state:
        counts, inner = np.diff(_array(state["indptr"])), _array(state["indices"])
        if counts.min() < 0 or counts.sum() != len(inner):
            raise ValueError("its index pointers lead nowhere")
        outer = np.repeat(np.arange(len(counts)), counts)
        row, column = (inner, outer) if "csc_" in _kind(matrix) else (outer, inner)
    else:
        row, column = [_array(index) for index in state.get("coords", (state.get("row"), state.get("col")))]
    if min(row.min(), column.min()) < 0:
        raise ValueError("its indices lead nowhere")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (row, column), values)
    return dense
