# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `flame`: a FLAME file in, a head with sliders out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headsculpt.head.flame.licences import stated_version
from headsculpt.head.flame.model import JAW_OPEN
from headsculpt.head.flame.reading import load_flame
from headsculpt.jobs.events import Event, JobControl, Progress
from headsculpt.jobs.flame_request import FlameRequest


@dataclass(frozen=True)
class FlameResult:
    """What an object with sliders is built of, in metres, y up, the face along +z.

    vertices: float32 [V, 3]; triangles: int32 [T, 3]; shape [S, V, 3], expression [E, V, 3] and jaw [V, 3]: float32,
    displacements at value 1; eyeballs: uint8 [V], 1 where one is; report: version (its key, empty when the file does
    not say), file.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    jaw: NDArray[np.float32]
    eyeballs: NDArray[np.uint8]
    report: dict[str, Any]


def run_flame(request: FlameRequest, emit: Callable[[Event], None], control: JobControl) -> FlameResult:
    """Raises UserError when the file can not be read or is no FLAME model, and errors.Cancelled."""
    emit(Progress("Reading FLAME", 0, 0))
    model = load_flame(request.path, request.cache)
    control.check()
    version = stated_version(model.texts.values())
    return FlameResult(
        vertices=model.vertices,
        triangles=model.triangles,
        shape=model.shape[: request.shapes],
        expression=model.expression[: request.expressions],
        jaw=model.posed((), (), {"jaw": (JAW_OPEN, 0, 0)}) - model.vertices,
        eyeballs=model.eyeballs().astype(np.uint8),
        report={"version": version.key if version else "", "file": request.path.name},
    )
