# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `register`: any head mesh in, its landmarks and the way it faces out."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

from headsculpt.finish.files import write_whole
from headsculpt.head.registration.picture import landmark_picture
from headsculpt.head.registration.register import Registration, register
from headsculpt.jobs.events import Event, JobControl, Progress, RegisterResult
from headsculpt.jobs.request import HeadShape, RegisterRequest

STAGE = "Looking for the face"


def run_register(request: RegisterRequest, emit: Callable[[Event], None], control: JobControl) -> RegisterResult:
    """Finds the face of a mesh. Raises UserError for what is no head, and errors.Cancelled."""
    began = time.perf_counter()
    found = registered(request.head, emit, control, request)
    return RegisterResult(found.landmarks, found.space, found.error, found.doubt, round(time.perf_counter() - began, 2))


def write_registration(head: HeadShape, found: RegisterResult, folder: Path) -> list[Path]:
    """Writes what was found on a mesh: NAME.landmarks.json, and NAME.landmarks.png with the landmarks drawn."""
    assert head.triangles is not None
    points = found.landmarks.on(head.vertices, head.triangles)
    content = {
        "scale": found.space.scale,
        "rotation": found.space.rotation.tolist(),
        "translation": found.space.translation.tolist(),
        "fit_error": found.fit_error,
        "doubt": found.doubt,
        "seconds": found.seconds,
        "landmark_triangles": found.landmarks.triangles.tolist(),
        "landmark_barycentric": found.landmarks.barycentric.tolist(),
        "landmarks": points.tolist(),
    }
    image = io.BytesIO()
    landmark_picture(head.vertices, head.triangles, points, found.space).save(image, "PNG")
    return [
        write_whole(folder / f"{head.name}.landmarks.json", json.dumps(content).encode()),
        write_whole(folder / f"{head.name}.landmarks.png", image.getvalue()),
    ]


def registered(
    head: HeadShape, emit: Callable[[Event], None], control: JobControl, request: RegisterRequest | None = None
) -> Registration:
    """The registration of a mesh with triangles; request: what was set by hand on it."""
    emit(Progress(STAGE, 0, 0))
    if head.triangles is None:
        raise ValueError("what is to be registered needs its triangles")
    fixed, places = (None, None) if request is None else (request.fixed, request.places)
    return register(head.vertices, head.triangles, head.landmarks, fixed, places, after_step=control.check)
