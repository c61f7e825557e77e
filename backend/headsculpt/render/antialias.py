# SPDX-License-Identifier: GPL-3.0-or-later
"""Silhouettes blended by coverage, with the gradient that moves them.

A picture of triangles jumps where one surface hides another, so what pixels' centres see does not tell which way to
move a silhouette. Here each silhouette edge itself is walked. Where it passes between the centres of two neighbouring
pixels, the pixel that it passes takes the neighbour's colour, by as much as the edge leaves to the neighbour's side.
An edge steeper than 45° is blended row by row, the others column by column.

The gradient is that of the picture's exact integral over each pixel: a silhouette that moves by its normal n moves the
colour difference times its length. Rows sample it with the weight nx² and columns with ny², which add up to 1, so every
stretch counts once, however short its edges are. Methods that look at the edges of the triangles that pixels see (Laine
et al., Modular Primitives for High-Performance Differentiable Rendering, 2020) miss edges of less than a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from headsculpt.device import on_card
from headsculpt.render.raster import NEAR, array, indices


def antialias(image: Tensor, ids: Tensor, pixels: Tensor, depth: Tensor, triangles: Tensor) -> Tensor:
    """The image with blended silhouettes, differentiable in the image and in the vertices' pixels.

    image: float32 [H, W, C], of what `rasterize` saw, background included; ids: int32 [H, W] from there;
    pixels: float32 [V, 2] and depth: float32 [V] as given there; triangles: integer [T, 3], a surface whose triangles
    share vertices and turn the same way round. Colours stay within those of the neighbourhood.
    """
    if on_card(image):
        from headsculpt.render.antialias_warp import Antialias

        return Antialias.apply(image, ids, pixels, depth, triangles, NEAR)
    return _Antialias.apply(image, ids, pixels, depth, triangles)


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, ids: Tensor, pixels: Tensor, depth: Tensor, triangles: Tensor) -> Tensor:
        where, seen = array(pixels), (array(depth), indices(triangles))
        edges = silhouette_kernel(where, *seen)
        places, ends, numbers = crossings_kernel(edges, where, *seen, indices(ids))
        ctx.image, ctx.vertices, ctx.crossings = array(image), len(where), (places, ends, numbers)
        out = ctx.image.copy()
        blend_kernel(ctx.image, places, numbers, out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        gradient = array(gradients[0])
        places, ends, numbers = ctx.crossings
        to_image, to_pixels = gradient.copy(), np.zeros((ctx.vertices, 2), np.float32)
        blend_backward_kernel(gradient, ctx.image, places, ends, numbers, to_image, to_pixels)
        return torch.from_numpy(to_image), None, torch.from_numpy(to_pixels), None, None


def silhouettes_reference(pixels: Tensor, depth: Tensor, triangles: Tensor) -> Tensor:
    """`silhouette_kernel`'s edges in plain torch, int64 [E, 2], the lower vertex first, in ascending order."""
    triangles = triangles[(depth > NEAR)[triangles.long()].all(1)].long()
    a, b, c = pixels[triangles].double().unbind(1)
    u, w = b - a, c - a
    facing = torch.where(u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0] > 0, 1, -1)
    edges = triangles[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(1).values
    edges, index, triangles_here = torch.unique(edges, dim=0, return_inverse=True, return_counts=True)
    sides = torch.zeros_like(triangles_here).scatter_add(0, index, facing.repeat_interleave(3))
    return edges[(triangles_here == 1) | (sides.abs() < triangles_here)]


@njit(cache=True, error_model="numpy")
def silhouette_kernel(pixels, depth, triangles):  # type: ignore[no-untyped-def]
    """Edges where the surface turns away or ends: int32 [E, 3], two vertices and a third on the surface's side.

    An edge is one if its two triangles face opposite ways on the screen, or if it has a single triangle. An edge of
    three triangles and more is one if they do not all face the same way.
    """
    vertices, count = len(pixels), len(triangles)
    facing = np.zeros(count, np.int8)  # 1 and −1 are the two sides, 0 is not drawn
    first = np.zeros(vertices + 2, np.int64)  # where the edges of each lower vertex start
    for t in range(count):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if not (depth[i] > NEAR and depth[j] > NEAR and depth[k] > NEAR):
            continue
        ux, uy = np.float64(pixels[j, 0]) - pixels[i, 0], np.float64(pixels[j, 1]) - pixels[i, 1]
        wx, wy = np.float64(pixels[k, 0]) - pixels[i, 0], np.float64(pixels[k, 1]) - pixels[i, 1]
        area = ux * wy - uy * wx
        if not np.isfinite(area):
            continue
        facing[t] = 1 if area > 0 else -1
        first[min(i, j) + 2] += 1
        first[min(j, k) + 2] += 1
        first[min(k, i) + 2] += 1
    for vertex in range(vertices):
        first[vertex + 2] += first[vertex + 1]
    upper, opposite = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
    side = np.empty(first[-1], np.int8)
    for t in range(count):
        if facing[t] == 0:
            continue
        for corner in range(3):
            p, q = triangles[t, corner], triangles[t, (corner + 1) % 3]
            slot = first[min(p, q) + 1]
            first[min(p, q) + 1] += 1
            upper[slot], opposite[slot], side[slot] = max(p, q), triangles[t, (corner + 2) % 3], facing[t]
    edges = np.empty((len(upper), 3), np.int32)
    found = 0
    for vertex in range(vertices):
        for slot in range(first[vertex], first[vertex + 1]):
            if upper[slot] < 0:
                continue
            triangles_here, sides = 1, np.int64(side[slot])
            for other in range(slot + 1, first[vertex + 1]):
                if upper[other] == upper[slot]:
                    triangles_here += 1
                    sides += side[other]
                    upper[other] = -1
            if triangles_here == 1 or abs(sides) < triangles_here:
                edges[found, 0], edges[found, 1], edges[found, 2] = vertex, upper[slot], opposite[slot]
                found += 1
    return edges[:found]


@njit(cache=True, error_model="numpy")
def depth_at(x, y, i, j, k, pixels, depth):  # type: ignore[no-untyped-def]
    """Depth of the plane of the triangle i, j, k where it covers the point (x, y) of the screen."""
    e0 = (pixels[k, 0] - pixels[j, 0]) * (y - pixels[j, 1]) - (pixels[k, 1] - pixels[j, 1]) * (x - pixels[j, 0])
    e1 = (pixels[i, 0] - pixels[k, 0]) * (y - pixels[k, 1]) - (pixels[i, 1] - pixels[k, 1]) * (x - pixels[k, 0])
    e2 = (pixels[j, 0] - pixels[i, 0]) * (y - pixels[i, 1]) - (pixels[j, 1] - pixels[i, 1]) * (x - pixels[i, 0])
    return (e0 + e1 + e2) / (e0 / depth[i] + e1 / depth[j] + e2 / depth[k])


@njit(cache=True, error_model="numpy")
def crossings_kernel(edges, pixels, depth, triangles, ids):  # type: ignore[no-untyped-def]
    """Where visible silhouette edges pass between the centres of two pixels, one inside and one outside the surface.

    Of several that pass between the same two, the outermost is what shows. Returns, for each of K crossings:
    places: int32 [K, 4], row and column of the pixel that is passed, and of its neighbour beyond the edge;
    ends: int32 [K, 3], the edge's vertices, and 0 if the pixels lie in a row, 1 if in a column;
    numbers: float64 [K, 4], the neighbour's share of the pixel; how it grows with the crossing's coordinate (the
    weight of this crossing, with a sign); the place on the edge, from 0 at its first end to 1 at its second; the slope.
    """
    size = ids.shape
    room = 0
    for e in range(len(edges)):
        a, b = edges[e, 0], edges[e, 1]
        for axis in range(2):
            room += 2 + int(min(abs(pixels[b, axis] - pixels[a, axis]), max(size)))
    places, ends, numbers = np.empty((room, 4), np.int32), np.empty((room, 3), np.int32), np.empty((room, 4))
    outward = np.empty(room)
    taken = np.full((2, *size), -1, np.int32)  # by axis and pixel: the crossing between it and the next
    count = 0
    for e in range(len(edges)):
        a, b, c = edges[e, 0], edges[e, 1], edges[e, 2]
        ax, ay = np.float64(pixels[a, 0]), np.float64(pixels[a, 1])
        dx, dy = pixels[b, 0] - ax, pixels[b, 1] - ay
        inner = dx * (pixels[c, 1] - ay) - dy * (pixels[c, 0] - ax)
        for rows in (True, False):
            # along: the coordinate that the lines step through; across: the coordinate in which they are crossed
            along, step, across, slope = (ay, dy, ax, dx / dy) if rows else (ax, dx, ay, dy / dx)
            lines, last = (size[0], size[1] - 1) if rows else (size[1], size[0] - 1)
            start = max(0.0, np.ceil(min(along, along + step) - 0.5))
            stop = min(float(lines), np.ceil(max(along, along + step) - 0.5))
            for line in range(int(start), int(stop)):
                way = line + 0.5 - along
                at = across + slope * way
                if not 0.5 <= at < last + 0.5:
                    continue
                low = int(at - 0.5)  # the edge passes between the centres of pixel low and the next
                low_inside = (step > 0) == (inner > 0) if rows else (step > 0) != (inner > 0)
                inside, outside = (low, low + 1) if low_inside else (low + 1, low)
                row_in, column_in = (line, inside) if rows else (inside, line)
                row_out, column_out = (line, outside) if rows else (outside, line)
                seen, beyond = ids[row_in, column_in], ids[row_out, column_out]
                if seen < 0 or seen == beyond:
                    continue
                place = way / step
                if beyond >= 0:  # a surface that hides the edge hides the silhouette
                    i, j, k = triangles[beyond, 0], triangles[beyond, 1], triangles[beyond, 2]
                    edge_depth = 1 / ((1 - place) / depth[a] + place / depth[b])
                    if depth_at(column_out + 0.5, row_out + 0.5, i, j, k, pixels, depth) <= edge_depth:
                        continue
                offset = at - (low + 1)
                reach = offset if low_inside else -offset
                axis, row, column = (0, line, low) if rows else (1, low, line)
                slot = taken[axis, row, column]
                if slot < 0:
                    slot = count
                    taken[axis, row, column] = slot
                    count += 1
                elif outward[slot] >= reach:
                    continue
                outward[slot] = reach
                passed, neighbour = (low + 1, low) if offset > 0 else (low, low + 1)
                places[slot, 0], places[slot, 1] = (line, passed) if rows else (passed, line)
                places[slot, 2], places[slot, 3] = (line, neighbour) if rows else (neighbour, line)
                ends[slot, 0], ends[slot, 1], ends[slot, 2] = a, b, axis
                weight = step * step / (dx * dx + dy * dy)
                numbers[slot, 0] = abs(offset) if (abs(dy) > abs(dx)) == rows else 0.0
                numbers[slot, 1] = weight if offset > 0 else -weight
                numbers[slot, 2], numbers[slot, 3] = place, slope
    # A speck can be passed on all four sides; together they take no more than all of it.
    total = np.zeros(size)
    for k in range(count):
        total[places[k, 0], places[k, 1]] += numbers[k, 0]
    for k in range(count):
        numbers[k, 0] /= max(1.0, total[places[k, 0], places[k, 1]])
    return places[:count], ends[:count], numbers[:count]


@njit(cache=True, error_model="numpy")
def blend_kernel(image, places, numbers, out):  # type: ignore[no-untyped-def]
    for k in range(len(places)):
        row, column, other_row, other_column = places[k]
        for c in range(image.shape[2]):
            difference = image[other_row, other_column, c] - image[row, column, c]
            out[row, column, c] += numbers[k, 0] * difference


@njit(cache=True, error_model="numpy")
def blend_backward_kernel(gradient, image, places, ends, numbers, to_image, to_pixels):  # type: ignore[no-untyped-def]
    for k in range(len(places)):
        row, column, other_row, other_column = places[k]
        share, growth, place, slope = numbers[k]
        to_crossing = 0.0
        for c in range(image.shape[2]):
            passed = gradient[row, column, c]
            to_crossing += growth * passed * (image[other_row, other_column, c] - image[row, column, c])
            to_image[row, column, c] -= share * passed
            to_image[other_row, other_column, c] += share * passed
        # the crossing is at across + slope · (line − along): moving an end along the lines moves it by −slope
        a, b, across = ends[k]
        to_pixels[a, across] += to_crossing * (1 - place)
        to_pixels[b, across] += to_crossing * place
        to_pixels[a, 1 - across] -= to_crossing * (1 - place) * slope
        to_pixels[b, 1 - across] -= to_crossing * place * slope
