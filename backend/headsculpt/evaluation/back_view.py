# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the learned word turns the head away and how often the plain words do (the paper's B.1 and Fig. 12).

64 pictures for each word, the same noise and prompts for all words. What view a picture shows is read by the judge.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headsculpt.device import choose
from headsculpt.evaluation.judge.reading import load_judge
from headsculpt.evaluation.pages import fill, write_picture
from headsculpt.evaluation.runs import fingerprint
from headsculpt.evaluation.samples import PAIR_COLUMNS, labelled_sheet, view_words, with_view
from headsculpt.evaluation.shares import wilson
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.guidance.sampling import calls, default_guidance, draw_noise, draw_pictures
from headsculpt.jobs.events import Event, Progress
from headsculpt.packs.pack import Pack, load_pack

PICTURES, STEPS, SEED = 64, 20, 5
SHOWN = 12
"""Pairs on the sheet, the first ones: none is picked."""
WORDS = ("none", "front", "back", "token")
BACK = 2
"""The answer's number: front, side, back."""
SKINS = ("pale", "tan", "brown", "green", "blue", "gold", "purple", "grey")
HAIR = ("bald", "short black hair", "an afro", "long blond hair")
PAGE, MARK, SHEET = "back-view.md", "back-view", "back-view.jpg"


@dataclass(frozen=True)
class Reading:
    """What PICTURES pictures for one of WORDS show. words: as the pack is told them; views: [N], 0, 1, 2."""

    view: str
    words: str
    views: NDArray[np.int64]

    def count(self, view: int) -> int:
        return int((self.views == view).sum())


def run_back_view(folder: Path, out: Path, emit: Callable[[Event], None], docs: Path | None = None) -> list[Path]:
    """Draws what is not drawn yet into `out`, reads it, writes table and sheet. Returns the files. Raises UserError."""
    check_writable(out)
    choice = choose("auto", folder)
    pack = load_pack(folder, choice.device, choice.dtype)
    drawn = draw_all(pack, fingerprint(folder), out, emit)
    readings = [Reading(view, view_words(pack, view), _views(drawn[view])) for view in WORDS]
    page, picture = table(readings, pack), pairs_sheet(pack, drawn)
    written = [
        write_whole(out / "back-view.md", page.encode()),
        write_whole(out / "back-view.json", as_json(readings)),
        write_picture(picture, out / SHEET),
    ]
    if docs is not None:
        fill(docs / PAGE, MARK, f"{page}\n![Pairs of back views](pictures/{SHEET})\n")
        written += [docs / PAGE, write_picture(picture, docs / "pictures" / SHEET)]
    return written


def prompts() -> list[str]:
    """PICTURES prompts of as many skins and hair styles as there are, in words that the pocket pack knows."""
    looks = [(SKINS[index % 8], HAIR[index // 8 % 4]) for index in range(PICTURES)]
    return [f"a head of a person with {skin} skin, {hair}" for skin, hair in looks]


def draw_all(pack: Pack, made_by: str, out: Path, emit: Callable[[Event], None]) -> dict[str, NDArray[np.uint8]]:
    """PICTURES pictures [N, S, S, 3] for each of WORDS; those in `out` are kept if the same pack drew them.

    made_by: the pack's fingerprint.
    """
    state, said = out / "state.json", {"pack": made_by, "steps": STEPS, "seed": SEED, "pictures": PICTURES}
    if not state.exists() or json.loads(state.read_text()) != said:
        for path in out.glob("*.npy"):
            path.unlink()
        write_whole(state, json.dumps(said).encode())
    noise, drawn = draw_noise(pack, PICTURES, SEED), {}
    steps = STEPS * len(list(calls(pack, PICTURES)))
    for view in WORDS:
        path, words = out / f"{view}.npy", view_words(pack, view)
        if not path.exists():
            texts = [with_view(prompt, words) for prompt in prompts()]
            tick = _ticker(f"Drawing “{words or 'no view word'}”", steps, emit)
            file = io.BytesIO()
            pictures = draw_pictures(pack, texts, noise, default_guidance(pack), STEPS, after_step=tick)
            np.save(file, pictures, allow_pickle=False)
            write_whole(path, file.getvalue())
        drawn[view] = np.load(path, allow_pickle=False)
    return drawn


def _ticker(stage: str, steps: int, emit: Callable[[Event], None]) -> Callable[[], None]:
    numbers = iter(range(1, steps + 1))
    return lambda: emit(Progress(stage, next(numbers), steps))


def _views(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The likeliest view of each picture [N, S, S, 3] by itself: 0 front, 1 side, 2 back."""
    views: NDArray[np.int64] = load_judge().scores(pictures)["view"].argmax(1).numpy()
    return views


def table(readings: Sequence[Reading], pack: Pack) -> str:
    """Markdown: how often each word's pictures show each view, and the learned word against the plain ones."""
    lines = [
        f"{len(readings[0].views)} pictures a word by the pack “{pack.spec.name}”, the same noise and prompts for "
        f"each; guidance {default_guidance(pack):g}, {STEPS} DDIM steps. The judge "
        "(docs/judge.md) reads the view.\n",
        "| words | read as front | side | back | 95 % interval of back |\n|---|---|---|---|---|",
    ]
    for reading in readings:
        count = len(reading.views)
        shares = [f"{reading.count(view)} of {count}, {reading.count(view) / count:.0%}" for view in range(3)]
        low, high = wilson(reading.count(BACK), count)
        name = f"`{reading.words}`" if reading.words else "no view word"
        lines.append(f"| {name} | {' | '.join(shares)} | {low:.0%} to {high:.0%} |")
    return "\n".join(lines) + "\n\n" + verdict(readings) + "\n"


def verdict(readings: Sequence[Reading]) -> str:
    """The learned word beside the plain ones, picture by picture, in two sentences."""
    by_view = {reading.view: reading for reading in readings}
    token, plain = by_view["token"].views == BACK, by_view["back"].views == BACK
    gained, lost = int((token & ~plain).sum()), int((plain & ~token).sum())
    chance = sign_test(gained, lost)
    names = f"`{by_view['token'].words}`", f"`{by_view['back'].words}`"
    said = (
        f"From the same noise {names[0]} turned {gained} heads away that {names[1]} did not, and {names[1]} turned "
        f"{lost} away that {names[0]} did not; both turned {int((token & plain).sum())}."
    )
    better = names[0] if gained > lost else names[1]
    if chance < 0.05:
        return f"{said} {better} works better (sign test: p = {chance:.2g})."
    return f"{said} Which works better is not shown (sign test: p = {chance:.2f})."


def sign_test(gained: int, lost: int) -> float:
    """How often a fair coin would be at least as one-sided (McNemar's exact test, two-sided)."""
    count = gained + lost
    tail = sum(math.comb(count, heads) for heads in range(min(gained, lost) + 1)) / 2**count
    return min(1.0, 2 * tail)


def pairs_sheet(pack: Pack, drawn: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """The first SHOWN pairs, plain words left, learned word right."""
    plain, token = (view_words(pack, view) for view in ("back", "token"))
    tiles = [
        (prompt.removeprefix("a head of a person with "), np.concatenate(pair, 1))
        for prompt, *pair in zip(prompts(), drawn["back"], drawn["token"], strict=True)
    ]
    return labelled_sheet(
        [f"Each pair from the same noise: left “{plain}”, right “{token}”."], tiles[:SHOWN], PAIR_COLUMNS
    )


def as_json(readings: Sequence[Reading]) -> bytes:
    """The view of every picture."""
    words = {reading.words or "no view word": reading.views.tolist() for reading in readings}
    return (json.dumps({"views": words}, ensure_ascii=False) + "\n").encode()
