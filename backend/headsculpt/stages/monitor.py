# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stage tells the outside world where it is, and hears that it should end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headsculpt.mesh import Mesh


class Monitor(Protocol):
    """It may look at what a stage computes, but never changes it."""

    def after_step(self, stage: str, step: int, steps: int, mesh: Callable[[], Mesh]) -> bool:
        """Report that `step` of `steps` is done; `mesh` extracts the present surface, at a cost.

        Returns True when the stage should end now and keep what there is.
        Raises errors.Cancelled when the job should end and keep nothing.
        """
        ...

    def notice(self, text: str) -> None:
        """Tells the user a sentence while the stage goes on."""
        ...


class SilentMonitor:
    """A monitor for callers who want only the result."""

    def after_step(self, stage: str, step: int, steps: int, mesh: Callable[[], Mesh]) -> bool:
        return False

    def notice(self, text: str) -> None:
        pass
