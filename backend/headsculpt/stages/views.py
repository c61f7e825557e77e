# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cameras, lights and backgrounds a step of the optimisation sees: those that the pack was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headsculpt.device import sent
from headsculpt.packs.spec import CameraRange, PackSpec
from headsculpt.render.camera import Camera

FROM_ABOVE = 0.6
"""Exponent on a uniform number that makes high views more frequent: nothing else shows the crown, so what grows there
stayed hollow."""


@dataclass(frozen=True)
class ViewSettings:
    """How the views of a step are drawn."""

    batch: int = 4
    """Views a step (paper: 4)."""
    front_share: float = 0.0
    """Share of whole-head views that are drawn around the front (σ 25°) instead of evenly around the head."""
    close_up_shares: tuple[float, ...] = ()
    """Share of steps that go to each of the pack's close-ups, or to its last; the rest sees the whole head."""
    close_up_ramp: float = 0.0
    """Share of the stage over which these shares rise from none: shape first, then detail."""


@dataclass(frozen=True)
class Views:
    """A batch of B views.

    camera: B cameras; azimuth, elevation: [B], degrees, azimuth in [−180, 180); shot: 0 for the whole head, else
    the number of the pack's close-up; light: [B, 3], unit, world, towards the light; ambient: [B]; background: [B, 3].
    """

    camera: Camera
    azimuth: Tensor
    elevation: Tensor
    shot: int
    light: Tensor
    ambient: Tensor
    background: Tensor

    def to(self, device: torch.device) -> Views:
        """The same views on another device, to render them there."""
        return Views(
            self.camera.to(device),
            sent(self.azimuth, device),
            sent(self.elevation, device),
            self.shot,
            sent(self.light, device),
            sent(self.ambient, device),
            sent(self.background, device),
        )


class ViewSampler:
    """Draws the views of each step.

    Whole-head views are stratified over the azimuth: a batch of B is B directions 360°/B apart with jitter, so that no
    side of the head waits long for its turn (the authors' batch of 4 is front, back, left, right).
    """

    def __init__(self, spec: PackSpec, settings: ViewSettings, generator: np.random.Generator) -> None:
        self.spec = spec
        self.settings = settings
        self.random = generator

    def sample(self, size: int, progress: float = 1.0) -> Views:
        """The next batch, `size` pixels a side. progress: share of the stage that is done, 0 … 1."""
        shot = self._shot(progress)
        azimuth = self._whole_azimuths() if shot == 0 else self._close_up_azimuths(self.spec.close_ups[shot - 1])
        return self._views(shot, azimuth, size)

    def _shot(self, progress: float) -> int:
        """0 for the whole head, or the number of a close-up."""
        ramp = self.settings.close_up_ramp
        chance = self.random.random() * max(1.0, ramp / max(progress, 1e-9))
        for number, share in enumerate(self.settings.close_up_shares, 1):
            if chance < share:
                return min(number, len(self.spec.close_ups))
            chance -= share
        return 0

    def _whole_azimuths(self) -> np.ndarray:
        count, random = self.settings.batch, self.random
        step = 360.0 / count
        azimuth = random.uniform(0, 360) + step * (np.arange(count) + random.uniform(-0.25, 0.25, count))
        front = random.random(count) < self.settings.front_share
        azimuth = np.where(front, random.normal(0, 25, count), azimuth)
        return wrap_degrees(azimuth)

    def _close_up_azimuths(self, cameras: CameraRange) -> np.ndarray:
        """Even over the range, one in each of B equal parts of it."""
        count, limit = self.settings.batch, cameras.azimuth_limit
        part = (np.arange(count) + self.random.random(count)) / count
        return limit * (2 * part - 1)

    def _views(self, shot: int, azimuth: np.ndarray, size: int) -> Views:
        cameras = self.spec.close_ups[shot - 1] if shot else self.spec.cameras
        random, count = self.random, len(azimuth)
        low, high = cameras.elevation
        elevation = low + (high - low) * random.random(count) ** FROM_ABOVE
        target = np.asarray(cameras.target) + random.uniform(-cameras.target_jitter, cameras.target_jitter, (count, 3))
        camera = Camera.orbit(
            as_tensor(azimuth),
            as_tensor(elevation),
            as_tensor(random.uniform(*cameras.radius, count)),
            as_tensor(random.uniform(*cameras.fov, count)),
            size,
            as_tensor(target),
        )
        return Views(camera, as_tensor(azimuth), as_tensor(elevation), shot, *self._studio(camera))

    def _studio(self, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
        """Light directions [B, 3] in the world, ambient shares [B], backgrounds [B, 3]."""
        random, count, lights = self.random, len(camera), self.spec.lights
        direction = as_tensor(random.normal(lights.direction_mean, lights.direction_std, (count, 3)))
        direction = torch.nn.functional.normalize(direction, dim=1)
        world = (camera.rotation.transpose(1, 2) @ direction[..., None])[..., 0]
        ambient = as_tensor(random.uniform(*lights.ambient, count))
        tint = self.spec.backgrounds.tint
        grey = random.uniform(*self.spec.backgrounds.grey, (count, 1)) * random.uniform(1 - tint, 1, (count, 3))
        return world, ambient, as_tensor(grey)


def wrap_degrees(angle: np.ndarray) -> np.ndarray:
    """Angles in degrees brought to [−180, 180)."""
    return (angle + 180.0) % 360.0 - 180.0


def as_tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)
