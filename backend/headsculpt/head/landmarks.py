# SPDX-License-Identifier: GPL-3.0-or-later
"""MediaPipe's 478 face points: which of them form which feature, left and right as the subject's, and where such points
lie on a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COUNT = 478

NOSE_TIP = 1
FOREHEAD = 10
CHIN = 152
RIGHT_PUPIL = 468
LEFT_PUPIL = 473

# clockwise as one looks at the face, from the top of the forehead; closed
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)

# from the right corner of the mouth to the left one
LIPS_UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

# lids, from the outer corner to the inner one
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_EYE_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)

# from the temple to the nose
RIGHT_BROW_UPPER = (70, 63, 105, 66, 107)
RIGHT_BROW_LOWER = (46, 53, 52, 65, 55)
LEFT_BROW_UPPER = (300, 293, 334, 296, 336)
LEFT_BROW_LOWER = (276, 283, 282, 295, 285)

# the outline of the iris: towards the subject's left, up, towards the right, down
RIGHT_IRIS = (469, 470, 471, 472)
LEFT_IRIS = (474, 475, 476, 477)


@dataclass(frozen=True)
class MeshPoints:
    """Points on a mesh that move with it. triangles: int32 [N], rows of the mesh's triangles; barycentric: float32
    [N, 3], one weight for each of the row's corners."""

    triangles: NDArray[np.int32]
    barycentric: NDArray[np.float32]

    def on(self, vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float32]:
        """Where they are [N, 3] on the mesh with these vertices [V, 3] and triangles [T, 3]."""
        corners = vertices[triangles[self.triangles]]
        return np.einsum("nk,nkc->nc", self.barycentric, corners).astype(np.float32)
