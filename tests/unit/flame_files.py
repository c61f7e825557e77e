# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files as Python 2 wrote them, instruction by instruction: no chumpy, scipy or pickle module takes part."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from headsculpt.head.flame.model import FlameModel

NOTHING = b"N"
STOP = b"."
REDUCE, BUILD, NEW = b"R", b"b", b"\x81"


def pickled(content: bytes) -> bytes:
    """A whole pickle of protocol 2 whose value is what these instructions leave."""
    return b"\x80\x02" + content + STOP


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str | bytes) -> bytes:
    """A str of Python 2, which is bytes."""
    raw = value if isinstance(value, bytes) else value.encode("latin1")
    return b"T" + struct.pack("<i", len(raw)) + raw


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def boolean(value: bool) -> bytes:
    return b"\x88" if value else b"\x89"


def row(*items: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def table(items: Mapping[str, bytes]) -> bytes:
    """A dictionary."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + row(*arguments) + REDUCE


def dtype(kind: np.dtype) -> bytes:
    made = call(name("numpy", "dtype"), text(kind.str[1:]), number(0), number(1))
    state = row(number(3), text("<"), NOTHING, NOTHING, NOTHING, number(-1), number(-1), number(0))
    return made + state + BUILD


def array(values: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """numpy 1's way; Fortran order if the array is stored so. shape: another one than it has."""
    fortran = not values.flags.c_contiguous and values.flags.f_contiguous
    made = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), row(number(0)), text("b"))
    sizes = row(*(number(size) for size in (shape or values.shape)))
    raw = values.tobytes(order="F" if fortran else "C")
    return made + row(number(1), sizes, dtype(values.dtype), boolean(fortran), text(raw)) + BUILD


def chumpy(content: bytes, kind: tuple[str, str] = ("chumpy.ch", "Ch")) -> bytes:
    """A chumpy object around something, with all that one keeps."""
    state = {
        "_dirty_vars": call(name("__builtin__", "set"), b"](" + text("x") + b"e"),
        "_itr": NOTHING,
        "_make_dense": boolean(False),
        "_make_sparse": boolean(False),
        "_depends_on_deps": b"}",
        "_status": text("new"),
        "x": content,
    }
    return name(*kind) + b")" + NEW + table(state) + BUILD


def sparse(values: np.ndarray) -> bytes:
    """scipy's csc_matrix of before 2022."""
    column, place = np.nonzero(values.T)
    counts = np.bincount(column, minlength=values.shape[1])
    state = {
        "format": text("csc"),
        "_shape": row(number(values.shape[0]), number(values.shape[1])),
        "maxprint": number(50),
        "indptr": array(np.append(0, np.cumsum(counts)).astype(np.int32)),
        "indices": array(place.astype(np.int32)),
        "data": array(values.T[column, place].astype(np.float64)),
        "has_sorted_indices": boolean(True),
    }
    return name("scipy.sparse.csc", "csc_matrix") + b")" + NEW + table(state) + BUILD


def arrays_of(model: FlameModel, shapes: int = 300, expressions: int = 100) -> dict[str, np.ndarray]:
    """A model's arrays by FLAME's names, of FLAME's shapes and types."""
    components = np.concatenate([model.shape[:shapes], model.expression[:expressions]])
    return {
        "v_template": model.vertices.astype(np.float64),
        "f": model.triangles.astype(np.uint32),
        "shapedirs": np.ascontiguousarray(components.transpose(1, 2, 0), np.float64),
        "posedirs": np.ascontiguousarray(model.correctives.transpose(1, 2, 0), np.float64),
        "J_regressor": model.joint_regressor.astype(np.float64),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": model.skin_weights.astype(np.float64),
    }


def flame_pickle(arrays: Mapping[str, np.ndarray], others: Mapping[str, bytes] | None = None) -> bytes:
    """A FLAME .pkl: shapes and template wrapped by chumpy, a sparse regressor, and keys that nobody needs."""
    values = {key: array(value) for key, value in arrays.items()}
    values |= {key: chumpy(values[key]) for key in ("shapedirs", "v_template")}
    values["J_regressor"] = sparse(arrays["J_regressor"])
    computed = chumpy(NOTHING, ("chumpy.reordering", "transpose"))
    rest = {"bs_style": text("lbs"), "bs_type": text("lrotmin"), "J": computed, **(others or {})}
    return pickled(table({**values, **rest}))
