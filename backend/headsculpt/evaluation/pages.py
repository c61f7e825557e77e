# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures and tables for the documentation, from finished runs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headsculpt.errors import UserError
from headsculpt.evaluation.judge import AT_LEAST, AT_MOST, ColorFinding
from headsculpt.evaluation.runs import Outcome
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.turntable import VIEWS

ANGLES = (0, 45, 90, 180)
"""The views that a picture shows: front, three-quarter, side, back."""


def head_picture(folder: Path) -> Image.Image:
    """One head from four sides, cut from its turntable: colour above, normals below."""
    return Image.fromarray(np.concatenate(_trimmed(_views(folder)), axis=1))


def rows_picture(folders: Sequence[Path], height: int = 200) -> Image.Image:
    """Several heads below each other, each in a row of `height` pixels: colour from four sides, then normals."""
    views = _trimmed(np.concatenate([_views(folder) for folder in folders]))
    rows = []
    for head in np.split(views, len(folders)):
        row = np.concatenate([*head[:, : head.shape[1] // 2], *head[:, head.shape[1] // 2 :]], axis=1)
        size = round(row.shape[1] * height / row.shape[0]), height
        rows.append(np.asarray(Image.fromarray(row).resize(size, Image.Resampling.LANCZOS)))
    return Image.fromarray(np.concatenate(rows))


def _views(folder: Path) -> NDArray[np.uint8]:
    """A turntable's pictures from ANGLES, [4, 2 · S, S, 3]: colour in the upper half, normals in the lower."""
    turntable = np.asarray(Image.open(folder / "turntable.png").convert("RGB"))
    around = np.split(turntable, VIEWS, axis=1)
    return np.stack([around[angle * VIEWS // 360] for angle in ANGLES])


def _trimmed(views: NDArray[np.uint8], rim: int = 8) -> NDArray[np.uint8]:
    """Views [N, H, W, 3] without what is background at both sides of all of them, but for a rim."""
    shown = (views != views[:, :1, :1]).any(axis=-1)[:, : views.shape[1] // 2].any(axis=(0, 1))
    (columns,) = np.nonzero(shown | shown[::-1])
    margin = max(0, int(columns.min()) - rim) if len(columns) else 0
    return views[:, :, margin : views.shape[2] - margin]


def write_picture(image: Image.Image, path: Path) -> Path:
    """Writes a JPEG file, and its folder if need be."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88, optimize=True)
    check_writable(path.parent)
    return write_whole(path, file.getvalue())


def table(outcomes: Sequence[Outcome], titles: Sequence[str]) -> str:
    """A Markdown table of what was asked for beside what was found; a row for each of the outcomes."""
    lines = [
        "| | skin | hair | beard | stands off the head | over the scalp | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome, title in zip(outcomes, titles, strict=True):
        colors = outcome.findings.colors
        cells = [
            title,
            color_cell(colors["skin"]),
            color_cell(colors["hair"]) if "hair" in colors else f"none; scalp {color_cell(colors['scalp'])}",
            color_cell(colors["beard"]) if "beard" in colors else "",
            standoff_cell(outcome),
            f"{outcome.findings.thickness:.1%}",
            f"{outcome.seconds:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def color_cell(finding: ColorFinding) -> str:
    """The word that was asked for, the difference from it, and which word is nearer if one is."""
    nearer = "" if finding.nearest == finding.asked else f" (nearer to {finding.nearest})"
    return f"{finding.asked} {finding.difference:.1f}{nearer}"


def standoff_cell(outcome: Outcome) -> str:
    """The share, and what the style asks of it."""
    style, share = outcome.example.style, f"{outcome.findings.standoff:.1%}"
    wanted = f"≥ {AT_LEAST[style]:.0%}" if style in AT_LEAST else f"≤ {AT_MOST[style]:.1%}" if style in AT_MOST else ""
    missed = "" if outcome.findings.standoff_kept else ": missed"
    return f"{share} ({wanted}{missed})" if wanted else share


def write_data(outcomes: Sequence[Outcome], path: Path) -> Path:
    """All that was measured, as JSON."""
    content: list[dict[str, Any]] = [outcome.as_json() for outcome in outcomes]
    return write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def fill(page: Path, name: str, content: str) -> Path:
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->` in a Markdown file.

    Raises UserError when the file or one of the marks is not there.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    except OSError as error:
        raise UserError(f"The page {page} can not be read.", "Give --docs the checkout's docs folder.") from error
    _, closing, after = rest.partition(end)
    if not (mark and closing):
        raise UserError(f"{page} has no place for this table.", f"Put {begin} and {end} where it should stand.")
    return write_whole(page, f"{before}{begin}\n{content.rstrip()}\n{end}{after}".encode())
