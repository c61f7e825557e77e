# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume rendering: where to sample rays, and how samples become colours (Eq. 4 of the paper)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.device import on_card, sent
from headsculpt.render.raster import array
from headsculpt.shape.distance import FIELD_BOUND

OPAQUE = 9.0
"""Optical depth at which a ray ends: what is behind would show with a weight of e^−9, a thirtieth of a grey level."""


class RaySamples(NamedTuple):
    """S samples on each of the M rays that meet occupied space.

    rays: int64 [M], which rays these are, ascending; points: float32 [M, S, 3]; t: float32 [M, S], ascending distance
    along the ray; deltas: float32 [M, S], length of the occupied stretch that the sample stands for; met: bool [M].
    On a graphics card these are all rays, since nothing there waits for a number. Those that meet nothing are not
    `met`; their samples lie in the origin and stand for a length of 0.
    """

    rays: Tensor
    points: Tensor
    t: Tensor
    deltas: Tensor
    met: Tensor


def composite(density: Tensor, values: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values as seen along rays through a medium (Eq. 4), differentiable in density and values.

    density: [N, S], ≥ 0, per unit of length; values: [N, S, C]; deltas: [N, S].
    With α = 1 − exp(−density · delta), a sample's weight is α times the product of 1 − α of those before it.
    Returns the weighted sums [N, C] (premultiplied by opacity), the weights [N, S] and the opacity [N].
    """
    depth = density * deltas
    total = depth.cumsum(-1)
    before = torch.nn.functional.pad(total[..., :-1], (1, 0))
    weights = -torch.expm1(-depth) * torch.exp(-before)
    return (weights[..., None] * values).sum(-2), weights, -torch.expm1(-total[..., -1])


def sample_rays(
    origins: Tensor,
    directions: Tensor,
    occupancy: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
    density: Tensor | None = None,
    bound: float = FIELD_BOUND,
) -> RaySamples:
    """Spread samples over the occupied cells that each ray passes, and nowhere else.

    origins, directions: float32 [N, 3], directions unit; occupancy: bool [R, R, R], indexed x, y, z, cells of the cube
    ±bound. The occupied stretches of a ray, taken together, are cut into `samples` equal strata with one sample each:
    anywhere in it if there is a generator, else in its middle.
    density: [R, R, R], ≥ 0, as far as it is known, also of cells that are not occupied: rays end where it makes them
    opaque (`OPAQUE`), so that no samples are lost inside a head or on its far side.
    """
    if on_card(origins):
        from headsculpt.render.volume_warp import sample_all_rays

        places = sent(_places(len(origins), samples, generator), origins.device)
        all_rays = torch.arange(len(origins), device=origins.device)
        return RaySamples(all_rays, *sample_all_rays(origins, directions, occupancy, places, density, OPAQUE, bound))
    mask = array(occupancy)
    starts, ways = array(origins), array(directions)
    known = np.zeros((0, 0, 0), np.float32) if density is None else array(density)
    first, stretches = occupied_stretches_kernel(starts, ways, mask, _occupied_box(mask), known, bound)
    rays = np.flatnonzero(np.diff(first))
    jitter = _places(len(rays), samples, generator)
    t = np.empty((len(rays), samples), np.float32)
    points = np.empty((len(rays), samples, 3), np.float32)
    deltas = np.empty((len(rays), samples), np.float32)
    place_samples_kernel(starts, ways, rays, first, stretches, array(jitter), t, points, deltas)
    return RaySamples(*map(torch.from_numpy, (rays, points, t, deltas, np.ones(len(rays), np.bool_))))


def _places(rays: int, samples: int, generator: torch.Generator | None) -> Tensor:
    """Where in its stratum each sample lies, 0 … 1, [rays, samples]."""
    if generator is None:
        return torch.full((rays, samples), 0.5)
    return torch.rand(rays, samples, generator=generator)


def _occupied_box(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[3, 2], the first and the last occupied cell along each axis; the last before the first if none is."""
    if not mask.any():
        return np.array([[0, -1]] * 3)
    return np.array([np.flatnonzero(mask.any(others))[[0, -1]] for others in ((1, 2), (0, 2), (0, 1))])


@njit(cache=True, error_model="numpy", inline="always")
def walk_along(origin, direction, low, high, scale, bound, enter):  # type: ignore[no-untyped-def]
    """Of one axis: the cell at t = enter, the step to the next, t at the border to it, and t from border to border."""
    cell = min(max(int(np.floor((origin + enter * direction + bound) * scale)), low), high)
    if direction == 0:
        return cell, 0, np.inf, np.inf
    step = 1 if direction > 0 else -1
    border = (cell + (1 if direction > 0 else 0)) / scale - bound
    return cell, step, (border - origin) / direction, abs(1 / (scale * direction))


@njit(cache=True, error_model="numpy")
def occupied_stretches_kernel(origins, directions, occupancy, box, density, bound):  # type: ignore[no-untyped-def]
    """Each ray's occupied intervals of t, neighbours joined, up to where the density makes it opaque.

    Returns first [N + 1] and stretches [K, 2]: ray n has stretches[first[n]:first[n + 1]].
    The walk from cell to cell is Amanatides & Woo's (A Fast Voxel Traversal Algorithm, 1987), inside the box.
    """
    scale = occupancy.shape[0] / (2 * bound)
    most = occupancy.shape[0] * 3  # cells that a ray can pass
    first = np.zeros(len(origins) + 1, np.int64)
    stretches = np.empty((max(most, 4 * len(origins)), 2))
    count = 0
    for ray in range(len(origins)):
        enter, leave = 0.0, np.inf
        for axis in range(3):
            low, high = box[axis, 0] / scale - bound, (box[axis, 1] + 1) / scale - bound
            origin, direction = np.float64(origins[ray, axis]), np.float64(directions[ray, axis])
            if direction != 0:
                one, other = (low - origin) / direction, (high - origin) / direction
                enter, leave = max(enter, min(one, other)), min(leave, max(one, other))
            elif not low <= origin < high:
                leave = -np.inf
        if enter < leave:
            if count + most > len(stretches):
                longer = np.empty((2 * len(stretches) + most, 2))
                for k in range(count):  # as one assignment, it would take seconds to compile
                    longer[k, 0], longer[k, 1] = stretches[k, 0], stretches[k, 1]
                stretches = longer
            ox, oy, oz = np.float64(origins[ray, 0]), np.float64(origins[ray, 1]), np.float64(origins[ray, 2])
            dx, dy, dz = np.float64(directions[ray, 0]), np.float64(directions[ray, 1]), np.float64(directions[ray, 2])
            x, step_x, next_x, stride_x = walk_along(ox, dx, box[0, 0], box[0, 1], scale, bound, enter)
            y, step_y, next_y, stride_y = walk_along(oy, dy, box[1, 0], box[1, 1], scale, bound, enter)
            z, step_z, next_z, stride_z = walk_along(oz, dz, box[2, 0], box[2, 1], scale, bound, enter)
            t, depth, connected = enter, 0.0, False
            while t < leave and depth <= OPAQUE:
                after = max(t, min(next_x, next_y, next_z, leave))
                occupied = occupancy[x, y, z]
                if occupied and after > t:
                    if connected:
                        stretches[count - 1, 1] = after
                    else:
                        stretches[count, 0], stretches[count, 1] = t, after
                        count += 1
                if density.size > 0:
                    depth += density[x, y, z] * (after - t)
                connected = occupied and (connected or after > t)
                t = after
                if next_x <= next_y and next_x <= next_z:
                    x, next_x = x + step_x, next_x + stride_x
                    if not box[0, 0] <= x <= box[0, 1]:
                        break
                elif next_y <= next_z:
                    y, next_y = y + step_y, next_y + stride_y
                    if not box[1, 0] <= y <= box[1, 1]:
                        break
                else:
                    z, next_z = z + step_z, next_z + stride_z
                    if not box[2, 0] <= z <= box[2, 1]:
                        break
        first[ray + 1] = count
    return first, stretches[:count]


@njit(cache=True, error_model="numpy")
def place_samples_kernel(  # type: ignore[no-untyped-def]
    origins, directions, rays, first, stretches, jitter, t, points, deltas
):
    """Fill t, points and deltas with one sample in each stratum of the rays' stretches; see `sample_rays`."""
    samples = t.shape[1]
    for m in range(len(rays)):
        ray = rays[m]
        k, last = first[ray], first[ray + 1] - 1
        length = 0.0
        for j in range(k, last + 1):
            length += stretches[j, 1] - stretches[j, 0]
        before = 0.0  # length of the stretches before the one that the sample is in
        for s in range(samples):
            at = (s + jitter[m, s]) * length / samples
            while k < last and at - before > stretches[k, 1] - stretches[k, 0]:
                before += stretches[k, 1] - stretches[k, 0]
                k += 1
            along = min(stretches[k, 0] + at - before, stretches[k, 1])
            t[m, s] = along
            deltas[m, s] = length / samples
            for axis in range(3):
                points[m, s, axis] = origins[ray, axis] + along * directions[ray, axis]
