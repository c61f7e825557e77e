# SPDX-License-Identifier: GPL-3.0-or-later
"""A head from all sides: a sheet of eight views, and a film of one turn."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.gltf import png, read_glb
from headsculpt.mesh import TexturedMesh
from headsculpt.render.camera import Camera
from headsculpt.render.meshview import normal_picture, picture

VIEWS = 8
FRAMES = 36
SECONDS = 4.0
_AMBIENT = 0.5
"""Fills the shadows of `meshview`'s key light."""
_BACKGROUND = (0.62, 0.62, 0.63)
_FOV = 24.0
_MARGIN = 1.06


def write_turntable(mesh: TexturedMesh, folder: Path) -> list[Path]:
    """Writes turntable.png (8 views: colour above, normals below) and turntable.webp (one turn in 4 s)."""
    return [
        write_whole(folder / "turntable.png", png(sheet(mesh))),
        write_whole(folder / "turntable.webp", film(mesh)),
    ]


def sheet(mesh: TexturedMesh, size: int = 320) -> NDArray[np.uint8]:
    """Eight views side by side, from the face by 45° to the subject's left: [2 · size, 8 · size, 3]."""
    mesh, camera = _staged(mesh, VIEWS, size)
    rows = np.concatenate(list(_lit(mesh, camera)), axis=1), np.concatenate(list(normal_picture(mesh, camera)), axis=1)
    return np.concatenate(rows, axis=0)


def film(mesh: TexturedMesh, size: int = 360) -> bytes:
    """One turn, as an animated WebP file's bytes."""
    mesh, camera = _staged(mesh, FRAMES, size)
    first, *others = (Image.fromarray(frame) for frame in _lit(mesh, camera))
    file = io.BytesIO()
    duration = round(1000 * SECONDS / FRAMES)
    first.save(file, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=82, method=2)
    return file.getvalue()


def _staged(mesh: TexturedMesh, views: int, size: int) -> tuple[TexturedMesh, Camera]:
    """The mesh in the middle, and cameras all around it from which it just fits into the picture."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centered = mesh.vertices - (low + high) / 2
    centered = centered / np.abs(centered).max()
    turning, tall = np.hypot(centered[:, 0], centered[:, 2]).max(), np.abs(centered[:, 1]).max()
    half = np.radians(_FOV / 2)
    distance = max(turning / np.sin(half), turning + tall / np.tan(half)) * _MARGIN
    mesh = replace(mesh, vertices=centered.astype(np.float32))
    azimuth = torch.arange(views) * (360.0 / views)
    same = torch.ones(views)
    return mesh, Camera.orbit(azimuth, 4.0 * same, float(distance) * same, _FOV * same, size)


def _lit(mesh: TexturedMesh, camera: Camera) -> NDArray[np.uint8]:
    return picture(mesh, camera, ambient=_AMBIENT, background=_BACKGROUND)


def main(arguments: Sequence[str] | None = None) -> None:
    """python -m headsculpt.finish.turntable HEAD.glb FOLDER"""
    parser = argparse.ArgumentParser(description="Pictures of a head from all sides.")
    parser.add_argument("head", type=Path, help="GLB file with one textured mesh")
    parser.add_argument("folder", type=Path, help="where turntable.png and turntable.webp go")
    options = parser.parse_args(arguments)
    check_writable(options.folder)
    for path in write_turntable(read_glb(options.head), options.folder):
        print(path)


if __name__ == "__main__":
    main()
