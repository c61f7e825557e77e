# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume rendering against media whose optical depth is known in closed form, and sampling against brute force."""

import math

import numpy as np
import pytest
import torch

from headsculpt.render.camera import Camera
from headsculpt.render.volume import RaySamples, composite, sample_rays

RESOLUTION, BOUND = 32, 0.75


def cell_centres() -> np.ndarray:
    axis = (np.arange(RESOLUTION) + 0.5) / RESOLUTION * 2 * BOUND - BOUND
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)


def random_rays(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """From all around towards the middle half of the cube; the first three run along the axes."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 1.8
    targets = (torch.rand(count, 3, generator=generator) - 0.5) * BOUND
    directions = torch.nn.functional.normalize(targets - origins, dim=1)
    origins[:3], directions[:3] = targets[:3] - 2 * torch.eye(3), torch.eye(3)
    return origins, directions


def cell_of(points: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.floor((points + BOUND) / (2 * BOUND) * RESOLUTION).astype(int).T)


def test_composite_of_a_slab_is_exact_however_it_is_cut() -> None:
    """Constant density d and value v over a length L: opacity 1 − exp(−d·L), value v times that."""
    generator = torch.Generator().manual_seed(0)
    deltas = torch.rand(1, 50, generator=generator, dtype=torch.float64)
    deltas = 0.6 * deltas / deltas.sum()
    for density in (1e-6, 0.5, 3.0, 200.0, 1e6):
        values = torch.full((1, 50, 2), 0.7, dtype=torch.float64)
        out, weights, opacity = composite(torch.full_like(deltas, density), values, deltas)
        expected = -math.expm1(-density * 0.6)
        assert opacity.item() == pytest.approx(expected, rel=1e-10)
        assert weights.sum().item() == pytest.approx(expected, rel=1e-10)
        assert out[0].tolist() == pytest.approx([0.7 * expected] * 2, rel=1e-10)


def test_composite_of_two_slabs_is_what_the_first_lets_through() -> None:
    density = torch.tensor([[2.0, 2.0, 5.0]], dtype=torch.float64)
    deltas = torch.tensor([[0.1, 0.2, 0.4]], dtype=torch.float64)
    values = torch.tensor([[[1.0], [1.0], [10.0]]], dtype=torch.float64)
    out, _, _ = composite(density, values, deltas)
    assert out.item() == pytest.approx((1 - math.exp(-0.6)) + math.exp(-0.6) * (1 - math.exp(-2.0)) * 10, rel=1e-12)


def test_composite_has_the_right_gradient_and_survives_extremes() -> None:
    generator = torch.Generator().manual_seed(1)
    density = torch.rand(3, 6, generator=generator, dtype=torch.float64).mul(5).requires_grad_()
    values = torch.rand(3, 6, 2, generator=generator, dtype=torch.float64).requires_grad_()
    deltas = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d, v: composite(d, v, deltas), (density, values))
    extreme = torch.tensor([[0.0, 1e-20, 1e8, 1e8, 1.0]], requires_grad=True)
    out, weights, opacity = composite(extreme, torch.ones(1, 5, 1), torch.full((1, 5), 0.1))
    (out.sum() + opacity.sum()).backward()
    assert extreme.grad is not None and torch.isfinite(extreme.grad).all()
    assert weights[0].tolist() == pytest.approx([0, 0, 1, 0, 0], abs=1e-6)


def lengths_by_fine_march(origins: np.ndarray, directions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    t = (np.arange(40_000) + 0.5) / 40_000 * 4
    lengths = []
    for origin, direction in zip(origins, directions, strict=True):
        points = origin + t[:, None] * direction
        points = points[(np.abs(points) < BOUND).all(1)]
        lengths.append(mask[cell_of(points)].sum() * 4 / 40_000)
    return np.array(lengths)


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_samples_fill_the_occupied_length_and_nothing_else(share: float) -> None:
    mask = np.random.default_rng(0).random((RESOLUTION,) * 3) < share
    origins, directions = random_rays(60)
    found = sample_rays(origins, directions, torch.from_numpy(mask), 200, torch.Generator().manual_seed(0))
    expected = lengths_by_fine_march(origins.numpy().astype(float), directions.numpy().astype(float), mask)
    lengths = np.zeros(len(origins))
    lengths[found.rays] = found.deltas.sum(1)
    np.testing.assert_allclose(lengths, expected, atol=3e-3)
    assert (np.diff(found.rays) > 0).all()
    assert (np.diff(found.t) >= 0).all()
    torch.testing.assert_close(
        found.points, origins[found.rays, None] + found.t[..., None] * directions[found.rays, None]
    )
    # a hair of rounding may carry a sample over the border of its cell
    inside = [
        mask[cell_of(np.clip(found.points.reshape(-1, 3).double().numpy() + s, -0.7499, 0.7499))]
        for s in (0, 1e-5, -1e-5)
    ]
    assert np.logical_or.reduce(inside).all()


def test_rays_may_start_inside_and_miss() -> None:
    mask = torch.ones((RESOLUTION,) * 3, dtype=torch.bool)
    origins = torch.tensor([[0.1, 0.0, 0.0], [2.0, 2.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.9, 2.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    found = sample_rays(origins, directions, mask, 4)
    assert found.rays.tolist() == [0]
    assert found.deltas.sum().item() == pytest.approx(0.65, rel=1e-5)
    torch.testing.assert_close(found.t[0], torch.tensor([0.08125, 0.24375, 0.40625, 0.56875]))
    assert sample_rays(origins, directions, ~mask, 4).points.shape == (0, 4, 3)


def test_jitter_comes_from_the_generator_alone() -> None:
    mask = torch.ones((RESOLUTION,) * 3, dtype=torch.bool)
    rays = random_rays(20)

    def draw(seed: int) -> RaySamples:
        return sample_rays(*rays, mask, 8, torch.Generator().manual_seed(seed))

    torch.testing.assert_close(draw(0).t, draw(0).t, rtol=0, atol=0)
    assert (draw(0).t - draw(1).t).abs().max() > 1e-3
    many = torch.stack([draw(seed).t for seed in range(400)])
    middle = sample_rays(*rays, mask, 8).t
    torch.testing.assert_close(many.mean(0), middle, atol=0.02, rtol=0)  # unbiased in each stratum
    assert ((many - middle).abs() <= draw(0).deltas / 2 + 1e-5).all()


def test_a_known_density_ends_the_ray_where_it_is_opaque() -> None:
    """Behind an optical depth of 9, that is 0.09 of density 100, nothing is sampled, wherever the density lies."""
    depth = cell_centres()[..., 2]
    mask = torch.from_numpy(np.abs(depth) < 0.5)
    origins, directions = torch.tensor([[0.01, 0.02, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    known = torch.where(mask, 100.0, 0.0)
    whole = sample_rays(origins, directions, mask, 8)
    ended = sample_rays(origins, directions, mask, 8, density=known)
    cell = 2 * BOUND / RESOLUTION
    assert whole.deltas.sum().item() == pytest.approx(22 * cell, rel=1e-4)
    assert ended.deltas.sum().item() == pytest.approx(math.ceil(0.09 / cell) * cell, rel=1e-4)
    faint = sample_rays(origins, directions, mask, 8, density=known / 100)
    torch.testing.assert_close(faint.t, whole.t)
    shell = mask & torch.from_numpy(np.abs(depth) > 0.45)  # the inside is dense but not sampled: the far side is hidden
    hidden = sample_rays(origins, directions, shell, 8, density=known)
    assert (hidden.points[..., 2] > 0.4).all()


def test_a_ball_of_constant_density_has_the_opacity_of_its_chords() -> None:
    radius, density = 0.3, 4.0
    mask = np.linalg.norm(cell_centres(), axis=-1) < radius + 0.05
    one = torch.ones(1)
    camera = Camera.orbit(30 * one, 20 * one, 1.5 * one, 40 * one, 24)
    origins, directions = camera.rays()
    starts, rays = origins.expand(24 * 24, 3).contiguous(), directions.reshape(-1, 3)
    found = sample_rays(starts, rays, torch.from_numpy(mask), 400, torch.Generator().manual_seed(0))
    inside = found.points.double().norm(dim=-1) < radius
    _, _, opacity = composite(density * inside.double(), torch.ones(*inside.shape, 1).double(), found.deltas.double())
    image = torch.zeros(24 * 24, dtype=torch.float64).index_copy(0, found.rays, opacity)
    along = (starts * rays).sum(-1).double()
    half_chord = (along**2 - (starts**2).sum(-1).double() + radius**2).clamp(min=0).sqrt()
    torch.testing.assert_close(image, -torch.expm1(-density * 2 * half_chord), atol=0.01, rtol=0)
    assert image.max() > 0.88
