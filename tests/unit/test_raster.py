# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasteriser against brute force in float64, and its interpolation against plain torch."""

import numpy as np
import pytest
import torch

from headsculpt.render.camera import Camera
from headsculpt.render.raster import NEAR, interpolate, interpolate_reference, rasterize, rasterize_reference


def brute_force(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Ids, barycentric coordinates and how clear the decision is, by solving each pixel's ray in camera space."""
    row, column = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5, indexing="ij")
    # a point at `pixels` and `depth` lies at (x · depth, y · depth, depth); the pixel's ray is (column, row, 1)
    points = np.concatenate([pixels * depth[:, None], depth[:, None]], 1)
    corners = points[triangles].transpose(0, 2, 1)
    weights = np.linalg.solve(corners[:, None, None], np.stack([column, row, np.ones_like(row)], -1)[None, ..., None])
    weights = weights[..., 0]
    total = weights.sum(-1)  # of the intersection at weights / total, at depth 1 / total
    bary = weights / total[..., None]
    inside = (bary >= 0).all(-1) & (total > 0)
    nearness = np.where(inside, total, 0)
    ids = np.where(inside.any(0), nearness.argmax(0), -1)
    margin = np.abs(bary).min((0, -1))  # small where some triangle's edge passes close by
    two = np.sort(nearness, 0)[-2:]
    clear = (margin > 1e-6) & ((two[1] - two[0] > 1e-6 * two[1]) | (two[1] == 0))
    chosen = np.take_along_axis(bary, np.maximum(ids, 0)[None, ..., None], 0)[0]
    return ids, np.where(ids[..., None] >= 0, chosen, 0), clear


@pytest.mark.parametrize("seed", range(4))
def test_random_triangles_are_seen_as_brute_force_sees_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, count = 40, 40
    pixels = rng.uniform(-10, size + 10, (3 * count, 2)).astype(np.float32)
    depth = rng.uniform(0.5, 3, 3 * count).astype(np.float32)
    triangles = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    ids, bary = rasterize(torch.from_numpy(pixels), torch.from_numpy(depth), torch.from_numpy(triangles), size, size)
    expected, expected_bary, clear = brute_force(pixels.astype(np.float64), depth.astype(np.float64), triangles, size)
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(ids.numpy()[clear], expected[clear])
    np.testing.assert_allclose(bary.numpy()[clear], expected_bary[clear], atol=2e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_triangulation_covers_each_pixel_once(seed: int) -> None:
    """Vertices on pixel centres and on a jittered grid, so that many centres lie exactly on edges and vertices."""
    rng = np.random.default_rng(seed)
    side, size = 8, 24
    grid = np.stack(np.meshgrid(np.arange(side) * 4.0 - 1.5, np.arange(side) * 4.0 - 1.5), -1)
    grid[1:-1, 1:-1] += rng.integers(-1, 2, (side - 2, side - 2, 2)) * (0.5 if seed else 1)
    pixels = torch.from_numpy(grid.reshape(-1, 2).astype(np.float32))
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    one, other = [corner, corner + 1, corner + side + 1], [corner, corner + side + 1, corner + side]
    triangles = np.concatenate([np.stack(one, 1), np.stack(other, 1)])
    flipped = rng.random(len(triangles)) < 0.5  # orientation must not matter
    triangles[flipped] = triangles[flipped][:, ::-1]
    count = np.zeros((size, size), int)
    for triangle in torch.from_numpy(triangles.astype(np.int32)):
        ids, _ = rasterize(pixels, torch.ones(len(pixels)), triangle[None], size, size)
        count += ids.numpy() == 0
    assert (count == 1).all()


def test_what_comes_near_or_behind_the_camera_is_not_drawn() -> None:
    pixels = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    triangle = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    for bad in (NEAR / 2, 0.0, -1.0, float("nan")):
        assert (rasterize(pixels, torch.tensor([1.0, 1.0, bad]), triangle, 8, 8)[0] == -1).all()
    for bad in (float("nan"), float("inf")):
        broken = pixels.clone()
        broken[1, 0] = bad
        assert (rasterize(broken, torch.ones(3), triangle, 8, 8)[0] == -1).all()
    huge = torch.tensor([[-1e9, -1e9], [1e9, -1e9], [0.0, 1e9]])
    assert (rasterize(huge, torch.ones(3), triangle, 8, 8)[0] == 0).all()


def test_at_equal_depth_the_lower_id_wins() -> None:
    pixels = torch.tensor([[-20.0, -20.0], [40.0, 0.0], [0.0, 40.0]])
    triangles = torch.tensor([[0, 1, 2], [0, 1, 2]], dtype=torch.int32)
    assert (rasterize(pixels, torch.ones(3), triangles, 8, 8)[0] == 0).all()


def test_interpolation_and_its_gradient_equal_plain_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, depth = torch.rand(60, 2, generator=generator) * 32, torch.rand(60, generator=generator) + 0.5
    triangles = torch.randint(60, (50, 3), generator=generator, dtype=torch.int32)
    ids, bary = rasterize(pixels, depth, triangles, 32, 32)
    attributes = torch.randn(60, 5, generator=generator, requires_grad=True)
    double = attributes.detach().double().requires_grad_()
    out = interpolate(attributes, triangles, ids, bary)
    expected = interpolate_reference(double, triangles, ids, bary.double())
    torch.testing.assert_close(out, expected.float())
    weights = torch.randn(out.shape, generator=generator)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    assert double.grad is not None
    torch.testing.assert_close(attributes.grad, double.grad.float())


def test_interpolation_is_correct_in_perspective() -> None:
    """A slanted square with its own world positions as colours: each pixel's colour lies on the pixel's ray."""
    corners = torch.tensor([[-0.3, -0.3, 0.3], [0.3, -0.3, -0.3], [0.3, 0.3, -0.3], [-0.3, 0.3, 0.3]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    one = torch.ones(1)
    camera = Camera.orbit(20 * one, 15 * one, 1.2 * one, 40 * one, 64)
    pixels, depth = camera.project(corners)
    ids, bary = rasterize(pixels[0], depth[0], triangles, 64, 64)
    points = interpolate(corners, triangles, ids, bary)
    seen = ids >= 0
    assert seen.sum() > 500
    row, column = torch.nonzero(seen, as_tuple=True)
    found, _ = camera.project(points[seen])
    torch.testing.assert_close(found[0], torch.stack([column, row], -1) + 0.5, atol=1e-3, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_plain_torch_sees_the_same(seed: int) -> None:
    """Vertices on a quarter of pixels, shared at random: many edges through centres, many equal depths."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(-40, 200, (80, 2), generator=generator) / 4.0
    depth = torch.randint(0, 4, (80,), generator=generator) / 2.0
    triangles = torch.randint(80, (60, 3), generator=generator)
    ids, bary = rasterize(pixels, depth, triangles, 30, 40)
    expected, expected_bary = rasterize_reference(pixels, depth, triangles, 30, 40)
    assert len(ids.unique()) > 10
    # which of two surfaces that meet in a pixel is nearer is a matter of rounding
    same = ids == expected
    assert same.float().mean() > 0.99
    torch.testing.assert_close(bary[same], expected_bary[same])
