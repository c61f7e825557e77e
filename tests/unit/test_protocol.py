# SPDX-License-Identifier: GPL-3.0-or-later
"""The line's frames: what goes in comes out, and nothing else comes out."""

from __future__ import annotations

import io
import json
import random
import struct
import sys
from pathlib import Path

import pytest

from headsculpt import protocol
from headsculpt.protocol import MAGIC, Array, Frame, ProtocolError, encode, read_frame, write_frame

SAMPLE = Frame(
    "preview",
    7,
    {"text": "“ü” \0", "left": None, "rate": 2.5},
    {
        "vertices": Array("float32", (2, 3), struct.pack("<6f", *range(6))),
        "triangles": Array("int32", (1, 3), struct.pack("<3i", 0, 1, -1)),
        "colors": Array("uint8", (0, 3), b""),
        "single": Array("uint8", (), b"\xff"),
    },
)


def to_bytes(frame: Frame) -> bytes:
    stream = io.BytesIO()
    write_frame(stream, frame)
    return stream.getvalue()


def raw_frame(header: object, payload: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(MAGIC + struct.pack("<I", len(text)) + text + payload)


def valid_header(**changes: object) -> dict[str, object]:
    return {"version": protocol.VERSION, "type": "x", "job": 0, "fields": {}, "buffers": [], **changes}


def same(a: Frame, b: Frame) -> bool:
    plain = [
        (f.type, f.job, dict(f.fields), {n: (v.dtype, v.shape, bytes(v.data)) for n, v in f.arrays.items()})
        for f in (a, b)
    ]
    return plain[0] == plain[1]


def test_frames_come_out_as_they_went_in() -> None:
    stream = io.BytesIO(to_bytes(SAMPLE) + to_bytes(Frame("alive")))
    first, second, end = read_frame(stream), read_frame(stream), read_frame(stream)
    assert first is not None and same(first, SAMPLE)
    assert second is not None and same(second, Frame("alive"))
    assert end is None


def test_layout_is_the_documented_one() -> None:
    """Read by hand, so that both sides can not drift together from what the docstring says."""
    data = to_bytes(Frame("t", 3, {}, {"v": Array("int32", (2,), struct.pack("<2i", 5, 6))}))
    magic, length = struct.unpack_from("<4sI", data)
    header = json.loads(data[8 : 8 + length])
    assert magic == b"HSC1"
    assert header["buffers"] == [{"name": "v", "dtype": "int32", "shape": [2]}]
    assert struct.unpack("<2i", data[8 + length :]) == (5, 6)


def test_a_pipe_that_gives_one_byte_at_a_time_is_enough() -> None:
    class Trickle(io.BytesIO):
        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            return super().readinto(buffer[:1])

    frame = read_frame(Trickle(to_bytes(SAMPLE)))
    assert frame is not None and same(frame, SAMPLE)


def test_every_truncation_is_an_error_and_never_a_frame() -> None:
    data = to_bytes(SAMPLE)
    for length in range(1, len(data)):
        with pytest.raises(ProtocolError):
            read_frame(io.BytesIO(data[:length]))


def test_random_bytes_and_random_damage_give_frames_or_protocol_errors() -> None:
    chance = random.Random(0)
    good = to_bytes(SAMPLE)
    for _ in range(3000):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        noise = chance.randbytes(chance.randint(1, 200))
        for data in (bytes(damaged), noise, MAGIC + noise):
            try:
                read_frame(io.BytesIO(data))
            except ProtocolError:
                continue


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (valid_header(version=protocol.VERSION + 1), "version"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([1], "object"),
        (valid_header(job="1"), "job"),
        (valid_header(buffers=[{"name": "a", "dtype": "float64", "shape": [1]}]), "type"),
        (valid_header(buffers=[{"name": "a", "dtype": ["uint8"], "shape": [1]}]), "type"),
        (valid_header(buffers=[{"name": "a", "dtype": "uint8", "shape": [-1]}]), "shape"),
        (valid_header(buffers=[{"name": "a", "dtype": "uint8", "shape": [True]}]), "shape"),
        (valid_header(buffers=[{"name": "a", "dtype": "uint8", "shape": [1] * 5}]), "shape"),
        (valid_header(buffers=[{"name": "a", "dtype": "float32", "shape": [1 << 29]}]), "too large"),
        (valid_header(buffers=[{"name": "a", "dtype": "uint8", "shape": [0]}] * 2), "name"),
        (valid_header(buffers=[{"name": str(i), "dtype": "uint8", "shape": [0]} for i in range(17)]), "too many"),
    ],
)
def test_headers_that_are_refused(header: object, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        read_frame(raw_frame(header, bytes(8)))


def test_a_print_in_the_line_is_named_in_the_error() -> None:
    with pytest.raises(ProtocolError, match="Welcome"):
        read_frame(io.BytesIO(b"Welcome to host\n"))


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    stream = io.BytesIO(MAGIC + struct.pack("<I", 0xFFFFFFFF))
    with pytest.raises(ProtocolError, match="too long"):
        read_frame(stream)


def test_a_buffer_that_is_not_as_long_as_its_shape_says_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        list(encode(Frame("x", 0, {}, {"a": Array("float32", (2,), b"1234")})))


def test_it_needs_the_standard_library_only() -> None:
    """The add-on loads this very file into Blender's Python, where nothing of ours is installed."""
    imported = {
        line.split()[1].split(".")[0]
        for line in Path(protocol.__file__).read_text(encoding="utf-8").splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= sys.stdlib_module_names
