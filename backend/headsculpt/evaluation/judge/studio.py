# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge's own photographer: other lights, cameras and backgrounds than the pack's training pictures have."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from headsculpt.head.space import CROWN_TO_CHIN
from headsculpt.mesh import Mesh
from headsculpt.packs.pocket.training.surface import vertex_normals
from headsculpt.render.camera import Camera
from headsculpt.render.raster import array, interpolate_kernel, rasterize_kernel

Floats = NDArray[np.floating]

SIZE = 144
"""Side of a picture, pixels: more than the network reads, so that it can be zoomed."""
SAMPLES = 2
"""Samples a pixel, along each side."""
WHOLE_SHARE, NEAR_SHARE = (0.36, 0.56), (1.08, 1.55)
"""Crown to chin as a share of the picture's height: of the whole head, of the face alone."""
FACE = np.array([0.0, -0.07, 0.12])
"""What cameras near the face look at, head space."""
NEAR_LIMIT = 50.0
"""Degrees of |azimuth| up to which such cameras stand."""


def draw_camera(azimuth: float, near: bool, rng: np.random.Generator, size: int = SIZE) -> Camera:
    """One camera at `azimuth` degrees. near: of the face alone."""
    radius = rng.uniform(1.4, 2.8)
    share = rng.uniform(*(NEAR_SHARE if near else WHOLE_SHARE))
    fov = 2 * np.degrees(np.arctan(CROWN_TO_CHIN / 2 / share / radius))
    elevation = rng.triangular(-15, 5, 25) if near else rng.triangular(-20, 5, 45)
    target = FACE * near + rng.uniform(-1, 1, 3) * (0.02 if near else 0.035)
    return camera(azimuth, elevation, radius, fov, target, size)


def camera(azimuth: float, elevation: float, radius: float, fov: float, target: Floats, size: int = SIZE) -> Camera:
    """A batch of one."""
    place = torch.tensor((azimuth, elevation, radius, fov), dtype=torch.float32)
    azimuths, elevations, radii, fovs = place[:, None]
    return Camera.orbit(azimuths, elevations, radii, fovs, size, torch.tensor(target[None], dtype=torch.float32))


class Subject:
    """A mesh with colours, made ready to be photographed."""

    def __init__(self, mesh: Mesh) -> None:
        assert mesh.colors is not None
        self.vertices, self.triangles, self.colors = mesh.vertices, mesh.triangles, mesh.colors
        self.normals = vertex_normals(mesh.vertices, mesh.triangles)

    def photograph(self, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A picture [S, S, 3] under one or two lights and a sky, before a drawn background."""
        side = SAMPLES * camera.height
        pixels, depth = camera.resized(side).project(torch.from_numpy(self.vertices))
        ids, bary = np.empty((side, side), np.int32), np.empty((side, side, 3), np.float32)
        rasterize_kernel(array(pixels[0]), array(depth[0]), self.triangles, ids, bary)
        albedo, normals = np.empty_like(bary), np.empty_like(bary)
        interpolate_kernel(self.colors, self.triangles, ids, bary, albedo)
        interpolate_kernel(self.normals, self.triangles, ids, bary, normals)
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
        lit = albedo * illumination(normals, array(camera.rotation)[0], rng)
        samples = np.where(ids[..., None] < 0, background(side, rng), lit)
        shape = (camera.height, SAMPLES, camera.width, SAMPLES, 3)
        return (samples.reshape(shape).mean((1, 3)).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def illumination(normals: Floats, rotation: Floats, rng: np.random.Generator) -> Floats:
    """Light [..., 3] that falls on unit normals [..., 3] in the world, for a camera's rotation [3, 3].

    A key light from the camera's side, in half of all pictures a second one from aside or behind, light from all round
    that is stronger from above; each has a tint of its own.
    """
    local = normals @ rotation.T.astype(np.float32)
    key = _direction(rng.uniform(-55, 55), rng.uniform(0, 60))
    fill = _direction(rng.choice([-1, 1]) * rng.uniform(40, 140), rng.uniform(-20, 50))
    ambient, sky, strength = rng.uniform(0.45, 0.8), rng.uniform(0, 0.15), rng.uniform(0.1, 0.4) * rng.integers(2)
    light = ambient * (1 - sky + sky * local[..., 1:2]) * _tint(rng)
    light = light + (1 - ambient) * np.maximum(0, local @ key)[..., None] * _tint(rng)
    light += (1 - ambient) * strength * np.maximum(0, local @ fill)[..., None] * _tint(rng)
    return (rng.uniform(0.95, 1.1) * light).astype(np.float32)


def background(size: int, rng: np.random.Generator) -> Floats:
    """Float32 [size, size, 3]: plain, a gradient, or blurred noise."""
    first, second = (rng.uniform(0.05, 0.97) + rng.uniform(-0.2, 0.2, 3) for _ in range(2))
    kind = rng.integers(3)
    if kind == 0:
        return np.broadcast_to(first.astype(np.float32), (size, size, 3))
    if kind == 1:
        turn = rng.uniform(0, 2 * np.pi)
        row, column = np.mgrid[0:size, 0:size].astype(np.float32) / size
        way = (np.cos(turn) * row + np.sin(turn) * column)[..., None]
        mix = (way - way.min()) / np.ptp(way)
    else:
        cells = int(rng.integers(2, 24))
        coarse = torch.from_numpy(rng.random((1, 1, cells, cells), np.float32))
        smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
        mix = smooth[0, 0, :, :, None].numpy()
    return (first + mix * (second - first)).clip(0, 1).astype(np.float32)


def _direction(azimuth: float, elevation: float) -> NDArray[np.float32]:
    """Unit vector [3] in the camera's frame; azimuth 0 is the camera's own place."""
    turn, rise = np.radians((azimuth, elevation))
    return np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)], np.float32)


def _tint(rng: np.random.Generator) -> NDArray[np.float32]:
    return (1 - rng.uniform(0, 0.06, 3)).astype(np.float32)
