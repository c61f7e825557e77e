# SPDX-License-Identifier: GPL-3.0-or-later
"""Many heads from a list of prompts and seeds, and what share of what they were asked for is there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median

from headsculpt.errors import UserError
from headsculpt.evaluation.clip import AZIMUTHS, FOLDER, SIZE, Clip, ClipScore
from headsculpt.evaluation.judge.reading import View, photographs
from headsculpt.evaluation.judgement import Judgement, share_kept
from headsculpt.evaluation.pages import (
    attributes_cell,
    color_cell,
    fill,
    second_face_cell,
    stacked,
    strip_picture,
    write_picture,
)
from headsculpt.evaluation.plan import Order, Plan
from headsculpt.evaluation.runs import Emit, Generate, Outcome, examine, exported, finished, make
from headsculpt.evaluation.shares import share_text
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.jobs.events import Notice
from headsculpt.jobs.generate import POCKET, run_generate
from headsculpt.jobs.request import GenerateRequest

PAGE, MARK, DATA, SHEET = "quality.md", "quality", "evaluation.json", "sheet.jpg"


@dataclass(frozen=True)
class Result:
    """One finished head of a plan. clip: None without a CLIP."""

    order: Order
    outcome: Outcome
    clip: ClipScore | None = None


def run_evaluation(
    plan: Plan,
    out: Path,
    template: GenerateRequest,
    emit: Emit,
    only: Sequence[str] = (),
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then judges all that is; returns the files written for reading.

    out: gets a folder for each head, evaluation.json, quality.md, sheet.jpg and pictures/ with a strip for each prompt.
    template: all of a request but its prompt and seed. only: names of prompts to make; none for all. Several processes
    may make different ones into the same folder: the last to end sees them all. docs: a docs folder whose quality.md
    and pictures/ are brought up to date. Raises UserError for an unknown name, and whatever a job raises.
    """
    check_writable(out)
    orders = chosen(plan, only)
    for number, order in enumerate(orders, 1):
        emit(Notice(f"Head {number} of {len(orders)}"))
        make(_request(order, template), out / order.name, emit, generate=generate)
    clip = clip_if_there(template)
    if clip is None:
        emit(Notice("The pack has no CLIP, so CLIP-R and CLIP-S are left out."))
    prompts = list(dict.fromkeys(order.example.prompt for order in plan.orders))
    results = [result for order in plan.orders if (result := _result(order, template, out, clip, prompts))]
    strips = {
        name: strip_picture([result.outcome.folder for result in group])
        for name, group in itertools.groupby(results, lambda result: result.order.example.name)
    }
    page = _page(results, template.preset)
    written = [
        write_whole(out / DATA, _data(results)),
        write_whole(out / PAGE, page.encode()),
        write_picture(stacked(list(strips.values())), out / SHEET),
        *(write_picture(strip, out / "pictures" / f"{name}.jpg") for name, strip in strips.items()),
    ]
    if docs is not None:
        written += [
            fill(docs / PAGE, MARK, page.replace("(pictures/", "(pictures/quality/")),
            *(write_picture(strip, docs / "pictures" / "quality" / f"{name}.jpg") for name, strip in strips.items()),
        ]
    return written


def chosen(plan: Plan, names: Sequence[str]) -> list[Order]:
    """The orders of prompts with these names; all if there is no name."""
    if unknown := [name for name in names if name not in plan.names]:
        raise UserError(f"The list has no prompt called {unknown[0]}.", f"It has {', '.join(plan.names)}.")
    return [order for order in plan.orders if not names or order.example.name in names]


def _request(order: Order, template: GenerateRequest) -> GenerateRequest:
    return replace(template, prompt=order.example.prompt, seed=order.seed)


def clip_if_there(template: GenerateRequest) -> Clip | None:
    """The CLIP in the request's pack, if there is one."""
    folder = (template.pack or POCKET) / FOLDER
    return Clip(folder) if folder.is_dir() else None


def clip_score(clip: Clip, request: GenerateRequest, folder: Path, prompts: Sequence[str]) -> ClipScore:
    """What it says of a finished head beside its own and all prompts."""
    pictures = photographs(exported(request, folder), [View(azimuth) for azimuth in AZIMUTHS], SIZE)
    return clip.score(pictures, request.prompt, prompts)


def _result(
    order: Order, template: GenerateRequest, out: Path, clip: Clip | None, prompts: Sequence[str]
) -> Result | None:
    request = _request(order, template)
    report = finished(out / order.name, request)
    if report is None:
        return None
    outcome = examine(order.example, request, out / order.name, report)
    return Result(order, outcome, clip_score(clip, request, outcome.folder, prompts) if clip else None)


def summary(results: Sequence[Result]) -> list[tuple[str, str]]:
    """What all heads together show: names and figures."""
    judgements = [result.outcome.judgement for result in results]
    faces = [judgement.second_face for judgement in judgements]
    colors = [judgement.findings.colors for judgement in judgements]
    lines = []
    if share_kept(judgements)[1]:
        lines.append(("asked attributes that are there", share_text(*share_kept(judgements))))
        by_others = share_text(*_by_others(results))
        lines.append(("the same of every head by the other prompts' wishes (chance)", by_others))
    for region in ("skin", "hair", "beard", "scalp"):
        found = [by_region[region].difference for by_region in colors if region in by_region]
        if found:
            lines.append((f"ΔE of {region}, median of {len(found)}", f"{median(found):.1f}"))
    views = sum(face.seen for face in faces), sum(face.looked for face in faces)
    lines.append(("heads with a second face", f"{sum(face.two_faced for face in faces)} of {len(faces)}"))
    lines.append(("views from behind that show a face", f"{views[0]} of {views[1]}"))
    if clips := [result.clip for result in results if result.clip]:
        lines.append(("CLIP-R", f"{fmean(100 * clip.retrieval for clip in clips):.1f}"))
        lines.append(("CLIP-S", f"{fmean(clip.similarity for clip in clips):.2f}"))
    lines.append(("seconds a head, median", f"{median(result.outcome.seconds for result in results):.0f}"))
    return lines


def _by_others(results: Sequence[Result]) -> tuple[int, int]:
    """Asked attributes that are there when each head is held against every other prompt: what luck alone gives."""
    wishes = {result.order.example.prompt: result.outcome.judgement.asked for result in results}
    swapped = [
        replace(result.outcome.judgement, asked=asked)
        for result in results
        for prompt, asked in wishes.items()
        if prompt != result.order.example.prompt
    ]
    return share_kept(swapped)


def by_attribute(judgements: Sequence[Judgement]) -> dict[str, tuple[int, int]]:
    """How often each attribute is there, and how often it was asked for."""
    counts: dict[str, tuple[int, int]] = {}
    for judgement in judgements:
        for name, kept in judgement.kept.items():
            there, all_of_it = counts.get(name, (0, 0))
            counts[name] = there + kept, all_of_it + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1][1]))


def _page(results: Sequence[Result], preset: str) -> str:
    attributes = by_attribute([result.outcome.judgement for result in results])
    parts = [
        f"{len(results)} heads, preset {preset}.\n",
        "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in summary(results)),
        "| attribute | there | asked |\n|---|---|---|\n"
        + "".join(f"| {name} | {there} | {count} |\n" for name, (there, count) in attributes.items()),
        "| head | asked attributes there | ΔE skin | ΔE hair | second face | seconds |\n|---|---|---|---|---|---|\n"
        + "".join(map(_row, results)),
    ]
    for name, group in itertools.groupby(results, lambda result: result.order.example.name):
        heads = list(group)
        prompt, seeds = heads[0].order.example.prompt, ", ".join(str(head.order.seed) for head in heads)
        parts.append(f"**{name}**: “{prompt}”, seeds {seeds}\n\n![{prompt}](pictures/{name}.jpg)\n")
    return "\n".join(parts)


def _row(result: Result) -> str:
    outcome = result.outcome
    cells = [
        result.order.name,
        attributes_cell(outcome),
        color_cell(outcome, "skin"),
        color_cell(outcome, "hair"),
        second_face_cell(outcome),
        f"{outcome.seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _data(results: Sequence[Result]) -> bytes:
    attributes = by_attribute([result.outcome.judgement for result in results])
    content = {
        "summary": dict(summary(results)),
        "attributes": {name: {"there": there, "asked": count} for name, (there, count) in attributes.items()},
        "heads": [{**result.outcome.as_json(), "clip": result.clip and asdict(result.clip)} for result in results],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
