# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a finished head and a growing one take to reach Blender, beside Blender's own way to make a mesh.

Run by `python build.py bench` in Blender's environment; uses the package's files without installing them.
"""

from __future__ import annotations

import importlib
import io
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "headsculpt_addon"
REPEATS = 5
TEXTURE = 2048


def load_addon(folder: Path) -> None:
    """The add-on as a plain package: its files laid out as in the zip."""
    sys.path[:0] = [str(ROOT), str(folder)]
    build = importlib.import_module("build")
    for name, path in build.package_contents().items():
        target = folder / PACKAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    """About `count` vertices of a closed torus and its triangles."""
    side = round(count**0.5)
    u, v = np.meshgrid(*[np.linspace(0, 2 * np.pi, side, endpoint=False)] * 2, indexing="ij")
    ring = 1 + 0.4 * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), 0.4 * np.sin(v)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    a, b = i * side + j, (i + 1) % side * side + j
    c, d = i * side + (j + 1) % side, (i + 1) % side * side + (j + 1) % side
    triangles = np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)], 2).reshape(-1, 3)
    return vertices.astype(np.float32), triangles.astype(np.int32)


def noise_png(size: int) -> bytes:
    """A PNG file of that many by that many random colours: the slowest to read."""
    rows = np.random.default_rng(0).integers(0, 256, (size, size * 3), np.uint8)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), 1)
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(8)
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ):
        file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return file.getvalue()


def milliseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
        clear()
    return median(times)


def clear() -> None:
    for kind in ("objects", "meshes", "materials", "images"):
        collection = getattr(bpy.data, kind)
        for block in list(collection):
            collection.remove(block)


def measure(count: int) -> None:
    """Prints one row. The add-on has been loaded already."""
    scene, session, protocol, request = (
        importlib.import_module(f"{PACKAGE}.{name}")
        for name in ("scene", "session", "backend.headsculpt.protocol", "backend.headsculpt.jobs.request")
    )

    def frame(kind: str, arrays: dict[str, np.ndarray]) -> object:
        raw = {
            name: protocol.Array(values.dtype.name, values.shape, values.tobytes()) for name, values in arrays.items()
        }
        return protocol.Frame(kind, 1, {"report": {}}, raw)

    vertices, triangles = grid(count)
    shape = {"vertices": vertices, "triangles": triangles}
    png = np.frombuffer(noise_png(TEXTURE), np.uint8)
    corner_uv = np.random.default_rng(0).random((len(triangles), 3, 2), np.float32)
    textured = {**shape, "normals": vertices, "corner_uv": corner_uv, "base_color": png, "normal_map": png}
    result = frame("result", textured)
    preview = frame("preview", {**shape, "colors": (vertices * 50 + 127).astype(np.uint8)})
    identity = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    job = session.Job(
        request.GenerateRequest("a head"), session.Target(bpy.context.scene.session_uid, 0, "", identity), 1
    )
    lists = vertices.tolist(), triangles.tolist()
    row = (
        milliseconds(lambda: scene.place_result(job, result, bpy.context)),
        milliseconds(lambda: scene.show_preview(job, preview)),
        milliseconds(lambda: bpy.data.meshes.new("plain").from_pydata(lists[0], [], lists[1])),
    )
    label = f"{len(vertices):,} vertices, two textures of {TEXTURE}²"
    print(f"{label:44}{row[0]:10.0f}{row[1]:10.0f}{row[2]:13.0f}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="headsculpt-bench-") as folder:
        load_addon(Path(folder))
        clear()
        print(f"{'into Blender, medians in ms':44}{'finished':>10}{'growing':>10}{'from_pydata':>13}")
        for count in (50_000, 200_000):
            measure(count)


if __name__ == "__main__":
    main()
