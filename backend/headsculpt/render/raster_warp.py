# SPDX-License-Identifier: GPL-3.0-or-later
"""raster.py's kernels for graphics cards: one thread a triangle, then one a pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from headsculpt.card import launch, wp

wp.set_module_options({"enable_backward": False})

_LAST = wp.constant(wp.int64(0x7FFFFFFF))


@wp.func
def edge(px: wp.float64, py: wp.float64, qx: wp.float64, qy: wp.float64, x: wp.float64, y: wp.float64):
    """raster.edge_function at a point; −1 where the point is outside."""
    dx, dy = qx - px, qy - py
    zero = wp.float64(0.0)
    ox, oy = wp.float64(px), wp.float64(py)
    if qx < px or (qx == px and qy < py):
        ox, oy = qx, qy
    value = dx * (y - oy) - dy * (x - ox)
    if value < zero or (value == zero and not (dy > zero or (dy == zero and dx > zero))):
        return wp.float64(-1.0)
    return value


@wp.func
def weights_at(
    pixels: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    i: int,
    j: int,
    k: int,
    x: wp.float64,
    y: wp.float64,
):
    """How near each corner makes what is seen at a point of the screen; all are −1 outside of the triangle."""
    ax, ay = wp.float64(pixels[i, 0]), wp.float64(pixels[i, 1])
    bx, by = wp.float64(pixels[j, 0]), wp.float64(pixels[j, 1])
    cx, cy = wp.float64(pixels[k, 0]), wp.float64(pixels[k, 1])
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    outside = wp.vec3d(wp.float64(-1.0), wp.float64(-1.0), wp.float64(-1.0))
    e0, e1, e2 = wp.float64(0.0), wp.float64(0.0), wp.float64(0.0)
    if area > wp.float64(0.0):
        e0, e1, e2 = edge(bx, by, cx, cy, x, y), edge(cx, cy, ax, ay, x, y), edge(ax, ay, bx, by, x, y)
    else:  # seen from behind: walk it the other way round
        area = -area
        e0, e1, e2 = edge(cx, cy, bx, by, x, y), edge(ax, ay, cx, cy, x, y), edge(bx, by, ax, ay, x, y)
    if e0 < wp.float64(0.0) or e1 < wp.float64(0.0) or e2 < wp.float64(0.0):
        return outside
    return wp.vec3d(
        e0 / (area * wp.float64(depth[i])), e1 / (area * wp.float64(depth[j])), e2 / (area * wp.float64(depth[k]))
    )


@wp.kernel
def cover_kernel(
    pixels: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    triangles: wp.array2d(dtype=int),
    near: float,
    nearest: wp.array2d(dtype=wp.int64),
):
    """Raises nearest [H, W] to the nearness of each triangle that a pixel's centre sees, its id in the low bits."""
    t = wp.tid()
    height, width = nearest.shape[0], nearest.shape[1]
    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    if not (depth[i] > near and depth[j] > near and depth[k] > near):
        return
    ax, ay = wp.float64(pixels[i, 0]), wp.float64(pixels[i, 1])
    bx, by = wp.float64(pixels[j, 0]), wp.float64(pixels[j, 1])
    cx, cy = wp.float64(pixels[k, 0]), wp.float64(pixels[k, 1])
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == wp.float64(0.0) or not wp.isfinite(area):
        return
    half, none = wp.float64(0.5), wp.float64(0.0)
    right, bottom = wp.float64(width - 1), wp.float64(height - 1)
    first = int(wp.clamp(wp.ceil(wp.min(wp.min(ax, bx), cx) - half), none, right + wp.float64(1.0)))
    last = int(wp.clamp(wp.floor(wp.max(wp.max(ax, bx), cx) - half), wp.float64(-1.0), right))
    top = int(wp.clamp(wp.ceil(wp.min(wp.min(ay, by), cy) - half), none, bottom + wp.float64(1.0)))
    low = int(wp.clamp(wp.floor(wp.max(wp.max(ay, by), cy) - half), wp.float64(-1.0), bottom))
    for row in range(top, low + 1):
        for column in range(first, last + 1):
            x, y = wp.float64(column) + half, wp.float64(row) + half
            weights = weights_at(pixels, depth, i, j, k, x, y)
            if weights[0] >= none:
                bits = wp.int64(wp.cast(float(weights[0] + weights[1] + weights[2]), wp.int32))
                wp.atomic_max(nearest, row, column, (bits << wp.int64(32)) | (_LAST - wp.int64(t)))


@wp.kernel
def resolve_kernel(
    pixels: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    triangles: wp.array2d(dtype=int),
    nearest: wp.array2d(dtype=wp.int64),
    ids: wp.array2d(dtype=int),
    bary: wp.array3d(dtype=float),
):
    """Fills ids [H, W] and bary [H, W, 3] of the triangles that are seen."""
    row, column = wp.tid()
    if nearest[row, column] == wp.int64(0):
        ids[row, column] = -1
        return
    t = int(_LAST - (nearest[row, column] & _LAST))
    ids[row, column] = t
    x, y = wp.float64(column) + wp.float64(0.5), wp.float64(row) + wp.float64(0.5)
    weights = weights_at(pixels, depth, triangles[t, 0], triangles[t, 1], triangles[t, 2], x, y)
    total = weights[0] + weights[1] + weights[2]
    for corner in range(3):
        bary[row, column, corner] = float(weights[corner] / total)


@wp.kernel
def interpolate_kernel(
    attributes: wp.array2d(dtype=float),
    triangles: wp.array2d(dtype=int),
    ids: wp.array2d(dtype=int),
    bary: wp.array3d(dtype=float),
    out: wp.array3d(dtype=float),
):
    row, column, channel = wp.tid()
    t = ids[row, column]
    if t >= 0:
        value = float(0.0)
        for corner in range(3):
            value += bary[row, column, corner] * attributes[triangles[t, corner], channel]
        out[row, column, channel] = value


@wp.kernel
def interpolate_backward_kernel(
    gradient: wp.array3d(dtype=float),
    triangles: wp.array2d(dtype=int),
    ids: wp.array2d(dtype=int),
    bary: wp.array3d(dtype=float),
    out: wp.array2d(dtype=float),
):
    row, column, channel = wp.tid()
    t = ids[row, column]
    if t >= 0:
        for corner in range(3):
            amount = bary[row, column, corner] * gradient[row, column, channel]
            wp.atomic_add(out, triangles[t, corner], channel, amount)


def rasterize(
    pixels: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int, near: float
) -> tuple[Tensor, Tensor]:
    """As raster.rasterize, but that of two triangles whose nearness agrees in float32 the lower id wins."""
    seen = pixels.detach().contiguous(), depth.detach().contiguous(), triangles.int().contiguous()
    nearest = torch.zeros(height, width, dtype=torch.int64, device=pixels.device)
    ids, bary = torch.empty_like(nearest, dtype=torch.int32), pixels.new_zeros(height, width, 3)
    launch(cover_kernel, len(triangles), *seen, near, nearest)
    launch(resolve_kernel, (height, width), *seen, nearest, ids, bary)
    return ids, bary


class Interpolate(torch.autograd.Function):
    """raster.interpolate."""

    @staticmethod
    def forward(ctx: Any, attributes: Tensor, triangles: Tensor, ids: Tensor, bary: Tensor) -> Tensor:
        triangles = triangles.int().contiguous()
        ctx.save_for_backward(triangles, ids, bary)
        ctx.vertices = len(attributes)
        out = attributes.new_zeros(*ids.shape, attributes.shape[1])
        launch(interpolate_kernel, tuple(out.shape), attributes.contiguous(), triangles, ids, bary, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        triangles, ids, bary = ctx.saved_tensors
        out = gradient.new_zeros(ctx.vertices, gradient.shape[-1])
        launch(interpolate_backward_kernel, tuple(gradient.shape), gradient.contiguous(), triangles, ids, bary, out)
        return out, None, None, None
