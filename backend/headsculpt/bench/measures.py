# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep measures of each head, kept beside it, and what it says of several heads together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headsculpt import evaluation
from headsculpt.evaluation.colors import lab
from headsculpt.evaluation.examples import Example
from headsculpt.evaluation.findings import AT_LEAST, AT_MOST
from headsculpt.evaluation.runs import examine, exported
from headsculpt.finish.files import write_whole
from headsculpt.guidance.methods import Method
from headsculpt.guidance.score import ScoreSettings
from headsculpt.jobs.request import GenerateRequest
from headsculpt.mesh import TexturedMesh
from headsculpt.packs.pocket.training.looks.words import HAIR_COLORS, SKINS
from headsculpt.render.meshview import texture_kernel
from headsculpt.stages import coarse, fine, paint

CACHE = "measured.json"
Found = Mapping[str, Any]
"""All that is known of one head, JSON-able: Outcome.as_json(), `calls`, `chroma` and `chroma_over_asked`."""


def measured(example: Example, request: GenerateRequest, folder: Path, report: Mapping[str, Any]) -> Found:
    """Of a finished run; measured anew only if the run, the measures or the judge have changed since."""
    key = hashlib.sha256((folder / "report.json").read_bytes() + _measures()).hexdigest()
    try:
        kept = json.loads((folder / CACHE).read_text(encoding="utf-8"))
        if kept["key"] == key:
            return dict(kept["found"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = examine(example, request, folder, dict(report)).as_json()
    found["calls"] = model_calls(report["settings"])
    found["chroma"] = round(texture_chroma(exported(request, folder)), 2)
    found["chroma_over_asked"] = chroma_over_asked(found["found"]["colors"])
    write_whole(folder / CACHE, json.dumps({"key": key, "found": found}, ensure_ascii=False).encode())
    return found


@lru_cache(maxsize=1)
def _measures() -> bytes:
    """A digest of the code that measures and of the judge's weights."""
    files = (path for path in Path(evaluation.__path__[0]).rglob("*") if path.suffix in (".py", ".safetensors"))
    digests = (hashlib.sha256(path.read_bytes()).digest() for path in [Path(__file__), *sorted(files)])
    return b"".join(digests)


def model_calls(settings: Mapping[str, Any]) -> int:
    """Pictures that a whole job shows to the U-Net, in all branches of a step. settings: a Preset as JSON."""
    stages = (settings[name] for name in ("coarse", "fine", "paint"))
    return sum(stage["steps"] * stage["views"]["batch"] * ScoreSettings(**_score(stage)).calls for stage in stages)


def _score(stage: Mapping[str, Any]) -> dict[str, Any]:
    return {**stage["score"], "method": Method(stage["score"]["method"])}


def texture_chroma(mesh: TexturedMesh) -> float:
    """Mean CIELAB chroma of the texture over the surface's area, read at the middle of each triangle."""
    count = len(mesh.triangles)
    colors = np.empty((1, count, 3), np.float32)
    middle = np.full((1, count, 3), 1 / 3, np.float32)
    texture_kernel(mesh.base_color, mesh.corner_uv, np.arange(count, dtype=np.int32)[None], middle, colors)
    corners = mesh.vertices[mesh.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return float(np.average(np.hypot(*lab(colors[0])[:, 1:].T), weights=area))


def chroma_over_asked(colors: Mapping[str, Mapping[str, Any]]) -> float | None:
    """How much more CIELAB chroma regions have than the colours asked of them, on average; None if none was asked.

    colors: by region, ColorFinding as JSON.
    """
    over = []
    for region, finding in colors.items():
        wanted = (SKINS if region in ("skin", "scalp") else HAIR_COLORS)[finding["asked"]]
        over.append(np.hypot(*finding["lab"][1:]) - np.hypot(*lab(wanted)[1:]))
    return round(float(np.mean(over)), 2) if over else None


@dataclass(frozen=True)
class Column:
    """of: one number of several heads, None where it can not be said; show: its format; worse: the lower the better
    the number is, None where neither is better."""

    title: str
    of: Callable[[Sequence[Found]], float | None]
    show: str
    worse: Callable[[float], float] | None = None

    def text(self, heads: Sequence[Found]) -> str:
        value = self.of(heads)
        return "–" if value is None else format(value, self.show)


def _median(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _color(region: str) -> Column:
    def of(heads: Sequence[Found]) -> float | None:
        colors = (head["found"]["colors"] for head in heads)
        return _median(by_region[region]["difference"] for by_region in colors if region in by_region)

    return Column(f"ΔE {region}", of, ".1f", float)


def _shape(title: str, name: str, styles: Mapping[str, float], worse: Callable[[float], float]) -> Column:
    """The standoff or thickness of the heads that ask for one of these styles."""

    def of(heads: Sequence[Found]) -> float | None:
        return _median(head["found"][name] for head in heads if head["asked"].get("style") in styles)

    return Column(title, of, ".1%", worse)


def _seconds(title: str, stage: str) -> Column:
    return Column(title, lambda heads: _median(head["seconds"].get(stage) for head in heads), ".0f")


def attributes_counted(heads: Sequence[Found]) -> tuple[int, int]:
    """How many of the asked attributes the judge reads in the heads, and how many were asked; of all heads together."""
    there = [head["found"]["attributes"][name] == value for head in heads for name, value in head["asked"].items()]
    return sum(there), len(there)


def faces_counted(heads: Sequence[Found]) -> tuple[int, int]:
    """How many heads have a second face, and how many there are."""
    return sum(head["found"]["second_face"]["two_faced"] for head in heads), len(heads)


def views_counted(heads: Sequence[Found]) -> tuple[int, int]:
    """How many views from behind show a face, and how many there are."""
    faces = [head["found"]["second_face"] for head in heads]
    return sum(face["seen"] for face in faces), sum(face["looked"] for face in faces)


def _attributes_there(heads: Sequence[Found]) -> float | None:
    there, asked = attributes_counted(heads)
    return there / asked if asked else None


def _second_faces(heads: Sequence[Found]) -> float | None:
    return faces_counted(heads)[0] if heads else None


COLUMNS = (
    Column("asked and there", _attributes_there, ".0%", lambda share: -share),
    Column("second faces", _second_faces, ".0f", float),
    _color("skin"),
    _color("hair"),
    _color("beard"),
    Column("chroma over asked", lambda heads: _median(head["chroma_over_asked"] for head in heads), "+.1f", abs),
    Column("chroma", lambda heads: _median(head["chroma"] for head in heads), ".1f"),
    _shape("tall hair stands off", "standoff", AT_LEAST, lambda share: -share),
    _shape("over the scalp", "thickness", AT_LEAST, lambda share: -share),
    _shape("bald stands off", "standoff", AT_MOST, float),
    Column("model calls", lambda heads: _median(head["calls"] for head in heads), ".0f"),
    _seconds("s coarse", coarse.STAGE),
    _seconds("s fine", fine.STAGE),
    _seconds("s painting", paint.STAGE),
    Column("s in all", lambda heads: _median(sum(head["seconds"].values()) for head in heads), ".0f", float),
)
