# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes: signed distance and density prior, hash grid, radiance field, occupancy, tetrahedra. Knows no diffusion."""


def warm_up() -> None:
    """Compile and cache every numba kernel of this room (at set-up, so that no job waits for it)."""
    from headsculpt.shape import distance, hashgrid

    distance.warm_up()
    hashgrid.warm_up()
