# SPDX-License-Identifier: GPL-3.0-or-later
"""The signed distance grid against closed forms and libigl, on closed, open and nested meshes."""

import igl
import numpy as np
import pytest
import torch
import trimesh

from headsculpt.shape.distance import FIELD_BOUND, sample_grid, signed_distance_grid

R = 64
AXIS = np.linspace(-FIELD_BOUND, FIELD_BOUND, R)
NODES = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), axis=-1)
STEP = AXIS[1] - AXIS[0]


def sphere(radius: float, subdivisions: int = 4, center: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    mesh.apply_translation(center)
    return mesh


def grid_of(mesh: trimesh.Trimesh, resolution: int = R) -> np.ndarray:
    return signed_distance_grid(mesh.vertices, mesh.faces, resolution)


def bumpy(seed: int) -> trimesh.Trimesh:
    """A lopsided blob."""
    mesh = sphere(0.3)
    rng = np.random.default_rng(seed)
    for wave in rng.normal(size=(6, 3)) * 8:
        mesh.vertices *= 1 + 0.04 * np.sin(mesh.vertices @ wave)[:, None]
    return mesh


@pytest.mark.parametrize("center", [(0, 0, 0), (0.07, -0.11, 0.05)])
def test_a_sphere_has_its_closed_form_everywhere(center: tuple[float, float, float]) -> None:
    grid = grid_of(sphere(0.31, 5, center))
    exact = np.linalg.norm(NODES - center, axis=-1) - 0.31
    assert grid.dtype == np.float32 and grid.shape == (R, R, R)
    near = np.abs(exact) < 0.059
    assert np.abs(grid - exact)[near].max() < 4e-4  # the chords of a sphere of 20,480 triangles
    assert np.abs(grid - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_exact_near_a_closed_surface_and_close_elsewhere(seed: int) -> None:
    mesh = bumpy(seed)
    grid = grid_of(mesh)
    index = np.random.default_rng(seed).integers(0, R, (4000, 3))
    expected = igl.signed_distance(
        NODES[tuple(index.T)], mesh.vertices, mesh.faces, sign_type=igl.SIGNED_DISTANCE_TYPE_WINDING_NUMBER
    )[0]
    got = grid[tuple(index.T)]
    near = np.abs(expected) < 0.06
    assert near.sum() > 100
    assert np.abs(got - expected)[near].max() < 1e-5
    assert np.quantile(np.abs(got / expected - 1), 0.99) < 0.02
    assert np.abs(got - expected).max() < STEP


def test_an_ear_thinner_than_a_grid_step_keeps_its_place() -> None:
    half = np.array([0.2, 0.25, 0.007])
    grid = grid_of(trimesh.creation.box(2 * half), 65)  # a layer of nodes lies in its middle
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, 65)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    outside_by = np.linalg.norm(np.maximum(np.abs(nodes) - half, 0), axis=-1)
    assert grid[32, 32, 32] == pytest.approx(-0.007, abs=1e-6)
    np.testing.assert_allclose(grid[outside_by > 0], outside_by[outside_by > 0], rtol=0.02, atol=1e-6)


def test_a_hole_is_capped() -> None:
    """A head is open at the neck; the cap must be a surface like any other, not a jump in the distance."""
    mesh = sphere(0.3, 5)
    kept = mesh.faces[mesh.triangles_center[:, 1] > -0.2]
    grid = signed_distance_grid(mesh.vertices, kept, R)
    column = grid[R // 2, :, R // 2]  # straight down through the cap
    crossing = AXIS[np.nonzero(np.diff(np.sign(column)))[0]]
    assert crossing == pytest.approx([-0.2, 0.3], abs=STEP)
    assert np.abs(np.diff(column)).max() < 1.25 * STEP


def test_parts_inside_make_no_surface_inside() -> None:
    """Eyeballs that lie in the head, a mouth cavity that is closed, and a shell around it leave no trace."""
    skin = sphere(0.35)
    eye = sphere(0.06, 3, (0.1, 0, 0.15))
    cavity = sphere(0.08, 3, (0, -0.1, 0.1))
    cavity.invert()
    eye_that_looks_out = sphere(0.06, 3, (-0.1, 0, 0.31))
    parts = [skin, eye, cavity, eye_that_looks_out]
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    grid = signed_distance_grid(np.concatenate([part.vertices for part in parts]), faces, R)
    balls = [(np.zeros(3), 0.35), (np.array([-0.1, 0, 0.31]), 0.06)]
    union = np.min([np.linalg.norm(NODES - c, axis=-1) - r for c, r in balls], axis=0)
    assert np.abs(grid - union)[(union > 0) & (union < 0.06)].max() < 2e-3
    assert ((grid < 0) == (union < 0))[np.abs(union) > 2e-3].all()
    buried = np.linalg.norm(NODES - (0.1, 0, 0.15), axis=-1) < 0.07
    assert grid[buried].max() < -0.05


def test_orientation_of_seams_and_duplicates_do_not_matter() -> None:
    """A mesh whose every triangle has its own three vertices is the same shape."""
    mesh = bumpy(3)
    soup_triangles = np.arange(3 * len(mesh.faces)).reshape(-1, 3)
    soup = signed_distance_grid(mesh.vertices[mesh.faces].reshape(-1, 3), soup_triangles, R)
    np.testing.assert_allclose(soup, grid_of(mesh), atol=1e-5)


def test_a_neck_that_leaves_the_cube_stays_inside() -> None:
    neck = trimesh.creation.cylinder(0.2, 3.0, sections=64)  # along z, far beyond both faces
    grid = grid_of(neck)
    inside = np.linalg.norm(NODES[..., :2], axis=-1) < 0.195
    assert (grid[inside] < 0).all() and (grid[np.linalg.norm(NODES[..., :2], axis=-1) > 0.2] > 0).all()


def test_sampling_is_trilinear_and_passes_gradients() -> None:
    rng = np.random.default_rng(0)
    c = torch.from_numpy(rng.normal(size=8))

    def trilinear(p: torch.Tensor) -> torch.Tensor:
        x, y, z = p.unbind(-1)
        terms = torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, z * x, x * y * z], dim=-1)
        return terms @ c

    grid = trilinear(torch.from_numpy(NODES))
    points = torch.from_numpy(rng.uniform(-0.74, 0.74, (500, 3))).requires_grad_()
    expected_gradient = torch.autograd.grad(trilinear(points).sum(), points)[0]
    got = sample_grid(grid, points)
    torch.testing.assert_close(got, trilinear(points))
    torch.testing.assert_close(torch.autograd.grad(got.sum(), points)[0], expected_gradient)
    channels = sample_grid(torch.stack([grid, 2 * grid]), points)
    torch.testing.assert_close(channels, torch.stack([got, 2 * got], dim=-1))
    beyond = sample_grid(grid, torch.tensor([[0.9, 0.1, -2.0]], dtype=torch.float64))
    torch.testing.assert_close(beyond, trilinear(torch.tensor([[0.75, 0.1, -0.75]], dtype=torch.float64)))
