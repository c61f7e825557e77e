# SPDX-License-Identifier: GPL-3.0-or-later
"""hashgrid.py's kernels for graphics cards: the same features and gradients, summed in another order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from headsculpt.card import launch, wp

wp.set_module_options({"enable_backward": False})

_PRIME_Y, _PRIME_Z = wp.constant(wp.uint32(2654435761)), wp.constant(wp.uint32(805459861))


@wp.func
def cell_of(coordinate: float, cells: int):
    """The cell of a coordinate that is moved into [0, 1]."""
    return wp.clamp(int(wp.clamp(coordinate, 0.0, 1.0) * float(cells)), 0, cells - 1)


@wp.func
def slot_of(x: int, y: int, z: int, cells: int, slots: int, hashed: int):
    if hashed == 0:
        return (x * (cells + 1) + y) * (cells + 1) + z
    mixed = wp.uint32(x) ^ (wp.uint32(y) * _PRIME_Y) ^ (wp.uint32(z) * _PRIME_Z)
    return int(mixed & wp.uint32(slots - 1))


@wp.func
def share_of(corner: int, fraction: float):
    return wp.where(corner == 1, fraction, 1.0 - fraction)


@wp.kernel
def encode_kernel(
    points: wp.array2d(dtype=float),
    table: wp.array2d(dtype=float),
    levels: wp.array2d(dtype=int),
    active: float,
    encoded: wp.array2d(dtype=float),
):
    """Fills encoded [N, L·F] from points [N, 3]. levels: [L, 4], cells, start, slots and hashed of each."""
    n, level = wp.tid()
    cells, start, slots, hashed = levels[level, 0], levels[level, 1], levels[level, 2], levels[level, 3]
    weight = wp.clamp(active - float(level), 0.0, 1.0)
    features = table.shape[1]
    x, y, z = cell_of(points[n, 0], cells), cell_of(points[n, 1], cells), cell_of(points[n, 2], cells)
    u = wp.clamp(points[n, 0], 0.0, 1.0) * float(cells) - float(x)
    v = wp.clamp(points[n, 1], 0.0, 1.0) * float(cells) - float(y)
    w = wp.clamp(points[n, 2], 0.0, 1.0) * float(cells) - float(z)
    for f in range(features):
        encoded[n, level * features + f] = 0.0
    if weight == 0.0:
        return
    for corner in range(8):
        i, j, k = corner >> 2, (corner >> 1) & 1, corner & 1
        slot = start + slot_of(x + i, y + j, z + k, cells, slots, hashed)
        share = share_of(i, u) * share_of(j, v) * share_of(k, w) * weight
        for f in range(features):
            encoded[n, level * features + f] += share * table[slot, f]


@wp.kernel
def encode_backward_kernel(
    points: wp.array2d(dtype=float),
    table: wp.array2d(dtype=float),
    levels: wp.array2d(dtype=int),
    active: float,
    gradient: wp.array2d(dtype=float),
    wants_points: int,
    to_table: wp.array2d(dtype=float),
    to_points: wp.array2d(dtype=float),
):
    """Adds to to_table and, if wanted, to to_points what gradient [N, L·F] asks of them."""
    n, level = wp.tid()
    cells, start, slots, hashed = levels[level, 0], levels[level, 1], levels[level, 2], levels[level, 3]
    weight = wp.clamp(active - float(level), 0.0, 1.0)
    features = table.shape[1]
    asked = float(0.0)
    for f in range(features):
        asked += wp.abs(gradient[n, level * features + f])
    # a ray that meets nothing asks for nothing; all these samples lie in one place, and would wait for each other
    if weight == 0.0 or asked == 0.0:
        return
    x, y, z = cell_of(points[n, 0], cells), cell_of(points[n, 1], cells), cell_of(points[n, 2], cells)
    u = wp.clamp(points[n, 0], 0.0, 1.0) * float(cells) - float(x)
    v = wp.clamp(points[n, 1], 0.0, 1.0) * float(cells) - float(y)
    w = wp.clamp(points[n, 2], 0.0, 1.0) * float(cells) - float(z)
    by_x, by_y, by_z = float(0.0), float(0.0), float(0.0)
    for corner in range(8):
        i, j, k = corner >> 2, (corner >> 1) & 1, corner & 1
        slot = start + slot_of(x + i, y + j, z + k, cells, slots, hashed)
        share_x, share_y, share_z = share_of(i, u), share_of(j, v), share_of(k, w)
        for f in range(features):
            amount = gradient[n, level * features + f] * weight
            wp.atomic_add(to_table, slot, f, share_x * share_y * share_z * amount)
            value = amount * table[slot, f] * float(cells)
            by_x += float(2 * i - 1) * share_y * share_z * value
            by_y += share_x * float(2 * j - 1) * share_z * value
            by_z += share_x * share_y * float(2 * k - 1) * value
    if wants_points == 1:  # none along an axis that was moved to a face
        if points[n, 0] >= 0.0 and points[n, 0] <= 1.0:
            wp.atomic_add(to_points, n, 0, by_x)
        if points[n, 1] >= 0.0 and points[n, 1] <= 1.0:
            wp.atomic_add(to_points, n, 1, by_y)
        if points[n, 2] >= 0.0 and points[n, 2] <= 1.0:
            wp.atomic_add(to_points, n, 2, by_z)


class Encode(torch.autograd.Function):
    """points [N, 3], table, levels int32 [L, 4], active levels → [N, L·F]."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, levels: Tensor, active: float) -> Tensor:
        points = points.detach().contiguous()
        ctx.save_for_backward(points, table, levels)
        ctx.active = active
        encoded = points.new_empty(len(points), len(levels) * table.shape[1])
        launch(encode_kernel, (len(points), len(levels)), points, table, levels, active, encoded)
        return encoded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        points, table, levels = ctx.saved_tensors
        wants_points, wants_table = ctx.needs_input_grad[:2]
        to_table, to_points = torch.zeros_like(table), torch.zeros_like(points)
        launch(
            encode_backward_kernel,
            (len(points), len(levels)),
            points,
            table,
            levels,
            ctx.active,
            gradient.contiguous(),
            int(wants_points),
            to_table,
            to_points,
        )
        return to_points if wants_points else None, to_table if wants_table else None, None, None
