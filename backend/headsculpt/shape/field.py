# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiance field: what the words change of the chosen head, on top of its density prior (Eq. 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from headsculpt.shape import prior
from headsculpt.shape.distance import FIELD_BOUND, sample_grid
from headsculpt.shape.hashgrid import HashGrid
from headsculpt.shape.prior import Prior

_AT_ONCE = 1 << 20  # points of a texture whose colours are asked for together: more would not fit on a small card


@dataclass(frozen=True)
class FieldSettings:
    """Size of the field and strength of its prior. Defaults are the paper's."""

    levels: int = 16
    """Grids of the encoding (paper: γ(x) ∈ R³², 16 levels of 2 features)."""
    features: int = 2
    """Numbers per node of a grid (paper)."""
    log2_size: int = 19
    """Base-2 logarithm of the slots of a hashed level (Müller et al.)."""
    base: int = 16
    """Cells along a side of the coarsest grid (authors' code)."""
    finest: int = 2048
    """Cells along a side of the finest grid (authors' code)."""
    hidden: int = 64
    """Width of the two hidden layers (paper: 32-64-64-7)."""
    prior: Prior = Prior.HEAD
    """What the field is before it learns (paper: the chosen head)."""
    surface_width: float = 0.005
    """a of Eq. 3, head space units: how far the prior's density takes to rise (paper)."""
    lower_bound: float = -10.0
    """Least prior before the activation: softplus(−10) is empty space (paper: 0, a fog; see prior.density)."""
    density_gain: float = 1.0
    """Factor on the density residual: how much density one unit of the network's output moves (paper: 1)."""


class RadianceField(nn.Module):
    """Density, colour and normal at points of the cube ±FIELD_BOUND (Eq. 2).

    density = softplus(gain · residual + σ̄(d)), with σ̄ the prior of Eq. 3; colour = sigmoid; the normal is predicted as
    a change of the prior's. Untrained, the residual is 0 and the colour mid grey: the field is the chosen head.
    settings: FieldSettings; distance_grid: float32 [R, R, R], the head's, of distance.signed_distance_grid;
    generator: for the starting values; latent_colors: float32 [C + 1, 3], for a field whose values are not colours but
    latents of C channels: the colours that each of them adds to, and in the last row the colour of latents of 0.
    """

    def __init__(
        self,
        settings: FieldSettings,
        distance_grid: NDArray[np.float32],
        generator: torch.Generator,
        latent_colors: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.head_distance: torch.Tensor
        self.register_buffer("head_distance", torch.as_tensor(distance_grid), persistent=False)
        self.latent_colors: torch.Tensor | None
        self.register_buffer("latent_colors", latent_colors, persistent=False)
        if settings.prior is Prior.BLOB:
            distance_grid = prior.ball_distance(len(distance_grid))
        self.encoder = HashGrid(
            settings.levels,
            settings.features,
            settings.log2_size,
            settings.base,
            settings.finest,
            generator=generator,
        )
        widths = [self.encoder.width, settings.hidden, settings.hidden]
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [_linear(width, following, generator), nn.ReLU()]
        values = 3 if latent_colors is None else len(latent_colors) - 1
        head = nn.Linear(settings.hidden, 4 + values)  # normal 3, density 1, colour 3
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.mlp = nn.Sequential(*layers, head)
        self.distance: torch.Tensor
        self.register_buffer("distance", torch.as_tensor(distance_grid), persistent=False)
        slopes = np.gradient(distance_grid, 2 * FIELD_BOUND / (len(distance_grid) - 1))
        together = torch.as_tensor(np.stack([distance_grid, *slopes])[None])
        # distance and its gradient [4, R, R, R], a node's four numbers side by side: looked up twice as fast
        self._prior: torch.Tensor
        self.register_buffer("_prior", together.contiguous(memory_format=torch.channels_last_3d)[0], persistent=False)
        self.residual = torch.zeros(0)
        """Density residual [N], before the gain, of the last forward: for regularisers."""

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """points [N, 3] → density [N] per unit of length, colour [N, 3] sRGB in [0, 1], unit normal [N, 3] outwards.

        Latents [N, C] stand for the colour in a field of them."""
        output = self._network(points)
        around = sample_grid(self._prior, points)
        self.residual = output[:, 3]
        normal = nn.functional.normalize(around[:, 1:] + output[:, :3], dim=1)
        values = output[:, 4:].sigmoid() if self.latent_colors is None else output[:, 4:]
        return nn.functional.softplus(self._sum(self.residual, around[:, 0])), values, normal

    def density(self, points: torch.Tensor) -> torch.Tensor:
        """points [N, 3] → density [N]."""
        return nn.functional.softplus(self._before_activation(points))

    def density_change(self, points: torch.Tensor) -> torch.Tensor:
        """points [N, 3] → what the network adds to the prior's density before the activation, [N]."""
        return self.settings.density_gain * self._network(points)[:, 3]

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """points [N, 3] → colour [N, 3], sRGB in [0, 1]."""
        values = self._network(points)[:, 4:]
        if self.latent_colors is None:
            return values.sigmoid()
        return (values @ self.latent_colors[:-1] + self.latent_colors[-1]).clamp(0, 1)

    @torch.no_grad()
    def colors_at(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """`color` of points [N, 3] in arrays, wherever the field is."""
        parts = torch.from_numpy(points).split(_AT_ONCE)
        return torch.cat([self.color(part.to(self.distance.device)).cpu() for part in parts]).numpy()

    @property
    def opaque_below(self) -> float:
        """Optical depth that the prior gains on a way of one unit under its surface; 0 where it never gets opaque."""
        return 1 / self.settings.surface_width if self.settings.prior is Prior.HEAD else 0.0

    def prior_density(self, points: torch.Tensor) -> torch.Tensor:
        """The density [N] that the chosen head alone gives."""
        distance = sample_grid(self.distance, points)
        return nn.functional.softplus(self._sum(torch.zeros_like(distance), distance))

    def _before_activation(self, points: torch.Tensor) -> torch.Tensor:
        return self._sum(self._network(points)[:, 3], sample_grid(self.distance, points))

    def _network(self, points: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.encoder(points / (2 * FIELD_BOUND) + 0.5))

    def _sum(self, residual: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        settings = self.settings
        if settings.prior is Prior.BLOB:
            before = prior.blob_density(distance)
        else:
            before = prior.density(distance, settings.surface_width, settings.lower_bound)
        return settings.density_gain * residual + before


def _linear(width: int, following: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(width, following)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
