# SPDX-License-Identifier: GPL-3.0-or-later
"""`headsculpt sample`: 2D pictures of a prompt by a pack, on one labelled sheet (as the paper's Fig. 12)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.evaluation.pages import stacked
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.guidance.prompts import CheckedPrompt, check_prompt, landmark_scale, view_weights
from headsculpt.guidance.sampling import calls, default_guidance, draw_noise, draw_pictures
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.jobs.events import Event, Notice, Progress
from headsculpt.packs.pack import Pack
from headsculpt.packs.photos import plain_camera
from headsculpt.render.landmark_map import landmark_maps

VIEWS = ("front", "side", "back", "token", "none")
STAGE = "Drawing"
MAX_COUNT, MAX_STEPS = 1000, 1000
SMALL, LARGE = 160, 256
"""Sides of the sheet's tiles are these at least and at most, pixels."""
COLUMNS, PAIR_COLUMNS = 6, 3
GAP, LINE, LETTER = 6, 14, 6
"""Pixels between tiles, of a line of text, and of a letter at most."""
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class SampleOrder:
    """What is to be drawn. Raises UserError for anything that a user can have got wrong."""

    prompt: str
    count: int = 6
    """Pictures, or pairs of them."""
    seed: int = 0
    """Of the first picture's noise; the same seed gives the same pictures, however many follow."""
    guidance: float | None = None
    """Of classifier-free guidance; None for what suits the pack."""
    steps: int = 25
    """Of DDIM."""
    view: str | None = None
    """One of VIEWS; None for the view that `landmarks` is seen from, or for none."""
    landmarks: float | None = None
    """Azimuth in degrees from which the built-in head's landmarks are shown to the ControlNet; None to leave it out."""
    compare_back: bool = False
    """Pairs from the same noise: the plain words for the back, and the learned one (Fig. 12)."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise UserError(f"{self.count} pictures can not be drawn.", f"Use 1 to {MAX_COUNT}.")
        if not 1 <= self.steps <= MAX_STEPS:
            raise UserError(f"{self.steps} steps are not possible.", f"Use 1 to {MAX_STEPS}; 25 suffice.")
        if self.view not in (None, *VIEWS):
            raise UserError(f"There is no view '{self.view}'.", f"Use one of: {', '.join(VIEWS)}.")
        if self.compare_back and self.view is not None:
            raise UserError("Comparing back views leaves no view to choose.", "Leave the view out.")


def run_sample(pack: Pack, order: SampleOrder, out: Path, emit: Callable[[Event], None]) -> Path:
    """Writes a PNG file. Raises UserError."""
    if out.suffix.lower() != ".png":
        raise UserError(f"{out.name} is no name for the sheet.", "Let it end with .png.")
    check_writable(out.parent)
    prompt = check_prompt(pack, order.prompt)
    emit(Notice(f"The pack “{pack.spec.name}” reads: “{_as_read(pack, prompt.text)}”."))
    for text in [*prompt.notices, *_faded(pack, order)]:
        emit(Notice(text))
    file = io.BytesIO()
    sample_sheet(pack, order, prompt, emit).save(file, "PNG", optimize=True)
    return write_whole(out, file.getvalue())


def sample_sheet(pack: Pack, order: SampleOrder, prompt: CheckedPrompt, emit: Callable[[Event], None]) -> Image.Image:
    """The sheet: what was asked above, the pictures in rows below, the landmarks' map last if there is one."""
    views = ("back", "token") if order.compare_back else (order.view or _view_of(pack, order.landmarks),)
    words = [view_words(pack, view) for view in views]
    guidance = default_guidance(pack) if order.guidance is None else order.guidance
    noise = draw_noise(pack, order.count, order.seed)
    maps, scale = (None, None) if order.landmarks is None else landmark_input(pack, order.landmarks, order.count)
    after_step = _Ticker(emit, len(words) * len(list(calls(pack, order.count))) * order.steps)
    drawn = [
        draw_pictures(
            pack, [with_view(prompt.text, view)] * order.count, noise, guidance, order.steps, maps, scale, after_step
        )
        for view in words
    ]
    said = prompt.text if order.compare_back else with_view(prompt.text, words[0])
    texts = [
        f"“{_as_read(pack, said)}”",
        f"pack {pack.spec.name}, seed {order.seed}, guidance {guidance:g}, {order.steps} steps"
        + ("" if order.landmarks is None else f", landmarks from {order.landmarks:g}°"),
    ]
    if order.compare_back:
        texts.append(f"Each pair from the same noise: left “{words[0]}”, right “{words[1]}”.")
    shown = [] if maps is None else [("landmarks", as_picture(maps[0]))]
    tiles = [(str(number + 1), np.concatenate(group, 1)) for number, group in enumerate(zip(*drawn, strict=True))]
    return labelled_sheet(texts, [*tiles, *shown], PAIR_COLUMNS if order.compare_back else COLUMNS)


def _as_read(pack: Pack, text: str) -> str:
    """What the pack reads, spaced as people do."""
    return pack.readable(text).replace(" ,", ",")


class _Ticker:
    """Tells progress at every step of the sampler."""

    def __init__(self, emit: Callable[[Event], None], steps: int) -> None:
        self._emit, self._step, self._steps = emit, 0, steps

    def __call__(self) -> None:
        self._step += 1
        self._emit(Progress(STAGE, self._step, self._steps))


def with_view(prompt: str, words: str) -> str:
    """A prompt with a view's words behind it, as the stages put them."""
    return f"{prompt}, {words}" if words else prompt


def view_words(pack: Pack, view: str) -> str:
    """What a pack calls one of VIEWS. Raises UserError for a learned word that it does not have."""
    views = pack.spec.views
    if view == "token" and views.back_token not in pack.learned_tokens:
        raise UserError(
            f"The pack “{pack.spec.name}” has no learned word for the back.", "Teach it one with headsculpt learn-view."
        )
    names = {"front": views.front, "side": views.side, "back": views.back, "token": views.back_token, "none": ""}
    return names[view]


def _view_of(pack: Pack, azimuth: float | None) -> str:
    """Which of VIEWS a level camera at this azimuth has; none without one."""
    if azimuth is None:
        return "none"
    shares = view_weights(pack.spec.views, torch.tensor([azimuth]), torch.zeros(1))[0, :3]
    view = VIEWS[int(shares.argmax())]
    return "token" if view == "back" and pack.spec.views.back_token in pack.learned_tokens else view


def landmark_input(pack: Pack, azimuth: float, count: int) -> tuple[Tensor, Tensor]:
    """Maps [count, 3, S, S] of the built-in head's landmarks, all the same, and how much each counts, [count]."""
    model = load_builtin()
    landmarks = torch.from_numpy(Head.from_vertices(model, model.vertices).landmarks)
    camera = plain_camera(pack.spec.cameras, azimuth, pack.spec.image_size)
    scale = landmark_scale(pack.spec.views, torch.tensor([azimuth]))
    maps = landmark_maps(landmarks, camera)
    return maps.expand(count, -1, -1, -1).to(pack.device), scale.expand(count)


def _faded(pack: Pack, order: SampleOrder) -> list[str]:
    """What to tell of landmarks that do not count in full."""
    if order.landmarks is None:
        return []
    share = float(landmark_scale(pack.spec.views, torch.tensor([order.landmarks])))
    return [] if share == 1 else [f"From {order.landmarks:g}° landmarks say little: they count {share:.0%}."]


def as_picture(image: Tensor) -> Pictures:
    """[S, S, 3] of an image [3, S, S] in [0, 1]."""
    return (image.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def labelled_sheet(texts: Sequence[str], tiles: Sequence[tuple[str, Pictures]], columns: int) -> Image.Image:
    """Lines of text above tiles [H, W, 3], all as high as each other, each with its label, in rows of `columns`."""
    cells = [_cell(label, picture) for label, picture in tiles]
    width = max(cell.width for cell in cells)
    rows = []
    for start in range(0, len(cells), columns):
        row = Image.new("RGB", (min(columns, len(cells)) * width, cells[0].height), WHITE)
        for index, cell in enumerate(cells[start : start + columns]):
            row.paste(cell, (index * width, 0))
        rows.append(row)
    lines = [line for text in texts for line in textwrap.wrap(text, max(20, (rows[0].width - 2 * GAP) // LETTER))]
    head = Image.new("RGB", (rows[0].width, LINE * len(lines) + 2 * GAP), WHITE)
    ImageDraw.Draw(head).multiline_text((GAP, GAP), "\n".join(lines), fill=BLACK, spacing=LINE - 10)
    return stacked([head, *rows])


def _cell(label: str, picture: Pictures) -> Image.Image:
    """A picture with a margin and its label above."""
    image = Image.fromarray(picture)
    side = min(max(image.height, SMALL), LARGE)
    image = image.resize((round(image.width * side / image.height), side), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (image.width + 2 * GAP, image.height + LINE + 2 * GAP), WHITE)
    ImageDraw.Draw(cell).text((GAP, GAP // 2), label, fill=BLACK)
    cell.paste(image, (GAP, LINE + GAP // 2))
    return cell
