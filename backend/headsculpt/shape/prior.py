# SPDX-License-Identifier: GPL-3.0-or-later
"""The density that a shape gives to empty words: Eq. 3 of the paper, and the blob that others begin with."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray

from headsculpt.shape.distance import FIELD_BOUND

BLOB_DENSITY, BLOB_RADIUS = 10.0, 0.5
"""λ and r of the blob λ(1 − |x|/r) before the activation (Magic3D's, which Stable-DreamFusion took over)."""


class Prior(StrEnum):
    """What a field is before it learns."""

    HEAD = "head"
    """The chosen head (Eq. 3)."""
    BLOB = "blob"
    """A soft ball, whatever head was chosen: DreamFusion's and Latent-NeRF's beginning."""


_SMALL = 0.05  # below this τ, a series is exact in float32 and τ itself may underflow


def density(distance: torch.Tensor, a: float, lower_bound: float) -> torch.Tensor:
    """Eq. 3: σ̄ = max(lower_bound, softplus⁻¹(τ)) with τ = sigmoid(−d/a)/a, the density before its activation.

    distance: signed distance d, any shape, head space, negative inside; a: width of the surface, the same unit, > 0.
    The paper's lower bound is 0, whose softplus, ln 2, fills empty space with fog; −10 is empty.
    softplus⁻¹(τ) = τ + log(1 − e^−τ) holds where log(e^τ − 1) overflows. Finite, with finite gradients, for any d.
    """
    log_tau = torch.nn.functional.logsigmoid(-distance / a) - math.log(a)
    tau = log_tau.exp()
    large = tau.clamp(min=_SMALL)
    inverse = torch.where(tau < _SMALL, log_tau + tau / 2 + tau * tau / 24, large + torch.log(-torch.expm1(-large)))
    return inverse.clamp(min=lower_bound)


def blob_density(distance: torch.Tensor) -> torch.Tensor:
    """λ(1 − |x|/r), of the signed distances d to the ball of half the radius: (λ/2) − (λ/r) d."""
    return BLOB_DENSITY / 2 - BLOB_DENSITY / BLOB_RADIUS * distance


def ball_distance(resolution: int) -> NDArray[np.float32]:
    """Signed distances to the ball around the origin of half the blob's radius, as distance.signed_distance_grid."""
    axis = np.linspace(-FIELD_BOUND, FIELD_BOUND, resolution, dtype=np.float32)
    squares = sum(part**2 for part in np.meshgrid(axis, axis, axis, indexing="ij", sparse=True))
    return np.asarray(np.sqrt(squares) - BLOB_RADIUS / 2, np.float32)
