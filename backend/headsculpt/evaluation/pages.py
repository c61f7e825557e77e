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
from headsculpt.evaluation.findings import AT_LEAST, AT_MOST
from headsculpt.evaluation.judgement import color_words, missed, share_kept
from headsculpt.evaluation.runs import Outcome
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.turntable import VIEWS

ANGLES = (0, 45, 90, 180)
"""The views that a picture shows: front, three-quarter, side, back."""
SIDES = (0, 90, 180)
"""What a strip shows of each head."""


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


def strip_picture(folders: Sequence[Path], height: int = 180) -> Image.Image:
    """Several heads in one row, each in colour from its SIDES."""
    views = np.concatenate([_views(folder, SIDES) for folder in folders])
    strip = np.concatenate(list(_trimmed(views)[:, : views.shape[1] // 2]), axis=1)
    size = round(strip.shape[1] * height / strip.shape[0]), height
    return Image.fromarray(strip).resize(size, Image.Resampling.LANCZOS)


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other, left-aligned on grey."""
    sheet = Image.new(
        "RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), (158, 158, 160)
    )
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _views(folder: Path, angles: Sequence[int] = ANGLES) -> NDArray[np.uint8]:
    """A turntable's pictures [N, 2 · S, S, 3]: colour in the upper half, normals in the lower."""
    turntable = np.asarray(Image.open(folder / "turntable.png").convert("RGB"))
    around = np.split(turntable, VIEWS, axis=1)
    return np.stack([around[angle * VIEWS // 360] for angle in angles])


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
        "| | asked and there | skin | hair | beard | stands off the head | over the scalp | second face | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome, title in zip(outcomes, titles, strict=True):
        findings = outcome.judgement.findings
        bald = "scalp" in findings.colors
        cells = [
            title,
            attributes_cell(outcome),
            color_cell(outcome, "skin"),
            f"none; scalp {color_cell(outcome, 'scalp')}" if bald else color_cell(outcome, "hair"),
            color_cell(outcome, "beard"),
            standoff_cell(outcome),
            f"{findings.thickness:.1%}",
            second_face_cell(outcome),
            f"{outcome.seconds:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def attributes_cell(outcome: Outcome) -> str:
    """How many, and what is missing."""
    kept, count = share_kept([outcome.judgement])
    if not count:
        return "–"
    return f"{kept} of {count}" + (f"; not {wrong}" if (wrong := missed(outcome.judgement)) else "")


def color_cell(outcome: Outcome, region: str) -> str:
    """Empty where nothing was asked."""
    colors = outcome.judgement.findings.colors
    return color_words(colors[region]) if region in colors else ""


def second_face_cell(outcome: Outcome) -> str:
    face = outcome.judgement.second_face
    return "yes" if face.two_faced else "no"


def standoff_cell(outcome: Outcome) -> str:
    """The share, and what the style asks of it."""
    judgement = outcome.judgement
    style, share = judgement.asked.get("style", ""), f"{judgement.findings.standoff:.1%}"
    wanted = f"≥ {AT_LEAST[style]:.0%}" if style in AT_LEAST else f"≤ {AT_MOST[style]:.1%}" if style in AT_MOST else ""
    fault = "" if judgement.findings.standoff_kept else ": missed"
    return f"{share} ({wanted}{fault})" if wanted else share


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
