# SPDX-License-Identifier: GPL-3.0-or-later
"""What `python build.py demo "an angry old man with green skin, a red mohawk and a red beard"` leaves."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headsculpt.finish.gltf import read_glb
from headsculpt.mesh import TexturedMesh


@pytest.fixture(scope="module")
def folder() -> Path:
    if "HEADSCULPT_DEMO" not in os.environ:
        pytest.exit("HEADSCULPT_DEMO is not set: these tests are started by `python build.py test`", returncode=2)
    return Path(os.environ["HEADSCULPT_DEMO"])


@pytest.fixture(scope="module")
def head(folder: Path) -> TexturedMesh:
    return read_glb(folder / "head.glb")


@pytest.fixture(scope="module")
def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_report_tells_where_the_head_comes_from(report: dict) -> None:
    assert report["prompt"].startswith("an angry old man") and report["seed"] == 0
    assert report["steps"]["coarse"] > 10 and report["steps"]["fine"] > 10
    assert len(report["seconds"]) >= 3 and "torch" in report["versions"]
    assert isinstance(report["unknown_words"], list)
    assert report["blender"]["first_mesh_seconds"] < report["blender"]["seconds"]


def test_head_is_one_closed_surface_of_a_heads_size(head: TexturedMesh) -> None:
    places, index = np.unique(head.vertices.round(6), axis=0, return_inverse=True)  # split at seams for the file
    triangles = index.reshape(-1)[head.triangles]
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert 2000 < len(triangles) <= 20_000
    assert 0.2 < np.ptp(places[:, 1]) < 0.6, "in metres"


def test_head_shows_what_was_asked(head: TexturedMesh) -> None:
    size = len(head.base_color)
    where = (head.corner_uv.mean(axis=1) * (1, -1) + (0, 1)) * (size - 1)
    column, row = np.rint(where).astype(int).T
    colors = head.base_color[row, column].astype(float)
    middles = head.vertices[head.triangles].mean(axis=1)
    crown = middles[:, 1] > np.quantile(head.vertices[:, 1], 0.98)
    red, green, blue = np.median(colors[crown], axis=0)
    assert red > 1.5 * green and red > 1.5 * blue, "the mohawk"
    _, height, forward = (middles - middles.mean(axis=0)).T
    neck = (height < -0.25 * np.ptp(height)) & (forward < 0)
    red, green, blue = np.median(colors[neck], axis=0)
    assert green > 1.2 * red and green > 1.2 * blue, "the skin, at the back of the neck"


def test_file_says_that_it_is_generated(folder: Path) -> None:
    content = (folder / "head.glb").read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    (extras,) = [node["extras"] for node in document["nodes"] if "mesh" in node]
    assert extras["AI-generated"] in (True, 1) and extras["headsculpt_prompt"].startswith("an angry old man")
    assert "TANGENT" in document["meshes"][0]["primitives"][0]["attributes"]


def test_pictures_are_there(folder: Path) -> None:
    with Image.open(folder / "turntable.png") as sheet:
        assert sheet.width == 4 * sheet.height
    with Image.open(folder / "turntable.webp") as film:
        assert film.n_frames == 36
    assert (folder / "head.blend").stat().st_size > 100_000
