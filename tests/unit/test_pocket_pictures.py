# SPDX-License-Identifier: GPL-3.0-or-later
"""The heads and pictures that the pocket pack learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.mesh import Mesh
from headsculpt.packs.photos import draw_camera, photograph
from headsculpt.packs.pocket.training import noise, pictures, surface
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import Look
from headsculpt.render.camera import Camera

CROWN_TO_CHIN = 0.6
LOOK = Look(
    **{"skin": "green", "style": "bald", "hair": "red", "beard": "", "moustache": "", "brows": "", "eyes": "blue"},
    **{
        "lipstick": "",
        "paint": "",
        "glasses": "",
        "headwear": "",
        "ears": "",
        "expression": "",
        "age": "",
        "sex": "man",
    },
    identity=(0.0,) * 60,
    seed=7,
)


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_builtin())


def sphere(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A latitude-longitude sphere of radius 1, counter-clockwise from outside."""
    polar, turn = np.meshgrid(np.linspace(0, np.pi, count), np.linspace(0, 2 * np.pi, 2 * count), indexing="ij")
    points = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(count - 1), np.arange(2 * count - 1), indexing="ij")
    a = (row * 2 * count + column).reshape(-1)
    b, c = a + 1, a + 2 * count
    return points.astype(np.float32), np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, c + 1], 1)]).astype(
        np.int32
    )


def test_farthest_hits_of_a_sphere() -> None:
    points, triangles = sphere()
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    origins = rng.uniform(-0.3, 0.3, (50, 3)).astype(np.float32)
    hit, bary = surface.farthest_hits(origins, directions, points, triangles)
    assert (hit >= 0).all()
    found = (points[triangles[hit]] * bary[..., None]).sum(1)
    along = (origins * directions).sum(1)
    distance = -along + np.sqrt(along**2 + 1 - (origins**2).sum(1))  # closed form
    np.testing.assert_allclose(found, origins + directions * distance[:, None], atol=0.02)


def test_vertex_normals_of_a_sphere_point_outwards() -> None:
    points, triangles = sphere()
    used = np.unique(triangles[triangles[:, 0] != triangles[:, 1]])
    normals = surface.vertex_normals(points, triangles)
    inner = used[np.abs(points[used, 1]) < 0.95]
    assert (normals[inner] * points[inner]).sum(1).min() > 0.99


def test_subdivision_puts_a_vertex_in_the_middle_of_every_edge() -> None:
    points, triangles = sphere(6)
    fine = surface.Subdivision(len(points), triangles)
    assert fine.triangles.shape == (4 * len(triangles), 3)

    def area(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]]) / 2

    parts = area(fine(points), fine.triangles).reshape(4, -1, 3)
    np.testing.assert_allclose(parts, np.broadcast_to(area(points, triangles) / 4, parts.shape), atol=1e-6)


def test_noise_is_smooth_bounded_and_repeatable() -> None:
    points = np.random.default_rng(0).uniform(-9, 9, (5000, 3))
    values = noise.value_noise(points, 3.0, seed=4)
    assert np.abs(values).max() <= 1 and values.std() > 0.2
    assert np.array_equal(values, noise.value_noise(points, 3.0, seed=4))
    assert not np.array_equal(values, noise.value_noise(points, 3.0, seed=5))
    nudged = noise.value_noise(points + 1e-4, 3.0, seed=4)
    assert np.abs(nudged - values).max() < 5e-3


def test_pictures_obey_the_pack_s_laws(wardrobe: Wardrobe) -> None:
    """A wall that faces the camera is as bright as albedo · (ambient + (1 − ambient) · n·l) by pack.json's laws."""
    spec, rng = pictures.pack_spec(), np.random.default_rng(0)
    corners = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]], np.float32)
    wall = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.full((4, 3), 0.5, np.float32))
    camera = draw_camera(replace(spec.cameras, elevation=(0.0, 0.0)), 0.0, 32, rng)
    seen = [photograph(wall, camera, spec, rng) for _ in range(300)]
    wall_grey = np.array([photo[16, 16] for photo in seen]) / 255
    ground = np.array([photo[1, 1] for photo in seen]) / 255
    draws = np.random.default_rng(1)
    light = draws.normal(spec.lights.direction_mean, spec.lights.direction_std, (20000, 3))
    facing = light[:, 2] / np.linalg.norm(light, axis=1)
    ambient = draws.uniform(*spec.lights.ambient, 20000)
    expected = 0.5 * (ambient + (1 - ambient) * facing)
    assert wall_grey[:, 0].mean() == pytest.approx(expected.mean(), abs=0.005)
    assert wall_grey[:, 0].std() == pytest.approx(expected.std(), rel=0.15)
    assert ground.max(1).min() > 0.08 and ground.max() < 0.96 and (ground.min(1) / ground.max(1)).min() > 0.88


def test_the_same_seed_gives_the_same_pictures(wardrobe: Wardrobe) -> None:
    spec = pictures.pack_spec()

    def take(seed: int) -> list[tuple[np.ndarray, np.ndarray, pictures.Record]]:
        return list(pictures.take_many(wardrobe, 1, spec, np.random.default_rng(seed)))

    first, second, other = take(3), take(3), take(4)
    assert len(first) == pictures.VIEWS_PER_LOOK
    for (picture, landmarks, record), (again, same, equal) in zip(first, second, strict=True):
        assert np.array_equal(picture, again) and np.array_equal(landmarks, same) and record == equal
    assert not np.array_equal(first[0][0], other[0][0])


def test_cameras_frame_head_and_face(wardrobe: Wardrobe) -> None:
    """Crown to chin fills 37 to 53 % of a whole picture and 60 to 93 % of a close-up; hair has room."""
    spec, rng = pictures.pack_spec(), np.random.default_rng(0)
    axis = torch.tensor([[0, 0.3, 0.0], [0, -0.3, 0.0]])
    for law, low, high in ((spec.cameras, 0.36, 0.54), (spec.close_ups[0], 0.58, 0.95)):
        level = replace(law, elevation=(0.0, 0.0))
        shares = []
        for _ in range(40):
            camera = draw_camera(level, float(rng.uniform(-180, 180)), 128, rng)
            pixels = camera.project(axis)[0][0]
            shares.append(float((pixels[1, 1] - pixels[0, 1]) / 128))
        assert low < min(shares) and max(shares) < high
    tall = torch.from_numpy(wardrobe.dress(replace(LOOK, style="mohawk")).mesh.vertices)
    azimuth, elevation, radius, fov = torch.tensor([0.0, 0.0, spec.cameras.radius[0], spec.cameras.fov[1]])[:, None]
    near = Camera.orbit(azimuth, elevation, radius, fov, 128)
    assert float(near.project(tall)[0][..., 1].min()) > 0


def test_azimuths_are_mostly_frontal_and_landmarks_fall_on_the_face(wardrobe: Wardrobe) -> None:
    rng = np.random.default_rng(0)
    azimuths = np.array([pictures.draw_azimuth(rng) for _ in range(4000)])
    assert 0.60 < np.mean(np.abs(azimuths) < 60) < 0.72
    assert np.mean(np.abs(azimuths) > 120) > 0.12
    spec = pictures.pack_spec()
    head = wardrobe.dress(LOOK)
    picture, landmarks, record = pictures.take(head, LOOK, spec, rng, azimuth=0.0)
    column, row = landmarks[[50, 280]].round().astype(int).T  # cheeks
    assert (picture[row, column, 1] > picture[row, column, 0] + 20).all()  # green skin there
    assert record.azimuth == 0 and landmarks[263, 0] > landmarks[33, 0]  # the subject's left is on the right


def test_shards_are_kept_and_read_back(tmp_path: object, monkeypatch: pytest.MonkeyPatch, wardrobe: Wardrobe) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    monkeypatch.setattr(pictures, "Wardrobe", lambda model: wardrobe)
    monkeypatch.setattr(pictures, "SHARD", 1)
    pictures.render_shards(folder, looks=2, seed=5)
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(times) == 2
    paths = pictures.shard_paths(folder)
    assert [path.name for path in paths] == ["shard-005-0000.npz", "shard-005-0001.npz"]
    images, landmarks, records = pictures.load_shard(paths[1])
    assert images.shape == (6, 128, 128, 3) and landmarks.shape == (6, 478, 2) and len(records) == 6
    (folder / "shard-005-0001.npz").unlink()
    pictures.render_shards(folder, looks=2, seed=5)
    assert (folder / "shard-005-0000.npz").stat().st_mtime_ns == times["shard-005-0000.npz"]
    assert np.array_equal(pictures.load_shard(paths[1])[0], images)
