# SPDX-License-Identifier: GPL-3.0-or-later
"""volume.py's kernel for graphics cards: one thread a ray, which walks twice instead of keeping its stretches."""

from __future__ import annotations

import torch
from torch import Tensor

from headsculpt.card import launch, wp

wp.set_module_options({"enable_backward": False})

_FAR = wp.constant(wp.float64(1e30))


@wp.func
def border(origin: wp.float64, direction: wp.float64, cell: int, scale: wp.float64, bound: wp.float64):
    """t at which a ray leaves a cell along one axis."""
    if direction == wp.float64(0.0):
        return _FAR
    edge = cell
    if direction > wp.float64(0.0):
        edge = cell + 1
    return (wp.float64(edge) / scale - bound - origin) / direction


@wp.kernel
def sample_rays_kernel(
    origins: wp.array2d(dtype=float),
    directions: wp.array2d(dtype=float),
    occupancy: wp.array3d(dtype=wp.uint8),
    density: wp.array3d(dtype=float),
    use_density: int,
    opaque: wp.float64,
    bound: wp.float64,
    jitter: wp.array2d(dtype=float),
    t: wp.array2d(dtype=float),
    points: wp.array3d(dtype=float),
    deltas: wp.array2d(dtype=float),
    met: wp.array(dtype=wp.uint8),
):
    """See volume.sample_rays; samples of rays that meet nothing stay as they are. Walks as Amanatides and Woo do."""
    ray = wp.tid()
    samples = t.shape[1]
    size = occupancy.shape[0]
    scale = wp.float64(size) / (wp.float64(2.0) * bound)
    origin = wp.vec3d(wp.float64(origins[ray, 0]), wp.float64(origins[ray, 1]), wp.float64(origins[ray, 2]))
    way = wp.vec3d(wp.float64(directions[ray, 0]), wp.float64(directions[ray, 1]), wp.float64(directions[ray, 2]))
    enter, leave = wp.float64(0.0), wp.float64(_FAR)
    for axis in range(3):
        if way[axis] != wp.float64(0.0):
            one, other = (-bound - origin[axis]) / way[axis], (bound - origin[axis]) / way[axis]
            enter = wp.max(enter, wp.min(one, other))
            leave = wp.min(leave, wp.max(one, other))
        elif origin[axis] < -bound or origin[axis] >= bound:
            leave = wp.float64(-1.0)
    if enter >= leave:
        return
    length = wp.float64(0.0)
    for walk in range(2):  # the first measures, the second places
        x = wp.clamp(int(wp.floor((origin[0] + enter * way[0] + bound) * scale)), 0, size - 1)
        y = wp.clamp(int(wp.floor((origin[1] + enter * way[1] + bound) * scale)), 0, size - 1)
        z = wp.clamp(int(wp.floor((origin[2] + enter * way[2] + bound) * scale)), 0, size - 1)
        at, depth, before = wp.float64(enter), wp.float64(0.0), wp.float64(0.0)
        end = wp.float64(enter)  # of the last occupied cell
        s = int(0)
        going = int(1)
        while going == 1 and at < leave and depth <= opaque:
            next_x = border(origin[0], way[0], x, scale, bound)
            next_y = border(origin[1], way[1], y, scale, bound)
            next_z = border(origin[2], way[2], z, scale, bound)
            after = wp.max(at, wp.min(wp.min(next_x, next_y), wp.min(next_z, leave)))
            if occupancy[x, y, z] != wp.uint8(0) and after > at:
                end = after
                if walk == 1:
                    while s < samples and (
                        (wp.float64(s) + wp.float64(jitter[ray, s])) * length / wp.float64(samples)
                        <= before + (after - at)
                    ):
                        place = (wp.float64(s) + wp.float64(jitter[ray, s])) * length / wp.float64(samples)
                        along = at + place - before
                        t[ray, s] = float(along)
                        for axis in range(3):
                            points[ray, s, axis] = float(origin[axis] + along * way[axis])
                        s += 1
                before += after - at
            if use_density == 1:
                depth += wp.float64(density[x, y, z]) * (after - at)
            at = after
            if next_x <= next_y and next_x <= next_z:
                x += wp.where(way[0] > wp.float64(0.0), 1, -1)
            elif next_y <= next_z:
                y += wp.where(way[1] > wp.float64(0.0), 1, -1)
            else:
                z += wp.where(way[2] > wp.float64(0.0), 1, -1)
            if x < 0 or y < 0 or z < 0 or x >= size or y >= size or z >= size:
                going = 0
        length = before
        if length == wp.float64(0.0):
            return
        if walk == 1:
            while s < samples:  # rounding may leave the last of them over
                t[ray, s] = float(end)
                for axis in range(3):
                    points[ray, s, axis] = float(origin[axis] + end * way[axis])
                s += 1
    met[ray] = wp.uint8(1)
    for s in range(samples):
        deltas[ray, s] = float(length / wp.float64(samples))


def sample_all_rays(
    origins: Tensor,
    directions: Tensor,
    occupancy: Tensor,
    jitter: Tensor,
    density: Tensor | None,
    opaque: float,
    bound: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For all rays [N], with jitter [N, S]: points [N, S, 3], t and deltas [N, S], and which meet anything, bool [N].

    What meets nothing has its samples in the origin and deltas of 0.
    """
    count, samples = jitter.shape
    t, deltas = origins.new_zeros(count, samples), origins.new_zeros(count, samples)
    points = origins.new_zeros(count, samples, 3)
    met = torch.zeros(count, dtype=torch.uint8, device=origins.device)
    known = origins.new_zeros(1, 1, 1) if density is None else density
    launch(
        sample_rays_kernel,
        count,
        origins.contiguous(),
        directions.contiguous(),
        occupancy.contiguous().view(torch.uint8),
        known.contiguous(),
        int(density is not None),
        opaque,
        bound,
        jitter.contiguous(),
        t,
        points,
        deltas,
        met,
    )
    return points, t, deltas, met.bool()
