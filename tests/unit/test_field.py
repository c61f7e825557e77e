# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiance field: untrained it is the chosen head and nothing else; trained it can grow and take colour."""

import numpy as np
import pytest
import torch
import trimesh

from headsculpt.shape.distance import FIELD_BOUND, signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField

SMALL = FieldSettings(levels=4, log2_size=12, base=8, finest=64, hidden=16)
SKULL, JAW = (np.array([0.0, 0.08, 0.0]), 0.22), (np.array([0.0, -0.16, 0.08]), 0.15)
PICTURE = 32


def analytic_distance(points: np.ndarray) -> np.ndarray:
    """Outside exactly, inside closely enough, the distance from the union of two balls."""
    return np.min([np.linalg.norm(points - center, axis=-1) - radius for center, radius in (SKULL, JAW)], axis=0)


@pytest.fixture(scope="module")
def grid() -> np.ndarray:
    skull, jaw = (trimesh.creation.icosphere(5, radius).apply_translation(center) for center, radius in (SKULL, JAW))
    faces = np.concatenate([skull.faces, jaw.faces + len(skull.vertices)])
    return signed_distance_grid(np.concatenate([skull.vertices, jaw.vertices]), faces, 96)


def make(grid: np.ndarray, settings: FieldSettings = SMALL) -> RadianceField:
    return RadianceField(settings, grid, torch.Generator().manual_seed(0))


def last_layer(field: RadianceField) -> torch.nn.Linear:
    layer = field.mlp[-1]
    assert isinstance(layer, torch.nn.Linear)
    return layer


def view(azimuth: float, steps: int) -> tuple[np.ndarray, float]:
    """Points [PICTURE, PICTURE, steps, 3] of parallel rays through the whole cube, and their spacing."""
    across = (np.arange(PICTURE) + 0.5) / PICTURE * 1.0 - 0.5
    along = ((np.arange(steps) + 0.5) / steps * 2 - 1) * FIELD_BOUND
    x, y, z = np.meshgrid(across, across, along, indexing="ij")
    points = np.stack([x * np.cos(azimuth) + z * np.sin(azimuth), y, z * np.cos(azimuth) - x * np.sin(azimuth)], -1)
    return points, 2 * FIELD_BOUND / steps


@pytest.mark.parametrize(("azimuth", "surface_width"), [(0.0, 0.005), (1.0, 0.005), (1.0, 0.02)])
def test_untrained_it_renders_the_priors_silhouette_and_nothing_else(
    grid: np.ndarray, azimuth: float, surface_width: float
) -> None:
    field = make(grid, FieldSettings(levels=4, log2_size=12, base=8, finest=64, hidden=16, surface_width=surface_width))
    points, spacing = view(azimuth, 240)
    with torch.no_grad():
        density = field.density(torch.from_numpy(points.reshape(-1, 3)).float()).view(points.shape[:3])
    opacity = 1 - torch.exp(-density.sum(dim=-1) * spacing).numpy()

    fine, fine_spacing = view(azimuth, 1000)
    distance = analytic_distance(fine)
    tau = 1 / (surface_width * (1 + np.exp(distance / surface_width)))  # Eq. 3
    expected = 1 - np.exp(-tau.sum(axis=-1) * fine_spacing)

    both, either = (opacity > 0.5) & (expected > 0.5), (opacity > 0.5) | (expected > 0.5)
    assert both.sum() / either.sum() >= 0.98
    assert np.abs(opacity - expected).max() < 0.15
    nearest = distance.min(axis=-1)
    assert opacity[nearest > 11 * surface_width].max() < 0.01
    assert opacity[nearest < -surface_width].min() > 0.99


def test_untrained_it_is_mid_grey_with_the_priors_normals(grid: np.ndarray) -> None:
    field = make(grid)
    directions = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    directions = directions[directions[:, 1] > 0.2]  # the skull's side
    points = torch.from_numpy(SKULL[0]).float() + 0.23 * directions
    density, color, normal = field(points)
    assert density.shape == (len(points),) and color.shape == normal.shape == (len(points), 3)
    assert (color == 0.5).all() and (field.residual == 0).all()
    assert (normal * directions).sum(dim=1).min() > 0.99
    torch.testing.assert_close(field.density(points), density)
    torch.testing.assert_close(field.color(points), color)
    torch.testing.assert_close(field.prior_density(points), density)


@pytest.mark.parametrize(
    ("place", "wanted"), [((0.0, 0.4, 0.0), 60.0), ((0.0, -0.16, 0.215), 40.0)], ids=["hair grows", "a cheek falls in"]
)
def test_it_learns_to_grow_to_carve_and_to_take_colour(
    grid: np.ndarray, place: tuple[float, float, float], wanted: float
) -> None:
    field = make(grid, FieldSettings(levels=4, log2_size=12, base=8, finest=64, hidden=32, density_gain=20))
    points = torch.tensor(place) + 0.004 * torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    red = torch.tensor([0.9, 0.1, 0.1])
    optimizer = torch.optim.Adam(field.parameters(), lr=3e-3, eps=1e-15)
    before = field.density(points).detach()
    assert before.max() < 0.01 or before.min() > 100
    for _ in range(300):
        density, color, _ = field(points)
        loss = (density - wanted).square().mean() / 4000 + (color - red).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert abs(field.density(points).mean() - wanted) < 20
        torch.testing.assert_close(field.color(points).mean(dim=0), red, rtol=0, atol=0.1)


def test_the_same_seed_gives_the_same_field(grid: np.ndarray) -> None:
    for one, other in zip(make(grid).parameters(), make(grid).parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_papers_network_has_the_papers_widths() -> None:
    field = RadianceField(FieldSettings(), np.ones((8, 8, 8), np.float32), torch.Generator())
    shapes = [tuple(layer.weight.shape) for layer in field.mlp if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(64, 32), (64, 64), (7, 64)]
