# SPDX-License-Identifier: GPL-3.0-or-later
"""antialias.py for graphics cards: the same crossings, kept at the two pixels that they lie between.

A crossing's slot is (axis, row, column): axis 0 lies between a pixel and the next in its row, axis 1 in its column. So
sizes are known beforehand, and of several crossings of a slot the outermost wins by an atomic maximum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from headsculpt.card import launch, wp

wp.set_module_options({"enable_backward": False})

_LAST = wp.constant(wp.int64(0x7FFFFFFF))


@wp.func
def depth_at(
    x: wp.float64, y: wp.float64, i: int, j: int, k: int, pixels: wp.array2d(dtype=float), depth: wp.array(dtype=float)
):
    """antialias.depth_at."""
    ix, iy = wp.float64(pixels[i, 0]), wp.float64(pixels[i, 1])
    jx, jy = wp.float64(pixels[j, 0]), wp.float64(pixels[j, 1])
    kx, ky = wp.float64(pixels[k, 0]), wp.float64(pixels[k, 1])
    e0 = (kx - jx) * (y - jy) - (ky - jy) * (x - jx)
    e1 = (ix - kx) * (y - ky) - (iy - ky) * (x - kx)
    e2 = (jx - ix) * (y - iy) - (jy - iy) * (x - ix)
    return (e0 + e1 + e2) / (e0 / wp.float64(depth[i]) + e1 / wp.float64(depth[j]) + e2 / wp.float64(depth[k]))


@wp.kernel
def claim_kernel(
    edges: wp.array2d(dtype=int),
    chosen: wp.array(dtype=wp.uint8),
    pixels: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    triangles: wp.array2d(dtype=int),
    ids: wp.array2d(dtype=int),
    taken: wp.array3d(dtype=wp.int64),
):
    """Raises taken [2, H, W] to how far out each visible silhouette edge passes there, with its number in the low bits.

    edges: [E, 3], two vertices and the third on the surface's side; chosen: which of them are silhouettes.
    """
    e = wp.tid()
    if chosen[e] == wp.uint8(0):
        return
    half, zero = wp.float64(0.5), wp.float64(0.0)
    a, b, c = edges[e, 0], edges[e, 1], edges[e, 2]
    ax, ay = wp.float64(pixels[a, 0]), wp.float64(pixels[a, 1])
    dx, dy = wp.float64(pixels[b, 0]) - ax, wp.float64(pixels[b, 1]) - ay
    inner = dx * (wp.float64(pixels[c, 1]) - ay) - dy * (wp.float64(pixels[c, 0]) - ax)
    for axis in range(2):
        along, step, across = wp.float64(ay), wp.float64(dy), wp.float64(ax)
        slope = wp.float64(dx / dy)
        lines, last = ids.shape[0], ids.shape[1] - 1
        if axis == 1:
            along, step, across = ax, dx, ay
            slope = dy / dx
            lines, last = ids.shape[1], ids.shape[0] - 1
        low_inside = (step > zero) == (inner > zero)
        if axis == 1:
            low_inside = (step > zero) != (inner > zero)
        limit = wp.float64(lines)
        start = int(wp.clamp(wp.ceil(wp.min(along, along + step) - half), zero, limit))
        stop = int(wp.clamp(wp.ceil(wp.max(along, along + step) - half), zero, limit))
        for line in range(start, stop):
            way = wp.float64(line) + half - along
            at = across + slope * way
            if at >= half and at < wp.float64(last) + half:
                low = int(at - half)
                inside = wp.where(low_inside, low, low + 1)
                outside = wp.where(low_inside, low + 1, low)
                row_in, column_in = wp.where(axis == 0, line, inside), wp.where(axis == 0, inside, line)
                row_out, column_out = wp.where(axis == 0, line, outside), wp.where(axis == 0, outside, line)
                seen, beyond = int(ids[row_in, column_in]), int(ids[row_out, column_out])
                shows = seen >= 0 and seen != beyond
                if shows and beyond >= 0:  # a surface that hides the edge hides the silhouette
                    place = way / step
                    edge_depth = wp.float64(1.0) / (
                        (wp.float64(1.0) - place) / wp.float64(depth[a]) + place / wp.float64(depth[b])
                    )
                    x, y = wp.float64(column_out) + half, wp.float64(row_out) + half
                    i, j, k = int(triangles[beyond, 0]), int(triangles[beyond, 1]), int(triangles[beyond, 2])
                    shows = depth_at(x, y, i, j, k, pixels, depth) > edge_depth
                if shows:
                    offset = at - wp.float64(low + 1)
                    reach = wp.where(low_inside, offset, -offset)
                    bits = wp.int64(wp.cast(float(reach) + 1.0, wp.int32))
                    key = (bits << wp.int64(32)) | (_LAST - wp.int64(e))
                    wp.atomic_max(taken, axis, wp.where(axis == 0, line, low), wp.where(axis == 0, low, line), key)


@wp.kernel
def measure_kernel(
    edges: wp.array2d(dtype=int),
    pixels: wp.array2d(dtype=float),
    taken: wp.array3d(dtype=wp.int64),
    winner: wp.array3d(dtype=int),
    numbers: wp.array4d(dtype=float),
    total: wp.array2d(dtype=float),
):
    """Fills winner [2, H, W], the edge or −1, and numbers [2, H, W, 4] as antialias.crossings_kernel has them; adds to
    total [H, W] what is taken of each pixel."""
    axis, row, column = wp.tid()
    winner[axis, row, column] = -1
    if taken[axis, row, column] == wp.int64(0):
        return
    e = int(_LAST - (taken[axis, row, column] & _LAST))
    winner[axis, row, column] = e
    a, b = edges[e, 0], edges[e, 1]
    ax, ay = wp.float64(pixels[a, 0]), wp.float64(pixels[a, 1])
    dx, dy = wp.float64(pixels[b, 0]) - ax, wp.float64(pixels[b, 1]) - ay
    along, step, across, slope = wp.float64(ay), wp.float64(dy), wp.float64(ax), wp.float64(dx / dy)
    line, low = int(row), int(column)
    steep = wp.abs(dy) > wp.abs(dx)
    if axis == 1:
        along, step, across, slope = ax, dx, ay, dy / dx
        line, low = column, row
        steep = not steep
    way = wp.float64(line) + wp.float64(0.5) - along
    offset = across + slope * way - wp.float64(low + 1)
    weight = float(step * step / (dx * dx + dy * dy))
    share = wp.where(steep, float(wp.abs(offset)), 0.0)
    beyond = offset > wp.float64(0.0)
    numbers[axis, row, column, 0] = share
    numbers[axis, row, column, 1] = wp.where(beyond, weight, -weight)
    numbers[axis, row, column, 2] = float(way / step)
    numbers[axis, row, column, 3] = float(slope)
    passed = wp.where(beyond, 1, 0)
    wp.atomic_add(total, row + passed * axis, column + passed * (1 - axis), share)


@wp.kernel
def blend_kernel(
    image: wp.array3d(dtype=float),
    winner: wp.array3d(dtype=int),
    numbers: wp.array4d(dtype=float),
    total: wp.array2d(dtype=float),
    out: wp.array3d(dtype=float),
):
    axis, row, column = wp.tid()
    if winner[axis, row, column] < 0:
        return
    passed = wp.where(numbers[axis, row, column, 1] > 0.0, 1, 0)
    r, c = row + passed * axis, column + passed * (1 - axis)
    other_r, other_c = row + (1 - passed) * axis, column + (1 - passed) * (1 - axis)
    share = numbers[axis, row, column, 0] / wp.max(1.0, total[r, c])
    for channel in range(image.shape[2]):
        wp.atomic_add(out, r, c, channel, share * (image[other_r, other_c, channel] - image[r, c, channel]))


@wp.kernel
def blend_backward_kernel(
    gradient: wp.array3d(dtype=float),
    image: wp.array3d(dtype=float),
    edges: wp.array2d(dtype=int),
    winner: wp.array3d(dtype=int),
    numbers: wp.array4d(dtype=float),
    total: wp.array2d(dtype=float),
    to_image: wp.array3d(dtype=float),
    to_pixels: wp.array2d(dtype=float),
):
    axis, row, column = wp.tid()
    e = winner[axis, row, column]
    if e < 0:
        return
    growth = numbers[axis, row, column, 1]
    passed = wp.where(growth > 0.0, 1, 0)
    r, c = row + passed * axis, column + passed * (1 - axis)
    other_r, other_c = row + (1 - passed) * axis, column + (1 - passed) * (1 - axis)
    share = numbers[axis, row, column, 0] / wp.max(1.0, total[r, c])
    to_crossing = float(0.0)
    for channel in range(image.shape[2]):
        through = gradient[r, c, channel]
        to_crossing += growth * through * (image[other_r, other_c, channel] - image[r, c, channel])
        wp.atomic_add(to_image, r, c, channel, -share * through)
        wp.atomic_add(to_image, other_r, other_c, channel, share * through)
    place, slope = numbers[axis, row, column, 2], numbers[axis, row, column, 3]
    wp.atomic_add(to_pixels, edges[e, 0], axis, to_crossing * (1.0 - place))
    wp.atomic_add(to_pixels, edges[e, 1], axis, to_crossing * place)
    wp.atomic_add(to_pixels, edges[e, 0], 1 - axis, -to_crossing * (1.0 - place) * slope)
    wp.atomic_add(to_pixels, edges[e, 1], 1 - axis, -to_crossing * place * slope)


def silhouettes(pixels: Tensor, depth: Tensor, triangles: Tensor, near: float) -> tuple[Tensor, Tensor]:
    """All edges of the triangles, int32 [3T, 3], two vertices and a third on the surface's side, each edge's triangles
    next to each other; and which of them stand for a silhouette, bool [3T]."""
    triangles = triangles.long()
    a, b, c = pixels[triangles].double().unbind(1)
    u, w = b - a, c - a
    area = u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]
    drawn = (depth > near)[triangles].all(1) & area.isfinite()
    facing = torch.where(area > 0, 1, -1).repeat_interleave(3)
    following = triangles.roll(-1, 1)
    ends = torch.stack([torch.minimum(triangles, following), torch.maximum(triangles, following)], -1).view(-1, 2)
    third = triangles.roll(1, 1).view(-1)
    nowhere = len(pixels) ** 2
    key = torch.where(drawn.repeat_interleave(3), ends[:, 0] * len(pixels) + ends[:, 1], nowhere)
    key, order = key.sort(stable=True)
    first = torch.cat([torch.ones_like(key[:1], dtype=torch.bool), key[1:] != key[:-1]])
    group = first.cumsum(0) - 1
    here = torch.zeros_like(key).scatter_add(0, group, torch.ones_like(key))[group]
    sides = torch.zeros_like(key).scatter_add(0, group, facing[order])[group]
    edges = torch.cat([ends, third[:, None]], 1)[order].int()
    return edges, first & (key < nowhere) & ((here == 1) | (sides.abs() < here))


class Antialias(torch.autograd.Function):
    """antialias.antialias; near: raster.NEAR."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, ids: Tensor, pixels: Tensor, depth: Tensor, triangles: Tensor, near: float
    ) -> Tensor:
        height, width = ids.shape
        image, pixels = image.detach().contiguous(), pixels.detach().contiguous()
        edges, chosen = silhouettes(pixels, depth, triangles, near)
        taken = torch.zeros(2, height, width, dtype=torch.int64, device=ids.device)
        seen = pixels, depth.detach().contiguous(), triangles.int().contiguous(), ids
        launch(claim_kernel, len(edges), edges, chosen.view(torch.uint8), *seen, taken)
        winner = torch.empty_like(taken, dtype=torch.int32)
        numbers, total = image.new_empty(2, height, width, 4), image.new_zeros(height, width)
        launch(measure_kernel, tuple(taken.shape), edges, pixels, taken, winner, numbers, total)
        out = image.clone()
        launch(blend_kernel, tuple(taken.shape), image, winner, numbers, total, out)
        ctx.vertices = len(pixels)
        ctx.save_for_backward(image, edges, winner, numbers, total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, edges, winner, numbers, total = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_image, to_pixels = gradient.clone(), gradient.new_zeros(ctx.vertices, 2)
        slots = tuple(winner.shape)
        launch(blend_backward_kernel, slots, gradient, image, edges, winner, numbers, total, to_image, to_pixels)
        return to_image, None, to_pixels, None, None, None
