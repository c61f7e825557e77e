# SPDX-License-Identifier: GPL-3.0-or-later
"""The occupancy grid: it misses nothing that shows, follows growth and forgets what is gone."""

import numpy as np
import pytest
import torch

from headsculpt.shape.distance import FIELD_BOUND
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.occupancy import OccupancyGrid, OccupancySettings

RADIUS = 0.3
SETTINGS = OccupancySettings(resolution=48, reach=0.08)


@pytest.fixture
def field() -> RadianceField:
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, 64)
    ball = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), axis=0) - RADIUS
    settings = FieldSettings(levels=3, log2_size=12, base=8, finest=32, hidden=16)
    return RadianceField(settings, ball.astype(np.float32), torch.Generator().manual_seed(0))


def depth_of_cells(size: int) -> torch.Tensor:
    """Signed distance of the cells' centres from the ball."""
    axis = (torch.arange(size) + 0.5) / size * 2 * FIELD_BOUND - FIELD_BOUND
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) - RADIUS


def occupied_at(grid: OccupancyGrid, point: tuple[float, float, float]) -> bool:
    i, j, k = (int((x + FIELD_BOUND) / grid.cell) for x in point)
    return bool(grid.mask[i, j, k])


class Blob(torch.nn.Module):
    """The field with a ball of density added far from the head, or with all its density taken away."""

    def __init__(self, field: RadianceField, center: tuple[float, float, float], empty: bool = False) -> None:
        super().__init__()
        self.field, self.center, self.empty = field, torch.tensor(center), empty

    def density(self, points: torch.Tensor) -> torch.Tensor:
        if self.empty:
            return torch.zeros(len(points))
        return self.field.density(points) + 50.0 * ((points - self.center).norm(dim=1) < 0.08)


def test_it_starts_as_a_shell_round_the_prior(field: RadianceField) -> None:
    grid = OccupancyGrid(field, SETTINGS)
    depth = depth_of_cells(48)
    assert grid.mask.dtype == torch.bool and grid.mask.shape == (48, 48, 48)
    assert grid.mask[(depth > -0.06) & (depth < SETTINGS.reach)].all()  # 0.06 = 12 a: opaque beyond
    assert not grid.mask[depth < -0.06 - 2 * grid.cell].any()
    assert not grid.mask[depth > SETTINGS.reach + 2 * grid.cell].any()
    assert grid.density[depth < -0.03].min() > 190  # 1/a


def test_rays_through_it_lose_nothing_that_shows(field: RadianceField) -> None:
    """Opacity with and without the mask, along straight lines."""
    grid = OccupancyGrid(field, SETTINGS)
    along = torch.linspace(-FIELD_BOUND, FIELD_BOUND, 3001)[1:-1]
    for off in (0.0, 0.2, 0.29, 0.31, 0.33):
        points = torch.stack([torch.full_like(along, off), torch.zeros_like(along), along], dim=1)
        density = field.density(points).detach()
        cells = ((points + FIELD_BOUND) / grid.cell).long()
        seen = grid.mask[cells[:, 0], cells[:, 1], cells[:, 2]]
        step = 2 * FIELD_BOUND / 3000
        full, masked = (1 - torch.exp(-(density * keep).sum() * step) for keep in (torch.ones_like(seen), seen))
        assert abs(float(full - masked)) < 1e-3


def test_growth_far_from_the_head_is_found_followed_and_forgotten(field: RadianceField) -> None:
    grid = OccupancyGrid(field, SETTINGS)
    generator = torch.Generator().manual_seed(1)
    center = (0.0, 0.6, 0.0)
    assert not occupied_at(grid, center)
    grown = Blob(field, center)
    for _ in range(25):
        grid.update(grown, generator)  # type: ignore[arg-type]
    for point in (center, (0.06, 0.6, 0.0), (0.0, 0.66, 0.0), (0.0, 0.54, 0.05)):
        assert occupied_at(grid, point)
    assert grid.mask.sum() < 0.3 * grid.mask.numel()
    for _ in range(30):
        grid.update(field, generator)
    assert not occupied_at(grid, center)


def test_the_shell_stays_sampled_though_the_field_is_empty(field: RadianceField) -> None:
    """What was carved away may grow again, and hair may start at any time."""
    grid = OccupancyGrid(field, SETTINGS)
    empty = Blob(field, (0, 0, 0), empty=True)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        grid.update(empty, generator)  # type: ignore[arg-type]
    depth = depth_of_cells(48)
    shell = (depth > -0.05) & (depth < SETTINGS.reach)
    assert grid.mask[shell].all()
    assert grid.density[shell & (depth < -0.03)].max() == pytest.approx(200 * SETTINGS.decay**3, rel=0.02)


def test_the_same_seed_gives_the_same_grid(field: RadianceField) -> None:
    grids = []
    for _ in range(2):
        grid = OccupancyGrid(field, SETTINGS)
        grid.update(field, torch.Generator().manual_seed(3))
        grids.append(grid)
    assert torch.equal(grids[0].density, grids[1].density) and torch.equal(grids[0].mask, grids[1].mask)
