# SPDX-License-Identifier: GPL-3.0-or-later
"""`generate --answers`: what the model was shown while a head was made, and what it made of it, on one sheet.

Where something that was asked for is missing, this tells whether the model did not say it or the head did not follow.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw

from headsculpt.errors import UserError
from headsculpt.evaluation.pages import stacked, write_picture
from headsculpt.finish.files import check_writable
from headsculpt.guidance.sampling import as_bytes
from headsculpt.stages.distillation import Answer

PAIRS, ROWS = 8, 8
"""Pairs in a row, and rows for each stage."""
SIDE, LINE = 96, 12
"""Pixels of a picture, and of the line below it."""


class AnswerSheet:
    """Watches a job. Pairs evenly spread over each stage are kept: left what was shown, right what came back."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a name that is no JPEG's, or where it can not be written."""
        if path.suffix.lower() not in (".jpg", ".jpeg"):
            raise UserError(f"{path.name} would be a JPEG file by another name.", "Give it a name that ends in .jpg.")
        check_writable(path.parent)
        self._path = path
        self._stages: list[list[Image.Image]] = []
        self._progress = 1.0

    def __call__(self, answer: Answer) -> None:
        if answer.progress < self._progress:
            self._stages.append([])
        self._progress = answer.progress
        pairs = self._stages[-1]
        if len(pairs) <= answer.progress * PAIRS * ROWS:
            pairs.append(_pair(answer, len(pairs) % len(answer.t)))  # another of a batch's views each time

    def write(self) -> Path | None:
        """The file, or None if there was nothing to see."""
        rows = [_row(pairs[start : start + PAIRS]) for pairs in self._stages for start in range(0, len(pairs), PAIRS)]
        return write_picture(stacked(rows), self._path) if rows else None


@torch.no_grad()
def _pair(answer: Answer, view: int) -> Image.Image:
    """Both pictures of one view; below, its noise level as a share of the schedule, and where it looks from."""
    pair = Image.new("RGB", (2 * SIDE, SIDE + LINE))
    pictures = as_bytes(answer.pack, torch.stack((answer.shown[view], answer.answered[view])))
    for number, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        pair.paste(tile, (number * SIDE, 0))
    level = float(answer.t[view]) / len(answer.pack.alphas_cumprod)
    azimuth = float(answer.views.azimuth[view])
    ImageDraw.Draw(pair).text((3, SIDE), f"t {level:.2f}, {azimuth:+.0f}°", fill="white")
    return pair


def _row(pairs: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (2 * SIDE * PAIRS, SIDE + LINE))
    for number, pair in enumerate(pairs):
        row.paste(pair, (number * pair.width, 0))
    return row
