# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the kernels of `render/` are, beside plain references that give the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headsculpt.bench.shape import Row, milliseconds
from headsculpt.mesh import Mesh
from headsculpt.render.antialias import antialias, silhouette_kernel, silhouettes_reference
from headsculpt.render.camera import Camera
from headsculpt.render.meshview import picture
from headsculpt.render.raster import interpolate, interpolate_reference, rasterize, rasterize_reference
from headsculpt.render.shading import shade, vertex_normals, vertex_normals_reference
from headsculpt.render.volume import sample_rays
from headsculpt.shape.distance import FIELD_BOUND


def rows() -> list[Row]:
    """All measurements; the kernels run on one thread, the references on as many as torch is set to."""
    view = _View.of_ball(512)
    return [visibility(view), *attributes(view), normals(view), *silhouettes(view), lit_picture(), rays()]


@dataclass(frozen=True)
class _View:
    """A ball of 51,200 triangles that fills most of a picture."""

    vertices: Tensor
    triangles: Tensor
    pixels: Tensor
    depth: Tensor
    size: int

    @classmethod
    def of_ball(cls, size: int) -> _View:
        mesh = _ball(160)
        vertices, triangles = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.triangles)
        pixels, depth = _camera(size).project(vertices)
        return cls(vertices, triangles, pixels[0], depth[0], size)

    @property
    def triangle_count(self) -> str:
        return f"{len(self.triangles):,} triangles"


def _ball(side: int, radius: float = 0.4) -> Mesh:
    """A grid of `side` × `side` quads, wrapped around a ball."""
    turn, tilt = np.meshgrid(np.linspace(0, 2 * np.pi, side + 1), np.linspace(0, np.pi, side + 1), indexing="ij")
    points = np.stack([np.sin(tilt) * np.sin(turn), np.cos(tilt), np.sin(tilt) * np.cos(turn)], -1)
    corner = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).reshape(-1)
    quads = np.stack([corner, corner + 1, corner + side + 2, corner + side + 1], 1)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    return Mesh(
        (radius * points).reshape(-1, 3).astype(np.float32),
        triangles,
        np.full((len(points.reshape(-1, 3)), 3), 0.7, np.float32),
    )


def _camera(size: int, views: int = 1) -> Camera:
    """Around the ball, at a distance where it fills most of the picture."""
    azimuth, one = torch.arange(views) * 360.0 / views + 20, torch.ones(views)
    return Camera.orbit(azimuth, 10 * one, 1.4 * one, 40 * one, size)


def visibility(view: _View) -> Row:
    given = view.pixels, view.depth, view.triangles, view.size, view.size
    return (
        f"visibility of {view.triangle_count} at {view.size}²",
        milliseconds(lambda: rasterize(*given)),
        milliseconds(lambda: rasterize_reference(*given)),
    )


def attributes(view: _View) -> list[Row]:
    ids, bary = rasterize(view.pixels, view.depth, view.triangles, view.size, view.size)
    values = view.vertices.clone().requires_grad_()
    seen = view.triangles, ids, bary
    name = f"interpolate 3 channels at {view.size}², "
    return [
        (
            name + "forward",
            milliseconds(lambda: interpolate(values, *seen)),
            milliseconds(lambda: interpolate_reference(values, *seen)),
        ),
        (
            name + "forward and back",
            milliseconds(lambda: interpolate(values, *seen).sum().backward()),
            milliseconds(lambda: interpolate_reference(values, *seen).sum().backward()),
        ),
    ]


def normals(view: _View) -> Row:
    vertices = view.vertices.clone().requires_grad_()
    return (
        f"vertex normals of {view.triangle_count}, forward and back",
        milliseconds(lambda: vertex_normals(vertices, view.triangles).sum().backward()),
        milliseconds(lambda: vertex_normals_reference(vertices, view.triangles).sum().backward()),
    )


def silhouettes(view: _View) -> list[Row]:
    """The edges alone against torch; blending and its gradient against a picture of 16 samples a pixel without one."""
    ids, bary = rasterize(view.pixels, view.depth, view.triangles, view.size, view.size)
    image = interpolate(view.vertices, view.triangles, ids, bary)
    pixels = view.pixels.clone().requires_grad_()
    where, depth, triangles = view.pixels.numpy(), view.depth.numpy(), view.triangles.numpy()

    def supersampled() -> Tensor:
        fine = 4 * view.size
        many = rasterize(4 * view.pixels, view.depth, view.triangles, fine, fine)
        samples = interpolate(view.vertices, view.triangles, *many)
        return torch.nn.functional.avg_pool2d(samples.permute(2, 0, 1), 4)

    return [
        (
            f"silhouette edges of {view.triangle_count}",
            milliseconds(lambda: silhouette_kernel(where, depth, triangles)),
            milliseconds(lambda: silhouettes_reference(view.pixels, view.depth, view.triangles)),
        ),
        (
            f"antialias at {view.size}², forward and back (reference: 16 samples a pixel, forward alone)",
            milliseconds(lambda: antialias(image, ids, pixels, view.depth, view.triangles).sum().backward()),
            milliseconds(supersampled),
        ),
    ]


def lit_picture(size: int = 128) -> Row:
    """A training picture, against the same steps in plain torch."""
    mesh, camera = _ball(140), _camera(size)
    light = torch.nn.functional.normalize(torch.tensor([0.3, 0.5, 0.8]), dim=0)
    vertices, triangles = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.triangles)

    def in_torch() -> Tensor:
        pixels, depth = camera.resized(2 * size).project(vertices)
        ids, bary = rasterize_reference(pixels[0], depth[0], triangles, 2 * size, 2 * size)
        normal = interpolate_reference(vertex_normals_reference(vertices, triangles), triangles, ids, bary)
        color = interpolate_reference(torch.full_like(vertices, 0.7), triangles, ids, bary)
        lit = shade(color, torch.nn.functional.normalize(normal, dim=-1), light, 0.35)
        lit = torch.where((ids >= 0)[..., None], lit, 0.5).permute(2, 0, 1)
        return (torch.nn.functional.avg_pool2d(lit, 2) * 255 + 0.5).byte()

    return (
        f"lit picture of {len(triangles):,} triangles, {size}², 4 samples a pixel",
        milliseconds(lambda: picture(mesh, camera, light.numpy())),
        milliseconds(in_torch),
    )


def rays(size: int = 64, views: int = 2, samples: int = 32, resolution: int = 128) -> Row:
    """Samples in a shell around the ball, against 512 equal steps through the cube of which the occupied are kept."""
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 * FIELD_BOUND - FIELD_BOUND
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) - 0.4
    occupied = distance.abs() < 0.06
    density = 200 * torch.sigmoid(-distance / 0.005)
    origins, directions = _camera(size, views).rays()
    starts, ways = origins[:, None, None].expand_as(directions).reshape(-1, 3), directions.reshape(-1, 3)
    generator = torch.Generator().manual_seed(0)

    def march() -> Tensor:
        t = torch.linspace(0.1, 2.7, 512)
        points = starts[:, None] + t[:, None] * ways[:, None]
        cell = ((points + FIELD_BOUND) * (resolution / (2 * FIELD_BOUND))).floor().long()
        cell, within = cell.clamp(0, resolution - 1), (points.abs() < FIELD_BOUND).all(-1)
        kept = occupied[cell.unbind(-1)] & within
        depth = (density[cell.unbind(-1)] * within).cumsum(1) * (2.6 / 512)
        passed = (kept & (depth < 9)).float().cumsum(1)
        hit = passed[:, -1] > 0
        wanted = (torch.arange(samples) + torch.rand(int(hit.sum()), samples)) / samples * passed[hit, -1:]
        return (
            starts[hit, None] + t[torch.searchsorted(passed[hit], wanted).clamp(max=511)][..., None] * ways[hit, None]
        )

    return (
        f"{samples} samples on {views} × {size}² rays in {resolution}³ cells",
        milliseconds(lambda: sample_rays(starts, ways, occupied, samples, generator, density)),
        milliseconds(march),
    )
