# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface of a radiance field, as a mesh with colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from headsculpt.mesh import Mesh
from headsculpt.shape.distance import FIELD_BOUND, sample_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.occupancy import OccupancyGrid
from headsculpt.shape.prior import BLOB_DENSITY, BLOB_RADIUS, Prior
from headsculpt.shape.tetrahedra import TetrahedralGrid, marching_tetrahedra

FIRM = 15.0
"""Density per head space unit from which on there is surface anywhere: a tenth of a head of it lets two fifths
through. The prior alone reaches it a little off the chosen head; that much is taken off again."""
LOOSE = 4.0
"""The same where much has grown. Hair stays a fog in part, since the model's pictures do not agree on its rim: at FIRM
most of a mohawk is not there. At LOOSE everywhere, the skin would have warts."""
MUCH, SKIN = 7e-4, 0.012
"""What much is: so large a volume, in head space units, of what lies farther than this off the chosen head."""
NECK, THIN = -0.2, 0.028
"""Below this height (the chin is at -0.3) what is thinner than this is no part of it: long hair and beards hang there
in thick masses, and the pictures, which do not agree on where shoulders end, leave a fog that would be lumps."""
_CHUNK = 1 << 16  # points asked for at once: their activations stay in the cache


_CLIP = 4.0
"""Cells beyond which the level's size means nothing; more than the width of a band of tetrahedra."""
_COARSE = 64
"""Cells along a side of the grid that first tells where the surface is at all."""
_NEAR = 2.0
"""Cells of that grid around the surface that the fine grid looks at."""


@torch.no_grad()
def extract_surface(field: RadianceField, occupancy: OccupancyGrid, resolution: int) -> Mesh:
    """The surface on a grid of `resolution` cells along a side, with colours at the vertices; head space."""
    firm, loose, head = (
        level.cpu()
        for level in _level_grids(field, resolution, *_known_before(field, occupancy, resolution), (FIRM, LOOSE))
    )
    level = where_much_has_grown(loose, firm, head)
    grid = TetrahedralGrid.band(level.numpy(), resolution)
    vertices, triangles = marching_tetrahedra(grid.vertices, sample_grid(level, grid.vertices), grid)
    colors = torch.cat([field.color(part.to(field.distance.device)).cpu() for part in vertices.split(_CHUNK)])
    return Mesh(vertices.numpy(), triangles.numpy().astype(np.int32), colors.numpy())


def _known_before(field: RadianceField, occupancy: OccupancyGrid, resolution: int) -> tuple[Tensor, Tensor]:
    """Of the fine grid's nodes [(resolution + 1)³]: which can be near the surface, bool; the level, roughly."""
    coarse, device = min(resolution, _COARSE), field.distance.device
    nodes = _nodes(coarse, device)
    sampled, distance = occupancy.sampled(nodes), sample_grid(field.distance, nodes)
    if resolution <= _COARSE:
        return sampled, distance
    rough, _ = _level_grids(field, coarse, sampled, distance, (LOOSE,))
    # a node's level only tells the distance up to one cell: whatever has a change of sign near it is kept
    near = torch.nn.functional.max_pool3d((rough.abs() < _NEAR * 2 * FIELD_BOUND / coarse)[None, None].float(), 3, 1, 1)
    found = sample_grid(torch.stack([near[0, 0], rough]), _nodes(resolution, device))
    return found[:, 0] > 0, found[:, 1]


def _level_grids(
    field: RadianceField, resolution: int, asked: Tensor, elsewhere: Tensor, densities: Sequence[float]
) -> list[Tensor]:
    """Distance-like functions [resolution + 1]³ at the grid's nodes, one for each of these densities: zero where it is
    and negative inside; then the distance to the chosen head.

    asked: bool, nodes at which the field is asked; elsewhere: the level at the others.
    """
    cell = 2 * FIELD_BOUND / resolution
    nodes = _nodes(resolution, field.distance.device)
    distance = sample_grid(field.distance, nodes)
    index = asked.nonzero()[:, 0]
    change = torch.cat([field.density_change(nodes[part]) for part in index.split(_CHUNK)])
    moved = (distance - elsewhere).repeat(len(densities), 1)
    for number, density in enumerate(densities):
        moved[number, index] = _moved_surface(change, density, field.settings)
    moved = moved.clamp(distance - _CLIP * cell, distance + _CLIP * cell).view(-1, 1, *(resolution + 1,) * 3)
    # What has grown ends within a cell, so it is averaged over neighbours or it would be made of blocks. The chosen
    # head's own distance is not: its lids and lips stay as they are.
    smooth = torch.nn.functional.avg_pool3d(torch.nn.functional.pad(moved, (1,) * 6, mode="replicate"), 3, stride=1)
    distance = distance.view(smooth.shape[2:])
    return [*(distance - smooth[:, 0]), distance]


def _nodes(resolution: int, device: torch.device) -> Tensor:
    """The places [(resolution + 1)³, 3] of a grid's nodes."""
    axis = torch.linspace(-FIELD_BOUND, FIELD_BOUND, resolution + 1, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)


def where_much_has_grown(loose: Tensor, firm: Tensor, head: Tensor) -> Tensor:
    """`loose` around what is MUCH of it off the chosen head, `firm` elsewhere, and both mixed within a few nodes.

    All [R + 1, R + 1, R + 1], on the nodes of the cube ±FIELD_BOUND, negative inside; head: in head space units.
    """
    cell = 2 * FIELD_BOUND / (len(head) - 1)
    grown = ((loose < 0) & (head > SKIN)).numpy()
    neck = math.ceil((NECK + FIELD_BOUND) / cell)
    grown[:, :neck] = ndimage.binary_opening(grown, _ball(THIN / 2 / cell))[:, :neck]
    pieces, count = ndimage.label(grown)
    volume = np.bincount(pieces.reshape(-1), minlength=count + 1) * cell**3
    volume[0] = 0  # no piece
    around = ndimage.maximum_filter((volume > MUCH)[pieces].astype(np.float32), 5, mode="constant")
    share = torch.from_numpy(ndimage.uniform_filter(around, 5, mode="constant"))
    return firm + share * (loose - firm)


def _ball(radius: float) -> NDArray[np.bool_]:
    """The nodes [2k + 1, 2k + 1, 2k + 1] within `radius` cells of the middle one, its neighbours at least."""
    reach = max(1, math.floor(radius))
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]
    return np.asarray((offsets**2).sum(0) <= max(1.0, radius) ** 2)


def _moved_surface(change: Tensor, density: float, settings: FieldSettings) -> Tensor:
    """How far the network moves the surface of this density outwards, [N].

    change: what the network adds before the activation, [N]. What it takes away moves that of FIRM: ears are thin.
    """
    none = change.new_zeros(1)
    grown = _surface_distance(change.clamp(min=0), density, settings) - _surface_distance(none, density, settings)
    carved = _surface_distance(change.clamp(max=0), FIRM, settings) - _surface_distance(none, FIRM, settings)
    return grown + carved


def _surface_distance(change: Tensor, density: float, settings: FieldSettings) -> Tensor:
    """At which distance from its surface prior and network together have this density: Eq. 3 solved for d.

    Unlike the density, this is smooth in what the network says, so that it can be interpolated between nodes.
    change: what the network adds before the activation, [N]. Where it overcomes the prior's lower bound there is
    surface at any distance. A blob falls evenly, so that its surface moves as much as the network says.
    """
    if settings.prior is Prior.BLOB:
        return change * (BLOB_RADIUS / BLOB_DENSITY)
    a, lower_bound = settings.surface_width, settings.lower_bound
    wanted = torch.nn.functional.softplus(density - change)
    anywhere = (change - density + lower_bound).clamp(min=0) * FIELD_BOUND
    return anywhere - a * torch.logit((a * wanted).clamp(1e-9, 1 - 1e-6))
