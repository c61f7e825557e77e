# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiresolution hash encoding of points (Müller et al., Instant Neural Graphics Primitives, 2022).

On the CPU numba kernels do the work, on graphics cards those of hashgrid_warp.py; plain torch (`encode_reference`) is
what both are tested against. The numba kernels leave the sums of the table's gradient to one thread per level, so
results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import nn
from torch.autograd.function import once_differentiable

from headsculpt.device import on_card

_PRIME_Y, _PRIME_Z = 2654435761, 805459861  # of the paper's Eq. 4; x is multiplied by 1
Array = NDArray[Any]
_CHUNK = 16384  # points a thread takes at a time


@dataclass(frozen=True)
class _Layout:
    """Where each level's nodes lie in the table, int64 [L] each; a level with fewer nodes than slots is not hashed."""

    cells: NDArray[np.int64]
    start: NDArray[np.int64]
    slots: NDArray[np.int64]
    hashed: NDArray[np.bool_]

    @classmethod
    def of(cls, levels: int, log2_size: int, base: int, finest: int) -> _Layout:
        growth = (finest / base) ** (1 / max(levels - 1, 1))  # Eq. 3
        cells = np.floor(base * growth ** np.arange(levels) + 1e-6).astype(np.int64)
        hashed = (cells + 1) ** 3 > 2**log2_size
        slots = np.where(hashed, 2**log2_size, (cells + 1) ** 3)
        return cls(cells, np.cumsum(slots) - slots, slots, hashed)


class HashGrid(nn.Module):
    """Trilinear features from `levels` grids, coarse to fine, whose fine ones share slots by a spatial hash.

    levels: grids; features: numbers per node; log2_size: base-2 logarithm of the slots of a hashed level;
    base, finest: cells along a side of the first and the last grid. Paper: 16, 2, 19, 16, 2048.
    generator: for the starting values, uniform in ±1e-4.
    """

    def __init__(
        self, levels: int, features: int, log2_size: int, base: int, finest: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.levels, self.features = levels, features
        self.layout = _Layout.of(levels, log2_size, base, finest)
        self._levels: torch.Tensor
        levels_table = torch.from_numpy(np.stack(_arrays(self.layout), 1).astype(np.int32))
        self.register_buffer("_levels", levels_table, persistent=False)
        values = torch.rand((int(self.layout.slots.sum()), features), generator=generator)
        self.table = nn.Parameter((values * 2 - 1) * 1e-4)
        self.active_levels = float(levels)
        """How many levels count, the last by its fraction."""

    @property
    def width(self) -> int:
        """Numbers in an encoded point."""
        return self.levels * self.features

    def open_levels(self, share: float) -> None:
        """Let the coarsest quarter of the levels count and `share` (0 to 1) of the others, to open fine ones late."""
        self.active_levels = self.levels * (0.25 + 0.75 * min(max(share, 0.0), 1.0))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Encode points [N, 3] in the unit cube (others are moved to its faces) as [N, levels·features].

        Differentiable once, in the table and in the points.
        """
        if on_card(points):
            from headsculpt.shape.hashgrid_warp import Encode

            return Encode.apply(points, self.table, self._levels, self.active_levels)
        weights = np.clip(self.active_levels - np.arange(self.levels), 0, 1).astype(np.float32)
        return _Encode.apply(points, self.table, self.layout, weights)


def encode_reference(
    points: torch.Tensor, table: torch.Tensor, layout: _Layout, weights: NDArray[np.float32]
) -> torch.Tensor:
    """`HashGrid.forward` in plain torch, any device and any floating dtype. weights: [L], one factor per level."""
    encoded = []
    corners = torch.tensor([[c >> 2, (c >> 1) & 1, c & 1] for c in range(8)], device=points.device)
    for level, weight in enumerate(weights):
        cells, slots = int(layout.cells[level]), int(layout.slots[level])
        position = points.clamp(0, 1) * cells
        cell = position.detach().long().clamp(max=cells - 1)
        fraction = position - cell
        node = cell[:, None] + corners  # [N, 8, 3]
        if layout.hashed[level]:
            index = (node[..., 0] ^ (node[..., 1] * _PRIME_Y) ^ (node[..., 2] * _PRIME_Z)) & (slots - 1)
        else:
            index = (node[..., 0] * (cells + 1) + node[..., 1]) * (cells + 1) + node[..., 2]
        share = torch.where(corners == 1, fraction[:, None], 1 - fraction[:, None]).prod(dim=-1)
        values = nn.functional.embedding(index + int(layout.start[level]), table)
        encoded.append((share[..., None] * values).sum(dim=1) * float(weight))
    return torch.cat(encoded, dim=-1)


def warm_up(device: torch.device) -> None:
    """Compile and cache the kernels for a device."""
    grid = HashGrid(2, 2, 4, 1, 4, generator=torch.Generator()).to(device)
    grid(torch.full((1, 3), 0.5, device=device, requires_grad=True)).sum().backward()


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, points: torch.Tensor, table: torch.Tensor, layout: _Layout, weights: NDArray[np.float32]
    ) -> torch.Tensor:
        points = points.detach().contiguous()
        ctx.save_for_backward(points, table)
        ctx.layout, ctx.weights = layout, weights
        encoded = torch.zeros(len(points), len(weights) * table.shape[1])
        arguments = points.numpy(), table.detach().numpy(), *_arrays(layout), weights, encoded.numpy()
        _in_threads(lambda first: _forward(*arguments, first, first + _CHUNK), range(0, len(points), _CHUNK))
        return encoded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        points, table = ctx.saved_tensors
        layout, weights = ctx.layout, ctx.weights
        where, values = points.numpy(), table.detach().numpy()
        common = *_arrays(layout), weights, gradient.contiguous().numpy()
        to_points = to_table = None
        if ctx.needs_input_grad[1]:
            to_table = torch.zeros_like(table)
            table_sums = to_table.numpy()
            _in_threads(lambda level: _backward_table(where, *common, table_sums, level), np.flatnonzero(weights))
        if ctx.needs_input_grad[0]:
            to_points = torch.zeros_like(points)
            point_sums = to_points.numpy()
            _in_threads(
                lambda first: _backward_points(where, values, *common, point_sums, first, first + _CHUNK),
                range(0, len(points), _CHUNK),
            )
        return to_points, to_table, None, None


def _arrays(layout: _Layout) -> tuple[Array, Array, Array, Array]:
    return layout.cells, layout.start, layout.slots, layout.hashed


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="hashgrid")


def _in_threads(work: Callable[[int], None], parts: Any) -> None:
    """Do the parts, on as many threads as torch uses (the kernels release the interpreter's lock)."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        for part in parts:
            work(int(part))
    else:
        for _ in _pool(threads).map(work, (int(part) for part in parts)):
            pass


@njit(nogil=True, inline="always")
def _place(coordinate: Any, cells: int) -> tuple[Any, Any]:
    """The cell of a coordinate, moved into [0, 1], and where in the cell it lies."""
    scaled = min(max(coordinate, np.float32(0)), np.float32(1)) * np.float32(cells)
    cell = max(min(np.int32(scaled), np.int32(cells - 1)), np.int32(0))  # a NaN has a cell too, if no meaning
    return np.uint32(cell), scaled - np.float32(cell)


@njit(nogil=True, inline="always")
def _slots_around(x: Any, y: Any, z: Any, cells: int, slots: int, hashed: bool) -> tuple[Any, ...]:
    """The slots of a cell's eight corners, z running fastest."""
    if hashed:
        mask, one = np.uint32(slots - 1), np.uint32(1)
        x1 = x + one
        y0, z0 = y * np.uint32(_PRIME_Y), z * np.uint32(_PRIME_Z)
        y1, z1 = y0 + np.uint32(_PRIME_Y), z0 + np.uint32(_PRIME_Z)
        return (
            (x ^ y0 ^ z0) & mask,
            (x ^ y0 ^ z1) & mask,
            (x ^ y1 ^ z0) & mask,
            (x ^ y1 ^ z1) & mask,
            (x1 ^ y0 ^ z0) & mask,
            (x1 ^ y0 ^ z1) & mask,
            (x1 ^ y1 ^ z0) & mask,
            (x1 ^ y1 ^ z1) & mask,
        )
    one, side = np.uint32(1), np.uint32(cells + 1)
    s000 = (x * side + y) * side + z
    s010, s100 = s000 + side, s000 + side * side
    s110 = s100 + side
    return s000, s000 + one, s010, s010 + one, s100, s100 + one, s110, s110 + one


@njit(nogil=True, inline="always")
def _shares(u: Any, v: Any, w: Any) -> tuple[Any, ...]:
    """Trilinear weights of the eight corners."""
    one = np.float32(1)
    a, b, c = one - u, one - v, one - w
    return a * b * c, a * b * w, a * v * c, a * v * w, u * b * c, u * b * w, u * v * c, u * v * w


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _forward(
    points: Array,
    table: Array,
    cells: Array,
    start: Array,
    slots: Array,
    hashed: Array,
    weights: Array,
    encoded: Array,
    first: int,
    last: int,
) -> None:
    """Encode points[first:last] into encoded [N, L·F]; levels of weight 0 stay as they are."""
    features = table.shape[1]
    for level in range(cells.shape[0]):
        if weights[level] == 0:
            continue
        side, size, is_hashed, weight = cells[level], slots[level], hashed[level], weights[level]
        values = table[start[level] : start[level] + size]
        column = level * features
        for n in range(first, min(last, points.shape[0])):
            x, u = _place(points[n, 0], side)
            y, v = _place(points[n, 1], side)
            z, w = _place(points[n, 2], side)
            slot = _slots_around(x, y, z, side, size, is_hashed)
            share = _shares(u, v, w)
            for f in range(features):
                total = np.float32(0)
                for corner in range(8):
                    total += share[corner] * values[slot[corner], f]
                encoded[n, column + f] = total * weight


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _backward_table(
    points: Array,
    cells: Array,
    start: Array,
    slots: Array,
    hashed: Array,
    weights: Array,
    gradient: Array,
    sums: Array,
    level: int,
) -> None:
    """Add one level's share of the gradient [N, L·F] to sums, shaped like the table."""
    features = sums.shape[1]
    side, size, is_hashed, weight = cells[level], slots[level], hashed[level], weights[level]
    values = sums[start[level] : start[level] + size]
    column = level * features
    for n in range(points.shape[0]):
        x, u = _place(points[n, 0], side)
        y, v = _place(points[n, 1], side)
        z, w = _place(points[n, 2], side)
        slot = _slots_around(x, y, z, side, size, is_hashed)
        share = _shares(u, v, w)
        for f in range(features):
            amount = gradient[n, column + f] * weight
            for corner in range(8):
                values[slot[corner], f] += share[corner] * amount


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _backward_points(
    points: Array,
    table: Array,
    cells: Array,
    start: Array,
    slots: Array,
    hashed: Array,
    weights: Array,
    gradient: Array,
    sums: Array,
    first: int,
    last: int,
) -> None:
    """Add the gradient's share of points[first:last] to sums [N, 3]; none along an axis that was moved to a face."""
    features = table.shape[1]
    one = np.float32(1)
    for level in range(cells.shape[0]):
        if weights[level] == 0:
            continue
        side, size, is_hashed, weight = cells[level], slots[level], hashed[level], weights[level]
        values = table[start[level] : start[level] + size]
        column = level * features
        scale = np.float32(side) * weight
        for n in range(first, min(last, points.shape[0])):
            x, u = _place(points[n, 0], side)
            y, v = _place(points[n, 1], side)
            z, w = _place(points[n, 2], side)
            slot = _slots_around(x, y, z, side, size, is_hashed)
            by_x = by_y = by_z = np.float32(0)
            a, b, c = one - u, one - v, one - w
            for f in range(features):
                v000, v001 = values[slot[0], f], values[slot[1], f]
                v010, v011 = values[slot[2], f], values[slot[3], f]
                v100, v101 = values[slot[4], f], values[slot[5], f]
                v110, v111 = values[slot[6], f], values[slot[7], f]
                amount = gradient[n, column + f] * scale
                by_x += amount * (
                    b * (c * (v100 - v000) + w * (v101 - v001)) + v * (c * (v110 - v010) + w * (v111 - v011))
                )
                by_y += amount * (
                    a * (c * (v010 - v000) + w * (v011 - v001)) + u * (c * (v110 - v100) + w * (v111 - v101))
                )
                by_z += amount * (
                    a * (b * (v001 - v000) + v * (v011 - v010)) + u * (b * (v101 - v100) + v * (v111 - v110))
                )
            if 0 <= points[n, 0] <= 1:
                sums[n, 0] += by_x
            if 0 <= points[n, 1] <= 1:
                sums[n, 1] += by_y
            if 0 <= points[n, 2] <= 1:
                sums[n, 2] += by_z
