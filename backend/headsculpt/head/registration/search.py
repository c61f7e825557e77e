# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way a head faces, how large it is and where: the average head is tried in every direction.

Each start is improved by itself (Levenberg and Marquardt's steps on distances that are looked up in a grid), and the
best are told apart by distances both ways and by the directions of the surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from headsculpt.head.registration.target import sampled, vertex_normals
from headsculpt.head.registration.template import Template
from headsculpt.head.space import CROWN_TO_CHIN

Floats = NDArray[np.float64]

ROTATIONS = 1000
"""Starts are then 22° apart."""
HEIGHT = CROWN_TO_CHIN
HEAD_SHARES = (1.05, 0.85, 0.68, 0.54, 0.43, 0.34)
"""Crown to chin as a share of the whole mesh's height: from a head that ends at the jaw to one with a chest."""
LOOSE, TIGHT = 0.12, 0.05
"""Distances, in head space, beyond which a point no longer counts, at first and at last."""
STEPS = 14
GRID = 72
GRID_BOUND = 1.2
POINTS, FINE_POINTS = 160, 700
FINALISTS = 50
KEPT = 24
APART = 0.12
"""Two poses nearer than this, by the mean distance of their points in head space, are the same."""


@dataclass(frozen=True)
class Pose:
    """A similarity from head space to the target: scale · rotation · point + translation. cost: the less the better."""

    scale: float
    rotation: Floats
    translation: Floats
    cost: float = 0.0

    def to_target(self, points: Floats) -> Floats:
        return self.scale * points @ self.rotation.T + self.translation

    def to_head(self, points: Floats) -> Floats:
        return (points - self.translation) @ self.rotation / self.scale


def find_poses(template: Template, points: Floats, faces: NDArray[np.int64], attempt: int = 0) -> list[Pose]:
    """The most likely poses of the head in a target's visible surface, points [V, 3] and faces [T, 3], best first.

    attempt: every one has starts of its own.
    """
    rng = np.random.default_rng(attempt)
    low, high = points.min(0), points.max(0)
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    unit = (points - middle) / radius
    triangle, weights = sampled(unit, faces, 20_000, rng)
    cloud = np.einsum("nk,nkc->nc", weights, unit[faces[triangle]])
    normals = facet_normals(unit, faces)[triangle]
    grid = distance_grid(cloud)
    outside = [index for index in head_points(template) if template.trust[index] > 0.5]
    coarse = template.vertices[rng.choice(outside, POINTS, replace=False)]
    starts = first_guesses(cloud[::80], coarse, Rotation.random(random_state=rng).as_matrix())
    found = descend(grid, coarse, starts)
    fine = template.vertices[rng.choice(outside, FINE_POINTS, replace=False)]
    found = descend(grid, fine, distinct(found, coarse, FINALISTS)[:, :7])
    poses = []
    for row in distinct(found, fine, FINALISTS):
        pose = Pose(float(np.exp(row[3])), Rotation.from_rotvec(row[:3]).as_matrix(), row[4:7])
        cost = misfit(template, template.vertices, pose.to_head(cloud[::4]), normals[::4] @ pose.rotation)
        poses.append(Pose(pose.scale * radius, pose.rotation, pose.translation * radius + middle, cost))
    return sorted(poses, key=lambda pose: pose.cost)[:KEPT]


def head_points(template: Template) -> NDArray[np.int64]:
    """Numbers of the vertices that every head has, whatever was cut off below."""
    return template.shown[template.vertices[template.shown, 1] > -0.3]


def distance_grid(cloud: Floats) -> NDArray[np.float32]:
    """Distance from points [N, 3] at the nodes of a regular grid in ±GRID_BOUND, [GRID]³: to the mean of the points in
    the nearest cell that has any."""
    step = 2 * GRID_BOUND / (GRID - 1)
    cell = np.rint((cloud + GRID_BOUND) / step).astype(np.int64)
    number = np.ravel_multi_index(tuple(cell.T), (GRID,) * 3)
    count = np.bincount(number, minlength=GRID**3)
    middle = np.stack([np.bincount(number, cloud[:, axis], GRID**3) for axis in range(3)]) / np.maximum(count, 1)
    nearest = distance_transform_edt(count.reshape((GRID,) * 3) == 0, return_distances=False, return_indices=True)
    places = middle[:, np.ravel_multi_index(tuple(nearest), (GRID,) * 3)]
    nodes = np.stack(np.meshgrid(*[np.linspace(-GRID_BOUND, GRID_BOUND, GRID)] * 3, indexing="ij"))
    return np.linalg.norm(places - nodes, axis=0).astype(np.float32)


def facet_normals(points: Floats, faces: NDArray[np.int64]) -> Floats:
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)


def all_rotations(count: int) -> Floats:
    """Rotation matrices [N, 3, 3] spread evenly (Alexa, Super-Fibonacci Spirals, 2022)."""
    s = np.arange(count) + 0.5
    d = 2 * np.pi * s
    inner, outer = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = d / np.sqrt(2), d / 1.533751168755204288118041
    x, y, z, w = inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def first_guesses(cloud: Floats, head: Floats, turn: Floats) -> Floats:
    """Starts [S, 7] for `descend`: every direction, and for each several sizes; the head is then what lies so far below
    the top, and its middle is theirs. cloud: the target's points; head: the template's; turn:
    a rotation of all directions."""
    rotations = turn @ all_rotations(ROTATIONS)
    local = np.sort(cloud @ rotations, axis=1)  # [R, N, 3], in the directions of head space, each axis by itself
    top, bottom = local[:, -2, 1], local[:, 1, 1]
    starts = []
    for share in HEAD_SHARES:
        scale = share * (top - bottom) / HEIGHT
        above = (cloud @ rotations)[..., 1] > (top - share * (top - bottom))[:, None]
        centre = middle_of(cloud @ rotations, above) - scale[:, None] * (head.min(0) + head.max(0)) / 2
        centre[:, 1] = top - scale * HEIGHT / 2
        shift = np.einsum("rij,rj->ri", rotations, centre)
        starts.append(
            np.concatenate([Rotation.from_matrix(rotations).as_rotvec(), np.log(scale)[:, None], shift], axis=1)
        )
    return np.concatenate(starts)


def middle_of(points: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """The middles [R, 3] of the boxes about the chosen ones [R, N] of points [R, N, 3]."""
    low = np.where(chosen[..., None], points, np.inf).min(1)
    high = np.where(chosen[..., None], points, -np.inf).max(1)
    return (low + high) / 2


def distinct(found: Floats, points: Floats, count: int) -> Floats:
    """The best rows of [S, 8] as `descend` gives them, at most so many, without those that mean the same pose of points
    [N, 3] as a better one."""
    found = found[np.argsort(found[:, 7])]
    turned = np.einsum("sij,nj->sni", Rotation.from_rotvec(found[:, :3]).as_matrix(), points[:16])
    scale = np.exp(found[:, 3])
    places = scale[:, None, None] * turned + found[:, None, 4:7]
    left = np.ones(len(found), bool)
    kept: list[int] = []
    while left.any() and len(kept) < count:
        best = int(left.argmax())
        kept.append(best)
        apart = np.linalg.norm(places - places[best], axis=-1).mean(1)
        left &= apart > APART * np.maximum(scale, scale[best])
    return found[kept]


def misfit(template: Template, shape: Floats, cloud: Floats, normals: Floats) -> float:
    """How badly a head fits: distances both ways, as shares of TIGHT, and how unlike the surfaces face, 0 … 3.

    shape: the template's vertices [V, 3]; cloud [N, 3]: evenly on the mesh, with normals [N, 3]; all in head space.
    """
    used = head_points(template)
    points, facing = shape[used], vertex_normals(shape, template.outside)[used]
    distance, nearest = cKDTree(cloud).query(points, distance_upper_bound=TIGHT)
    met = np.isfinite(distance)
    unlike = np.ones(len(points))
    unlike[met] = (1 - (facing[met] * normals[nearest[met]]).sum(1)) / 2
    outward = np.minimum(distance, TIGHT) / TIGHT
    inside = (np.abs(cloud) < np.abs(points).max(0) * 1.1).all(axis=1) & (cloud[:, 1] > points[:, 1].min())
    inward = 1.0
    if inside.any():
        inward = (np.minimum(cKDTree(points).query(cloud[inside], distance_upper_bound=TIGHT)[0], TIGHT) / TIGHT).mean()
    trust = template.trust[used]
    return float((trust * (outward + unlike)).sum() / trust.sum() + inward)


@njit(cache=True, nogil=True, error_model="numpy")
def _look_up(grid, x, y, z):  # type: ignore[no-untyped-def]
    """Distance at a point and its gradient; beyond the grid that of its border, and the way back there."""
    size = grid.shape[0]
    scale = (size - 1) / (2 * GRID_BOUND)
    u, v, w = (x + GRID_BOUND) * scale, (y + GRID_BOUND) * scale, (z + GRID_BOUND) * scale
    cu, cv, cw = min(max(u, 0.0), size - 1.001), min(max(v, 0.0), size - 1.001), min(max(w, 0.0), size - 1.001)
    i, j, k = int(cu), int(cv), int(cw)
    fu, fv, fw = cu - i, cv - j, cw - k
    a, b = grid[i, j, k], grid[i + 1, j, k]
    c, d = grid[i, j + 1, k], grid[i + 1, j + 1, k]
    e, f = grid[i, j, k + 1], grid[i + 1, j, k + 1]
    g, h = grid[i, j + 1, k + 1], grid[i + 1, j + 1, k + 1]
    ab, cd, ef, gh = a + fu * (b - a), c + fu * (d - c), e + fu * (f - e), g + fu * (h - g)
    low, high = ab + fv * (cd - ab), ef + fv * (gh - ef)
    dx = ((b - a) * (1 - fv) + (d - c) * fv) * (1 - fw) + ((f - e) * (1 - fv) + (h - g) * fv) * fw
    dy = (cd - ab) * (1 - fw) + (gh - ef) * fw
    dz = high - low
    ou, ov, ow = (u - cu) / scale, (v - cv) / scale, (w - cw) / scale
    away = np.sqrt(ou * ou + ov * ov + ow * ow)
    value = low + fw * dz + away
    return (
        value,
        dx * scale + ou / max(away, 1e-9),
        dy * scale + ov / max(away, 1e-9),
        dz * scale + ow / max(away, 1e-9),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _rotation(vector):  # type: ignore[no-untyped-def]
    angle = np.sqrt((vector**2).sum())
    result = np.eye(3)
    if angle < 1e-12:
        return result
    x, y, z = vector / angle
    s, c = np.sin(angle), 1 - np.cos(angle)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return result + s * cross + c * (cross @ cross)


@njit(cache=True, nogil=True, error_model="numpy")
def _system(grid, points, rotation, log_scale, shift, width, matrix, right):  # type: ignore[no-untyped-def]
    """Normal equations of the distances, in head space, under Geman and McClure's weights. Returns the cost."""
    scale = np.exp(log_scale)
    matrix[:] = 0.0
    right[:] = 0.0
    cost = 0.0
    row = np.empty(7)
    for n in range(points.shape[0]):
        rx = scale * (rotation[0, 0] * points[n, 0] + rotation[0, 1] * points[n, 1] + rotation[0, 2] * points[n, 2])
        ry = scale * (rotation[1, 0] * points[n, 0] + rotation[1, 1] * points[n, 1] + rotation[1, 2] * points[n, 2])
        rz = scale * (rotation[2, 0] * points[n, 0] + rotation[2, 1] * points[n, 1] + rotation[2, 2] * points[n, 2])
        value, gx, gy, gz = _look_up(grid, rx + shift[0], ry + shift[1], rz + shift[2])
        value, gx, gy, gz = value / scale, gx / scale, gy / scale, gz / scale
        square = value * value / (width * width)
        cost += square / (1 + square)
        weight = 1 / ((1 + square) * (1 + square))
        row[0] = ry * gz - rz * gy
        row[1] = rz * gx - rx * gz
        row[2] = rx * gy - ry * gx
        row[3] = rx * gx + ry * gy + rz * gz - value
        row[4], row[5], row[6] = gx, gy, gz
        for a in range(7):
            right[a] -= weight * row[a] * value
            for b in range(a, 7):
                matrix[a, b] += weight * row[a] * row[b]
    for a in range(7):
        for b in range(a):
            matrix[a, b] = matrix[b, a]
    return cost / points.shape[0]


@njit(cache=True, nogil=True, error_model="numpy")
def descend(grid, points, starts):  # type: ignore[no-untyped-def]
    """Improves poses [S, 7] (rotation vector, logarithm of the scale, translation) of points [N, 3] in a distance grid.
    Returns them with their costs, [S, 8]."""
    out = np.empty((starts.shape[0], 8))
    matrix, right = np.empty((7, 7)), np.empty(7)
    for s in range(starts.shape[0]):
        rotation = _rotation(starts[s, :3])
        log_scale = starts[s, 3]
        shift = starts[s, 4:7].copy()
        for step in range(STEPS):
            share = step / (STEPS - 1)
            width = LOOSE * (TIGHT / LOOSE) ** share
            _system(grid, points, rotation, log_scale, shift, width, matrix, right)
            for a in range(7):
                matrix[a, a] = matrix[a, a] * 1.01 + 1e-9
            change = np.linalg.solve(matrix, right)
            length = np.sqrt((change[:3] ** 2).sum())
            if length > 0.5:
                change *= 0.5 / length
            rotation = _rotation(change[:3]) @ rotation
            log_scale += min(max(change[3], -0.2), 0.2)
            shift = shift + change[4:7]
        cost = _system(grid, points, rotation, log_scale, shift, TIGHT, matrix, right)
        out[s, :3] = _vector(rotation)
        out[s, 3] = log_scale
        out[s, 4:7] = shift
        out[s, 7] = cost
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _vector(rotation):  # type: ignore[no-untyped-def]
    """The rotation vector [3] of a matrix."""
    trace = rotation[0, 0] + rotation[1, 1] + rotation[2, 2]
    angle = np.arccos(min(max((trace - 1) / 2, -1.0), 1.0))
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    length = np.sqrt((axis**2).sum())
    if length > 1e-6:
        return axis * (angle / length)
    if angle < 1e-3:
        return axis * 0.5
    # half a turn: the axis is the largest column of R + 1
    best = 0
    for i in range(1, 3):
        if rotation[i, i] > rotation[best, best]:
            best = i
    column = rotation[:, best].copy()
    column[best] += 1
    return column * (angle / np.sqrt((column**2).sum()))
