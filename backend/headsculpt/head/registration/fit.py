# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits the built-in head to a mesh: pose, people and expressions first, then what they can not explain.

The most likely head under the mesh is looked for (maximum a posteriori) by Gauss and Newton's steps. Distances are
measured from the head to the mesh and back, along the normals, and count the less the larger they are; what lies next
to a hole's rim does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from headsculpt.head.registration.target import Surface, sampled, vertex_normals
from headsculpt.head.registration.template import Template

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """components, fields: how many of the template's, the first ones; width: distance at which a point counts a
    quarter, head space units; steps; points: looked at in each direction; set_spread: one standard deviation of how far
    a landmark that was set by hand may be off its place, head space units."""

    components: int
    fields: int
    width: float
    steps: int
    points: int
    set_spread: float


ROUNDS = (
    (24, Stage(5, 0, 0.06, 4, 250, 0.03)),
    (10, Stage(10, 6, 0.05, 5, 400, 0.03)),
    (3, Stage(30, 20, 0.04, 5, 800, 0.02)),
)
"""How the best pose is found: so many go on, and each is fitted so much better; at first stiffly, since a head that may
bend fits everywhere."""
FREE = (
    Stage(100, 130, 0.03, 5, 1500, 0.003),
    Stage(100, 130, 0.02, 5, 2000, 0.001),
    Stage(100, 130, 0.015, 4, 2500, 0.001),
)

SPREAD = 0.0025
"""One standard deviation of what separates a head's surface from its mesh, head space units (.6 % of its height)."""
INDEPENDENT = 500
"""Distances next to each other say the same; together they count as so many."""
MARGIN = 0.02
"""How far beyond the head places of the mesh still count: farther down are shoulders."""


@dataclass(frozen=True)
class Marks:
    """Places that a person has set: vertices int64 [F, 3] and barycentric float64 [F, 3] on the template, and where on
    the target these are to be, float64 [F, 3] in the target's own unit."""

    vertices: Indices
    barycentric: Floats
    places: Floats


@dataclass(frozen=True)
class Fit:
    """A head under the mesh. weights: [K] of the template's components; fields: [F, 3] of its fields; scale, rotation,
    translation: the similarity from the head to head space as the target stands there now."""

    weights: Floats
    fields: Floats
    scale: float
    rotation: Floats
    translation: Floats

    @classmethod
    def start(cls, template: Template) -> Fit:
        return cls(np.zeros(len(template.components)), np.zeros((len(template.fields), 3)), 1.0, np.eye(3), np.zeros(3))

    def shape(self, template: Template) -> Floats:
        """The head's vertices [V, 3], before the similarity."""
        return (
            template.vertices
            + np.tensordot(self.weights, template.components, 1)
            + np.tensordot(template.fields, self.fields, (0, 0))
        )

    def moved(self, points: Floats) -> Floats:
        return self.scale * points @ self.rotation.T + self.translation


def fitted(
    template: Template,
    target: Surface,
    fit: Fit,
    stages: tuple[Stage, ...],
    marks: Marks | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> Fit:
    """A better fit to a target in head space, after some stages. marks: in head space, too."""
    rng = np.random.default_rng(0)
    for stage in stages:
        own = spread(template, stage.points, rng)
        triangle, bary = sampled(target.points, target.faces, stage.points, rng)
        theirs = np.einsum("nk,nkc->nc", bary, target.points[target.faces[triangle]])
        facing = np.einsum("nk,nkc->nc", bary, target.normals[target.faces[triangle]])
        for _ in range(stage.steps):
            fit = step(template, target, fit, stage, own, (theirs, facing), marks)
            after_step()
    return fit


def spread(template: Template, count: int, rng: np.random.Generator) -> Indices:
    """Vertices [N] of the outside, the more often the more area is about them and the more it says."""
    corners = template.vertices[template.outside]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    around = np.bincount(template.outside.reshape(-1), np.repeat(area, 3), len(template.vertices))
    share: Floats = np.sqrt(around) * template.trust  # the root: the face has smaller triangles because it says more
    return rng.choice(len(share), min(count, int((share > 0).sum())), replace=False, p=share / share.sum())


def step(
    template: Template,
    target: Surface,
    fit: Fit,
    stage: Stage,
    own: Indices,
    theirs: tuple[Floats, Floats],
    marks: Marks | None,
) -> Fit:
    """One step of Gauss and Newton's."""
    shape = fit.shape(template)
    placed = fit.moved(shape)
    normals = vertex_normals(placed, template.outside)
    outward = rows_outward(target, placed, normals, own, stage.width)
    inward = rows_inward(template, placed, normals, theirs, stage.width)
    count = min(stage.components, len(template.components))
    free = min(stage.fields, len(template.fields))
    jacobian, residual, weight = [], [], []
    for rows in (outward, inward):
        jacobian.append(derivatives(template, fit, shape, rows, count, free))
        residual.append(rows.residual)
        weight.append(rows.weight * (INDEPENDENT / 2 / max(len(rows.weight), 1) / SPREAD**2))
    if marks is not None:
        for axis in range(3):
            direction = np.tile(np.eye(3)[axis], (len(marks.places), 1))
            there = np.einsum("nk,nkc->nc", marks.barycentric, placed[marks.vertices])
            rows = Rows(
                marks.vertices, marks.barycentric, direction, (there - marks.places)[:, axis], np.ones(len(there))
            )
            jacobian.append(derivatives(template, fit, shape, rows, count, free))
            residual.append(rows.residual)
            weight.append(rows.weight / stage.set_spread**2)
    prior = np.concatenate([np.full(7, 1e-6), np.ones(count + 3 * free)])
    current = np.concatenate([np.zeros(7), fit.weights[:count], fit.fields[:free].reshape(-1)])
    matrix = np.concatenate(jacobian)
    scaled = matrix * np.concatenate(weight)[:, None]
    change = np.linalg.solve(
        scaled.T @ matrix + np.diag(prior), -(scaled.T @ np.concatenate(residual)) - prior * current
    )
    weights, fields = fit.weights.copy(), fit.fields.copy()
    weights[:count] += change[7 : 7 + count]
    fields[:free] += change[7 + count :].reshape(-1, 3)
    turn = Rotation.from_rotvec(change[:3]).as_matrix()
    grow = float(np.exp(np.clip(change[3], -0.2, 0.2)))
    return Fit(weights, fields, fit.scale * grow, turn @ fit.rotation, grow * turn @ fit.translation + change[4:7])


@dataclass(frozen=True)
class Rows:
    """Distances to be made small: at places on the template (vertices [N, C] and their shares barycentric [N, C]) along
    directions [N, 3], residual [N], weight [N]."""

    vertices: Indices
    barycentric: Floats
    direction: Floats
    residual: Floats
    weight: Floats


def rows_outward(target: Surface, placed: Floats, normals: Floats, own: Indices, width: float) -> Rows:
    """From the head's vertices to the nearest places of the mesh."""
    points, facing = placed[own], normals[own]
    triangle, bary, place = target.nearest(points)
    corners = target.faces[triangle]
    theirs = np.einsum("nk,nkc->nc", bary, target.normals[corners])
    on_rim = (bary * target.border[corners]).sum(1) > 0.999
    direction = unit(facing + theirs)
    weight = robust(points - place, width) * np.clip((facing * theirs).sum(1), 0, 1) * ~on_rim
    residual = ((points - place) * direction).sum(1)
    return Rows(own[:, None], np.ones((len(own), 1)), direction, residual, weight)


def rows_inward(
    template: Template, placed: Floats, normals: Floats, theirs: tuple[Floats, Floats], width: float
) -> Rows:
    """From places of the mesh to the nearest of the head's vertices, but for what lies below it."""
    points, facing = theirs
    there = placed[template.shown]
    low, high = there.min(0) - MARGIN, there.max(0) + MARGIN
    chosen = ((points > low) & (points < high)).all(axis=1)
    points, facing = points[chosen], facing[chosen]
    nearest = template.shown[cKDTree(there).query(points)[1]]
    own = normals[nearest]
    direction = unit(facing + own)
    offset = placed[nearest] - points
    # from vertices it looks farther than from the surface, but for the part along the normal
    weight = robust(offset, width) * np.clip((facing * own).sum(1), 0, 1) * template.trust[nearest]
    weight *= ~template.border[nearest]
    return Rows(nearest[:, None], np.ones((len(nearest), 1)), direction, (offset * direction).sum(1), weight)


def derivatives(template: Template, fit: Fit, shape: Floats, rows: Rows, count: int, free: int) -> Floats:
    """Of the residuals by turn, growth, shift, components and fields, [N, 7 + count + 3 · free]."""
    n, vertex, weights = rows.direction, rows.vertices, rows.barycentric
    there = fit.moved(np.einsum("nk,nkc->nc", weights, shape[vertex]))
    local = fit.scale * n @ fit.rotation  # directions as the head sees them
    parts = [np.cross(there, n), (there * n).sum(1)[:, None], n]
    moved = sum(weights[:, k, None] * template.components[:count, vertex[:, k]] for k in range(vertex.shape[1]))
    parts.append(np.einsum("knc,nc->nk", moved, local))
    if free:
        field = sum(weights[:, k] * template.fields[:free, vertex[:, k]] for k in range(vertex.shape[1]))
        parts.append(np.einsum("fn,nc->nfc", field, local).reshape(len(n), 3 * free))
    return np.concatenate(parts, axis=1)


def robust(offset: Floats, width: float) -> Floats:
    """Geman and McClure's weights [N] of offsets [N, 3]."""
    return 1 / (1 + (offset**2).sum(1) / width**2) ** 2


def unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
