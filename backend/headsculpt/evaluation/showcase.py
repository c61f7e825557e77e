# SPDX-License-Identifier: GPL-3.0-or-later
"""Six heads from six sentences, as pictures and as measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headsculpt.errors import UserError
from headsculpt.evaluation.examples import EXAMPLES, Example
from headsculpt.evaluation.pages import fill, head_picture, table, write_data, write_picture
from headsculpt.evaluation.runs import Emit, Generate, Outcome, examine, finished, make
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest

PAGE, MARK = "showcase.md", "showcase"


def run_showcase(
    out: Path,
    template: GenerateRequest,
    emit: Emit,
    only: Sequence[str] = (),
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then table and pictures of all that is; returns the files written for reading.

    out: gets a folder for each head, pictures/, showcase.md and showcase.json. template: all of a request but its
    prompt. only: names of examples to make; none for all. Several processes may make different ones into the same
    folder: the last to end sees them all. docs: a docs folder whose showcase.md and pictures/ are brought up to date.
    Raises UserError for an unknown name, and whatever a job raises.
    """
    check_writable(out)
    for example in chosen(only):
        make(replace(template, prompt=example.prompt), out / example.name, emit, generate=generate)
    outcomes = [outcome for example in EXAMPLES if (outcome := _outcome(example, template, out))]
    page = _page(outcomes)
    written = [
        write_data(outcomes, out / "showcase.json"),
        write_whole(out / PAGE, page.encode()),
        *(_picture(outcome, out) for outcome in outcomes),
    ]
    if docs is not None:
        written += [fill(docs / PAGE, MARK, page), *(_picture(outcome, docs) for outcome in outcomes)]
    return written


def chosen(names: Sequence[str]) -> list[Example]:
    """The examples of these names, in their own order; all if there is no name."""
    known = [example.name for example in EXAMPLES]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"There is no example called {unknown[0]}.", f"There are {', '.join(known)}.")
    return [example for example in EXAMPLES if not names or example.name in names]


def _outcome(example: Example, template: GenerateRequest, out: Path) -> Outcome | None:
    request = replace(template, prompt=example.prompt)
    report = finished(out / example.name, request)
    return None if report is None else examine(example, request, out / example.name, report)


def _page(outcomes: Sequence[Outcome]) -> str:
    titles = [outcome.example.name for outcome in outcomes]
    parts = [table(outcomes, titles)]
    for outcome in outcomes:
        name, prompt = outcome.example.name, outcome.example.prompt
        parts.append(f"**{name}**: “{prompt}”\n\n![{prompt}](pictures/{name}.jpg)\n")
    return "\n".join(parts)


def _picture(outcome: Outcome, parent: Path) -> Path:
    return write_picture(head_picture(outcome.folder), parent / "pictures" / f"{outcome.example.name}.jpg")
