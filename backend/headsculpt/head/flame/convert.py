# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that turns a FLAME file into an npz of plain arrays, in a process of its own with little to spend.

python -m headsculpt.head.flame.convert SOURCE TARGET

What a user can mend it says as a line of JSON, {"message", "advice"}, and exits with REFUSED.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .model import CORRECTIVES, JOINTS, PARENTS, TRIANGLES, VERTICES, FlameModel
from .pickled import array_of, read_pickle

REFUSED = 3
MAX_FILE = 1 << 28
"""Bytes. FLAME's files have 50 to 120 MB."""
MAX_MEMORY = 3 << 30
MAX_SECONDS = 60
SHAPES = 300
"""How many of the components in `shapedirs` are shapes where there are expressions behind them."""
KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
MAX_TEXT = 2000
WRONG_FILE = "Choose the .pkl file of FLAME 2020, 2023 or 2023 Open."


def main() -> int:
    source, target = map(Path, sys.argv[1:])
    limit()
    try:
        save(assembled(*read(source)), target)
    except UserError as error:
        print(json.dumps({"message": error.message, "advice": error.advice}))
        return REFUSED
    except MemoryError:
        message = "Reading this file takes far more memory than a FLAME file needs."
        print(json.dumps({"message": message, "advice": WRONG_FILE}))
        return REFUSED
    return 0


def limit() -> None:
    """Bounds this process's memory, time and files where the system can; sizes are checked everywhere."""
    if sys.platform == "win32":
        return
    import resource

    bounds = {"RLIMIT_AS": MAX_MEMORY, "RLIMIT_CPU": MAX_SECONDS, "RLIMIT_FSIZE": 2 * MAX_FILE, "RLIMIT_CORE": 0}
    for name, most in bounds.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (most, hard))


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays of KEYS and all texts in a FLAME .pkl, or an .npz with the same keys. Raises UserError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise UserError("This file is larger than any FLAME file.", WRONG_FILE)
    if data.startswith(b"PK"):
        return _read_npz(path)
    content = read_pickle(data)
    _check_keys(content)
    texts = {key: value[:MAX_TEXT] for key, value in content.items() if isinstance(value, str)}
    return {key: array_of(content[key], key) for key in KEYS}, texts


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE:
                raise UserError("This npz holds more than any FLAME file.", WRONG_FILE)
        with np.load(path, allow_pickle=False) as data:
            _check_keys(data)
            texts = {key: str(data[key])[:MAX_TEXT] for key in data if key not in KEYS and data[key].dtype.kind == "U"}
            return {key: data[key] for key in KEYS}, texts
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        advice = "Save each of its arrays as plain numbers; a sparse J_regressor has to be made dense first."
        raise UserError(f"This npz can not be read ({error}).", advice) from error


def _check_keys(content: Any) -> None:
    if missing := [key for key in KEYS if key not in content]:
        raise UserError(f"This file has no {', '.join(missing)}, so it is no FLAME model.", WRONG_FILE)


def assembled(arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, str]) -> FlameModel:
    """The model of FLAME's arrays by their own names. Raises UserError unless they are what FLAME's are."""
    template = _checked(arrays["v_template"], "v_template", (VERTICES, 3))
    components = _checked(arrays["shapedirs"], "shapedirs", (VERTICES, 3, None))
    correctives = _checked(arrays["posedirs"], "posedirs", (VERTICES, 3, CORRECTIVES))
    regressor = _checked(arrays["J_regressor"], "J_regressor", (len(JOINTS), VERTICES))
    weights = _checked(arrays["weights"], "weights", (VERTICES, len(JOINTS)))
    _check_rows(regressor, "J_regressor")
    _check_rows(weights, "weights")
    _check_tree(arrays["kintree_table"])
    by_component = np.ascontiguousarray(components.transpose(2, 0, 1))
    return FlameModel(
        vertices=template,
        triangles=_triangles(arrays["f"]),
        shape=by_component[:SHAPES],
        expression=by_component[SHAPES:],
        correctives=np.ascontiguousarray(correctives.transpose(2, 0, 1)),
        joint_regressor=regressor,
        skin_weights=weights,
        texts=dict(texts),
    )


def _checked(values: NDArray[Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """As finite float32 of this shape; None stands for any number."""
    same = len(values.shape) == len(shape) and all(b in (a, None) for a, b in zip(values.shape, shape, strict=True))
    if not same or not values.size:
        wanted = " × ".join("any" if size is None else str(size) for size in shape)
        found = " × ".join(map(str, values.shape)) or "a single number"
        raise UserError(f"“{name}” in this file is {found}; FLAME's is {wanted}.", WRONG_FILE)
    if values.dtype.kind != "f":
        raise UserError(f"“{name}” in this file holds {values.dtype.name}, not floating-point numbers.", WRONG_FILE)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(numbers).all():
        raise UserError(f"“{name}” in this file has numbers that are not finite.", "Download FLAME again.")
    return numbers


def _check_rows(values: NDArray[np.float32], name: str) -> None:
    if np.abs(values.sum(axis=1) - 1).max() > 1e-3:
        raise UserError(f"The rows of “{name}” in this file do not add up to 1.", "Download FLAME again.")


def _check_tree(table: NDArray[Any]) -> None:
    """FLAME's joints hang on each other as PARENTS says; the root's parent is −1, in unsigned numbers the largest."""
    shape, kind = (2, len(JOINTS)), table.dtype.kind
    if table.shape != shape or kind not in "iu" or tuple(table[0, 1:].tolist()) != PARENTS[1:]:
        raise UserError("“kintree_table” in this file is not that of FLAME's five joints.", WRONG_FILE)


def _triangles(faces: NDArray[Any]) -> NDArray[np.int32]:
    if faces.shape != (TRIANGLES, 3) or faces.dtype.kind not in "iu":
        raise UserError(f"“f” in this file is not FLAME's {TRIANGLES:,} triangles.", WRONG_FILE)
    if int(faces.min()) < 0 or int(faces.max()) >= VERTICES:
        raise UserError("“f” in this file has triangles that lead nowhere.", "Download FLAME again.")
    return np.ascontiguousarray(faces, np.int32)


def save(model: FlameModel, path: Path) -> None:
    arrays = {name: value for name, value in vars(model).items() if name != "texts"}
    with path.open("wb") as file:
        np.savez(file, texts=np.array(json.dumps(model.texts)), **arrays)


if __name__ == "__main__":
    sys.exit(main())
