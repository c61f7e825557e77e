# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it the model that does it? One run, the same without a trained U-Net, and the same with another prompt's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headsculpt.evaluation.examples import EXAMPLES
from headsculpt.evaluation.pages import fill, rows_picture, table, write_data, write_picture
from headsculpt.evaluation.runs import Emit, Generate, Outcome, examine, make
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest

PAGE, MARK, PICTURE = "controls.md", "controls", "controls.jpg"
ASKED = EXAMPLES[0]
"""What all three runs are judged against."""


@dataclass(frozen=True)
class Control:
    """name: of its folder; title: of its row. A prompt reaches a run only as its embedding: another prompt is another
    embedding, and nothing else is different."""

    name: str
    title: str
    prompt: str = ASKED.prompt
    random_unet: bool = False


CONTROLS = (
    Control("as-it-is", "as it is"),
    Control("random-unet", "random U-Net weights", random_unet=True),
    Control("other-words", "another prompt's embedding", prompt="a smiling person with pale skin and long blond hair"),
)


def run_controls(
    out: Path,
    template: GenerateRequest,
    emit: Emit,
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then the table and a picture with a row for each run; returns the files for reading.

    out: gets a folder for each run, pictures/controls.jpg, controls.md and controls.json. template: all of a request
    but its prompt. docs: a docs folder whose controls.md and pictures/ are brought up to date. Raises whatever a job
    raises.
    """
    check_writable(out)
    outcomes = []
    for control in CONTROLS:
        request = replace(template, prompt=control.prompt)
        report = make(request, out / control.name, emit, control.random_unet, generate)
        outcomes.append(examine(ASKED, request, out / control.name, report))
    page = _page(outcomes)
    picture = rows_picture([outcome.folder for outcome in outcomes])
    written = [
        write_data(outcomes, out / "controls.json"),
        write_whole(out / PAGE, page.encode()),
        write_picture(picture, out / "pictures" / PICTURE),
    ]
    if docs is not None:
        written += [fill(docs / PAGE, MARK, page), write_picture(picture, docs / "pictures" / PICTURE)]
    return written


def _page(outcomes: Sequence[Outcome]) -> str:
    titles = [control.title for control in CONTROLS]
    caption = f"From the top: {'; '.join(titles)}."
    seed = outcomes[0].report["seed"]
    asked = f"Asked of all three: “{ASKED.prompt}”. Seed {seed}, preset {outcomes[0].report['preset']}."
    return f"{asked}\n\n{table(outcomes, titles)}\n![{caption}](pictures/{PICTURE})\n\n{caption}\n"
