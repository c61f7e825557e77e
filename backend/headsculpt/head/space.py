# SPDX-License-Identifier: GPL-3.0-or-later
"""Head space and the way there and back (docs/architecture.md, Conventions)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..mesh import TexturedMesh

CROWN_TO_CHIN = 0.6


@dataclass(frozen=True)
class HeadSpace:
    """A similarity between a head's own coordinates and head space: head = scale · rotation · own + translation.

    scale: head-space units per own unit, > 0; rotation: float32 [3, 3], proper; translation: float32 [3].
    """

    scale: float
    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]

    def to_head(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Own coordinates [..., 3] to head space."""
        moved = self.scale * np.asarray(points, np.float64) @ self.rotation.T.astype(np.float64) + self.translation
        return moved.astype(np.float32)

    def from_head(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Head space [..., 3] to own coordinates."""
        moved = (np.asarray(points, np.float64) - self.translation) @ self.rotation.astype(np.float64) / self.scale
        return moved.astype(np.float32)

    def mesh_to_head(self, mesh: TexturedMesh) -> TexturedMesh:
        """A mesh in own coordinates, turned to head space with its normals."""
        return replace(mesh, vertices=self.to_head(mesh.vertices), normals=mesh.normals @ self.rotation.T)

    def mesh_from_head(self, mesh: TexturedMesh) -> TexturedMesh:
        """The way back."""
        return replace(mesh, vertices=self.from_head(mesh.vertices), normals=mesh.normals @ self.rotation)
