# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole method beside variants of it, with intervals: its ablations (Fig. 8), its rivals (Table 1, Fig. 17)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from headsculpt.bench.measures import (
    COLUMNS,
    Found,
    attributes_counted,
    faces_counted,
    views_counted,
)
from headsculpt.bench.sweep_pages import heads_sheet
from headsculpt.bench.variant_heads import Job, jobs_of, make_heads, measured_job
from headsculpt.bench.variants import Sweep
from headsculpt.errors import UserError
from headsculpt.evaluation.clip import ClipScore
from headsculpt.evaluation.evaluate import clip_if_there, clip_score
from headsculpt.evaluation.pages import SIDES, fill, write_picture
from headsculpt.evaluation.runs import Emit, Generate
from headsculpt.evaluation.shares import difference, wilson
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest

CONTEST = Path(__file__).with_name("contest.toml")
SHARED = tuple(column for column in COLUMNS if column.title in ("ΔE skin", "ΔE hair", "ΔE beard", "chroma", "s in all"))
"""Columns that a sweep has, too: medians."""


@dataclass(frozen=True)
class Contest:
    """group: of contest.toml, and the page's name; whole: what the whole method is called."""

    group: str
    whole: str


ABLATION, COMPARISON = Contest("ablation", "with both"), Contest("comparison", "ours")


@dataclass(frozen=True)
class Side:
    """One row: its name, its heads as planned, what was found of each (None: there is no head), CLIP's word where there
    is a CLIP."""

    name: str
    jobs: tuple[Job, ...]
    found: tuple[Found | None, ...]
    clips: tuple[ClipScore, ...] = ()

    @property
    def heads(self) -> list[Found]:
        return [found for found in self.found if found is not None]


def run_contest(
    contest: Contest,
    sweep: Sweep,
    out: Path,
    template: GenerateRequest,
    emit: Emit,
    only: Sequence[str] = (),
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then table and pictures of all that is; returns the files written for reading.

    out: gets folders as a sweep's, so that both contests share the whole method's heads; NAME.json, NAME.md and
    pictures/. template: all of a request but its prompt and seed. only: names of rows to make; none for all. Several
    processes may make different ones into the same folder. docs: a docs folder whose NAME.md and pictures/ are brought
    up to date. A head that can not be made is told and counted. Raises UserError for an unknown name or path.
    """
    group = next((group for group in sweep.groups if group.name == contest.group), None)
    if group is None:
        raise UserError(f"This list has no group called {contest.group}.", f"Write one as {CONTEST.name} does.")
    rows = {contest.whole: jobs_of(None, sweep.base, sweep, out, template)}
    rows |= {variant.name: jobs_of(group.name, variant, sweep, out, template) for variant in group.variants}
    if unknown := [name for name in only if name not in rows]:
        raise UserError(f"There is nothing called {unknown[0]}.", f"There are {', '.join(rows)}.")
    check_writable(out)

    def write() -> list[Path]:
        sides = [_side(name, jobs, emit) for name, jobs in rows.items()]
        return _write(contest, group.question, [side for side in sides if side.heads], out, docs)

    wanted = [jobs for name, jobs in rows.items() if not only or name in only]
    make_heads(wanted, emit, generate, write, base_must_succeed=False)
    return write()


def _side(name: str, jobs: Sequence[Job], emit: Emit) -> Side:
    """What there is of a row."""
    found = tuple(measured_job(job, emit, base_must_succeed=False) for job in jobs)
    clip = clip_if_there(jobs[0].request)
    prompts = list(dict.fromkeys(job.example.prompt for job in jobs))
    there = [job for job, head in zip(jobs, found, strict=True) if head is not None]
    clips = tuple(clip_score(clip, job.request, job.folder, prompts) for job in there) if clip else ()
    return Side(name, tuple(jobs), found, clips)


def table(sides: Sequence[Side]) -> str:
    """A Markdown table, a row for each side; shares with Wilson's 95 % intervals."""
    columns = [column for column in SHARED if any(column.of(side.heads) is not None for side in sides)]
    clip = any(side.clips for side in sides)
    titles = ["", "heads", "asked and there", "in the worst seed", "heads with a second face", "such views from behind"]
    titles += [column.title for column in columns] + (["CLIP-R", "CLIP-S"] if clip else [])
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for side in sides:
        cells = [side.name, f"{len(side.heads)} of {len(side.jobs)}"]
        cells += [_share(*attributes_counted(side.heads)), _worst_seed(side)]
        cells += [_share(*faces_counted(side.heads)), _plain_share(*views_counted(side.heads))]
        cells += [column.text(side.heads) for column in columns]
        if clip:
            cells.append(f"{fmean(100 * score.retrieval for score in side.clips):.1f}" if side.clips else "–")
            cells.append(f"{fmean(score.similarity for score in side.clips):.2f}" if side.clips else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _share(successes: int, trials: int) -> str:
    if not trials:
        return "–"
    low, high = wilson(successes, trials)
    return f"{successes} of {trials}, {successes / trials:.0%} ({low:.0%} to {high:.0%})"


def _plain_share(successes: int, trials: int) -> str:
    """Neighbouring views are no independent trials, so an interval would say too much."""
    return f"{successes / trials:.0%}"


def _worst_seed(side: Side) -> str:
    """The share of asked attributes in each prompt's worst seed, a missing head counting as none, over all prompts."""
    by_prompt: dict[str, list[float]] = {}
    for job, head in zip(side.jobs, side.found, strict=True):
        there, asked = attributes_counted([head] if head else [])
        if asked or head is None:
            by_prompt.setdefault(job.example.name, []).append(there / asked if asked else 0.0)
    judged = any(attributes_counted([head])[1] for head in side.heads)
    return f"{fmean(map(min, by_prompt.values())):.0%}" if judged else "–"


def verdicts(sides: Sequence[Side]) -> str:
    """A line for each side but the first: how it differs from that, as far as so many heads can tell."""
    whole, *others = sides
    lines = [f"- **{side.name}**: {'; '.join(filter(None, _verdicts(whole, side)))}." for side in others]
    return "\n".join(lines) + "\n" if lines else ""


def _verdicts(whole: Side, side: Side) -> list[str]:
    missing = len(side.jobs) - len(side.heads)
    asked = _verdict("asked attributes", attributes_counted(side.heads), attributes_counted(whole.heads))
    faces = _verdict("heads with a second face", faces_counted(side.heads), faces_counted(whole.heads))
    return [asked, faces, f"{missing} of {len(side.jobs)} heads could not be made" if missing else ""]


def _verdict(what: str, counts: tuple[int, int], others: tuple[int, int]) -> str:
    if not (counts[1] and others[1]):
        return ""
    low, high = difference(*counts, *others)
    points = 100 * (counts[0] / counts[1] - others[0] / others[1])
    sure = "" if low > 0 or high < 0 else ": that can be chance"
    return f"{what} {points:+.0f} points ({100 * low:+.0f} to {100 * high:+.0f}){sure}"


def _write(contest: Contest, question: str, sides: Sequence[Side], out: Path, docs: Path | None) -> list[Path]:
    if not sides:
        return []
    name, first = contest.group, sides[0].jobs
    sheets = {}
    for prompt in dict.fromkeys(job.example.name for job in first):
        places = [index for index, job in enumerate(first) if job.example.name == prompt]
        rows = [
            (side.name, [side.jobs[index].folder if side.found[index] else None for index in places]) for side in sides
        ]
        if any(folder for _, folders in rows for folder in folders):
            sheets[prompt] = heads_sheet(rows, SIDES)
    page = _page(question, sides, list(sheets))
    written = [
        write_whole(out / f"{name}.json", _data(sides)),
        write_whole(out / f"{name}.md", page.encode()),
        *(write_picture(sheet, out / "pictures" / f"{prompt}.jpg") for prompt, sheet in sheets.items()),
    ]
    if docs is not None:
        folder = docs / "pictures" / name
        written += [
            fill(docs / f"{name}.md", name, page.replace("(pictures/", f"(pictures/{name}/")),
            *(write_picture(sheet, folder / f"{prompt}.jpg") for prompt, sheet in sheets.items()),
        ]
    return written


def _page(question: str, sides: Sequence[Side], prompts: Sequence[str]) -> str:
    first = sides[0].jobs
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(job.request.seed for job in first))
    steps = first[0].settings.coarse.steps
    parts = [
        f"{question} Coarse stage alone, {steps} steps, seeds {seeds}.\n",
        table(sides),
        f"Beside “{sides[0].name}”, in percentage points with 95 % intervals:\n\n{verdicts(sides)}"
        if sides[1:]
        else "",
    ]
    by_name = {job.example.name: job.example.prompt for job in first}
    columns = f"Seeds {seeds} in columns, each from the front, the side and the back; a row each: "
    columns += "; ".join(side.name for side in sides) + "."
    parts.append(columns + "\n")
    parts += [f"**{name}**: “{by_name[name]}”\n\n![{by_name[name]}](pictures/{name}.jpg)\n" for name in prompts]
    return "\n".join(parts)


def _data(sides: Sequence[Side]) -> bytes:
    """Every single measurement."""
    content = [
        {
            "name": side.name,
            "settings": dict(side.jobs[0].variant.settings),
            "heads": [
                {"folder": job.folder.name, "found": None if head is None else dict(head)}
                for job, head in zip(side.jobs, side.found, strict=True)
            ],
        }
        for side in sides
    ]
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
