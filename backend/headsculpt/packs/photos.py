# SPDX-License-Identifier: GPL-3.0-or-later
"""Photographs by a pack's own laws: cameras, lights and backgrounds as its model knows them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from headsculpt.mesh import Mesh
from headsculpt.packs.spec import CameraRange, PackSpec
from headsculpt.render.camera import Camera
from headsculpt.render.meshview import picture


def draw_camera(law: CameraRange, azimuth: float, size: int, rng: np.random.Generator) -> Camera:
    """One camera at `azimuth`, otherwise drawn from a pack's range."""
    target = np.array(law.target) + rng.uniform(-law.target_jitter, law.target_jitter, 3)
    drawn = (azimuth, rng.uniform(*law.elevation), rng.uniform(*law.radius), rng.uniform(*law.fov))
    return _camera(drawn, target, size)


def plain_camera(law: CameraRange, azimuth: float, size: int) -> Camera:
    """One camera at `azimuth` in the middle of a pack's range, level if that is within it."""
    elevation = float(np.clip(0, *law.elevation))
    return _camera(
        (azimuth, elevation, float(np.mean(law.radius)), float(np.mean(law.fov))), np.array(law.target), size
    )


def _camera(place: tuple[float, float, float, float], target: NDArray[np.float64], size: int) -> Camera:
    azimuths, elevation, radius, fov = torch.tensor(place, dtype=torch.float32)[:, None]
    return Camera.orbit(azimuths, elevation, radius, fov, size, torch.tensor(target[None], dtype=torch.float32))


def photograph(mesh: Mesh, camera: Camera, spec: PackSpec, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [S, S, 3] of a mesh in head space under a light and before a background drawn from the pack's laws."""
    law, ground = spec.lights, spec.backgrounds
    light = (law.direction_mean + rng.normal(size=3) * law.direction_std) @ camera.rotation[0].numpy()
    background = rng.uniform(*ground.grey) * (1 - rng.uniform(0, ground.tint, 3))
    return picture(mesh, camera, light, rng.uniform(*law.ambient), background)[0]
