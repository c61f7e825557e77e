# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of jobs that the worker does: a table from a request frame's type to what reads, does and answers it.

Another kind is another entry. What a job needs is imported when it runs, so that the worker answers at once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from headsculpt.jobs.events import Event, GenerateResult, JobControl, RegisterResult
from headsculpt.jobs.flame_request import FlameRequest
from headsculpt.jobs.learn_view_request import LearnViewRequest
from headsculpt.jobs.packs import PackRequest, run_packs
from headsculpt.jobs.request import GenerateRequest, RegisterRequest, points_to_arrays

if TYPE_CHECKING:
    from headsculpt.jobs.flame import FlameResult
    from headsculpt.jobs.learn_view import LearnViewResult

Request = TypeVar("Request")
Result = TypeVar("Result")

Arrays = dict[str, NDArray[Any]]
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class JobKind(Generic[Request, Result]):
    """One kind of job.

    read: the request from its frame's fields and arrays, UserError or ValueError for what is none; run: does it, tells
    its events, looks at the control between two steps; answer: the result frame's fields (JSON-able) and arrays, each
    of float32, int32 or uint8.
    """

    read: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], Request]
    run: Callable[[Request, Emit, JobControl], Result]
    answer: Callable[[Result], tuple[dict[str, Any], Arrays]]


def _generate(request: GenerateRequest, emit: Emit, control: JobControl) -> GenerateResult:
    from headsculpt.jobs.generate import run_generate

    return run_generate(request, emit, control)


def _generated(result: GenerateResult) -> tuple[dict[str, Any], Arrays]:
    mesh = result.mesh
    arrays: Arrays = {
        "vertices": mesh.vertices.astype(np.float32, copy=False),
        "triangles": mesh.triangles.astype(np.int32, copy=False),
        "normals": mesh.normals.astype(np.float32, copy=False),
        "corner_uv": mesh.corner_uv.astype(np.float32, copy=False),
        "base_color": _png(mesh.base_color),
        "normal_map": _png(mesh.normal_map),
    }
    return {"report": result.report}, arrays


def _register(request: RegisterRequest, emit: Emit, control: JobControl) -> RegisterResult:
    from headsculpt.jobs.register import run_register

    return run_register(request, emit, control)


def _registered(result: RegisterResult) -> tuple[dict[str, Any], Arrays]:
    fields = {
        "scale": result.space.scale,
        "rotation": result.space.rotation.tolist(),
        "translation": result.space.translation.tolist(),
        "fit_error": result.fit_error,
        "doubt": result.doubt,
        "seconds": result.seconds,
    }
    return fields, points_to_arrays("landmark", result.landmarks)


def _flame(request: FlameRequest, emit: Emit, control: JobControl) -> FlameResult:
    from headsculpt.jobs.flame import run_flame

    return run_flame(request, emit, control)


def _flame_read(result: FlameResult) -> tuple[dict[str, Any], Arrays]:
    names = ("vertices", "triangles", "shape", "expression", "jaw", "eyeballs")
    return {"report": result.report}, {name: getattr(result, name) for name in names}


def _learn_view(request: LearnViewRequest, emit: Emit, control: JobControl) -> LearnViewResult:
    from headsculpt.jobs.learn_view import run_learn_view

    return run_learn_view(request, emit, control)


def _learned(result: LearnViewResult) -> tuple[dict[str, Any], Arrays]:
    return {**asdict(result), "path": str(result.path)}, {}


def _png(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)  # 6 takes three times as long for 5 % less
    return np.frombuffer(buffer.getbuffer(), np.uint8)


KINDS: dict[str, JobKind[Any, Any]] = {
    GenerateRequest.KIND: JobKind(GenerateRequest.from_message, _generate, _generated),
    RegisterRequest.KIND: JobKind(RegisterRequest.from_message, _register, _registered),
    FlameRequest.KIND: JobKind(FlameRequest.from_message, _flame, _flame_read),
    LearnViewRequest.KIND: JobKind(LearnViewRequest.from_message, _learn_view, _learned),
    PackRequest.KIND: JobKind(PackRequest.from_message, run_packs, lambda text: ({"text": text}, {})),
}
