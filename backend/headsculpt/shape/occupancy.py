# SPDX-License-Identifier: GPL-3.0-or-later
"""Where rays have to look: a coarse grid of the density that is known, kept up to date while the field learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from headsculpt.shape.distance import FIELD_BOUND, sample_grid
from headsculpt.shape.field import RadianceField

_OPAQUE = 12.0  # optical depth below the prior's skin after which nothing shows; see render.volume


@dataclass(frozen=True)
class OccupancySettings:
    """The grid and how it follows the field."""

    resolution: int = 128
    """Cells along a side of the cube ±FIELD_BOUND (authors' code)."""
    interval: int = 16
    """Optimiser steps from one update to the next (paper)."""
    decay: float = 0.6
    """Factor on the known density at an update, before the newly seen one can raise it (authors' code)."""
    reach: float = 0.12
    """Head space units off the chosen head that stay sampled even if empty, so that hair can grow there."""
    threshold: float = 0.01
    """Opacity of a cell above which it counts as occupied."""
    share: float = 0.03
    """Share of the cells far from everything occupied that an update looks at, by chance."""


class OccupancyGrid:
    """Occupied cells of the cube ±FIELD_BOUND, cell (i, j, k) along x, y, z.

    mask: bool [R, R, R], cells that rays have to sample: around the chosen head's surface (outwards as far as `reach`,
    inwards until its density is opaque), and around all that has grown elsewhere.
    density: float32 [R, R, R], per unit of length, as far as it is known: first the prior's.
    """

    def __init__(self, field: RadianceField, settings: OccupancySettings) -> None:
        self.settings = settings
        size = settings.resolution
        self.cell = 2 * FIELD_BOUND / size
        device = field.distance.device
        axis = (torch.arange(size, device=device) + 0.5) * self.cell - FIELD_BOUND
        self._centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
        distance = sample_grid(field.distance, self._centers).view(size, size, size)
        half_diagonal = math.sqrt(3) / 2 * self.cell
        # the prior's optical depth at a distance D under the skin is log(1 + e^(D/a)), about D/a
        deepest = _OPAQUE / field.opaque_below if field.opaque_below else math.inf
        self._deep = distance < -deepest - half_diagonal
        self._shell = ~self._deep & (distance < settings.reach + half_diagonal)
        with torch.no_grad():
            self.density = field.prior_density(self._centers).view(size, size, size)
        self.mask = self._shell | self._grown()

    def sampled(self, points: torch.Tensor) -> torch.Tensor:
        """Which points [N, 3] lie in a cell that rays sample, bool [N]; those off the cube take its outer cells."""
        cell = ((points + FIELD_BOUND) / self.cell).long().clamp(0, self.mask.shape[0] - 1)
        return self.mask[cell[:, 0], cell[:, 1], cell[:, 2]]

    @torch.no_grad()
    def update(self, field: RadianceField, generator: torch.Generator) -> None:
        """Look at the sampled cells and at a few others, each at a random point (call it every `interval` steps)."""
        chance = torch.rand(self.mask.shape, generator=generator).to(self.mask.device)
        looked_at = (self.mask | ((chance < self.settings.share) & ~self._deep)).view(-1).nonzero()[:, 0]
        jitter = torch.rand((len(looked_at), 3), generator=generator).to(self.mask.device) - 0.5
        seen = field.density(self._centers[looked_at] + jitter * self.cell)
        known = self.density.view(-1)
        known[looked_at] = torch.maximum(known[looked_at] * self.settings.decay, seen)
        self.mask = self._shell | self._grown()

    def _grown(self) -> torch.Tensor:
        """Cells above the threshold and their neighbours, so that growth can go on."""
        occupied = (self.density * self.cell > -math.log1p(-self.settings.threshold)) & ~self._deep
        spread = torch.nn.functional.max_pool3d(occupied[None, None].float(), 3, stride=1, padding=1)
        return (spread[0, 0] > 0) & ~self._deep
