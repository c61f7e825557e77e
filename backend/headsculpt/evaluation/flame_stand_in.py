# SPDX-License-Identifier: GPL-3.0-or-later
"""A head model in FLAME's exact layout that is not FLAME: the built-in head, seen through a mesh of FLAME's counts.

FLAME's licence keeps it out of this repository. This stands in for it in tests and examples: as many vertices,
triangles, components and joints, eyeballs apart, one open border at the neck, vertices in an order of its own.
"""

from __future__ import annotations

from functools import lru_cache

import igl
import numpy as np
from numpy.typing import NDArray
from trimesh.triangles import points_to_barycentric

from headsculpt.head.builtin import load_builtin
from headsculpt.head.flame.model import CORRECTIVES, JOINTS, TRIANGLES, VERTICES, FlameModel
from headsculpt.head.model import HeadModel
from headsculpt.shape.distance import closed_pieces

Floats = NDArray[np.float64]

RINGS, COLUMNS = 65, 60
EYE_RINGS, EYE_COLUMNS = 13, 43
SHAPES, EXPRESSIONS = 300, 100
FRONT = 0.6
"""How much denser the columns are at the face than on the whole, as a share."""
WITHIN = 0.97
"""An eyeball's size beside the built-in head's, so that it lies just behind the mesh."""
MILD = 0.3
"""Of the built-in head's expressions, which are as strong as a face can do; FLAME's are standard deviations."""
FAR = 0.4  # metres, outside of every head
NUDGES = 1e-4 * np.array([[0, 0, 0], [1, 2, 3], [-3, 1, -2]])  # metres


@lru_cache(maxsize=1)
def flame_stand_in() -> FlameModel:
    """The model; made once, in a second or two, so treat its arrays as read-only."""
    model = load_builtin()
    head, eyes = _head_points(model), [_eye_points(model, side) for side in ("left", "right")]
    points = np.concatenate([head, *eyes])
    triangles = np.concatenate(
        [
            _grid(RINGS, COLUMNS, closed=False),
            *(len(head) + i * len(eyes[0]) + _grid(EYE_RINGS, EYE_COLUMNS, closed=True) for i in range(2)),
        ]
    )
    corner, share = _anchors(model, points)
    random = np.random.default_rng(5023)
    identity = _carried(model.identity, corner, share)
    expression = MILD * _carried(model.expression, corner, share)
    by_size = np.argsort(-np.linalg.norm(expression.reshape(len(expression), -1), axis=1))
    position = random.permutation(len(points))  # where a vertex comes to stand
    order = np.argsort(position)
    result = FlameModel(
        vertices=points[order].astype(np.float32),
        triangles=position[triangles].astype(np.int32),
        shape=_filled(identity, points, SHAPES, random)[:, order],
        expression=_filled(expression[by_size], points, EXPRESSIONS, random)[:, order],
        correctives=_waves(points, CORRECTIVES, 1e-3, random)[:, order],
        joint_regressor=_regressor(model, points)[:, order],
        skin_weights=_skin_weights(model, corner, share, len(head))[order],
        texts={"bs_style": "lbs", "bs_type": "lrotmin"},
    )
    if (len(result.vertices), len(result.triangles)) != (VERTICES, TRIANGLES):
        raise AssertionError("the grid's counts are not FLAME's")
    return result


def _head_points(model: HeadModel) -> Floats:
    """The crown, then ring by ring down to the neck: where rays from inside leave the head."""
    surface = closed_pieces(model.vertices, model.triangles[_of(model, "skin")])[0]
    down = np.linspace(0, 1, RINGS + 1)
    elevation = np.radians(np.interp(down, (0, 0.35, 0.8, 1), (90, 25, -25, 0)))[:, None]
    origin = np.interp(down, (0, 0.35, 0.8, 1), (0.03, 0.03, -0.06, -0.135))
    around = np.linspace(-np.pi, np.pi, 2000)
    azimuth = np.interp(np.arange(COLUMNS) / COLUMNS, (around + FRONT * np.sin(around)) / (2 * np.pi) + 0.5, around)
    level = np.cos(elevation)
    x, y, z = level * np.sin(azimuth), np.sin(elevation) + 0 * azimuth, level * np.cos(azimuth)
    directions = np.stack([x, y, z], axis=-1)
    starts = np.zeros_like(directions)
    starts[..., 1] = origin[:, None]
    starts, directions = (rays[1:].reshape(-1, 3) for rays in (starts, directions))
    starts, directions = np.vstack([[0, 0.03, 0], starts]), np.vstack([[0, 1, 0], directions])
    vertices, faces = surface.vertices.astype(np.float64), surface.triangles.astype(np.int64)
    tree = igl.AABB()
    tree.init(vertices, faces)
    ways = []
    for aside in NUDGES:  # a ray that meets an edge may slip through between its two triangles
        outside = starts + FAR * directions + aside
        ways.append(tree.intersect_ray_first(vertices, faces, outside, -directions, FAR)[1])
    way = np.nanmin(ways, axis=0)
    return np.asarray(starts + (FAR - way)[:, None] * directions)


def _eye_points(model: HeadModel, side: str) -> Floats:
    """A sphere inside an eyeball: its pole, then its rings."""
    eyeball = model.vertices[model.masks[f"eyeball_{side}"] > 0.5].astype(np.float64)
    middle = (eyeball.min(0) + eyeball.max(0)) / 2
    polar = np.linspace(0, np.pi, EYE_RINGS + 2)[1:-1, None]
    around = np.arange(EYE_COLUMNS) * 2 * np.pi / EYE_COLUMNS
    rings = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1)
    sphere = np.vstack([[0, 1, 0], rings.reshape(-1, 3), [0, -1, 0]])
    return np.asarray(middle + WITHIN / 2 * np.ptp(eyeball, axis=0).min() * sphere)


def _grid(rings: int, columns: int, closed: bool) -> NDArray[np.int64]:
    """Triangles of a pole and the rings below it; closed: with a pole at the other end, behind them."""
    column = np.arange(columns)
    beside = (column + 1) % columns
    faces = [np.stack([0 * column, 1 + column, 1 + beside], 1)]
    for top in range(1, 1 + (rings - 1) * columns, columns):
        a, b, c, d = top + column, top + beside, top + columns + column, top + columns + beside
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    if closed:
        last = 1 + (rings - 1) * columns
        faces.append(np.stack([last + column, 0 * column + last + columns, last + beside], 1))
    return np.concatenate(faces)


def _of(model: HeadModel, *masks: str) -> NDArray[np.bool_]:
    """Which of the built-in head's triangles lie in one of these masks with all their corners."""
    inside = [(model.masks[name][model.triangles] > 0.5).all(axis=1) for name in masks]
    return np.asarray(np.any(inside, axis=0))


def _anchors(model: HeadModel, points: Floats) -> tuple[NDArray[np.int32], Floats]:
    """The built-in head's nearest place to each point: corners [N, 3] of a triangle and their shares [N, 3]."""
    vertices, triangles = model.vertices.astype(np.float64), model.triangles[_of(model, "skin", "eyeballs")]
    _, nearest, place = igl.point_mesh_squared_distance(points, vertices, triangles.astype(np.int64))
    corner = triangles[nearest]
    share = points_to_barycentric(vertices[corner], place)
    return corner, np.clip(np.nan_to_num(share, nan=1 / 3), 0, 1)


def _carried(values: NDArray[np.floating], corner: NDArray[np.int32], share: Floats) -> Floats:
    """Values [..., V, C] of the built-in head's vertices at the anchors, [..., N, C]."""
    return np.asarray(np.einsum("nk,...nkc->...nc", share, values[..., corner, :].astype(np.float64)))


def _filled(components: Floats, points: Floats, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """As many components as FLAME has: these, then small smooth ones."""
    kept = components[:count]
    return np.concatenate([kept, _waves(points, count - len(kept), 2e-4, random)]).astype(np.float32)


def _waves(points: Floats, count: int, size: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Smooth displacement fields [count, N, 3] of about this size in metres."""
    frequency, phase = random.normal(0, 30, (count, 3)), random.uniform(0, 2 * np.pi, (count, 1))
    direction = random.normal(0, size, (count, 1, 3))
    return np.asarray(np.sin(frequency @ points.T + phase)[..., None] * direction, np.float32)


def _regressor(model: HeadModel, points: Floats) -> NDArray[np.float32]:
    """Joints as combinations of the 40 vertices around each, rows that add up to 1. FLAME's root is the base."""
    rows = np.zeros((len(JOINTS), len(points)))
    for row, joint in zip(rows, model.joint_positions(model.vertices).astype(np.float64), strict=True):
        around = np.argsort(np.linalg.norm(points - joint, axis=1))[:40]
        equations = np.vstack([points[around].T, np.ones(40)])
        row[around] = np.linalg.lstsq(equations, np.append(joint, 1), rcond=None)[0]
    return rows.astype(np.float32)


def _skin_weights(model: HeadModel, corner: NDArray[np.int32], share: Floats, head: int) -> NDArray[np.float32]:
    """The built-in head's; its joints stand in FLAME's order. The mesh of the skin does not turn with the eyes."""
    weights = _carried(model.skin_weights, corner, share)
    weights[:head, 1] += weights[:head, 3:].sum(axis=1)
    weights[:head, 3:] = 0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
