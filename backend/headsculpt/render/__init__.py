# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of fields and meshes: cameras, rays, triangles, light. Knows nothing of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def warm_up(device: torch.device) -> None:
    """Compile and cache this room's kernels for a device (at set-up, so that no job waits for it)."""
    import numpy as np
    import torch

    from headsculpt.mesh import Mesh, TexturedMesh
    from headsculpt.render.antialias import antialias
    from headsculpt.render.camera import Camera
    from headsculpt.render.landmark_map import draw
    from headsculpt.render.meshview import picture
    from headsculpt.render.raster import interpolate, rasterize
    from headsculpt.render.shading import vertex_normals
    from headsculpt.render.volume import sample_rays

    one = torch.ones(1, device=device)
    camera = Camera.orbit(0 * one, 0 * one, one, 40 * one, 4)
    vertices = torch.tensor([[-0.2, -0.2, 0.0], [0.2, -0.2, 0.0], [0.0, 0.2, 0.0]], device=device, requires_grad=True)
    triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    pixels, depth = camera.project(vertices)
    ids, bary = rasterize(pixels[0], depth[0], triangles, 4, 4)
    image = interpolate(vertex_normals(vertices, triangles), triangles, ids, bary)
    antialias(image, ids, pixels[0], depth[0], triangles).sum().backward()

    origins, directions = camera.rays()
    occupied = torch.ones(4, 4, 4, dtype=torch.bool, device=device)
    density = torch.ones(4, 4, 4, device=device)
    sample_rays(origins.expand(16, 3), directions.view(16, 3), occupied, 2, density=density)

    if device.type != "cpu":  # pictures of finished meshes are drawn on the processor
        return
    draw(np.zeros((478, 2)), 4)
    points, faces = vertices.detach().numpy(), triangles.numpy()
    picture(Mesh(points, faces), camera)
    texture = np.full((4, 4, 3), 128, np.uint8)
    picture(TexturedMesh(points, faces, points, points[faces][..., :2], texture, texture), camera)
