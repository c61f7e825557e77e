# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's arithmetic, from the published formulas: Li et al., Learning a model of facial shape and expression from 4D
scans (2017), equations 1 to 3, and Loper et al., SMPL (2015), equations 2 to 10."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import UserError
from ..skeleton import blend, rotation_matrix

VERTICES = 5023
TRIANGLES = 9976
JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1, 1)
CORRECTIVES = 9 * (len(JOINTS) - 1)
"""One for each entry of the rotation matrix of each joint but the root."""
JAW_OPEN = math.radians(25)
"""How far the jaw turns for a wide open mouth."""


@dataclass(frozen=True)
class FlameModel:
    """One FLAME file. Metres, y up, facing +z, x is the subject's left.

    vertices: float32 [V, 3]; triangles: int32 [T, 3]; shape: float32 [S, V, 3] and expression: float32 [E, V, 3],
    displacements of one standard deviation, the most important first; correctives: float32 [36, V, 3];
    joint_regressor: float32 [J, V]; skin_weights: float32 [V, J]; texts: what the file says in words, by its keys.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    correctives: NDArray[np.float32]
    joint_regressor: NDArray[np.float32]
    skin_weights: NDArray[np.float32]
    texts: Mapping[str, str]

    def shaped(self, shape: ArrayLike = (), expression: ArrayLike = ()) -> NDArray[np.float32]:
        """Vertices [V, 3] of one person at rest. shape, expression: weights of the first components."""
        moved = self.vertices.copy()
        for weights, components in ((shape, self.shape), (expression, self.expression)):
            values = np.asarray(weights, np.float32).reshape(-1)
            if len(values) > len(components):
                raise UserError(
                    f"This FLAME file has {len(components)} such components, not {len(values)}.",
                    "Leave out the last ones.",
                )
            moved += np.tensordot(values, components[: len(values)], 1)
        return moved

    def joint_positions(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """Where the joints [J, 3] of a head at rest with these vertices [V, 3] are."""
        return (self.joint_regressor @ vertices).astype(np.float32)

    def posed(
        self, shape: ArrayLike = (), expression: ArrayLike = (), turns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Vertices [V, 3] of one person. turns: rotation vectors [3] in radians by joint, in the head's axes: +x opens
        the jaw and lowers the gaze. Raises UserError for a joint that there is not."""
        vectors = np.zeros((len(JOINTS), 3))
        for name, vector in (turns or {}).items():
            if name not in JOINTS:
                raise UserError(f"FLAME has no joint called “{name}”.", f"It has {', '.join(JOINTS)}.")
            vectors[JOINTS.index(name)] = vector
        rest = self.shaped(shape, expression)
        bent = np.concatenate([(rotation_matrix(vector) - np.eye(3)).reshape(-1) for vector in vectors[1:]])
        corrected = rest + np.tensordot(bent, self.correctives, 1)
        return blend(corrected, self.joint_positions(rest), PARENTS, self.skin_weights, vectors)

    def eyeballs(self) -> NDArray[np.bool_]:
        """Which vertices [V] belong to other pieces than the largest: in FLAME, the eyeballs."""
        piece = np.arange(len(self.vertices))
        while True:  # each vertex takes the smallest number among its triangles' corners, until no number changes
            lowest = piece[self.triangles].min(axis=1)
            joined = piece.copy()
            np.minimum.at(joined, self.triangles.reshape(-1), np.repeat(lowest, 3))
            joined = joined[joined]
            if (joined == piece).all():
                return np.asarray(piece != np.bincount(piece).argmax())
            piece = joined
