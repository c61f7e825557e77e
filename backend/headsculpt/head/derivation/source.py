# SPDX-License-Identifier: GPL-3.0-or-later
"""ICT-FaceKit Light as arrays: what the derivation starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

# Vertex and polygon ranges of the parts, from ICT-FaceKit's documentation.
BAG_VERTICES = slice(11248, 13294)
SOCKET_VERTICES = slice(13294, 14062)
LEFT_EYE_VERTICES, RIGHT_EYE_VERTICES = slice(21451, 22221), slice(23021, 23791)  # the outer shells
SKIN_QUADS, BAG_QUADS, SOCKET_QUADS = slice(0, 11144), slice(11144, 13226), slice(13226, 14034)
HEAD_QUADS = slice(0, 14034)
GUM_QUADS, TOOTH_QUADS = slice(14034, 17006), slice(17006, 21496)
EYE_QUADS = slice(21496, 24692)
HEAD_VERTICES = 14062

# The 68 Multi-PIE landmarks as ICT vertices (jaw 0–16, brows 17–26, nose 27–35, eyes 36–47, lips 48–67).
MULTI_PIE = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)


@dataclass(frozen=True)
class Source:
    """ICT-FaceKit Light in its own vertex order and unit (centimetres), made exactly symmetric.

    vertices: float64 [N, 3]; faces: int64 [P, 4], a triangle ends in −1; mirror: int64 [HEAD_VERTICES], the vertex of
    skin, mouth bag or eye sockets on the other side; identity: float32 [100, N, 3]; expression: float32 [N, 3] by name.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    mirror: NDArray[np.int64]
    identity: NDArray[np.float32]
    expression: dict[str, NDArray[np.float32]]

    @property
    def quads(self) -> NDArray[np.int64]:
        """Skin, mouth bag and eye sockets: one manifold of quads, open at the neck alone."""
        return self.faces[HEAD_QUADS]

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """The 68 Multi-PIE landmarks [68, 3]."""
        return self.vertices[list(MULTI_PIE)]


def read(path: Path) -> Source:
    """A Source from the npz of ICT-FaceKit Light that `docs/head.md` describes."""
    with np.load(path, allow_pickle=False) as data:
        vertices = data["neutral"].astype(np.float64)
        head = vertices[:HEAD_VERTICES]
        distance, mirror = cKDTree(head).query(head * [-1, 1, 1])
        if distance.max() > 0.01 or not np.array_equal(mirror[mirror], np.arange(len(head))):
            raise SystemExit("This is not ICT-FaceKit Light's neutral head: it is not symmetric.")
        vertices[:HEAD_VERTICES] = (head + head[mirror] * [-1, 1, 1]) / 2
        return Source(
            vertices,
            data["faces"].astype(np.int64),
            mirror,
            data["identity"].astype(np.float32),
            dict(zip((str(n) for n in data["expression_names"]), data["expression"].astype(np.float32), strict=True)),
        )
