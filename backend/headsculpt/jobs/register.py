# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `register`: any head mesh in, its landmarks and the way it faces out."""

from __future__ import annotations

import time
from collections.abc import Callable

from headsculpt.head.registration.register import Registration, register
from headsculpt.jobs.events import Event, JobControl, Progress, RegisterResult
from headsculpt.jobs.request import HeadShape, RegisterRequest

STAGE = "Looking for the face"


def run_register(request: RegisterRequest, emit: Callable[[Event], None], control: JobControl) -> RegisterResult:
    """Finds the face of a mesh. Raises UserError for what is no head, and errors.Cancelled."""
    began = time.perf_counter()
    found = registered(request.head, emit, control, request)
    return RegisterResult(found.landmarks, found.space, found.error, found.doubt, round(time.perf_counter() - began, 2))


def registered(
    head: HeadShape, emit: Callable[[Event], None], control: JobControl, request: RegisterRequest | None = None
) -> Registration:
    """The registration of a mesh with triangles; request: what was set by hand on it."""
    emit(Progress(STAGE, 0, 0))
    if head.triangles is None:
        raise ValueError("what is to be registered needs its triangles")
    fixed, places = (None, None) if request is None else (request.fixed, request.places)
    return register(head.vertices, head.triangles, head.landmarks, fixed, places, after_step=control.check)
