# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the heads of a preset's variants, each in a folder of its own, and none twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headsculpt.bench.measures import Found, measured
from headsculpt.bench.variants import BASE, Sweep, Variant
from headsculpt.errors import UserError
from headsculpt.evaluation.examples import Example
from headsculpt.evaluation.plan import Order
from headsculpt.evaluation.runs import Emit, Generate, finished, make
from headsculpt.jobs.events import Notice
from headsculpt.jobs.request import GenerateRequest
from headsculpt.stages.presets import PRESETS
from headsculpt.stages.settings import Preset


@dataclass(frozen=True)
class Job:
    """One head of one variant. group: None for the preset itself."""

    group: str | None
    variant: Variant
    example: Example
    request: GenerateRequest
    settings: Preset
    folder: Path

    @property
    def report(self) -> dict[str, Any] | None:
        """Of the head in the folder, if it is this one."""
        with in_force(self.request.preset, self.settings):
            return finished(self.folder, self.request)


@contextmanager
def in_force(name: str, settings: Preset) -> Iterator[None]:
    """While it is entered, jobs that name this preset run with these settings, and are known again by them."""
    kept = PRESETS[name]
    PRESETS[name] = settings
    try:
        yield
    finally:
        PRESETS[name] = kept


def jobs_of(group: str | None, variant: Variant, sweep: Sweep, out: Path, template: GenerateRequest) -> list[Job]:
    """The heads of a variant, of the sweep's base if there is no group. template: all of a request but its prompt and
    seed. Raises UserError for settings that there are not."""
    folder = out / BASE if group is None else out / group / variant.name
    preset = sweep.base.of(PRESETS[template.preset])
    settings = preset if group is None else variant.of(preset)
    examples = dict.fromkeys(order.example for order in sweep.plan.orders)
    again = tuple(Order(example, seed) for example in examples for seed in variant.seeds)
    template = replace(template, negative_prompt=variant.negative_prompt)
    return [
        Job(
            group,
            variant,
            order.example,
            replace(template, prompt=order.example.prompt, seed=order.seed),
            settings,
            folder / order.name,
        )
        for order in again or sweep.plan.orders
    ]


def make_heads(
    wanted: Sequence[Sequence[Job]],
    emit: Emit,
    generate: Generate,
    then: Callable[[], object],
    base_must_succeed: bool = True,
) -> None:
    """Makes what is not there yet, one variant after the other. then: called when one is done.

    A head that can not be made is told, or its error is raised if it is the base's own and that must succeed.
    """
    pending = [[job for job in jobs if job.report is None] for jobs in wanted]
    clock = _Clock(sum(map(len, pending)))
    for jobs in filter(None, pending):
        for job in jobs:
            emit(Notice(f"{clock.where()}: {job.group or BASE}, {job.variant.name}"))
            try:
                with in_force(job.request.preset, job.settings):
                    make(job.request, job.folder, emit, generate=generate)
            except (UserError, ValueError) as error:
                if base_must_succeed and job.group is None:
                    raise
                emit(Notice(f"{job.group or BASE}, {job.variant.name} made no head: {error}"))
        then()


def measured_job(job: Job, emit: Emit, base_must_succeed: bool = True) -> Found | None:
    """What is found of a job's head; None if it is not there, or can not be measured, which is told.

    Raises ValueError for a head of the base's own that can not be measured, if that must succeed.
    """
    report = job.report
    if report is None:
        return None
    try:
        return measured(job.example, job.request, job.folder, report)
    except ValueError as error:  # a head without a scalp
        if base_must_succeed and job.group is None:
            raise
        emit(Notice(f"{job.folder} can not be measured: {error}"))
        return None


class _Clock:
    """Which of all heads is made, and how long the rest will take."""

    def __init__(self, count: int) -> None:
        self.count, self.begun, self.start = count, 0, time.monotonic()

    def where(self) -> str:
        """Called before each head."""
        done, self.begun = self.begun, self.begun + 1
        text = f"Head {self.begun} of {self.count}"
        if not done:
            return text
        minutes = (time.monotonic() - self.start) / done * (self.count - done) / 60
        return f"{text}, {minutes // 60:.0f} h {minutes % 60:02.0f} min left"
