# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast meshes get through the line, beside the same bytes through a bare pipe."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import BinaryIO

from headsculpt.bench.shape import Row
from headsculpt.protocol import Array, Frame, encode, read_frame, write_frame

REPEATS = 20


def rows() -> list[Row]:
    return [_preview(count) for count in (50_000, 200_000)]


def _preview(vertices: int) -> Row:
    """A growing head of so many vertices: its frame, and then the same bytes as they are."""
    triangles = 2 * vertices
    arrays = {
        "vertices": Array("float32", (vertices, 3), bytes(vertices * 12)),
        "triangles": Array("int32", (triangles, 3), bytes(triangles * 12)),
        "colors": Array("uint8", (vertices, 3), bytes(vertices * 3)),
    }
    frame = Frame("preview", 1, {}, arrays)
    plain = b"".join(encode(frame))
    return (
        f"line, preview of {vertices:,} vertices ({len(plain) / 1e6:.1f} MB)",
        _through_a_pipe(lambda sink: write_frame(sink, frame), read_frame),
        _through_a_pipe(lambda sink: sink.write(plain), lambda source: source.read(len(plain))),
    )


def _through_a_pipe(write: Callable[[BinaryIO], object], read: Callable[[BinaryIO], object]) -> float:
    """Median milliseconds from the start of a write in one thread to the end of its read in another."""
    reading, writing = os.pipe()
    times = []
    with open(reading, "rb") as source, open(writing, "wb") as sink:

        def send() -> None:
            write(sink)
            sink.flush()

        for _ in range(REPEATS):
            start = time.perf_counter()
            sender = threading.Thread(target=send)
            sender.start()
            read(source)
            times.append(time.perf_counter() - start)
            sender.join()
    return median(times) * 1000
