# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface of a radiance field, as a mesh with colours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headsculpt.mesh import Mesh
from headsculpt.shape.distance import FIELD_BOUND, sample_grid
from headsculpt.shape.field import RadianceField
from headsculpt.shape.occupancy import OccupancyGrid
from headsculpt.shape.tetrahedra import TetrahedralGrid, marching_tetrahedra

SURFACE_DENSITY = 15.0
"""Density per head space unit from which on there is surface: hair a tenth of a head thick is opaque at four times
this. The prior alone reaches it a little off the chosen head; that much is taken off again."""
_CHUNK = 1 << 16  # points asked for at once: their activations stay in the cache


@torch.no_grad()
def extract_surface(field: RadianceField, occupancy: OccupancyGrid, resolution: int) -> Mesh:
    """The surface on a grid of `resolution` cells along a side, with colours at the vertices; head space."""
    level = level_grid(field, occupancy, resolution)
    grid = TetrahedralGrid.band(level.numpy(), resolution)
    vertices, triangles = marching_tetrahedra(grid.vertices, sample_grid(level, grid.vertices), grid)
    colors = [field.color(part) for part in vertices.split(_CHUNK)]
    return Mesh(
        vertices.numpy(),
        triangles.numpy().astype(np.int32),
        torch.cat(colors).numpy() if colors else np.zeros((0, 3), np.float32),
    )


def level_grid(field: RadianceField, occupancy: OccupancyGrid, resolution: int) -> Tensor:
    """A distance-like function [resolution + 1]³ at the grid's nodes, zero on the surface and negative inside.

    Only what rays sample is asked; elsewhere the field is empty or, deep inside, solid.
    """
    axis = torch.linspace(-FIELD_BOUND, FIELD_BOUND, resolution + 1)
    nodes = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
    distance = sample_grid(field.distance, nodes)
    level = torch.where(distance < 0, -FIELD_BOUND, FIELD_BOUND)
    asked = occupancy.sampled(nodes).nonzero()[:, 0]
    change = torch.cat([field.density_change(nodes[part]) for part in asked.split(_CHUNK)])
    a = field.settings.surface_width
    moved = _moved_surface(change, a, field.settings.lower_bound)
    level[asked] = distance[asked] - moved + _moved_surface(torch.zeros(1), a, field.settings.lower_bound)
    return level.view((resolution + 1,) * 3)


def _moved_surface(change: Tensor, a: float, lower_bound: float) -> Tensor:
    """At which distance from the chosen head prior and network together have SURFACE_DENSITY: Eq. 3 solved for d.

    Unlike the density, this is smooth in what the network says, so that it can be interpolated between nodes.
    change: what the network adds before the activation, [N]. Where it overcomes the prior's lower bound there is
    surface at any distance.
    """
    wanted = torch.nn.functional.softplus(SURFACE_DENSITY - change)
    anywhere = (change - SURFACE_DENSITY + lower_bound).clamp(min=0) * FIELD_BOUND
    return anywhere - a * torch.logit((a * wanted).clamp(1e-9, 1 - 1e-6))
