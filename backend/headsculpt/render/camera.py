# SPDX-License-Identifier: GPL-3.0-or-later
"""The one camera: the same for rays, for rasterising and for projecting landmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headsculpt.device import sent


@dataclass(frozen=True)
class Camera:
    """A batch of B pinhole cameras that share one image size.

    World and camera frames are right-handed with y up; in its own frame a camera looks along −z. Pixel
    (column, row) has its centre at (column + .5, row + .5) and row 0 is the top. Pixels are square and the axis goes
    through the middle of the image.

    rotation: [B, 3, 3], world to camera; its rows are the camera's right, up and backward in the world.
    position: [B, 3], world.  fov_y: [B], the vertical angle of view in radians.  height, width: pixels.
    """

    rotation: Tensor
    position: Tensor
    fov_y: Tensor
    height: int
    width: int

    @classmethod
    def orbit(
        cls, azimuth: Tensor, elevation: Tensor, radius: Tensor, fov: Tensor, size: int, target: Tensor | None = None
    ) -> Camera:
        """Square cameras on spheres about `target` (the origin if None), all looking at it.

        azimuth, elevation, fov: [B] in degrees; radius: [B]; target: [B, 3] or [3].
        Azimuth 0 looks at the face (camera on +z), positive azimuth is on the subject's left (+x), 180 is the back;
        positive elevation is above. The camera never rolls, and is well defined also straight above or below.
        """
        azimuth, elevation, fov = torch.deg2rad(azimuth), torch.deg2rad(elevation), torch.deg2rad(fov)
        sin_a, cos_a, sin_e, cos_e = azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos()
        right = torch.stack([cos_a, torch.zeros_like(sin_a), -sin_a], -1)
        up = torch.stack([-sin_a * sin_e, cos_e, -cos_a * sin_e], -1)
        backward = torch.stack([sin_a * cos_e, sin_e, cos_a * cos_e], -1)
        position = backward * radius[:, None]
        if target is not None:
            position = position + target
        return cls(torch.stack([right, up, backward], 1), position, fov, size, size)

    def __len__(self) -> int:
        return self.position.shape[0]

    def __getitem__(self, index: int | slice) -> Camera:
        """The cameras at a slice, or a batch of one."""
        if isinstance(index, int):
            index = range(len(self))[index]  # checks the bounds and resolves negative indices
            index = slice(index, index + 1)
        return replace(self, rotation=self.rotation[index], position=self.position[index], fov_y=self.fov_y[index])

    def resized(self, size: int) -> Camera:
        """The same view with `size` rows (and columns in proportion)."""
        return replace(self, height=size, width=round(size * self.width / self.height))

    def to(self, device: torch.device) -> Camera:
        """The same cameras on another device."""
        rotation, position, fov_y = (sent(tensor, device) for tensor in (self.rotation, self.position, self.fov_y))
        return replace(self, rotation=rotation, position=position, fov_y=fov_y)

    @property
    def focal(self) -> Tensor:
        """[B], focal length in pixels."""
        return 0.5 * self.height / torch.tan(0.5 * self.fov_y)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Where points are seen, differentiably.

        points: [N, 3] or [B, N, 3], world. Returns pixels [B, N, 2] as (column, row), and depth [B, N], the distance
        along the viewing axis, positive in front; the pixel of a point that is not in front means nothing.
        """
        local = (points - self.position[:, None]) @ self.rotation.transpose(1, 2)
        depth = -local[..., 2]
        scale = self.focal[:, None] / depth
        column = 0.5 * self.width + scale * local[..., 0]
        row = 0.5 * self.height - scale * local[..., 1]
        return torch.stack([column, row], -1), depth

    def rays(self) -> tuple[Tensor, Tensor]:
        """The ray through each pixel's centre: origins [B, 3] and unit directions [B, H, W, 3], world."""
        dtype, device = self.position.dtype, self.position.device
        column = torch.arange(self.width, dtype=dtype, device=device) + 0.5 * (1 - self.width)
        row = torch.arange(self.height, dtype=dtype, device=device) + 0.5 * (1 - self.height)
        y, x = torch.meshgrid(-row, column, indexing="ij")
        focal = self.focal[:, None, None].expand(-1, self.height, self.width)
        local = torch.stack([x.expand_as(focal), y.expand_as(focal), -focal], -1)
        directions = torch.nn.functional.normalize(local, dim=-1)
        return self.position, directions @ self.rotation[:, None]
