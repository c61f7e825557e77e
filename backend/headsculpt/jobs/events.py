# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job tells while it runs, how it is told to end, and what it gives back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from ..errors import Cancelled
from ..head.landmarks import MeshPoints
from ..head.space import HeadSpace
from ..mesh import Mesh, TexturedMesh


@dataclass(frozen=True)
class Progress:
    """How far a job is. May be emitted at every step: whoever passes it on thins it out."""

    stage: str
    """What is going on, in the user's words: “Growing the shape”."""
    step: int
    """Steps of this stage that are done."""
    steps: int
    """Steps of this stage; 0 when that is not known."""
    steps_per_second: float = 0.0
    """0 when not known."""
    seconds_left: float | None = None
    """Of the whole job; None when not known."""
    unit: str = "steps"
    """What a step is, in the plural: `steps`, or `MB` of a download."""


@dataclass(frozen=True)
class Preview:
    """The head as it is now, in the chosen head's own coordinates, with colours by vertex."""

    mesh: Mesh


@dataclass(frozen=True)
class Notice:
    """Something the user should know about although the job goes on, in one sentence."""

    text: str


Event = Progress | Preview | Notice


@dataclass(frozen=True)
class GenerateResult:
    """mesh: in the chosen head's own coordinates. report: JSON-able; seed, steps, times by stage, versions …
    space: how the chosen head stands in those coordinates."""

    mesh: TexturedMesh
    report: dict[str, Any]
    space: HeadSpace


@dataclass(frozen=True)
class RegisterResult:
    """Where the face of a mesh is.

    landmarks: MediaPipe's 478 points on the mesh; space: the similarity from the mesh's coordinates to head space;
    fit_error: how far the mesh is off the head that was fitted to it, as a share of the head's height (crown to chin);
    doubt: why the user should look at it, a sentence, empty when all is well; seconds: that it took.
    """

    landmarks: MeshPoints
    space: HeadSpace
    fit_error: float
    doubt: str
    seconds: float


class JobControl:
    """How other threads end a job: `cancel` gives it up, `stop` ends its stage and keeps what there is."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._stop_requested = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def stop(self) -> None:
        self._stop_requested.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def stop_requested(self) -> bool:
        return self._stop_requested.is_set()

    def check(self) -> None:
        """Called by a job between two steps. Raises Cancelled when the user has given the job up."""
        if self.cancelled:
            raise Cancelled
