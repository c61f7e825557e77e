# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of fields and meshes: cameras, rays, triangles, light. Knows nothing of prompts."""


def warm_up() -> None:
    """Compile and cache every numba kernel of this room (at set-up, so that no job waits for it)."""
    import numpy as np
    import torch

    from headsculpt.mesh import Mesh, TexturedMesh
    from headsculpt.render.antialias import antialias
    from headsculpt.render.camera import Camera
    from headsculpt.render.meshview import picture
    from headsculpt.render.raster import interpolate, rasterize
    from headsculpt.render.shading import vertex_normals
    from headsculpt.render.volume import sample_rays

    one = torch.ones(1)
    camera = Camera.orbit(0 * one, 0 * one, one, 40 * one, 4)
    vertices = torch.tensor([[-0.2, -0.2, 0.0], [0.2, -0.2, 0.0], [0.0, 0.2, 0.0]], requires_grad=True)
    triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    pixels, depth = camera.project(vertices)
    ids, bary = rasterize(pixels[0], depth[0], triangles, 4, 4)
    image = interpolate(vertex_normals(vertices, triangles), triangles, ids, bary)
    antialias(image, ids, pixels[0], depth[0], triangles).sum().backward()

    points, faces = vertices.detach().numpy(), triangles.numpy()
    picture(Mesh(points, faces), camera)
    texture = np.full((4, 4, 3), 128, np.uint8)
    picture(TexturedMesh(points, faces, points, points[faces][..., :2], texture, texture), camera)

    origins, directions = camera.rays()
    occupied = torch.ones(4, 4, 4, dtype=torch.bool)
    sample_rays(origins.expand(16, 3), directions.view(16, 3), occupied, 2, density=torch.ones(4, 4, 4))
