# SPDX-License-Identifier: GPL-3.0-or-later
"""Silhouette gradients against finite differences of a picture with 64 samples a pixel."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull
from torch import Tensor

from headsculpt.render.antialias import antialias, silhouette_kernel, silhouettes_reference
from headsculpt.render.camera import Camera
from headsculpt.render.raster import rasterize

SIZE, SAMPLES = 96, 8
BACKGROUND = torch.tensor([0.1, 0.2, 0.5])


class Scene:
    """Bodies of one colour each before a background, seen by one camera."""

    def __init__(self, *bodies: tuple[trimesh.Trimesh, tuple[float, float, float]]) -> None:
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh, _ in bodies)])
        triangles = [mesh.faces + start for (mesh, _), start in zip(bodies, starts[:-1], strict=True)]
        self.vertices = torch.tensor(np.concatenate([mesh.vertices for mesh, _ in bodies]), dtype=torch.float32)
        self.triangles = torch.tensor(np.concatenate(triangles), dtype=torch.int32)
        self.colors = torch.cat([torch.tensor([color]).expand(len(mesh.faces), 3) for mesh, color in bodies])
        where = torch.tensor([[25.0], [17.0], [1.5], [40.0]])
        self.camera = Camera.orbit(where[0], where[1], where[2], where[3], SIZE)

    def seen(self, vertices: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pixels, depth = self.camera.resized(size).project(vertices)
        ids, _ = rasterize(pixels[0], depth[0], self.triangles, size, size)
        image = torch.where((ids >= 0)[..., None], self.colors[ids.clamp(min=0).long()], BACKGROUND)
        return image, ids, pixels[0], depth[0]

    def antialiased(self, vertices: Tensor) -> Tensor:
        return antialias(*self.seen(vertices, SIZE), self.triangles)

    def supersampled(self, vertices: Tensor) -> Tensor:
        image, *_ = self.seen(vertices, SIZE * SAMPLES)
        return image.double().view(SIZE, SAMPLES, SIZE, SAMPLES, 3).mean((1, 3))


def ball(subdivisions: int, radius: float = 0.3, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh.apply_translation(at)


def rough_ball() -> trimesh.Trimesh:
    """Edges of half a pixel whose silhouette is a zigzag of folds, as of a mesh that is being optimised."""
    mesh = ball(6)
    mesh.vertices *= 1 + 0.002 * np.random.default_rng(0).standard_normal((len(mesh.vertices), 1))
    return mesh


ORANGE, GREEN = (0.9, 0.6, 0.2), (0.2, 0.8, 0.3)
SCENES = {
    "cube": lambda: Scene((trimesh.creation.box((0.4, 0.4, 0.4)), ORANGE)),
    "coarse ball": lambda: Scene((ball(2), ORANGE)),
    "dense ball": lambda: Scene((ball(6), ORANGE)),
    "rough ball": lambda: Scene((rough_ball(), ORANGE)),
    "ball before ball": lambda: Scene((ball(5), ORANGE), (ball(4, 0.1, (0.08, 0.05, 0.35)), GREEN)),
    "open square": lambda: Scene(
        (trimesh.Trimesh([[-0.3, -0.3, 0], [0.3, -0.3, 0.2], [0, 0.3, 0]], [[0, 1, 2]]), ORANGE)
    ),
}


def motions(vertices: Tensor) -> dict[str, Tensor]:
    x, y, z = vertices.unbind(1)
    bend = torch.stack([torch.sin(9 * y + 1), torch.cos(7 * z), torch.sin(8 * x)], 1)
    along = {axis: torch.eye(3)[i].expand_as(vertices) for i, axis in enumerate("xyz")}
    return {"scale": vertices / 0.3, "bend": bend, **along}


@pytest.mark.parametrize("name", SCENES)
def test_gradient_is_that_of_a_finely_sampled_picture(name: str) -> None:
    scene = SCENES[name]()
    row, column = torch.meshgrid(*[(torch.arange(SIZE) + 0.5) / SIZE] * 2, indexing="ij")
    waves = [1 + 0.5 * torch.sin(6 * column + 2 * row), 0.5 + column * row, 1 + 0.3 * torch.cos(9 * row)]
    weights = torch.stack(waves, -1)
    vertices = scene.vertices.clone().requires_grad_()
    (scene.antialiased(vertices) * weights).sum().backward()
    assert vertices.grad is not None
    half_a_pixel = 0.5 * 1.5 / scene.camera.focal.item()
    analytic, numeric = {}, {}
    for motion, direction in motions(scene.vertices).items():
        there, back = (scene.supersampled(scene.vertices + s * half_a_pixel * direction) for s in (1, -1))
        numeric[motion] = ((there - back) * weights).sum().item() / (2 * half_a_pixel)
        analytic[motion] = (vertices.grad * direction).sum().item()
    # what shrinks on one side may grow on the other: a fiftieth of the largest is the least that counts
    least = 0.02 * max(map(abs, numeric.values()))
    for motion, expected in numeric.items():
        assert analytic[motion] == pytest.approx(expected, rel=0.1, abs=least), motion


@pytest.mark.parametrize("name", SCENES)
def test_the_picture_comes_close_to_a_finely_sampled_one(name: str) -> None:
    scene = SCENES[name]()
    truth = scene.supersampled(scene.vertices)
    plain, *_ = scene.seen(scene.vertices, SIZE)
    blended = scene.antialiased(scene.vertices)
    error, before = (blended - truth).abs().mean(), (plain - truth).abs().mean()
    assert error < (0.3 if name == "rough ball" else 0.15) * before
    low, high = (
        torch.stack([BACKGROUND, scene.colors.amin(0)]).amin(0),
        torch.stack([BACKGROUND, scene.colors.amax(0)]).amax(0),
    )
    assert (blended >= low - 1e-6).all() and (blended <= high + 1e-6).all()


@pytest.mark.parametrize("name", SCENES)
def test_silhouette_edges_are_those_of_plain_torch(name: str) -> None:
    scene = SCENES[name]()
    triangles = torch.cat([scene.triangles, scene.triangles[:3, [0, 2, 1]]])  # some edges with four triangles
    _, _, pixels, depth = scene.seen(scene.vertices, SIZE)
    found = silhouette_kernel(pixels.numpy(), depth.numpy(), triangles.numpy())[:, :2]
    expected = silhouettes_reference(pixels, depth, triangles).numpy()
    assert len(expected) > 0
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], expected)


def test_colours_inside_and_outside_get_their_share_of_the_gradient() -> None:
    scene = SCENES["cube"]()
    image, ids, pixels, depth = scene.seen(scene.vertices, SIZE)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(SIZE, SIZE, 3, generator=generator)
    change = torch.randn(SIZE, SIZE, 3, generator=generator)
    image.requires_grad_()
    (antialias(image, ids, pixels, depth, scene.triangles) * weights).sum().backward()
    assert image.grad is not None
    with torch.no_grad():  # the blend is linear in the colours
        both = [antialias(image + s * change, ids, pixels, depth, scene.triangles) for s in (0.5, -0.5)]
    torch.testing.assert_close((image.grad * change).sum(), ((both[0] - both[1]) * weights).sum(), rtol=1e-4, atol=1e-2)


def test_hidden_silhouettes_and_creases_leave_the_picture_alone() -> None:
    """In a picture of noise, so that each edge that is taken for a silhouette shows."""
    box = trimesh.creation.box((0.6, 0.6, 0.2)).subdivide().subdivide()
    scene = Scene((box, ORANGE), (ball(4, 0.1, (0, 0, -0.3)), GREEN))
    _, ids, pixels, depth = scene.seen(scene.vertices, SIZE)
    pixels.requires_grad_()
    noise = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    antialias(noise, ids, pixels, depth, scene.triangles).square().sum().backward()
    assert pixels.grad is not None
    moved = (pixels.grad != 0).any(1)
    assert not moved[len(box.vertices) :].any()
    corners = pixels.detach().numpy()[: len(box.vertices)]
    sides = ConvexHull(corners).equations  # a box's silhouette is its convex outline
    on_outline = (corners @ sides[:, :2].T + sides[:, 2]).max(1) > -1e-3
    np.testing.assert_array_equal(moved[: len(box.vertices)], on_outline)


def test_what_is_behind_the_camera_or_broken_does_no_harm() -> None:
    scene = SCENES["dense ball"]()
    vertices = scene.vertices.clone()
    vertices[:50] += scene.camera.position[0] * 2
    vertices[60] = float("nan")
    vertices.requires_grad_()
    out = scene.antialiased(vertices)
    assert torch.isfinite(out).all()
    image, ids, pixels, depth = scene.seen(scene.vertices[:0], SIZE)
    torch.testing.assert_close(antialias(image, ids, pixels, depth, scene.triangles[:0]), image)
