# SPDX-License-Identifier: GPL-3.0-or-later
"""The line between Blender and the worker: frames on a pipe.

The one source for both sides, so it needs only the standard library and nothing else of this package. A frame is

    magic "HSC1" · header length, uint32 little endian · header, UTF-8 JSON · the raw buffers, one after the other

and the header is `{"version", "type", "job", "fields": {…}, "buffers": [{"name", "dtype", "shape"}, …]}`. Numbers in
the buffers are little endian, arrays are in row order.

To the worker                  fields                                    buffers
    generate                   a `GenerateRequest`'s                     of the chosen head, if there is one: vertices;
                                                                         triangles of one that is not the built-in;
                                                                         landmark_triangles, landmark_barycentric
    register                   head (its name)                           vertices, triangles; landmark_triangles and
                                                                         landmark_barycentric to begin with, if any;
                                                                         fixed, fixed_triangles, fixed_barycentric
    flame                      path, cache, shapes, expressions          none
    learn_view                 images, render, pack, token, out,         none
                               initial_word, steps, seed, threads
    packs                      action, pack, parts, store, online        none
    cancel, stop               none                                      none
From the worker
    hello (always the first)   protocol, build, python, pid              none
    ready                      device                                    none
    alive (every few seconds)  none                                      none
    progress                   stage, step, steps, steps_per_second,     none
                               seconds_left, unit
    preview                    none                                      vertices, triangles, colors (uint8 [V, 3])
    notice                     text                                      none
    result of generate         report                                    vertices, triangles, normals, corner_uv,
                                                                         base_color and normal_map (PNG files)
    result of register         scale, rotation, translation,             landmark_triangles, landmark_barycentric
                               fit_error, doubt, seconds
    result of flame            report                                    vertices, triangles, shape, expression, jaw,
                                                                         eyeballs (uint8 [V])
    result of learn_view       path, token, used, skipped, steps, loss   none
    result of packs            text                                      none
    cancelled                  none                                      none
    error                      message, advice, log                      none
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

VERSION = 1
MAGIC = b"HSC1"
PREFIX = struct.Struct("<4sI")
MAX_HEADER = 4 << 20
"""Bytes. The longest header is a result's with its report, some ten kilobytes."""
MAX_BUFFERS = 16
MAX_DIMENSIONS = 4
MAX_PAYLOAD = 1 << 30
"""Bytes of all buffers of one frame. A million triangles with 4K textures are about a tenth of it."""
ITEM_SIZES = {"float32": 4, "int32": 4, "uint8": 1}

Buffer = bytes | bytearray | memoryview


class ProtocolError(Exception):
    """What came down the line is no frame of this protocol's version. The line can not be used any more."""


@dataclass(frozen=True)
class Array:
    """Raw numbers with their type (a key of ITEM_SIZES) and shape."""

    dtype: str
    shape: tuple[int, ...]
    data: Buffer


@dataclass(frozen=True)
class Frame:
    """One message. job: whose it is, 0 for none."""

    type: str
    job: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


def encode(frame: Frame) -> Iterator[Buffer]:
    """The frame as pieces to write one after the other. Raises ProtocolError for what `read_frame` would refuse."""
    entries = [{"name": name, "dtype": a.dtype, "shape": list(a.shape)} for name, a in frame.arrays.items()]
    sizes = _sizes(entries)
    pieces = [memoryview(array.data).cast("B") for array in frame.arrays.values()]
    for entry, size, piece in zip(entries, sizes, pieces, strict=True):
        if len(piece) != size:
            raise ProtocolError(f"buffer {entry['name']!r} has {len(piece)} bytes, its shape says {size}")
    header = json.dumps(
        {"version": VERSION, "type": frame.type, "job": frame.job, "fields": dict(frame.fields), "buffers": entries},
        separators=(",", ":"),
    ).encode()
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"a header of {len(header)} bytes is too long")
    yield PREFIX.pack(MAGIC, len(header)) + header
    yield from pieces


def write_frame(stream: BinaryIO, frame: Frame) -> None:
    """Writes one frame and flushes. The stream is a buffered one, or a raw one that writes all it is given."""
    for piece in encode(frame):
        stream.write(piece)
    stream.flush()


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, or None when the stream ends where a frame would begin.

    Raises ProtocolError when it ends elsewhere, or holds anything but a frame of this version within the limits.
    """
    prefix = _read(stream, PREFIX.size, end_allowed=True)
    if not prefix:
        return None
    magic, length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError(f"something that is no frame came down the line: {bytes(prefix)!r}")
    if length > MAX_HEADER:
        raise ProtocolError(f"a header of {length} bytes is too long")
    header = _parse_header(_read(stream, length))
    sizes = _sizes(header["buffers"])
    arrays = {
        entry["name"]: Array(entry["dtype"], tuple(entry["shape"]), _read(stream, size))
        for entry, size in zip(header["buffers"], sizes, strict=True)
    }
    return Frame(header["type"], header["job"], header["fields"], arrays)


def _read(stream: BinaryIO, size: int, end_allowed: bool = False) -> bytearray:
    """Exactly `size` bytes; none when the stream has ended already and that is allowed."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]  # BinaryIO lacks it, all binary files have it
        if not count:
            if end_allowed and not done:
                return bytearray()
            raise ProtocolError(f"the line ended in the middle of a frame, {size - done} of {size} bytes missing")
        done += count
    return data


def _parse_header(raw: bytearray) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame's header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ProtocolError("a frame's header is not a JSON object")
    version = header.get("version")
    if version != VERSION:
        raise ProtocolError(f"a frame of protocol version {version!r} came, this side speaks version {VERSION}")
    for name, kind in (("type", str), ("job", int), ("fields", dict), ("buffers", list)):
        if not isinstance(header.get(name), kind):
            raise ProtocolError(f"a frame's header has no valid {name!r}")
    return header


def _sizes(entries: list[Any]) -> list[int]:
    """Bytes of each buffer that a header lists. Raises ProtocolError for entries that are malformed or too large."""
    if len(entries) > MAX_BUFFERS:
        raise ProtocolError(f"a frame of {len(entries)} buffers has too many")
    sizes = []
    names = set()
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry["name"] in names:
            raise ProtocolError("a buffer has no name of its own")
        names.add(entry["name"])
        dtype, shape = entry.get("dtype"), entry.get("shape")
        if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
            raise ProtocolError(f"buffer {entry['name']!r} is of an unknown type {dtype!r}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_dimension, shape)):
            raise ProtocolError(f"buffer {entry['name']!r} is of an impossible shape {shape!r}")
        sizes.append(ITEM_SIZES[dtype] * math.prod(shape))
    if sum(sizes) > MAX_PAYLOAD:
        raise ProtocolError(f"a frame of {sum(sizes)} bytes is too large")
    return sizes


def _is_dimension(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PAYLOAD
