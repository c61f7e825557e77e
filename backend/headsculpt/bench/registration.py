# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the faces of strangers' heads are found: heads whose landmarks are known, in any pose, damaged.

    python build.py bench --registration [--docs docs]

Made and measured one by one; what is in the file of results is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headsculpt.bench.strangers import WITHIN, Stranger, stranger, things
from headsculpt.errors import UserError
from headsculpt.evaluation.pages import fill
from headsculpt.finish.files import write_whole
from headsculpt.head.builtin import load_builtin
from headsculpt.head.registration import warm_up
from headsculpt.head.registration.register import nearest_points, register
from headsculpt.head.registration.template import load_template

HEADS = 20
"""Of each half."""
LOST = 0.06
"""A landmark farther off the mesh than this share of the eye distance has fallen into a hole."""
HALVES = {"within": "in the span of the built-in head", "without": "out of it"}

Row = dict[str, Any]


def run_registration(out: Path, docs: Path | None = None, heads: int = HEADS) -> list[Path]:
    """Measures what is not yet in out / registration.json. Returns the files written."""
    path = out / "registration.json"
    rows: dict[str, Row] = json.loads(path.read_text()) if path.is_file() else {}
    model = load_builtin()
    warm_up()  # compiling is no part of the seconds
    for identities in (60, WITHIN):
        load_template(identities)
    for number in range(heads):
        for half in HALVES:
            if (name := f"{half} {number}") not in rows:
                rows[name] = measured(stranger(model, number, half == "within"), 60 if half == "within" else WITHIN)
                print(name, rows[name], flush=True)
                out.mkdir(parents=True, exist_ok=True)
                write_whole(path, json.dumps(rows, indent=1).encode())
    for name, (vertices, triangles) in things().items():
        if name not in rows:
            rows[name] = {"refused": refused(vertices, triangles)}
            print(name, rows[name], flush=True)
            write_whole(path, json.dumps(rows, indent=1).encode())
    text = report(rows)
    print(text)
    return [path] if docs is None else [path, fill(docs / "registration.md", "registration", text)]


def measured(head: Stranger, identities: int) -> Row:
    """error: mean distance of the found landmarks from the true ones, as a share of the eye distance, of those that the
    mesh still has; lost: how many it has not; all_error: the same mean with them; seconds: of the processor."""
    row: Row = {"what": head.what, "triangles": len(head.triangles)}
    began, cpu = time.perf_counter(), time.process_time()
    try:
        found = register(head.vertices, head.triangles, identities=identities)
    except UserError as error:
        return row | {"refused": error.message}
    row |= {"seconds": round(time.process_time() - cpu, 1), "wall_seconds": round(time.perf_counter() - began, 1)}
    off = np.linalg.norm(found.landmarks.on(head.vertices, head.triangles) - head.landmarks, axis=1)
    there = nearest_points(head.landmarks, head.vertices, head.triangles).on(head.vertices, head.triangles)
    lost = np.linalg.norm(there - head.landmarks, axis=1) > LOST * head.eye_distance
    return row | {
        "error": float(off[~lost].mean() / head.eye_distance),
        "all_error": float(off.mean() / head.eye_distance),
        "lost": int(lost.sum()),
        "fit_error": found.error,
        "effort": found.effort,
        "doubt": bool(found.doubt),
    }


def refused(vertices: Any, triangles: Any) -> str:
    """What is said of a thing that is no head; empty when it passes for one."""
    try:
        register(vertices, triangles)
    except UserError as error:
        return error.message
    return ""


def report(rows: dict[str, Row]) -> str:
    """Two tables of Markdown: the halves, and every head."""
    lines = [
        "| heads | | landmark error, median | worst | with lost landmarks, median | worst | seconds, median | worst |",
        "|---|---|---|---|---|---|---|---|",
        *(summary(half, [row for name, row in rows.items() if name.startswith(f"{half} ")]) for half in HALVES),
        "",
        "| head | what | triangles | error | lost | fit error | effort | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: (item[0].split()[0], int([*item[0].split(), "0"][1]))):
        if "what" in row:
            lines.append(f"| {name} | {', '.join(row['what'][1:])} | {row['triangles']:,} | {figures(row)} |")
    said = ["", "| no head | answer |", "|---|---|"]
    said += [f"| {name} | {row['refused'] or 'taken for a head'} |" for name, row in rows.items() if "what" not in row]
    return "\n".join(lines + said) + "\n"


def summary(half: str, rows: Sequence[Row]) -> str:
    found = [row for row in rows if "error" in row]
    cells = [HALVES[half], f"{len(found)} of {len(rows)} found"]
    for key in ("error", "all_error"):
        values = [100 * row[key] for row in found] or [np.nan]
        cells += [f"{np.median(values):.1f} %", f"{np.max(values):.1f} %"]
    seconds = [row["seconds"] for row in found] or [np.nan]
    return "| " + " | ".join([*cells, f"{np.median(seconds):.0f}", f"{np.max(seconds):.0f}"]) + " |"


def figures(row: Row) -> str:
    if "error" not in row:
        return "refused | | | | "
    doubt = " (doubtful)" if row["doubt"] else ""
    numbers = f"{100 * row['error']:.1f} % | {row['lost']} | {100 * row['fit_error']:.2f} %"
    return f"{numbers} | {row['effort']:.0f}{doubt} | {row['seconds']:.0f}"
