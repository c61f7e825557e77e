# SPDX-License-Identifier: GPL-3.0-or-later
"""The density that a head shape gives to empty words: Eq. 3 of the paper."""

from __future__ import annotations

import math

import torch

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
