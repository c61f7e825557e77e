# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker whose jobs are over at once: the real line and loop, a stand-in for the computation.

It grows a sphere, or returns the chosen head as it came. Words in the prompt make it do what a real one does on a bad
day: print (a library's chatter), slow, deaf (hears no cancel), die, bug, refuse, notice, lie (indices out of range).
The landmarks that it finds are the first corners of as many triangles; words in the mesh's name make it slow, refuse,
doubt or lie.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np

from headsculpt.errors import UserError
from headsculpt.head.builtin import load_builtin
from headsculpt.head.landmarks import COUNT, MeshPoints
from headsculpt.head.space import HeadSpace
from headsculpt.jobs.events import Event, GenerateResult, JobControl, Notice, Preview, Progress, RegisterResult
from headsculpt.jobs.request import GenerateRequest, RegisterRequest
from headsculpt.mesh import Mesh, TexturedMesh
from headsculpt.worker import main

STEPS = 20
AS_IT_IS = HeadSpace(1.0, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))


def sphere(radius: float, rings: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float32 [V, 3] and triangles int32 [T, 3] of a closed sphere, y up, counter-clockwise from outside."""
    segments = 2 * rings
    polar = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    rows = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1
    ).reshape(-1, 3)
    vertices = np.concatenate([[[0, 1, 0]], rows, [[0, -1, 0]]]) * radius
    column = np.arange(segments)
    beside = (column + 1) % segments
    bands = [
        np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
        for ring in range(rings - 2)
        for a, b, c, d in [
            [
                1 + ring * segments + column,
                1 + ring * segments + beside,
                1 + (ring + 1) * segments + column,
                1 + (ring + 1) * segments + beside,
            ]
        ]
    ]
    top = np.stack([0 * column, 1 + column, 1 + beside], 1)
    last = 1 + (rings - 2) * segments
    bottom = np.stack([0 * column + len(vertices) - 1, last + beside, last + column], 1)
    return vertices.astype(np.float32), np.concatenate([top, *bands, bottom]).astype(np.int32)


def job(request: GenerateRequest, emit: Callable[[Event], None], control: JobControl) -> GenerateResult:
    words = set(request.prompt.split())
    if "refuse" in words:
        raise UserError("None of these words is known.", "Use others.")
    if "notice" in words:
        emit(Notice("Not known, and left out: zorp."))
    if "bug" in words:
        raise RuntimeError("deliberate")
    radius = 0.0
    for step in range(1, STEPS + 1):
        if "print" in words:
            print("a library's chatter", "x" * 100)
            os.write(1, b"and a C library's\n")
        if "die" in words and step == STEPS // 2:
            sys.stderr.write("about to die\n")
            sys.stderr.flush()
            os._exit(3)
        time.sleep(0.2 if words & {"slow", "deaf"} else 0.01)
        if "deaf" not in words:
            control.check()
        emit(Progress("Growing", step, STEPS, 50.0, (STEPS - step) * 0.02))
        radius = 0.05 + 0.1 * step / STEPS
        if step % 4 == 0:
            vertices, triangles = sphere(radius)
            emit(Preview(Mesh(vertices, triangles, (vertices / radius + 1) / 2)))
        if control.stop_requested:
            break
    vertices, triangles = sphere(radius)
    if request.head is not None:
        vertices, triangles = request.head.vertices, request.head.triangles
        if triangles is None:
            triangles = load_builtin().triangles
    if "lie" in words:
        triangles = triangles + len(vertices)
    return finished(vertices, triangles, {"pack": "fake", "versions": {"fake": "1"}, "steps": step})


def finished(vertices: np.ndarray, triangles: np.ndarray, report: dict[str, object]) -> GenerateResult:
    corners = np.clip(triangles, 0, len(vertices) - 1)
    corner_uv = (vertices[corners][..., :2] - vertices.min(0)[:2]) / np.ptp(vertices, 0)[:2]
    color = np.zeros((64, 64, 3), np.uint8)
    color[..., 0] = 200  # red on the whole, so that a swapped channel shows
    color[:32, :, 1] = 90
    flat = np.full((64, 64, 3), (128, 128, 255), np.uint8)
    normals = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    return GenerateResult(
        TexturedMesh(vertices, triangles, normals.astype(np.float32), corner_uv.astype(np.float32), color, flat),
        report,
        AS_IT_IS,
    )


def register(request: RegisterRequest, emit: Callable[[Event], None], control: JobControl) -> RegisterResult:
    """Row k of the mesh's triangles takes landmark k at its first corner, at its second where some were set by hand."""
    words = set(request.head.name.split())
    if "refuse" in words:
        raise UserError("This mesh does not look like a head.", "Choose another one.")
    for step in range(1, STEPS + 1):
        time.sleep(0.2 if "slow" in words else 0.005)
        control.check()
        emit(Progress("Finding the face", step, STEPS))
    rows = np.arange(COUNT, dtype=np.int32) % len(request.head.triangles)
    weights = np.zeros((COUNT, 3), np.float32)
    weights[:, 1 if len(request.fixed) else 0] = 1
    rows[request.fixed], weights[request.fixed] = request.places.triangles, request.places.barycentric
    if "lie" in words:
        rows += len(request.head.triangles)
    doubt = "The left and the right half differ much." if "doubt" in words else ""
    return RegisterResult(MeshPoints(rows, weights), AS_IT_IS, 0.012, doubt, 0.1)


if __name__ == "__main__":
    main({"generate": job, "register": register}, lambda: "a stand-in")
