# SPDX-License-Identifier: GPL-3.0-or-later
"""Light and normals: one law for training pictures, distillation and turntables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.render.raster import array, indices


def shade(albedo: Tensor, normals: Tensor, light: Tensor, ambient: float | Tensor) -> Tensor:
    """Lambert's law with an ambient share: albedo · (ambient + (1 − ambient) · max(0, n·l)).

    albedo: [..., 3], display-referred (the law is applied there, as the diffusion model's training pictures are);
    normals: [..., 3] unit; light: [..., 3], unit, towards the light, same frame; ambient: 0..1, a number or [..., 1].
    All broadcast.
    """
    lambert = (normals * light).sum(-1, keepdim=True).clamp(min=0)
    return albedo * (ambient + (1 - ambient) * lambert)


@njit(cache=True, error_model="numpy")
def area_vectors_kernel(vertices, triangles, out):  # type: ignore[no-untyped-def]
    """Sum into each vertex, of out [V, 3], the vectors (b − a) × (c − a) of its triangles."""
    out[:] = 0
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        wx, wy, wz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for vertex in (i, j, k):
            out[vertex, 0] += nx
            out[vertex, 1] += ny
            out[vertex, 2] += nz


@njit(cache=True, error_model="numpy")
def area_vectors_backward_kernel(gradient, vertices, triangles, out):  # type: ignore[no-untyped-def]
    """With n = u × w and g = dL/dn: dL/du = w × g and dL/dw = g × u."""
    out[:] = 0
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        wx, wy, wz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        gx = gradient[i, 0] + gradient[j, 0] + gradient[k, 0]
        gy = gradient[i, 1] + gradient[j, 1] + gradient[k, 1]
        gz = gradient[i, 2] + gradient[j, 2] + gradient[k, 2]
        for vertex, sign, x, y, z in ((j, 1, wx, wy, wz), (k, -1, ux, uy, uz)):
            hx, hy, hz = sign * (y * gz - z * gy), sign * (z * gx - x * gz), sign * (x * gy - y * gx)
            out[vertex, 0] += hx
            out[vertex, 1] += hy
            out[vertex, 2] += hz
            out[i, 0] -= hx
            out[i, 1] -= hy
            out[i, 2] -= hz


class _AreaVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices: Tensor, triangles: Tensor) -> Tensor:
        ctx.save_for_backward(vertices, triangles)
        out = np.empty(vertices.shape, np.float32)
        area_vectors_kernel(array(vertices), indices(triangles), out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        vertices, triangles = ctx.saved_tensors
        out = np.empty(vertices.shape, np.float32)
        area_vectors_backward_kernel(array(gradient), array(vertices), indices(triangles), out)
        return torch.from_numpy(out), None


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals [V, 3] of a mesh, weighted by area, differentiable in the vertices; 0 for a vertex of no area.

    vertices: float32 [V, 3]; triangles: integer [T, 3].
    """
    if vertices.device.type != "cpu":
        return vertex_normals_reference(vertices, triangles)
    # a triangle of the finest meshes has an area vector of 1e-7; below 1e-10 the gradient must stay bounded
    return torch.nn.functional.normalize(_AreaVectors.apply(vertices, triangles), dim=-1, eps=1e-10)


def vertex_normals_reference(vertices: Tensor, triangles: Tensor) -> Tensor:
    """`vertex_normals` in plain torch, of any dtype: for other devices, and what the kernel is tested against."""
    index = triangles.long().view(-1)
    a, b, c = vertices.index_select(0, index).view(-1, 3, 3).unbind(1)
    faces = torch.linalg.cross(b - a, c - a)
    sums = torch.zeros_like(vertices).index_add(0, index, faces.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(sums, dim=-1, eps=1e-10)


def corner_tangents(
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    normals: NDArray[np.float32],
    corner_uv: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Tangents for a tangent-space normal map, float32 [T, 3, 4]: a unit vector along +u, and the bitangent's sign.

    As in MikkTSpace: at each corner the mean, weighted by the corner's angle, of the directions of +u of the triangles
    that share vertex, uv and handedness there, made orthogonal to the normal. bitangent = sign · normal × tangent,
    which is +v. Baking and drawing must use the same tangents. Arrays as in `TexturedMesh`.
    """
    points = vertices[triangles].astype(np.float64)
    uv = corner_uv.astype(np.float64)
    side, uv_side = points[:, 1:] - points[:, :1], uv[:, 1:] - uv[:, :1]
    area = uv_side[:, 0, 0] * uv_side[:, 1, 1] - uv_side[:, 0, 1] * uv_side[:, 1, 0]
    sign = np.where(area < 0, -1.0, 1.0)
    along_u = sign[:, None] * (side[:, 0] * uv_side[:, 1, 1, None] - side[:, 1] * uv_side[:, 0, 1, None])

    normal = normals[triangles].astype(np.float64)
    flat = _unit(along_u[:, None] - normal * (normal * along_u[:, None]).sum(-1, keepdims=True))
    to_next = _unit(np.roll(points, -1, 1) - points)
    to_last = _unit(np.roll(points, 1, 1) - points)
    angle = np.arccos(np.clip((to_next * to_last).sum(-1), -1, 1))

    keys = np.concatenate([triangles[..., None], uv, np.broadcast_to(sign[:, None, None], (*angle.shape, 1))], -1)
    _, group = np.unique(keys.reshape(-1, 4), axis=0, return_inverse=True)
    group = group.ravel()
    weighted = (flat * angle[..., None]).reshape(-1, 3)
    sums = np.stack([np.bincount(group, weighted[:, axis]) for axis in range(3)], -1)
    tangent = _unit(sums)[group].reshape(-1, 3, 3)
    return np.concatenate([tangent, keys[..., 3:]], -1).astype(np.float32)


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)
