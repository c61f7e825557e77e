# SPDX-License-Identifier: GPL-3.0-or-later
"""The Paper preset against the paper's own numbers, typed from it: Table 2, Eq. 3, Sec. 4 and A.1."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from shapes import icosphere

from headsculpt.guidance.methods import Method
from headsculpt.packs.spec import PackSpec
from headsculpt.shape.field import FieldSettings
from headsculpt.stages.coarse import FieldPicture, regularisers
from headsculpt.stages.fine import roughness
from headsculpt.stages.optimizer import GuardedAdam
from headsculpt.stages.presets import PAPER

COARSE, FINE = PAPER.coarse, PAPER.fine
CAMERAS = PackSpec(name="stable diffusion").cameras
TABLE_2: list[tuple[str, Any, Any]] = [
    ("θ range", (20, 110), tuple(90 - angle for angle in reversed(CAMERAS.elevation))),
    ("radius range", (1.0, 1.5), CAMERAS.radius),
    ("FoV range", (30, 50), CAMERAS.fov),
    ("resolution for coarse", ((0.0, 64),), COARSE.resolutions),
    ("resolution for fine", 512, FINE.picture),
    ("iter interval to update extra status", 16, COARSE.occupancy.interval),
    ("guidance scale", (100, 100), (COARSE.score.guidance_scale, FINE.score.guidance_scale)),
    ("t range, coarse", (0.02, 0.98, 0.98), (COARSE.score.t_min, COARSE.score.t_max, COARSE.score.t_max_end)),
    ("t range, fine", (0.02, 0.98, 0.98), (FINE.score.t_min, FINE.score.t_max, FINE.score.t_max_end)),
    ("#iterations for coarse, divided by ten", 70_000 / 10, COARSE.steps),
    ("#iterations for fine, divided by ten", 50_000 / 10, FINE.steps),
    ("batch size", (4, 4), (COARSE.views.batch, FINE.views.batch)),
    ("LR of grid encoder", (1e-3, 1e-3), (COARSE.learning_rate_grid, FINE.learning_rate_color)),
    ("LR of NeRF MLP", 1e-3, COARSE.learning_rate_mlp),
    ("LR of s and Δv in DMTET", 1e-2, FINE.learning_rate_shape),
    ("warmup iterations, divided by ten", 20_000 / 10, COARSE.warmup_steps),
    ("Eq. 3, a", 0.005, COARSE.field.surface_width),
    ("Sec. 4, Eq. 5 as it is", (Method.SDS, 0.0), (COARSE.score.method, COARSE.score.rescale)),
    ("Sec. 3.2, landmarks and token", (True, True), (COARSE.score.landmarks, COARSE.score.view_token)),
    ("A.1, γ(x) ∈ R³²", 32, COARSE.field.levels * COARSE.field.features),
]


@pytest.mark.parametrize(("row", "paper", "ours"), TABLE_2, ids=[row for row, _, _ in TABLE_2])
def test_the_papers_numbers(row: str, paper: object, ours: object) -> None:
    assert ours == paper


def test_adam_is_the_papers() -> None:
    """Adam (0.9, 0.99), weight decay 0, a constant rate."""
    group = GuardedAdam([{"params": [torch.zeros(1, requires_grad=True)], "lr": 1.0}], print)._adam.param_groups[0]
    assert group["betas"] == (0.9, 0.99) and group["weight_decay"] == 0 and group["lr"] == 1.0


def test_the_field_is_the_papers_but_for_the_lower_bound() -> None:
    assert COARSE.field == FieldSettings(surface_width=0.005, density_gain=1.0, lower_bound=-10.0)


def test_regularisers_weigh_what_the_authors_do_beside_a_sum() -> None:
    """The authors add 5e-4 × a mean to a score summed over 4 views of 64² latent pixels; ours is their mean."""
    flat = torch.zeros(1, 2, 2, 3)
    none, quarter = torch.zeros(()), torch.tensor(0.25)
    half = FieldPicture(flat, torch.full((1, 2, 2), 0.5), flat, flat, none, none, quarter, none)
    settings = replace(COARSE, weight_predicted_normals=0.0)
    for progress, ramp in ((0.1, 0.2), (0.5, 1.0), (0.9, 1.0)):
        entropy = 1.0  # bits, at one half
        expected = (5e-4 * ramp * entropy + 5e-4 * 0.25) / (4 * 64 * 64)
        assert float(regularisers(half, settings, progress)) == pytest.approx(expected, rel=1e-4)
    assert FINE.weight_laplacian * 4 * 64 * 64 == pytest.approx(0.2)


def test_roughness_is_the_uniform_laplacian() -> None:
    """Against the matrix, degree minus adjacency, from libigl."""
    import igl

    mesh = icosphere(2, lambda directions: 0.3 + 0.02 * np.sin(9 * directions[:, 0]))
    adjacency = igl.adjacency_matrix(mesh.triangles.astype(np.int64)).astype(float)
    degree = np.asarray(adjacency.sum(1)).ravel()
    expected = np.linalg.norm(degree[:, None] * mesh.vertices - adjacency @ mesh.vertices, axis=1).mean()
    vertices, triangles = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.triangles).long()
    assert float(roughness(vertices, triangles)) == pytest.approx(expected, rel=1e-4)
    assert math.isclose(float(roughness(2 * vertices, triangles)), 2 * expected, rel_tol=1e-4)
    fillers = torch.arange(3, len(vertices) + 7, 3)[:, None].expand(-1, 3).to(triangles)
    more = torch.cat([vertices, torch.ones(9, 3)]), torch.cat([triangles, fillers])
    assert math.isclose(float(roughness(*more)), expected, rel_tol=1e-4)
