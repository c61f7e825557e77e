# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep's table and picture sheet for each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from headsculpt.bench.measures import COLUMNS, Column, Found
from headsculpt.finish.turntable import VIEWS

SIDES = (0, 90)
"""What the sheet shows of each head: degrees to the subject's left."""
HEIGHT, LABEL, RIM = 150, 170, 8
"""Pixels: of a head; of a row's name; around the heads."""
_GREY = (158, 158, 160)


@dataclass(frozen=True)
class Row:
    """One variant: its name, its finished heads and the folders that they lie in. planned: how many there are to be."""

    name: str
    heads: tuple[Found, ...]
    folders: tuple[Path, ...]
    planned: int

    @property
    def whole(self) -> bool:
        """Medians over other heads than the preset's would say nothing."""
        return len(self.heads) == self.planned


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of the whole rows, the best of each column in bold; then which rows are not whole.

    A column that says the same of all rows has no best; a column that says nothing of any is left out.
    """
    whole = [row for row in rows if row.whole]
    columns = [column for column in COLUMNS if any(column.of(row.heads) is not None for row in whole)]
    cells = [[row.name for row in whole], *(_cells(column, whole) for column in columns)]
    lines = [
        "| | " + " | ".join(column.title for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *("| " + " | ".join(line) + " |" for line in zip(*cells, strict=True)),
    ]
    missing = [f"{row.name} ({len(row.heads)} of {row.planned} heads)" for row in rows if not row.whole]
    note = f"\nNot all there: {', '.join(missing)}.\n" if missing else ""
    return "\n".join(lines) + "\n" + note


def _cells(column: Column, rows: Sequence[Row]) -> list[str]:
    texts = [column.text(row.heads) for row in rows]
    values = [column.of(row.heads) for row in rows]
    known = [value for value in values if value is not None]
    if column.worse is None or len(set(texts)) < 2:
        return texts
    best = column.text(rows[values.index(min(known, key=column.worse))].heads)
    return [f"**{text}**" if text == best else text for text in texts]


def sheet(rows: Sequence[Row]) -> Image.Image:
    """A row for each whole one: its name, then front and side of each of its heads."""
    return heads_sheet([(row.name, row.folders) for row in rows if row.whole], SIDES)


def heads_sheet(rows: Sequence[tuple[str, Sequence[Path | None]]], sides: Sequence[int]) -> Image.Image:
    """Rows of a name and of heads, each seen from these sides, degrees to the subject's left; all at one scale.

    The same head stands in the same column. rows: folders of the heads, None where there is none: grey.
    """
    there = [folder for _, folders in rows for folder in folders if folder]
    views = {folder: _views(folder, sides) for folder in there}
    left, right = _columns_shown(np.concatenate(list(views.values())))
    width = round((right - left) * HEIGHT / views[there[0]].shape[1])
    columns = len(sides) * max(len(folders) for _, folders in rows)
    picture = Image.new("RGB", (LABEL + width * columns, HEIGHT * len(rows)), _GREY)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for number, (name, folders) in enumerate(rows):
        pen.text((8, (number + 0.5) * HEIGHT), name, (20, 20, 20), font, anchor="lm")
        for place, folder in enumerate(folders):
            for side, head in enumerate(views[folder] if folder else ()):
                tile = Image.fromarray(head[:, left:right]).resize((width, HEIGHT), Image.Resampling.LANCZOS)
                picture.paste(tile, (LABEL + (place * len(sides) + side) * width, number * HEIGHT))
    return picture


def _views(folder: Path, sides: Sequence[int]) -> NDArray[np.uint8]:
    """A head in colour from these sides, [N, S, S, 3], out of its turntable."""
    turntable = np.asarray(Image.open(folder / "turntable.png").convert("RGB"))
    around = np.split(turntable[: turntable.shape[0] // 2], VIEWS, axis=1)
    return np.stack([around[side * VIEWS // 360] for side in sides])


def _columns_shown(views: NDArray[np.uint8]) -> tuple[int, int]:
    """From where to where views [N, H, W, 3] show something else than background, and a rim."""
    (shown,) = np.nonzero((views != views[:, :1, :1]).any(axis=(0, 1, 3)))
    if not len(shown):
        return 0, views.shape[2]
    return max(0, int(shown[0]) - RIM), min(views.shape[2], int(shown[-1]) + 1 + RIM)
