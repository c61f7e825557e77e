# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface that scalp hair is made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import surface
from .anatomy import Anatomy, Array, smoothstep


class HairShell:
    """A surface around the skull, by rays from a vertical axis inside the head (a hemisphere above, a cylinder below).

    Each of its vertices hangs on the skin point that its ray meets last (ears left out), so it follows the identity.
    """

    AROUND, ABOVE, BELOW = 180, 46, 50
    LOWEST = -0.50  # head units; longer hair ends above

    def __init__(self, vertices: Array, triangles: NDArray[np.int32], anatomy: Anatomy) -> None:
        skull = vertices[vertices[:, 1] > anatomy.eye]
        self.center = np.array([0, anatomy.eye + 0.05, (skull[:, 2].min() + skull[:, 2].max()) / 2], np.float32)
        turn = np.linspace(0, 2 * np.pi, self.AROUND, endpoint=False)  # 0 is the face's side
        tilt = np.linspace(0.01, np.pi / 2, self.ABOVE)
        drop = np.linspace(0, self.center[1] - self.LOWEST, self.BELOW + 1)[1:]
        sine = np.concatenate([np.sin(tilt), np.ones(self.BELOW)])[:, None]
        cosine = np.concatenate([np.cos(tilt), np.zeros(self.BELOW)])[:, None]
        height = np.concatenate([np.zeros(self.ABOVE), -drop])[:, None]
        shape = (self.ABOVE + self.BELOW, self.AROUND)
        direction = np.stack([sine * np.sin(turn), np.broadcast_to(cosine, shape), sine * np.cos(turn)], -1)
        origin = np.zeros((*shape, 3)) + self.center
        origin[..., 1] += height
        self.direction = direction.reshape(-1, 3).astype(np.float32)
        self.origin = origin.reshape(-1, 3).astype(np.float32)
        self.turn = np.broadcast_to((turn + np.pi) % (2 * np.pi) - np.pi, shape).reshape(-1).astype(np.float32)
        self.along = np.broadcast_to(  # arc length from the crown
            np.concatenate([tilt * 0.22, np.pi / 2 * 0.22 + drop])[:, None], shape
        ).reshape(-1)
        self.hit, self.bary = surface.farthest_hits(self.origin, self.direction, vertices, triangles)
        self.skin_triangles = triangles
        self.rest = self.anchors(vertices)
        self.triangles = self._triangles()

    def _triangles(self) -> NDArray[np.int32]:
        rows = self.ABOVE + self.BELOW
        row, column = np.meshgrid(np.arange(rows - 1), np.arange(self.AROUND), indexing="ij")
        a = row * self.AROUND + column
        b = row * self.AROUND + (column + 1) % self.AROUND
        c, d = a + self.AROUND, b + self.AROUND
        quads = np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2)
        return quads.reshape(-1, 3).astype(np.int32)

    def anchors(self, vertices: Array) -> Array:
        """[N, 3], the skin points under the shell on a posed head [V, 3]."""
        corners = vertices[self.skin_triangles[self.hit]]
        points = (corners * self.bary[..., None]).sum(1)
        shape = (self.ABOVE + self.BELOW, self.AROUND)
        radius = np.linalg.norm(points - self.origin, axis=1).reshape(shape)
        columns = np.arange(self.AROUND)
        for row, hit in enumerate((self.hit >= 0).reshape(shape)):
            if not hit.all():  # over the ears, and below the neck
                known = radius[row, hit] if hit.any() else np.array([0.1])
                radius[row] = np.interp(columns, columns[hit] if hit.any() else [0], known, period=self.AROUND)
        filled = self.origin + self.direction * radius.reshape(-1, 1)
        return np.where(self.hit[:, None] >= 0, points, filled).astype(np.float32)

    def hanging(self, anchors: Array) -> Array:
        """[N], how far off the skin hair falls free: below the skull's widest it keeps the radius that it had there.

        That takes it into the shoulders, where the distance is negative.
        """
        rows = self.ABOVE + self.BELOW
        radius = np.linalg.norm((anchors - self.origin)[:, [0, 2]], axis=1).reshape(rows, self.AROUND)
        y = self.origin[:, 1].reshape(rows, self.AROUND)
        widest = radius[self.ABOVE - 4 : self.ABOVE + 10].max(0)
        below = smoothstep(self.center[1] - y, 0.0, 0.12)
        inwards = -0.3 * smoothstep(-y, 0.33, 0.39)
        return (below * np.maximum(inwards, widest * (1 + 0.05 * below) - radius)).reshape(-1).astype(np.float32)


class Scalp:
    """The shell on one sitter: what locks grow over. All points and heights in head space.

    anchors: [N, 3]; height: [N], how far the shell's own hair stands off, over which locks lie; 0 for the bare skin.
    """

    def __init__(self, shell: HairShell, anchors: Array, height: Array | None = None) -> None:
        self.shell = shell
        rows = shell.ABOVE + shell.BELOW
        radius = np.linalg.norm(anchors - shell.origin, axis=1) + (0 if height is None else height)
        self.radius = radius.reshape(rows, shell.AROUND).astype(np.float32)

    def outwards(self, points: Array) -> Array:
        """[N, 3], unit, away from the shell's axis."""
        offset = points - self.shell.center
        offset = offset * np.where(offset[:, 1:2] < 0, [1, 0, 1], [1, 1, 1])
        return (offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)).astype(np.float32)

    def heights(self, points: Array) -> Array:
        """[N], how far points are outside of the scalp, along the shell's rays."""
        return self._distance(points) - self._surface(points)

    def lifted(self, points: Array, height: Array) -> Array:
        """Points moved along their rays to a height [N] over the scalp."""
        move = height + self._surface(points) - self._distance(points)
        return points + self.outwards(points) * move[:, None]

    def _distance(self, points: Array) -> Array:
        offset = points - self.shell.center
        return np.linalg.norm(offset * np.where(offset[:, 1:2] < 0, [1, 0, 1], [1, 1, 1]), axis=1)

    def _surface(self, points: Array) -> Array:
        """[N], the scalp's distance from the axis on the points' rays, bilinear between the shell's vertices."""
        shell, offset = self.shell, points - self.shell.center
        tilt = np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])
        above = (tilt - 0.01) / (np.pi / 2 - 0.01) * (shell.ABOVE - 1)
        below = shell.ABOVE - 1 - offset[:, 1] / (shell.center[1] - shell.LOWEST) * shell.BELOW
        row = np.where(offset[:, 1] < 0, below, above).clip(0, len(self.radius) - 1.001)
        column = np.arctan2(offset[:, 0], offset[:, 2]) / (2 * np.pi) * shell.AROUND % shell.AROUND
        top, left = row.astype(int), column.astype(int) % shell.AROUND
        right, down, across = (left + 1) % shell.AROUND, row - top, column - left
        upper = self.radius[top, left] * (1 - across) + self.radius[top, right] * across
        lower = self.radius[top + 1, left] * (1 - across) + self.radius[top + 1, right] * across
        return upper * (1 - down) + lower * down
