# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes: signed distance and density prior, hash grid, radiance field, occupancy, tetrahedra. Knows no diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def warm_up(device: torch.device) -> None:
    """Compile and cache this room's kernels for a device (at set-up, so that no job waits for it)."""
    from headsculpt.shape import distance, hashgrid

    distance.warm_up()
    hashgrid.warm_up(device)
