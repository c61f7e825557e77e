# SPDX-License-Identifier: GPL-3.0-or-later
"""Light, normals, tangents, and the pictures made with them."""

import numpy as np
import pytest
import torch
import trimesh

from headsculpt.mesh import Mesh, TexturedMesh
from headsculpt.render.camera import Camera
from headsculpt.render.meshview import normal_picture, picture
from headsculpt.render.shading import corner_tangents, shade, vertex_normals, vertex_normals_reference


def sphere(radius: float = 0.3) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))


def front(size: int = 64, azimuth: float = 0.0, fov: float = 40.0) -> Camera:
    return Camera.orbit(torch.tensor([azimuth]), torch.zeros(1), torch.full((1,), 1.5), torch.tensor([fov]), size)


def test_shade_is_the_law() -> None:
    albedo = torch.tensor([[0.5, 1.0, 0.2]]).expand(3, 3)
    normals = torch.tensor([[0.0, 0, 1], [0, 1, 0], [0, 0, -1]])
    light = torch.tensor([0.0, 0.6, 0.8])
    lit = shade(albedo, normals, light, 0.3)
    for row, lambert in enumerate((0.8, 0.6, 0.0)):
        torch.testing.assert_close(lit[row], albedo[row] * (0.3 + 0.7 * lambert))
    per_view = shade(albedo, normals, light, torch.full((3, 1), 0.3))
    torch.testing.assert_close(per_view, lit)


def test_normals_and_their_gradient_equal_plain_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(30, 3, generator=generator, requires_grad=True)
    triangles = torch.randint(29, (60, 3), generator=generator, dtype=torch.int32)  # vertex 29 is in no triangle
    double = vertices.detach().double().requires_grad_()
    normals, expected = vertex_normals(vertices, triangles), vertex_normals_reference(double, triangles)
    torch.testing.assert_close(normals, expected.float(), atol=1e-5, rtol=1e-4)
    weights = torch.randn(30, 3, generator=generator)
    (normals * weights).sum().backward()
    (expected * weights).sum().backward()
    assert double.grad is not None
    torch.testing.assert_close(vertices.grad, double.grad.float(), atol=1e-4, rtol=1e-3)


def test_normals_of_a_sphere_point_outwards() -> None:
    ball = sphere()
    normals = vertex_normals(torch.from_numpy(ball.vertices), torch.from_numpy(ball.triangles)).numpy()
    np.testing.assert_allclose(normals, ball.vertices / 0.3, atol=0.01)


def test_a_lit_sphere_has_the_brightness_of_the_law() -> None:
    ball = sphere()
    light = np.array([0.6, 0.0, 0.8])
    mesh = Mesh(ball.vertices, ball.triangles, np.full_like(ball.vertices, 0.8))
    image = picture(mesh, front(), light, ambient=0.25, background=(0.1, 0.2, 0.3)) / 255.0
    assert image.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(image[0, 0, 0], (0.1, 0.2, 0.3), atol=1 / 255)
    camera = front()
    origins, directions = camera.rays()
    ray, origin = directions[0].double().numpy(), origins[0].double().numpy()
    middle = ray @ origin
    root = middle**2 - (origin @ origin - 0.09)
    normal = (origin + ray * (-middle - np.sqrt(np.maximum(root, 0)))[..., None]) / 0.3
    expected = 0.8 * (0.25 + 0.75 * np.maximum(normal @ light, 0))
    well_inside = root > 0.02
    np.testing.assert_allclose(image[0, ..., 0][well_inside], expected[well_inside], atol=0.02)


def test_the_default_light_goes_along_with_the_camera() -> None:
    both = Camera.orbit(torch.tensor([0.0, 130.0]), torch.zeros(2), torch.full((2,), 1.5), torch.full((2,), 40.0), 64)
    images = picture(sphere(), both)
    assert images.shape == (2, 64, 64, 3)
    assert np.abs(images[0].astype(int) - images[1]).mean() < 0.5
    upper_left, lower_right = images[0, 24, 24].mean(), images[0, 40, 40].mean()
    assert upper_left > lower_right + 20


def test_normal_picture_has_the_frame_asked_for() -> None:
    turned = front(32, azimuth=90.0)
    camera_frame, world_frame = (normal_picture(sphere(), turned, frame)[0, 16, 16] for frame in ("camera", "world"))
    np.testing.assert_allclose(camera_frame, (128, 128, 255), atol=6)
    np.testing.assert_allclose(world_frame, (255, 128, 128), atol=6)
    assert (normal_picture(sphere(), turned)[0, 0, 0] == 128).all()
    with pytest.raises(ValueError, match="frame"):
        normal_picture(sphere(), turned, "object")


def textured_square(base_color: np.ndarray, normal_map: np.ndarray, mirrored: bool = False) -> TexturedMesh:
    """A square of side 0.6 that faces +z, u to the right (to the left if mirrored), v up."""
    vertices = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = vertices[:, :2] / 0.6 + 0.5
    if mirrored:
        uv[:, 0] = 1 - uv[:, 0]
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    return TexturedMesh(vertices, triangles, normals, uv[triangles].astype(np.float32), base_color, normal_map)


def flat_map() -> np.ndarray:
    return np.full((4, 4, 3), (128, 128, 255), np.uint8)


def test_texture_stands_upright_and_is_read_from_its_bottom_left() -> None:
    color = np.zeros((64, 64, 3), np.uint8)
    color[:32, :32] = (255, 0, 0)  # upper left
    color[:32, 32:] = (0, 255, 0)
    color[32:, :32] = (0, 0, 255)
    color[32:, 32:] = (255, 255, 0)
    image = picture(textured_square(color, flat_map()), front(64, fov=30), (0, 0, 1), ambient=1.0)[0]
    for (row, column), expected in {
        (20, 20): (255, 0, 0),
        (20, 44): (0, 255, 0),
        (44, 20): (0, 0, 255),
        (44, 44): (255, 255, 0),
    }.items():
        np.testing.assert_array_equal(image[row, column], expected)


@pytest.mark.parametrize("mirrored", [False, True])
def test_normal_map_bends_towards_u_and_v(mirrored: bool) -> None:
    white = np.full((4, 4, 3), 255, np.uint8)
    leaning = np.full((4, 4, 3), (128 + 76, 128 + 102, 128), np.uint8)  # (.6, .8, 0), tangent space
    mesh = textured_square(white, leaning, mirrored)
    found = normal_picture(mesh, front(32, fov=30), "world")[0, 16, 16] / 127.5 - 1
    np.testing.assert_allclose(found, (-0.6 if mirrored else 0.6, 0.8, 0), atol=0.02)


def test_tangents_of_a_cylinder_run_around_it() -> None:
    """u grows around the axis: the tangent at each corner is the direction of the angle there, seams included."""
    turn, height = np.linspace(0, 2 * np.pi, 25), np.linspace(-0.2, 0.2, 5)
    angle, y = (a.ravel() for a in np.meshgrid(turn, height))
    ring = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    vertices = (0.2 * ring + np.stack([0 * y, y, 0 * y], -1)).astype(np.float32)
    uv = np.stack([angle / (2 * np.pi), y + 0.5], -1).astype(np.float32)
    first = (np.arange(4)[:, None] * 25 + np.arange(24)).ravel()
    quads = np.stack([first, first + 1, first + 26, first + 25], 1)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    tangents = corner_tangents(vertices, triangles, ring.astype(np.float32), uv[triangles])
    around = np.stack([np.cos(angle), 0 * angle, -np.sin(angle)], -1)[triangles]
    np.testing.assert_allclose(tangents[..., :3], around, atol=1e-5)
    assert (tangents[..., 3] == 1).all()
