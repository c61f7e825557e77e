# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps per second of a whole job's stages, and the share that the diffusion model has in them."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from headsculpt.jobs.events import Event, JobControl, Progress
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.pack import Pack
from headsculpt.stages import coarse, fine

StageRow = tuple[str, float, float]
"""Stage; steps per second; share of the time in which the diffusion model predicts noise, 0 … 1."""


def stage_rows(pack: Path | None = None) -> list[StageRow]:
    """Of one job with the Preview preset, previews included. pack: a pack's folder, None for the pocket pack."""
    clock = _ModelClock()
    request = GenerateRequest("an old man with a red beard", pack=pack)
    with clock:
        report = run_generate(request, clock.hear, JobControl()).report
    steps = {coarse.STAGE: report["steps"]["coarse"], fine.STAGE: report["steps"]["fine"]}
    return [
        (stage, count / report["seconds"][stage], clock.seconds[stage] / report["seconds"][stage])
        for stage, count in steps.items()
    ]


class _ModelClock:
    """Counts, while it is entered, the seconds that all packs spend predicting noise, by the stage going on."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stage = coarse.STAGE
        self._predict = Pack.predict_noise

    def hear(self, event: Event) -> None:
        if isinstance(event, Progress) and event.steps:
            self._stage = fine.STAGE if event.stage == coarse.STAGE and event.step == event.steps else event.stage

    def __enter__(self) -> None:
        clock = self

        def timed(pack: Pack, *arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return clock._predict(pack, *arguments, **options)
            finally:
                clock.seconds[clock._stage] += time.perf_counter() - start

        Pack.predict_noise = timed  # type: ignore[assignment, method-assign]

    def __exit__(self, *_: object) -> None:
        Pack.predict_noise = self._predict  # type: ignore[method-assign]
