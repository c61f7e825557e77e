# SPDX-License-Identifier: GPL-3.0-or-later
"""Marching tetrahedra: closed, manifold, the right way round, in the right place, with the right gradients."""

import math

import numpy as np
import pytest
import torch

from headsculpt.shape.distance import FIELD_BOUND
from headsculpt.shape.tetrahedra import Room, TetrahedralGrid, marching_tetrahedra, room_for

FULL = TetrahedralGrid.full(20)


def random_field(points: torch.Tensor, seed: int) -> torch.Tensor:
    """Smooth lumps with holes and islands, positive near the border of the cube."""
    rng = np.random.default_rng(seed)
    waves = torch.from_numpy(rng.normal(size=(12, 3)) * 7).float()
    phases = torch.from_numpy(rng.uniform(0, 2 * math.pi, 12)).float()
    lumps = torch.sin(points @ waves.T + phases).sum(dim=1) / 4
    return torch.maximum(lumps, (points.abs().amax(dim=1) - 0.6) * 20)


def ball_grid(radius: float, size: int = 64) -> np.ndarray:
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, size)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    return (np.linalg.norm(nodes, axis=0) - radius).astype(np.float32)


def assert_closed_and_manifold(vertices: torch.Tensor, triangles: torch.Tensor) -> None:
    """Each edge has two triangles that go along it in opposite directions; round each vertex there is one fan."""
    corners = triangles.numpy()
    assert len(corners) > 0 and np.unique(corners).size == len(vertices)
    half_edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    keys = half_edges[:, 0].astype(np.int64) * len(vertices) + half_edges[:, 1]
    opposite = half_edges[:, 1].astype(np.int64) * len(vertices) + half_edges[:, 0]
    assert np.unique(keys).size == len(keys)
    assert np.isin(opposite, keys).all()
    assert (len(vertices) - len(keys) // 2 + len(corners)) % 2 == 0  # V − E + F of closed orientable surfaces
    # one fan: following a vertex's triangles from neighbour to neighbour reaches all of them
    following: dict[int, dict[int, int]] = {}
    for a, b, c in corners.tolist():
        for at, start, end in ((a, b, c), (b, c, a), (c, a, b)):
            following.setdefault(at, {})[start] = end
    for ring in following.values():
        start = at = next(iter(ring))
        for count in range(1, len(ring) + 1):  # noqa: B007
            at = ring[at]
            if at == start:
                break
        assert count == len(ring)


def volume(vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[triangles].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


@pytest.mark.parametrize("seed", range(4))
def test_random_fields_give_closed_manifold_surfaces(seed: int) -> None:
    assert_closed_and_manifold(*marching_tetrahedra(FULL.vertices, random_field(FULL.vertices, seed), FULL))


def test_so_does_noise_that_crosses_the_border_of_a_band() -> None:
    """Whatever the optimiser does to the distances, the surface stays closed."""
    band = TetrahedralGrid.band(ball_grid(0.4), 24)
    noise = torch.randn(len(band.vertices), generator=torch.Generator().manual_seed(0))
    assert_closed_and_manifold(*marching_tetrahedra(band.vertices, noise, band))


def test_and_values_of_exactly_zero() -> None:
    steps = (random_field(FULL.vertices, 9) * 2).round()
    assert (steps == 0).sum() > 100
    vertices, triangles = marching_tetrahedra(FULL.vertices, steps, FULL)
    assert torch.isfinite(vertices).all()
    assert_closed_and_manifold(vertices, triangles)


@pytest.mark.parametrize("offset", [0.0, 0.011])
def test_a_ball_has_its_volume_and_looks_outwards(offset: float) -> None:
    grid = TetrahedralGrid.full(40)
    center = torch.tensor([offset, -offset, 2 * offset])
    vertices, triangles = marching_tetrahedra(grid.vertices, (grid.vertices - center).norm(dim=1) - 0.4, grid)
    assert float(volume(vertices, triangles)) == pytest.approx(4 / 3 * math.pi * 0.4**3, rel=0.005)
    assert ((vertices - center).norm(dim=1) - 0.4).abs().max() < 1.5e-3
    a, b, c = vertices[triangles].unbind(1)
    normals = torch.linalg.cross(b - a, c - a)
    area = normals.norm(dim=1)
    facing = (normals * ((a + b + c) / 3 - center)).sum(dim=1)
    assert (facing[area > 1e-7] > 0).all()


def test_a_plane_is_exact() -> None:
    normal = torch.tensor([0.6, 0.64, 0.48])
    vertices, _ = marching_tetrahedra(FULL.vertices, FULL.vertices @ normal - 0.123, FULL)
    inner = vertices[vertices.abs().amax(dim=1) < FIELD_BOUND - 0.08]
    assert len(inner) > 500
    torch.testing.assert_close(inner @ normal, torch.full((len(inner),), 0.123), rtol=0, atol=1e-6)


def test_gradients_are_finite_differences() -> None:
    """Of the enclosed volume, in distances and in positions."""
    grid = TetrahedralGrid.full(8)
    sdf = random_field(grid.vertices, 5).double().requires_grad_()
    positions = grid.vertices.double().requires_grad_()
    to_sdf, to_positions = torch.autograd.grad(volume(*marching_tetrahedra(positions, sdf, grid)), (sdf, positions))
    assert (to_sdf != 0).sum() > 50
    step = 1e-6
    for index in (to_sdf != 0).nonzero()[::15, 0].tolist():
        shifted = [sdf.detach().clone() for _ in range(2)]
        shifted[0][index] += step
        shifted[1][index] -= step
        more, less = (volume(*marching_tetrahedra(positions.detach(), s, grid)) for s in shifted)
        assert float(to_sdf[index]) == pytest.approx(float(more - less) / (2 * step), rel=1e-4, abs=1e-9)
        moved = [positions.detach().clone() for _ in range(2)]
        moved[0][index, 1] += step
        moved[1][index, 1] -= step
        more, less = (volume(*marching_tetrahedra(p, sdf.detach(), grid)) for p in moved)
        assert float(to_positions[index, 1]) == pytest.approx(float(more - less) / (2 * step), rel=1e-4, abs=1e-9)


def test_in_a_room_the_surface_and_its_gradients_are_the_same() -> None:
    sdf = random_field(FULL.vertices, 2)
    room = room_for(sdf, FULL)
    outcomes = []
    for given in (None, room):
        leaves = FULL.vertices.double().requires_grad_(), sdf.double().requires_grad_()
        vertices, triangles = marching_tetrahedra(*leaves, FULL, given)
        gradients = torch.autograd.grad(volume(vertices, triangles), leaves)
        outcomes.append((vertices.detach(), triangles[triangles[:, 0] != triangles[:, 1]], gradients, triangles))
    (vertices, shown, expected, exact), (filled, found, gradients, padded) = outcomes
    assert len(filled) == room.edges > 1.2 * len(vertices) and len(padded) == 2 * room.tets > 1.2 * len(exact)
    assert torch.equal(filled[: len(vertices)], vertices) and torch.equal(found, shown)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_what_has_no_room_is_left_out() -> None:
    whole = room_for(random_field(FULL.vertices, 2), FULL, margin=1)
    room = Room(whole.tets // 2, whole.edges // 2)
    vertices, triangles = marching_tetrahedra(FULL.vertices, random_field(FULL.vertices, 2), FULL, room)
    assert vertices.isfinite().all() and triangles.shape == (2 * room.tets, 3)
    assert triangles.min() >= 0 and triangles.max() < len(vertices) == room.edges


def test_the_tetrahedra_are_congruent_and_each_edge_is_named_once() -> None:
    corners = FULL.vertices[FULL.tets.long()].double()
    volumes = torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    cell = 2 * FIELD_BOUND / 20
    torch.testing.assert_close(volumes, torch.full_like(volumes, cell**3 / 12))
    assert len(volumes) == 12 * 20 * 20 * 19  # four round each of the faces between cubes
    undirected = FULL.edges.sort(dim=1).values
    assert len(torch.unique(undirected, dim=0)) == len(FULL.edges)
    pairs = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    named = undirected[FULL.tet_edges.long()]
    assert torch.equal(named, FULL.tets[:, pairs].sort(dim=2).values)


def test_a_band_gives_the_same_surface_as_the_whole_cube() -> None:
    whole, band = TetrahedralGrid.full(24), TetrahedralGrid.band(ball_grid(0.4), 24)
    assert len(band.tets) < 0.4 * len(whole.tets)
    surfaces = [marching_tetrahedra(g.vertices, g.vertices.norm(dim=1) - 0.4, g) for g in (whole, band)]
    assert len(surfaces[0][0]) == len(surfaces[1][0]) and len(surfaces[0][1]) == len(surfaces[1][1])
    ordered = [np.sort(vertices.numpy().round(6).view("f4,f4,f4"), axis=0) for vertices, _ in surfaces]
    assert np.array_equal(ordered[0], ordered[1])


def test_a_band_is_closed_where_the_shape_leaves_the_cube() -> None:
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, 48)
    x, _, z = np.meshgrid(axis, axis, axis, indexing="ij")
    neck = (np.hypot(x, z) - 0.2).astype(np.float32)  # an endless cylinder
    band = TetrahedralGrid.band(neck, 24)
    sdf = torch.hypot(band.vertices[:, 0], band.vertices[:, 2]) - 0.2
    vertices, triangles = marching_tetrahedra(band.vertices, sdf, band)
    assert_closed_and_manifold(vertices, triangles)
    assert float(volume(vertices, triangles)) == pytest.approx(math.pi * 0.2**2 * 1.5, rel=0.05)


def test_a_band_of_a_function_that_jumps_is_closed() -> None:
    """As a level set is that was only asked for near the chosen head: ±1 elsewhere."""
    level = np.where(ball_grid(0.4, 25) < 0, -1, 1).astype(np.float32)
    band = TetrahedralGrid.band(level, 24)
    sdf = torch.where(band.vertices.norm(dim=1) < 0.4, -1.0, 1.0)
    assert_closed_and_manifold(*marching_tetrahedra(band.vertices, sdf, band))


def test_the_laplacian_is_zero_on_linear_functions_and_the_mean_bend_of_others() -> None:
    inner = FULL.border == 0
    slope = torch.tensor([1.0, -2.0, 0.5])
    assert FULL.laplacian((FULL.vertices @ slope)[:, None])[inner].abs().max() < 1e-5
    spike = torch.zeros(len(FULL.vertices))
    middle = int(FULL.vertices.norm(dim=1).argmin())
    spike[middle] = 1
    laplacian = FULL.laplacian(spike[:, None])[:, 0]
    assert laplacian[middle] == -1
    neighbours = FULL.edges[(FULL.edges == middle).any(dim=1)].sum(dim=1) - middle
    assert len(neighbours) == 14  # eight of the other kind, six of its own
    torch.testing.assert_close(laplacian[neighbours.long()], torch.full((14,), 1 / 14))
