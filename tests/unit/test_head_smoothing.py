# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface that the shape prior is computed from has none of the mesh's flat faces and stays where the mesh is."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.head.smoothing import smooth, smooth_surface
from headsculpt.shape.distance import sample_grid, signed_distance_grid

MILLIMETRE = 0.6 / 230  # in head space: crown to chin is 23 centimetres


def test_a_coarse_ball_becomes_round_and_keeps_its_size() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    points, triangles = smooth(ball.vertices, ball.faces, 1)
    assert len(triangles) == 4 * len(ball.faces)
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 0.004
    flat = np.linalg.norm(ball.vertices[ball.faces].mean(1), axis=1)
    round_ = np.linalg.norm(points[triangles].mean(1), axis=1)
    assert 1 - flat.min() > 2 * (1 - round_.min())


def test_open_borders_stay_open_and_flat_places_flat() -> None:
    x, y = (w.ravel() for w in np.meshgrid(np.arange(4.0), np.arange(3.0)))
    first = np.array([row * 4 + column for row in range(2) for column in range(3)])
    triangles = np.concatenate([np.c_[first, first + 1, first + 5], np.c_[first, first + 5, first + 4]])
    points, fine = smooth(np.c_[x, y, 0 * x], triangles, 1)
    assert np.abs(points[:, 2]).max() == 0 and len(fine) == 48
    away = np.linalg.norm(points[:12, :2] - np.c_[x, y], axis=1)  # 12 vertices come back to their places
    assert away.max() < 0.05


def test_the_smooth_head_is_the_head() -> None:
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    coarse, triangles = head.surface()
    points, fine = smooth_surface(head)
    assert len(fine) == 4 * len(triangles)
    used = np.unique(triangles)
    assert np.linalg.norm(points[: len(used)] - coarse[used], axis=1).max() < 0.7 * MILLIMETRE


def test_normals_of_the_distance_grid_vary_smoothly_on_a_bald_skull() -> None:
    """At the back of the head neighbouring normals differ by the skull's curvature alone, not by faces and edges."""
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    skull = (head.masks["scalp"] > 0.9) & (head.vertices[:, 2] < -0.05)
    faces = head.triangles[skull[head.triangles].all(1)]
    generator = np.random.default_rng(0)
    some = generator.integers(len(faces), size=3000)
    points = np.einsum("nk,nkc->nc", generator.dirichlet([1, 1, 1], len(some)), head.vertices[faces[some]])
    near = cKDTree(points).query(points, 30)[1]

    def unevenness(grid: np.ndarray) -> float:
        """Mean angle in degrees between a normal and the mean of those around."""
        values, where = torch.from_numpy(grid), torch.tensor(points, dtype=torch.float32)
        steps = 0.006 * torch.eye(3)
        normal = torch.stack(
            [sample_grid(values, where + s) - sample_grid(values, where - s) for s in steps], 1
        ).numpy()
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        around = normal[near].mean(1)
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        return float(np.degrees(np.arccos(np.clip((normal * around).sum(1), -1, 1))).mean())

    flat, even = (unevenness(signed_distance_grid(*mesh, 96)) for mesh in (head.surface(), smooth_surface(head)))
    assert even < 1.35 and even < 0.8 * flat
