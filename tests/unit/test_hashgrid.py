# SPDX-License-Identifier: GPL-3.0-or-later
"""The hash grid's kernels against plain torch in float64, closed forms and the published formulas."""

import itertools

import numpy as np
import pytest
import torch

from headsculpt.shape.hashgrid import HashGrid, encode_reference


def make(levels: int = 6, features: int = 2, log2_size: int = 13, base: int = 4, finest: int = 200) -> HashGrid:
    grid = HashGrid(levels, features, log2_size, base, finest, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        grid.table.copy_(torch.randn(grid.table.shape, generator=torch.Generator().manual_seed(2)))
    return grid


def random_points(count: int) -> torch.Tensor:
    inside = torch.rand(count, 3, generator=torch.Generator().manual_seed(3)) * 1.1 - 0.05  # some beyond the faces
    corners = torch.tensor(list(itertools.product([0.0, 0.5, 1.0], repeat=3)))
    return torch.cat([inside, corners])


@pytest.mark.parametrize("features", [1, 2, 4])
@pytest.mark.parametrize("active_levels", [6.0, 3.4, 0.5])
def test_kernels_agree_with_plain_torch(features: int, active_levels: float) -> None:
    grid = make(features=features)
    grid.active_levels = active_levels
    assert grid.layout.hashed.tolist() == [False, False, False, True, True, True]
    points = random_points(700).requires_grad_()
    gradient = torch.randn(len(points), grid.width, generator=torch.Generator().manual_seed(4))

    encoded = grid(points)
    to_points, to_table = torch.autograd.grad(encoded, (points, grid.table), gradient)

    points64 = points.detach().double().requires_grad_()
    table64 = grid.table.detach().double().requires_grad_()
    weights = np.clip(active_levels - np.arange(6), 0, 1).astype(np.float32)
    expected = encode_reference(points64, table64, grid.layout, weights)
    expected_points, expected_table = torch.autograd.grad(expected, (points64, table64), gradient.double())

    assert encoded.shape == (len(points), 6 * features)
    torch.testing.assert_close(encoded.double(), expected, rtol=1e-5, atol=2e-4)
    torch.testing.assert_close(to_table.double(), expected_table, rtol=1e-4, atol=2e-3)
    on_a_node = (points64 % 0.5 == 0).any(dim=-1)  # there the slope has two values
    torch.testing.assert_close(to_points.double()[~on_a_node], expected_points[~on_a_node], rtol=1e-4, atol=0.1)


def test_gradient_along_the_points_is_the_finite_difference() -> None:
    grid = make()
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(5)) * 0.9 + 0.05
    cell = points[:, None] * torch.from_numpy(grid.layout.cells).float()[None, :, None]
    smooth = ((cell % 1 > 0.05) & (cell % 1 < 0.95)).all(dim=1).all(dim=1)  # no cell face within the step
    points = points[smooth].requires_grad_()
    assert len(points) > 20
    (got,) = torch.autograd.grad(grid(points).sum(), points)
    step = 1e-4
    for axis in range(3):
        shift = torch.zeros(3)
        shift[axis] = step
        slope = (grid(points + shift).sum(dim=1) - grid(points - shift).sum(dim=1)) / (2 * step)
        torch.testing.assert_close(got[:, axis], slope, rtol=0.02, atol=1.0)


def test_a_level_that_fits_reproduces_a_linear_function() -> None:
    grid = HashGrid(1, 1, 15, 30, 30, generator=torch.Generator())
    nodes = torch.stack(torch.meshgrid([torch.linspace(0, 1, 31)] * 3, indexing="ij"), dim=-1).reshape(-1, 3)
    slope = torch.tensor([1.0, -2.0, 0.5])
    with torch.no_grad():
        grid.table.copy_((nodes @ slope)[:, None])
    points = random_points(100)
    torch.testing.assert_close(grid(points)[:, 0], points.clamp(0, 1) @ slope, rtol=0, atol=1e-5)


def test_a_hashed_node_is_where_the_published_hash_puts_it() -> None:
    grid = make(levels=2, features=1, log2_size=10, base=16, finest=64)
    assert grid.layout.cells.tolist() == [16, 64]
    for node in [(0, 0, 0), (3, 50, 7), (63, 64, 21), (64, 64, 64)]:
        point = torch.tensor([node], dtype=torch.float32) / 64
        slot = (node[0] ^ (node[1] * 2654435761 % 2**32) ^ (node[2] * 805459861 % 2**32)) % 2**10
        # level 0 has 17³ nodes, more than 2^10 slots, so level 1 starts at 2^10
        assert grid(point)[0, 1].item() == pytest.approx(grid.table[2**10 + slot, 0].item(), abs=1e-6)


def test_the_papers_grid_has_the_papers_sizes() -> None:
    grid = HashGrid(16, 2, 19, 16, 2048, generator=torch.Generator())
    assert (grid.layout.cells[0], grid.layout.cells[-1], grid.width) == (16, 2048, 32)
    assert grid.layout.slots.max() == 2**19
    assert grid.table.abs().max() <= 1e-4


def test_levels_that_are_closed_give_zero_and_get_no_gradient() -> None:
    grid = make()
    grid.active_levels = 2.5
    points = random_points(50)
    full = make()(points).reshape(-1, 6, 2)
    half_open = grid(points).reshape(-1, 6, 2)
    torch.testing.assert_close(half_open[:, :2], full[:, :2])
    torch.testing.assert_close(half_open[:, 2], full[:, 2] * 0.5)
    assert (half_open[:, 3:] == 0).all()
    (gradient,) = torch.autograd.grad(half_open.sum(), grid.table)
    assert (gradient[grid.layout.start[3] :] == 0).all() and (gradient[: grid.layout.start[3]] != 0).any()


def test_threads_change_no_bit() -> None:
    grid, results = make(), []
    points = torch.rand(50_000, 3, generator=torch.Generator().manual_seed(6)).requires_grad_()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            encoded = grid(points)
            results.append((encoded, *torch.autograd.grad(encoded.square().sum(), (points, grid.table))))
    finally:
        torch.set_num_threads(1)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)
