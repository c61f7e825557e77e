# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the face of any head mesh: the built-in head is fitted to it, and carries its landmarks there."""


def warm_up() -> None:
    """Compile and cache this room's kernels."""
    import numpy as np

    from headsculpt.head.registration.search import GRID, descend

    descend(np.ones((GRID,) * 3, np.float32), np.eye(3), np.zeros((1, 7)))
