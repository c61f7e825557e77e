# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints that turn a head: rotations about points, carried over to the vertices by linear blend skinning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rotation_matrix(vector: ArrayLike) -> NDArray[np.float64]:
    """The rotation [3, 3] about the direction of a vector [3] by its length in radians (Rodrigues)."""
    x, y, z = np.asarray(vector, np.float64)
    angle = np.sqrt(x * x + y * y + z * z)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # sin(a) / a and (1 − cos a) / a², also where a is 0
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * cross @ cross


def blend(
    vertices: NDArray[np.floating],
    joints: NDArray[np.floating],
    parents: Sequence[int],
    weights: NDArray[np.floating],
    vectors: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Vertices [V, 3] after each joint has turned about itself and with the joint that it hangs on.

    joints: [J, 3], where they are at rest; parents: [J], each before its children, −1 for none; weights: [V, J], rows
    that add up to 1; vectors: [J, 3], rotations in the head's axes, as `rotation_matrix` takes them.
    """
    turned = np.empty((len(joints), 3, 3))
    moved = np.empty((len(joints), 3))
    for joint, parent in enumerate(parents):
        turn = rotation_matrix(vectors[joint])
        shift = joints[joint] - turn @ joints[joint]
        turned[joint] = turn if parent < 0 else turned[parent] @ turn
        moved[joint] = shift if parent < 0 else turned[parent] @ shift + moved[parent]
    result = np.einsum("vj,jkl,vl->vk", weights, turned, vertices, optimize=True) + weights @ moved
    return result.astype(np.float32)
