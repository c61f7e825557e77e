# SPDX-License-Identifier: GPL-3.0-or-later
"""Which triangle each pixel sees, and attributes carried from vertices to pixels.

On the CPU numba kernels do the work, on graphics cards those of raster_warp.py. The plain torch references are what
they are tested and measured against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.device import on_card

NEAR = 0.01
"""Triangles with a vertex nearer than this to the camera's plane are not drawn (they are not clipped)."""


def array(tensor: Tensor) -> NDArray[Any]:
    """What a kernel reads: a tensor's numbers, contiguous and on the CPU."""
    return tensor.detach().cpu().contiguous().numpy()


def indices(tensor: Tensor) -> NDArray[np.int32]:
    """Vertex or triangle indices of any integer type as the kernels are compiled for them."""
    return array(tensor.to(torch.int32))


@njit(cache=True, error_model="numpy", inline="always")
def edge_function(px, py, qx, qy):  # type: ignore[no-untyped-def]
    """Origin o and direction d of the function d × (x − o), positive to the left of p → q, and whether 0 is inside.

    The origin is the same whichever way the edge is walked, so that two triangles that share it get exactly opposite
    numbers; the rule for 0 is opposite too. So a pixel's centre on a shared edge is inside one of them, never both.
    """
    dx, dy = qx - px, qy - py
    if qx < px or (qx == px and qy < py):
        px, py = qx, qy
    return px, py, dx, dy, dy > 0 or (dy == 0 and dx > 0)


@njit(cache=True, error_model="numpy")
def rasterize_kernel(pixels, depth, triangles, ids, bary):  # type: ignore[no-untyped-def]
    """Fill ids i32 [H, W] and bary f32 [H, W, 3]; see `rasterize`."""
    height, width = ids.shape
    nearness = np.zeros((height, width))  # of what is seen so far: 1 / depth is linear on the screen
    ids[:] = -1
    bary[:] = 0
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if not (depth[i] > NEAR and depth[j] > NEAR and depth[k] > NEAR):
            continue
        # float64: sums and products of float32 are then exact enough for the fill rule
        ax, ay = np.float64(pixels[i, 0]), np.float64(pixels[i, 1])
        bx, by = np.float64(pixels[j, 0]), np.float64(pixels[j, 1])
        cx, cy = np.float64(pixels[k, 0]), np.float64(pixels[k, 1])
        first = max(0.0, np.ceil(min(ax, bx, cx) - 0.5))
        last = min(width - 1.0, np.floor(max(ax, bx, cx) - 0.5))
        top = max(0.0, np.ceil(min(ay, by, cy) - 0.5))
        bottom = min(height - 1.0, np.floor(max(ay, by, cy) - 0.5))
        if not (first <= last and top <= bottom):
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or not np.isfinite(area):
            continue
        if area > 0:
            o0x, o0y, d0x, d0y, on0 = edge_function(bx, by, cx, cy)
            o1x, o1y, d1x, d1y, on1 = edge_function(cx, cy, ax, ay)
            o2x, o2y, d2x, d2y, on2 = edge_function(ax, ay, bx, by)
        else:  # seen from behind: walk it the other way round
            area = -area
            o0x, o0y, d0x, d0y, on0 = edge_function(cx, cy, bx, by)
            o1x, o1y, d1x, d1y, on1 = edge_function(ax, ay, cx, cy)
            o2x, o2y, d2x, d2y, on2 = edge_function(bx, by, ax, ay)
        za, zb, zc = 1.0 / (area * depth[i]), 1.0 / (area * depth[j]), 1.0 / (area * depth[k])
        for row in range(int(top), int(bottom) + 1):
            y = row + 0.5
            r0, r1, r2 = d0x * (y - o0y), d1x * (y - o1y), d2x * (y - o2y)
            for column in range(int(first), int(last) + 1):
                x = column + 0.5
                e0 = r0 - d0y * (x - o0x)
                e1 = r1 - d1y * (x - o1x)
                e2 = r2 - d2y * (x - o2x)
                if e0 < 0 or e1 < 0 or e2 < 0:
                    continue
                if (e0 == 0 and not on0) or (e1 == 0 and not on1) or (e2 == 0 and not on2):
                    continue
                w0, w1, w2 = e0 * za, e1 * zb, e2 * zc
                near = w0 + w1 + w2
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    ids[row, column] = t
                    bary[row, column, 0] = w0 / near
                    bary[row, column, 1] = w1 / near
                    bary[row, column, 2] = w2 / near


@njit(cache=True, error_model="numpy")
def interpolate_kernel(attributes, triangles, ids, bary, out):  # type: ignore[no-untyped-def]
    height, width = ids.shape
    for row in range(height):
        for column in range(width):
            t = ids[row, column]
            for c in range(attributes.shape[1]):
                if t < 0:
                    out[row, column, c] = 0
                else:
                    out[row, column, c] = (
                        bary[row, column, 0] * attributes[triangles[t, 0], c]
                        + bary[row, column, 1] * attributes[triangles[t, 1], c]
                        + bary[row, column, 2] * attributes[triangles[t, 2], c]
                    )


@njit(cache=True, error_model="numpy")
def interpolate_backward_kernel(gradient, triangles, ids, bary, out):  # type: ignore[no-untyped-def]
    height, width = ids.shape
    out[:] = 0
    for row in range(height):
        for column in range(width):
            t = ids[row, column]
            if t < 0:
                continue
            for corner in range(3):
                vertex, weight = triangles[t, corner], bary[row, column, corner]
                for c in range(out.shape[1]):
                    out[vertex, c] += weight * gradient[row, column, c]


def rasterize(pixels: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The nearest triangle at each pixel's centre. Not differentiable by itself.

    pixels: float32 [V, 2] and depth: float32 [V], as from `Camera.project`; triangles: integer [T, 3], seen from either
    side. Returns ids, int32 [H, W], −1 where there is none, and the perspective-correct barycentric coordinates,
    float32 [H, W, 3]. At equal depth the lower id wins. Triangles that share an edge leave no hole and no overlap.
    """
    if on_card(pixels):
        from headsculpt.render import raster_warp

        return raster_warp.rasterize(pixels, depth, triangles, height, width, NEAR)
    ids = np.empty((height, width), np.int32)
    bary = np.empty((height, width, 3), np.float32)
    rasterize_kernel(array(pixels), array(depth), indices(triangles), ids, bary)
    return torch.from_numpy(ids), torch.from_numpy(bary)


@torch.no_grad()
def rasterize_reference(
    pixels: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """`rasterize` in plain torch: every pixel of every triangle's box is tried, and the nearest hits are kept."""
    size = pixels.new_tensor([width, height])
    numbers = ((depth > NEAR) & pixels.isfinite().all(-1))[triangles.long()].all(-1).nonzero()[:, 0]
    corners, depths = pixels[triangles[numbers].long()].double(), depth[triangles[numbers].long()].double()
    low = (corners.amin(1) - 0.5).ceil().clamp(min=0).minimum(size).long()
    high = (corners.amax(1) - 0.5).floor().clamp(min=-1).minimum(size - 1).long()
    extent = (high - low + 1).clamp(min=0)
    candidates = extent.prod(1)
    which = torch.repeat_interleave(torch.arange(len(numbers), device=pixels.device), candidates)
    place = torch.arange(len(which), device=pixels.device) - (candidates.cumsum(0) - candidates)[which]
    across = extent[which, 0]
    column, row = low[which, 0] + place % across, low[which, 1] + place // across
    centre = torch.stack([column, row], -1).double() + 0.5

    a, b, c = corners.unbind(1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    turn = area.sign()
    inside, values = area[which] != 0, []
    for p, q in ((b, c), (c, a), (a, b)):
        way = (q - p) * turn[:, None]
        # as in `edge_function`: the same origin and opposite signs on both sides of a shared edge
        swap = (q[:, 0] < p[:, 0]) | ((q[:, 0] == p[:, 0]) & (q[:, 1] < p[:, 1]))
        offset = centre - torch.where(swap[:, None], q, p)[which]
        value = way[which, 0] * offset[:, 1] - way[which, 1] * offset[:, 0]
        closed = (way[:, 1] > 0) | ((way[:, 1] == 0) & (way[:, 0] > 0))
        inside &= (value > 0) | ((value == 0) & closed[which])
        values.append(value)
    which, flat = which[inside], (row * width + column)[inside]
    weights = torch.stack(values, -1)[inside] / (area.abs()[:, None] * depths)[which]
    nearness = weights.sum(-1)

    nearest = nearness.new_zeros(height * width).scatter_reduce(0, flat, nearness, "amax")
    shown = nearness == nearest[flat]
    none = len(triangles)
    ids = torch.full_like(nearest, none, dtype=torch.long).scatter_reduce(0, flat[shown], numbers[which[shown]], "amin")
    shown &= numbers[which] == ids[flat]
    bary = pixels.new_zeros(height * width, 3)
    bary[flat[shown]] = (weights[shown] / nearness[shown, None]).to(bary.dtype)
    ids = torch.where(ids == none, -1, ids).int()
    return ids.view(height, width), bary.view(height, width, 3)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, triangles: Tensor, ids: Tensor, bary: Tensor) -> Tensor:
        ctx.save_for_backward(triangles, ids, bary)
        ctx.vertices = attributes.shape[0]
        out = np.empty((*ids.shape, attributes.shape[1]), np.float32)
        interpolate_kernel(array(attributes), indices(triangles), indices(ids), array(bary), out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        triangles, ids, bary = ctx.saved_tensors
        out = np.empty((ctx.vertices, gradient.shape[-1]), np.float32)
        interpolate_backward_kernel(array(gradient), indices(triangles), indices(ids), array(bary), out)
        return torch.from_numpy(out), None, None, None


def interpolate(attributes: Tensor, triangles: Tensor, ids: Tensor, bary: Tensor) -> Tensor:
    """Vertex attributes at the pixels, differentiable in the attributes; 0 where no triangle is seen.

    attributes: float32 [V, C]; triangles: integer [T, 3]; ids and bary as from `rasterize`. Returns float32 [H, W, C].
    """
    if on_card(attributes):
        from headsculpt.render.raster_warp import Interpolate

        return Interpolate.apply(attributes, triangles, ids, bary)
    return _Interpolate.apply(attributes, triangles, ids, bary)


def interpolate_reference(attributes: Tensor, triangles: Tensor, ids: Tensor, bary: Tensor) -> Tensor:
    """`interpolate` in plain torch, of any dtype."""
    corners = attributes[triangles[ids.clamp(min=0).long()].long()]
    return (corners * bary[..., None]).sum(-2) * (ids >= 0)[..., None]
