# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a command is, on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headsculpt.jobs.events import Event


class ProgressLine:
    """Prints notices, and progress as one line a stage that is written over."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, event: Event) -> None:
        from headsculpt.jobs.events import Notice, Progress

        if isinstance(event, Notice):
            self.end()
            print(event.text, file=sys.stderr)
        elif isinstance(event, Progress):
            if self._stage != event.stage:
                self.end()
            self._stage = event.stage
            unit = "" if event.unit == "steps" else f" {event.unit}"
            steps = f" {event.step}/{event.steps}{unit}" if event.steps else ""
            speed = f", {event.steps_per_second:.1f}{unit}/s" if unit and event.steps_per_second else ""
            left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
            print(f"\r{event.stage}{steps}{speed}{left}        ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leaves the line that is written over."""
        if self._stage:
            print(file=sys.stderr)
        self._stage = ""
