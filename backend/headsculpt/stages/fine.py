# SPDX-License-Identifier: GPL-3.0-or-later
"""The fine stage: a tetrahedral surface, rasterised, with the colour field carried over (Sec. 3.1 (2))."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from headsculpt.device import on_card, rows_to_ask
from headsculpt.mesh import Mesh
from headsculpt.render.antialias import antialias
from headsculpt.render.camera import Camera
from headsculpt.render.raster import interpolate, rasterize
from headsculpt.render.shading import shade, vertex_normals
from headsculpt.shape.distance import FIELD_BOUND, sample_grid, signed_distance_grid
from headsculpt.shape.field import RadianceField
from headsculpt.shape.tetrahedra import Room, TetrahedralGrid, marching_tetrahedra, room_for
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.monitor import Monitor
from headsculpt.stages.optimizer import GuardedAdam
from headsculpt.stages.settings import FineSettings, Look
from headsculpt.stages.views import Views, ViewSampler

STAGE = "Refining the surface"
MLP_SHARE = 0.2
"""Of the colours' learning rate: the network turns colours everywhere at once, the grid each in its place."""
CLAMP = 2.0
"""Signed distances in cells are kept within ± this: beyond, their size carries no information."""
LOOK_EVERY = 16
"""Steps between two looks at how large the surface on a card is: a look waits for the card."""


class TetrahedralSurface(nn.Module):
    """A surface as signed distances s_i and offsets Δv_i at the vertices of a tetrahedral grid.

    Only tetrahedra near the starting surface are kept; where nothing can change there is nothing to compute.
    Distances are in cells, offsets in half cells through tanh, so that no tetrahedron can turn over. Both are changes
    of the start, averaged over the neighbours `smoothing` times: a step moves a patch of the surface instead of single
    vertices, and the noise of the score, which differs from vertex to vertex, cancels out.
    """

    def __init__(self, mesh: Mesh, resolution: int, smoothing: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.smoothing = smoothing
        distance = signed_distance_grid(mesh.vertices, mesh.triangles, resolution + 1)
        grid = TetrahedralGrid.band(distance, resolution, FIELD_BOUND)
        self.cell = 2 * FIELD_BOUND / resolution
        start = sample_grid(torch.from_numpy(distance), grid.vertices) / self.cell
        self.grid = grid if device is None else grid.to(device)
        self.start: Tensor
        self.register_buffer("start", start.clamp(-CLAMP, CLAMP).to(self.grid.vertices.device))
        self.change = nn.Parameter(self.start.new_zeros(len(self.start), 4))

    def mesh(self, room: Room | None = None) -> tuple[Tensor, Tensor]:
        """Vertices [V, 3] and triangles int64 [T, 3], differentiable in both parameters. room: see
        marching_tetrahedra."""
        change = self._smoothed()
        positions = self.grid.vertices + 0.5 * self.cell * torch.tanh(change[:, 1:])
        return marching_tetrahedra(positions, self.start + change[:, 0], self.grid, room)

    @torch.no_grad()
    def room(self) -> Room:
        """For the next steps. Waits for a card."""
        return room_for(self.start + self._smoothed()[:, 0], self.grid)

    def _smoothed(self) -> Tensor:
        change: Tensor = self.change
        for _ in range(self.smoothing):
            change = change + 0.5 * self.grid.laplacian(change)
        return change

    @torch.no_grad()
    def surface(self) -> Mesh:
        """The mesh as it is now, without colours."""
        vertices, triangles = self.mesh()
        return Mesh(vertices.cpu().numpy(), triangles.cpu().numpy().astype(np.int32))


def run_fine(
    surface: TetrahedralSurface,
    field: RadianceField,
    distillation: Distillation,
    sampler: ViewSampler,
    settings: FineSettings,
    monitor: Monitor,
) -> int:
    """Optimises the surface and the colours in place. Returns the number of steps done."""
    optimizer = GuardedAdam(
        [
            {"params": surface.parameters(), "lr": settings.learning_rate_shape},
            {"params": field.encoder.parameters(), "lr": settings.learning_rate_color},
            {"params": field.mlp.parameters(), "lr": MLP_SHARE * settings.learning_rate_color},
        ],
        monitor.notice,
    )
    room = None
    for step in range(settings.steps):
        if on_card(surface.change) and step % LOOK_EVERY == 0:
            room = surface.room()
        views = sampler.sample(settings.picture)
        vertices, triangles = surface.mesh(room)
        pictures = render_surface(vertices, triangles, field, views.to(vertices.device), settings.look)
        loss = distillation.picture_loss(pictures, views, step / settings.steps)
        if settings.weight_laplacian > 0:
            loss = loss + settings.weight_laplacian * roughness(vertices, triangles)
        optimizer.step(loss)
        if monitor.after_step(STAGE, step + 1, settings.steps, lambda: colored_mesh(surface, field)):
            return step + 1
    return settings.steps


def roughness(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Mean length of the uniform Laplacian Σ (v − neighbour) of a closed mesh's vertices [V, 3] (authors' code).

    Vertices of no triangle, and triangles (k, k, k), count for nothing.
    """
    # in a closed mesh every edge lies in two triangles, so each neighbour is met twice
    index = triangles.reshape(-1)
    corners = vertices.index_select(0, index).view(-1, 3, 3)  # of plain indexing, a card sorts to find the gradient
    differences = corners - 0.5 * (corners.roll(-1, 1) + corners.roll(1, 1))
    length = torch.zeros_like(vertices).index_add(0, index, differences.view(-1, 3)).norm(dim=1)
    real = (triangles[:, :1] != triangles[:, 1:2]).expand(-1, 3).reshape(-1).to(length)
    return length.sum() / (torch.zeros_like(length).index_add(0, index, real) > 0).sum()


def render_surface(
    vertices: Tensor, triangles: Tensor, field: RadianceField, views: Views, look: Look = Look.LIT
) -> Tensor:
    """Pictures [B, 3, H, W] of the mesh; the colour field is asked at each pixel's point of the surface."""
    normals = vertex_normals(vertices, triangles)
    return torch.stack(
        [_render_view(vertices, triangles, normals, field, views, look, index) for index in range(len(views.camera))]
    )


def _render_view(
    vertices: Tensor, triangles: Tensor, normals: Tensor, field: RadianceField, views: Views, look: Look, index: int
) -> Tensor:
    camera: Camera = views.camera[index]
    pixels, depth = camera.project(vertices)
    pixels, depth = pixels[0], depth[0]
    ids, bary = rasterize(pixels, depth, triangles, camera.height, camera.width)
    surface = interpolate(torch.cat([vertices, normals], 1), triangles, ids, bary)
    seen = ids.reshape(-1) >= 0
    asked = rows_to_ask(seen)
    points, shading_normals = surface.view(-1, 6)[asked].split(3, dim=1)
    shading_normals = nn.functional.normalize(shading_normals, dim=1)
    if look is Look.NORMALS:
        color = 0.5 + 0.5 * shading_normals @ camera.rotation[0].T
    else:
        color = shade(field.color(points), shading_normals, views.light[index], views.ambient[index])
    background = views.background[index].expand(len(seen), 3)
    color = torch.where(seen[asked][:, None], color, background[:1])
    picture = background.index_copy(0, asked, color)
    picture = antialias(picture.view(camera.height, camera.width, 3), ids, pixels, depth, triangles)
    return picture.permute(2, 0, 1)


def colored_mesh(surface: TetrahedralSurface, field: RadianceField) -> Mesh:
    """The surface as it is, with the field's colours at its vertices."""
    bare = surface.surface()
    return Mesh(bare.vertices, bare.triangles, field.colors_at(bare.vertices))
