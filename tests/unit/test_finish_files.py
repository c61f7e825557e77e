# SPDX-License-Identifier: GPL-3.0-or-later
"""What lands in the output folder: readable by others, whole or not at all, and saying where it comes from."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial import cKDTree
from shapes import AS_IT_IS, bumps, icosphere

from headsculpt.errors import UserError
from headsculpt.finish import export
from headsculpt.finish.export import export_head
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.finish import finish
from headsculpt.finish.gltf import glb, png, read_glb
from headsculpt.finish.report import versions
from headsculpt.finish.turntable import FRAMES, VIEWS, film, sheet
from headsculpt.head.space import HeadSpace
from headsculpt.jobs.events import GenerateResult
from headsculpt.mesh import TexturedMesh

REPORT = {"prompt": "an old häd", "seed": 3, "seconds": {"Growing": 1.5}, "versions": {"headsculpt": "0.1.0"}}


def halves(points: np.ndarray) -> np.ndarray:
    """Red on the subject's left, blue on the right, greener towards the face."""
    left = points[:, 0] > 0
    return np.stack([0.8 * left, 0.4 + points[:, 2], 0.8 * ~left], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def head() -> TexturedMesh:
    return finish(icosphere(4, bumps), halves, triangles=1500, texture=128)


def chunks(content: bytes) -> tuple[dict, bytes]:
    """A GLB file's JSON and binary chunks, by the specification."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    rest, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0" and 28 + size + rest == len(content)
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    entry = document["accessors"][index]
    view = document["bufferViews"][entry["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[entry["type"]]
    kind = {5126: np.float32, 5125: np.uint32}[entry["componentType"]]
    return np.frombuffer(binary, kind, entry["count"] * width, view["byteOffset"]).reshape(entry["count"], width)


def test_glb_holds_the_mesh(head: TexturedMesh) -> None:
    document, binary = chunks(glb(head, "old häd", {"AI-generated": True, "headsculpt": REPORT}))
    primitive = document["meshes"][0]["primitives"][0]
    values = {name: accessor(document, binary, index) for name, index in primitive["attributes"].items()}
    corners = accessor(document, binary, primitive["indices"])[:, 0].reshape(-1, 3)
    assert np.array_equal(values["POSITION"][corners], head.vertices[head.triangles])
    assert np.array_equal(values["NORMAL"][corners], head.normals[head.triangles])
    uv = values["TEXCOORD_0"][corners]
    assert np.allclose(np.stack([uv[..., 0], 1 - uv[..., 1]], axis=-1), head.corner_uv, atol=1e-6)
    tangent = values["TANGENT"]
    assert np.allclose(np.linalg.norm(tangent[:, :3], axis=1), 1, atol=1e-5)
    assert np.allclose((tangent[:, :3] * values["NORMAL"]).sum(axis=1), 0, atol=1e-4)
    assert set(np.unique(tangent[:, 3])) <= {-1.0, 1.0}
    bounds = document["accessors"][primitive["attributes"]["POSITION"]]
    assert np.allclose(bounds["min"], head.vertices.min(axis=0)) and np.allclose(
        bounds["max"], head.vertices.max(axis=0)
    )


def test_glb_says_where_it_comes_from(head: TexturedMesh) -> None:
    document, _ = chunks(glb(head, "old häd", {"AI-generated": True, "headsculpt": REPORT}))
    for holder in (document["asset"], document["nodes"][0]):
        assert holder["extras"] == {"AI-generated": True, "headsculpt": REPORT}


def test_another_reader_sees_the_same_head(head: TexturedMesh, tmp_path: Path) -> None:
    """trimesh, and the colour that it finds at each vertex by itself."""
    (tmp_path / "head.glb").write_bytes(glb(head, "head", {}))
    mesh = trimesh.load_mesh(tmp_path / "head.glb", process=False)
    assert np.array_equal(np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")), head.base_color)
    assert np.array_equal(np.asarray(mesh.visual.material.normalTexture.convert("RGB")), head.normal_map)
    found = mesh.visual.to_color().vertex_colors[:, :3] / 255
    away = np.abs(mesh.vertices[:, 0]) > 0.02
    assert np.abs(found - halves(mesh.vertices))[away].max() < 0.1


def test_glb_is_read_back(head: TexturedMesh, tmp_path: Path) -> None:
    (tmp_path / "head.glb").write_bytes(glb(head, "head", {}))
    again = read_glb(tmp_path / "head.glb")
    assert np.array_equal(again.vertices[again.triangles], head.vertices[head.triangles])
    assert np.allclose(again.normals[again.triangles], head.normals[head.triangles], atol=1e-6)
    assert np.allclose(again.corner_uv, head.corner_uv, atol=1e-6)
    assert np.array_equal(again.base_color, head.base_color) and np.array_equal(again.normal_map, head.normal_map)


def test_sheet_goes_round_the_head(head: TexturedMesh) -> None:
    size = 64
    picture = sheet(head, size)
    assert picture.shape == (2 * size, VIEWS * size, 3)
    views = picture[:size].reshape(size, VIEWS, size, 3).swapaxes(0, 1).astype(int)
    middle = views[:, size // 2 - 8 : size // 2 + 8]
    face, left, back, right = (middle[view] for view in (0, 2, 4, 6))
    half = size // 2
    assert face[:, half + 6].mean(axis=0)[0] > 100 > face[:, half - 6].mean(axis=0)[0], "the left is at our right"
    assert back[:, half - 6].mean(axis=0)[0] > 60 > back[:, half + 6].mean(axis=0)[0]
    assert left[:, half].mean(axis=0)[0] > 100 and right[:, half].mean(axis=0)[2] > 100
    assert face[:, half, 1].mean() > 2 * back[:, half, 1].mean(), "greener towards the face"
    corners = views[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.ptp(corners, axis=(0, 1)).max() == 0, "the head is inside of every view"
    normals = picture[size:, :size].astype(int)
    assert normals[half, half, 2] > 220, "towards the camera is blue"
    assert normals[half, half + 12, 0] > normals[half, half, 0] > normals[half, half - 12, 0]


def test_the_picture_does_not_depend_on_the_unit(head: TexturedMesh) -> None:
    large = TexturedMesh(**{**vars(head), "vertices": head.vertices * 25 + 3})
    difference = np.abs(sheet(head, 48).astype(int) - sheet(large, 48))
    assert difference.mean() < 0.5


def test_film_is_one_turn(head: TexturedMesh) -> None:
    with Image.open(io.BytesIO(film(head, 48))) as animation:
        assert animation.n_frames == FRAMES and animation.info["loop"] == 0
        frames = []
        for number in range(FRAMES):
            animation.seek(number)
            frames.append(np.asarray(animation.convert("RGB"), np.int64))
    steps = [np.abs(a - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert max(steps) < 3 * np.median(steps), "the last frame leads to the first"
    assert np.abs(frames[0] - frames[FRAMES // 2]).mean() > 5


def test_export_leaves_all_files(head: TexturedMesh, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "with spaces"
    paths = export_head(GenerateResult(head, REPORT, AS_IT_IS), folder)
    names = {"head.glb", "base_color.png", "normal.png", "turntable.png", "turntable.webp", "report.json"}
    assert {path.name for path in paths} == names == {path.name for path in folder.iterdir()}
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == REPORT
    with Image.open(folder / "base_color.png") as image:
        assert np.array_equal(np.asarray(image), head.base_color)
    document, _ = chunks((folder / "head.glb").read_bytes())
    assert document["asset"]["extras"]["AI-generated"] is True
    assert document["asset"]["extras"]["headsculpt"] == REPORT
    assert export_head(GenerateResult(head, REPORT, AS_IT_IS), folder) == paths, "once more over what is there"


def test_an_interrupted_export_leaves_no_report_of_an_earlier_head(
    head: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_head(GenerateResult(head, REPORT, AS_IT_IS), tmp_path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_turntable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_head(GenerateResult(head, REPORT, AS_IT_IS), tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_a_head_that_lies_on_its_back_is_turned_round_upright(head: TexturedMesh, tmp_path: Path) -> None:
    """In the pictures; the file keeps the head's own coordinates, its normals too."""
    to_z_up = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    lying = HeadSpace(2.0, to_z_up.T, np.array([1, 2, 3], np.float32))
    own = lying.mesh_from_head(head)
    export_head(GenerateResult(head, REPORT, AS_IT_IS), tmp_path / "upright")
    export_head(GenerateResult(own, REPORT, lying), tmp_path / "lying")
    with (
        Image.open(tmp_path / "upright/turntable.png") as one,
        Image.open(tmp_path / "lying/turntable.png") as other,
    ):
        assert np.abs(np.asarray(one, np.int64) - np.asarray(other, np.int64)).mean() < 0.1
    read = read_glb(tmp_path / "lying/head.glb")
    turned = head.normals @ to_z_up.T
    nearest = cKDTree(own.vertices).query(read.vertices)[1]
    assert (read.normals * turned[nearest]).sum(1).min() > 0.999


def test_png_is_lossless() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(png(image))) as read:
        assert np.array_equal(np.asarray(read), image)


def test_folder_that_can_not_be_written_to_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can not be written to"):
        check_writable(tmp_path / "file" / "below")
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_interrupted_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_whole(tmp_path / "report.json", b"first")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as context, pytest.raises(OSError, match="no space"):
        context.setattr(os, "replace", full)
        write_whole(path, b"second")
    assert path.read_bytes() == b"first" and [file.name for file in tmp_path.iterdir()] == ["report.json"]
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"


def test_report_names_all_versions() -> None:
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"headsculpt", "python", "torch", "diffusers", "transformers", "numba"} <= set(found)
