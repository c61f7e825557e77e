# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a job: progress and previews out, cancel and stop in, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headsculpt.head.space import HeadSpace
from headsculpt.jobs.events import Event, JobControl, Notice, Preview, Progress
from headsculpt.mesh import Mesh

FIRST_PREVIEW = 10
"""Steps before the first preview: until then there is only the chosen head to see."""
PREVIEW_SHARE = 0.1
"""Share of a job's time that previews may take."""
FINISH_SHARE = 0.15
"""What finishing takes beside the stages, for the estimate of the time left."""


class JobMonitor:
    """A stages.monitor.Monitor that speaks in events. It only looks on: results do not depend on it."""

    def __init__(
        self,
        space: HeadSpace,
        steps: dict[str, int],
        preview_seconds: float,
        emit: Callable[[Event], None],
        control: JobControl,
    ) -> None:
        """space: of the chosen head, in whose own coordinates previews are; steps: planned, by stage, in order."""
        self._space = space
        self._planned = steps
        self._preview_seconds = preview_seconds
        self._emit = emit
        self._control = control
        self._start = time.perf_counter()
        self._last_preview = -float("inf")
        self._preview_time = 0.0
        self._stage_start: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.notices: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the job whose time is to be known; announced when it begins, unless its steps announce it."""
        self._control.check()
        if name not in self._planned:
            self._emit(Progress(name, 0, 0))
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 2)

    def after_step(self, stage: str, step: int, steps: int, mesh: Callable[[], Mesh]) -> bool:
        self._control.check()
        now = time.perf_counter()
        began = self._stage_start.setdefault(stage, now)
        rate = (step - 1) / (now - began) if step > 1 else 0.0
        self._emit(Progress(stage, step, steps, rate, self._seconds_left(stage, step, rate)))
        if self._preview_is_due(step, now):
            self._send_preview(mesh)
        return self._control.stop_requested

    def notice(self, text: str) -> None:
        self.notices.append(text)
        self._emit(Notice(text))

    def _seconds_left(self, stage: str, step: int, rate: float) -> float | None:
        """Later stages are taken to be as fast as this one: wrong, but in the right order, until they run."""
        if rate == 0:
            return None
        names = list(self._planned)
        later = sum(self._planned[name] for name in names[names.index(stage) + 1 :])
        return (self._planned[stage] - step + later) / rate * (1 + FINISH_SHARE)

    def _preview_is_due(self, step: int, now: float) -> bool:
        if not self._preview_seconds or step < FIRST_PREVIEW:
            return False
        within_share = self._preview_time <= PREVIEW_SHARE * (now - self._start)
        return within_share and now - self._last_preview >= self._preview_seconds

    def _send_preview(self, extract: Callable[[], Mesh]) -> None:
        began = time.perf_counter()
        mesh = extract()
        self._emit(Preview(Mesh(self._space.from_head(mesh.vertices), mesh.triangles, mesh.colors)))
        self._last_preview = time.perf_counter()
        self._preview_time += self._last_preview - began
