# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to learn a word from (Eq. 6): a user's own, or renders of the backs of heads for who has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.head.builtin import load_builtin
from headsculpt.packs.photos import draw_camera, photograph
from headsculpt.packs.pocket.training.captions import description
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import Look
from headsculpt.packs.spec import PackSpec

ENOUGH = 34
"""As many as the paper has."""
AT_LEAST = 3
BEYOND = 150.0
"""Degrees of |azimuth| from which renders of backs are made: where Stable Diffusion's back begins (ViewWords)."""
SMALLEST = 0.5
"""Of a pack's picture size: what is smaller would teach blur."""
REASONS_SHOWN = 3


@dataclass(frozen=True)
class Images:
    """pictures: [N, 3, S, S] in [0, 1]; captions: what else is in each, empty where that is not known; skipped: what
    was left out of the folder and why, a sentence each."""

    pictures: Tensor
    captions: list[str]
    skipped: list[str] = field(default_factory=list)


def read_images(folder: Path, size: int) -> Images:
    """All pictures of a folder, in the order of their names: the largest square in the middle, `size` pixels a side.

    `name.txt` beside `name.jpg` is its caption. Raises UserError when fewer than AT_LEAST can be used.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"There is no folder {folder}.", "Choose a folder with pictures.") from error
    texts = {path for path in files if path.suffix == ".txt"}
    pictures, captions, skipped, used = [], [], [], set()
    for path in (path for path in files if path not in texts):
        text = path.with_suffix(".txt")
        used.add(text)
        try:
            pictures.append(_square(path, size))
        except UserError as error:
            skipped.append(error.message)
        else:
            captions.append(" ".join(text.read_text("utf-8", "replace").split()) if text in texts else "")
    skipped += [f"{path.name} is no picture, and there is none of that name." for path in sorted(texts - used)]
    if len(pictures) < AT_LEAST:
        raise UserError(
            f"{folder} has {len(pictures)} pictures that can be used; {AT_LEAST} is the least. "
            + " ".join(skipped[:REASONS_SHOWN]),
            f"Put {ENOUGH} or so there, of as different heads as possible, all seen from behind.",
        )
    return Images(torch.stack(pictures), captions, skipped)


def _square(path: Path, size: int) -> Tensor:
    """[3, size, size] in [0, 1]. Raises UserError, its message the reason not to use the file."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except Exception as error:  # whatever Pillow's many readers raise at damaged files
        raise UserError(f"{path.name} can not be read as a picture.") from error
    if min(image.size) < SMALLEST * size:
        width, height = image.size
        raise UserError(f"{path.name} is too small: {width} × {height}, at least {SMALLEST * size:.0f} each way.")
    opaque = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    square = ImageOps.fit(opaque, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255


def render_back_views(
    spec: PackSpec, rng: np.random.Generator, count: int = ENOUGH, before_each: Callable[[int], None] | None = None
) -> Images:
    """Pictures of `count` different heads from behind, by the pack's cameras, lights and backgrounds.

    before_each: called with the number of the picture that is rendered next, from 0; what it raises ends the rendering.
    """
    wardrobe = Wardrobe(load_builtin())
    pictures, captions = [], []
    for number in range(count):
        if before_each is not None:
            before_each(number)
        look = Look.draw(rng, len(wardrobe.model.identity))
        azimuth = 180 + rng.uniform(BEYOND - 180, 180 - BEYOND)
        camera = draw_camera(spec.cameras, azimuth, spec.image_size, rng)
        pictures.append(photograph(wardrobe.dress(look).mesh, camera, spec, rng))
        captions.append(description(look.words(), rng))
    return Images(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255, captions)
