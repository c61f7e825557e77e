# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera: conventions against worked examples, and rays, projection and rasteriser against each other."""

import math

import pytest
import torch

from headsculpt.render.camera import Camera
from headsculpt.render.raster import rasterize
from headsculpt.render.volume import composite, sample_rays


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def orbit(azimuth: float, elevation: float, radius: float = 2.0, fov: float = 40.0, size: int = 64) -> Camera:
    return Camera.orbit(one(azimuth), one(elevation), one(radius), one(fov), size)


@pytest.mark.parametrize(
    "azimuth, elevation, position",
    [(0, 0, (0, 0, 2)), (90, 0, (2, 0, 0)), (180, 0, (0, 0, -2)), (-90, 0, (-2, 0, 0)), (37, 90, (0, 2, 0))],
)
def test_where_the_camera_stands(azimuth: float, elevation: float, position: tuple[float, ...]) -> None:
    camera = orbit(azimuth, elevation)
    torch.testing.assert_close(camera.position[0], torch.tensor(position, dtype=torch.float64))
    torch.testing.assert_close(camera.rotation[0] @ camera.rotation[0].T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(camera.rotation[0]).item() == pytest.approx(1.0)


def test_the_subjects_left_is_on_the_right_of_a_front_view_and_up_is_up() -> None:
    points = torch.tensor([[0.1, 0.0, 0.2], [0.0, 0.1, 0.2]], dtype=torch.float64)
    (left, top), _ = orbit(0, 0).project(points)[0][0], None
    assert left[0] > 32 and left[1] == pytest.approx(32)
    assert top[1] < 32 and top[0] == pytest.approx(32)
    back = orbit(180, 0).project(points)[0][0]
    assert back[0, 0] < 32
    nose_from_the_left = orbit(90, 0).project(torch.tensor([[0.0, 0.0, 0.3]], dtype=torch.float64))[0][0, 0]
    assert nose_from_the_left[0] < 32  # seen from her left, her nose points to the image's left


def test_projection_has_the_closed_form_of_a_pinhole() -> None:
    pixels, depth = orbit(0, 0, radius=2, fov=90, size=100).project(torch.tensor([[0.5, 0.25, 1.0]]).double())
    assert depth.item() == pytest.approx(1.0)
    assert pixels[0, 0].tolist() == pytest.approx([50 + 50 * 0.5, 50 - 50 * 0.25])


def test_target_moves_the_camera_and_keeps_the_view() -> None:
    target = torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64)
    pixels, depth = Camera.orbit(one(30), one(20), one(1.5), one(40), 64, target).project(target)
    assert pixels[0, 0].tolist() == pytest.approx([32, 32])
    assert depth.item() == pytest.approx(1.5)


def test_rays_pass_through_what_projects_to_their_pixel() -> None:
    azimuth, elevation = torch.tensor([10.0, -130.0]).double(), torch.tensor([-20.0, 65.0]).double()
    camera = Camera.orbit(
        azimuth, elevation, torch.tensor([1.2, 2.0]).double(), torch.tensor([30.0, 50.0]).double(), 16
    )
    origins, directions = camera.rays()
    points = origins[:, None, None] + 1.7 * directions
    pixels, depth = camera.project(points.reshape(2, -1, 3))
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    centres = torch.stack([column, row], -1).reshape(1, -1, 2).double() + 0.5
    torch.testing.assert_close(pixels, centres.expand(2, -1, -1))
    assert (depth > 0).all()
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(2, 16, 16).double())


def test_batches_slice_and_resize() -> None:
    many = Camera.orbit(torch.tensor([0.0, 90.0, 180.0]), torch.zeros(3), torch.ones(3), torch.full((3,), 40.0), 64)
    assert len(many) == 3 and len(many[1]) == 1 and len(many[1:]) == 2
    torch.testing.assert_close(many[-1].position, many[2].position)
    with pytest.raises(IndexError):
        many[3]
    point = torch.tensor([[0.1, 0.2, 0.0]])
    torch.testing.assert_close(many.resized(128).project(point)[0], 2 * many.project(point)[0])
    assert many.fov_y[0].item() == pytest.approx(math.radians(40))


@pytest.mark.parametrize("azimuth, elevation", [(0, 0), (35, 20), (-110, -15), (180, 60), (75, 89)])
def test_a_vertex_is_seen_at_one_pixel_by_rays_by_triangles_and_by_projection(azimuth: float, elevation: float) -> None:
    """Design.md: one vertex through volume rendering, rasterising and projection, to half a pixel."""
    size, resolution = 96, 64
    where = torch.tensor([[azimuth], [elevation], [1.3], [40.0]])
    camera = Camera.orbit(where[0], where[1], where[2], where[3], size)
    vertex = torch.tensor([0.17, 0.11, 0.23])
    projected = camera.project(vertex[None])[0][0, 0]

    in_camera = torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 2.0, 0.0]])
    corners = vertex + 0.02 * in_camera @ camera.rotation[0]
    pixels, depth = camera.project(corners)
    ids, _ = rasterize(pixels[0], depth[0], torch.tensor([[0, 1, 2]], dtype=torch.int32), size, size)

    origins, directions = camera.rays()
    mask = torch.ones(resolution, resolution, resolution, dtype=torch.bool)
    samples = sample_rays(origins.expand(size * size, 3), directions.reshape(-1, 3), mask, 600)
    inside = ((samples.points - vertex).norm(dim=-1) < 0.03).float()
    _, _, opacity = composite(100 * inside, inside[..., None], samples.deltas)
    volume = torch.zeros(size * size).index_copy(0, samples.rays, opacity).view(size, size)

    for picture in ((ids >= 0).float(), volume):
        row, column = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
        centre = torch.stack([(picture * column).sum(), (picture * row).sum()]) / picture.sum()
        assert (centre - projected).abs().max() < 0.5
