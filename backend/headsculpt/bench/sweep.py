# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings make the best heads? Each variant of a preset makes the same few; tables and pictures compare them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headsculpt.bench.measures import COLUMNS
from headsculpt.bench.sweep_pages import Row, sheet, table
from headsculpt.bench.variant_heads import Job, jobs_of, make_heads, measured_job
from headsculpt.bench.variants import Group, Sweep, Variant
from headsculpt.errors import UserError
from headsculpt.evaluation.pages import fill, write_picture
from headsculpt.evaluation.runs import Emit, Generate
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest
from headsculpt.stages.presets import PRESETS
from headsculpt.stages.settings import Preset

PAGE, DATA = "sweep.md", "sweep.json"


def run_sweep(
    sweep: Sweep,
    out: Path,
    template: GenerateRequest,
    emit: Emit,
    only: Sequence[str] = (),
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then tables and pictures of all that is; returns the files written for reading.

    out: gets preset/ and a folder for each group, in it one for each variant, in it one for each head; sweep.json,
    sweep.md and pictures/, written anew whenever a variant is done. template: all of a request but its prompt and
    seed. only: names of groups to make; none for all. Several processes may make different ones into the same folder.
    docs: a docs folder whose sweep.md and pictures/ are brought up to date. A variant whose head can not be made is
    named in the page; whatever happens to the preset's own is raised. Raises UserError for an unknown name or path.
    """
    preset = sweep.base.of(PRESETS[template.preset])
    groups = [_without_the_preset(group, preset) for group in sweep.groups]
    names = [group.name for group in groups]
    if unknown := [name for name in only if name not in names]:
        raise UserError(f"There is no group called {unknown[0]}.", f"There are {', '.join(names)}.")
    check_writable(out)
    base = jobs_of(None, sweep.base, sweep, out, template)
    by_group = {
        group.name: [jobs_of(group.name, variant, sweep, out, template) for variant in group.variants]
        for group in groups
    }
    wanted = [base, *(jobs for name in names if not only or name in only for jobs in by_group[name])]

    def write() -> list[Path]:
        return _write(groups, base, by_group, out, template.preset, emit, docs)

    make_heads(wanted, emit, generate, write)
    return write()


def _without_the_preset(group: Group, preset: Preset) -> Group:
    """Without variants that are the preset itself, which is every table's first row."""
    return replace(group, variants=tuple(variant for variant in group.variants if variant.differs_from(preset)))


def _row(jobs: Sequence[Job], emit: Emit) -> Row:
    """What there is of a variant."""
    found = [(head, job.folder) for job in jobs if (head := measured_job(job, emit)) is not None]
    return Row(jobs[0].variant.name, tuple(head for head, _ in found), tuple(path for _, path in found), len(jobs))


def _write(
    groups: Sequence[Group],
    base: Sequence[Job],
    by_group: dict[str, list[list[Job]]],
    out: Path,
    preset: str,
    emit: Emit,
    docs: Path | None,
) -> list[Path]:
    """Tables, pictures and data of all groups of which anything is there."""
    first = replace(_row(base, emit), name=f"{preset}, as it is")
    rows = {group.name: [_row(jobs, emit) for jobs in by_group[group.name]] for group in groups}
    shown = [group for group in groups if any(row.heads for row in rows[group.name])]
    sheets = {f"{preset}-{group.name}.jpg": sheet([first, *rows[group.name]]) for group in shown}
    page = "\n".join(_section(group, [first, *rows[group.name]], f"{preset}-{group.name}.jpg") for group in shown)
    written = [
        write_whole(out / DATA, _data(shown, first, rows)),
        write_whole(out / PAGE, page.encode()),
        *(write_picture(picture, out / "pictures" / name) for name, picture in sheets.items()),
    ]
    if docs is not None:
        written += [
            fill(docs / PAGE, f"sweep-{preset}", page.replace("(pictures/", "(pictures/sweep/")),
            *(write_picture(picture, docs / "pictures" / "sweep" / name) for name, picture in sheets.items()),
        ]
    return written


def _section(group: Group, rows: Sequence[Row], picture: str) -> str:
    return f"### {group.name}\n\n{group.question}\n\n{table(rows)}\n![{group.question}](pictures/{picture})\n"


def _data(groups: Sequence[Group], first: Row, rows: dict[str, list[Row]]) -> bytes:
    """Every single measurement, and what the tables say of them."""
    content = {
        "preset": _entry(first, Variant(first.name)),
        "groups": [
            {
                "name": group.name,
                "question": group.question,
                "variants": [
                    _entry(row, variant) for row, variant in zip(rows[group.name], group.variants, strict=True)
                ],
            }
            for group in groups
        ],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _entry(row: Row, variant: Variant) -> dict[str, Any]:
    return {
        "name": row.name,
        "settings": dict(variant.settings),
        "negative_prompt": variant.negative_prompt,
        "together": {column.title: column.of(row.heads) for column in COLUMNS},
        "heads": list(row.heads),
    }
