# SPDX-License-Identifier: GPL-3.0-or-later
"""From any mesh to what is known of it: which way it faces, its landmarks, and whether it is a head at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headsculpt.errors import UserError
from headsculpt.head.landmarks import MeshPoints
from headsculpt.head.model import fit_space
from headsculpt.head.registration.fit import FREE, INDEPENDENT, ROUNDS, SPREAD, Fit, Marks, fitted
from headsculpt.head.registration.search import Pose, facet_normals, find_poses, head_points, misfit
from headsculpt.head.registration.target import Surface, sampled, visible_surface
from headsculpt.head.registration.template import EXPRESSIONS, Template, load_template
from headsculpt.head.space import CROWN_TO_CHIN, HeadSpace
from headsculpt.shape.repair import cluster

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST = 200
"""Triangles that one must see of a head to find its face."""
ROUGH_CELLS = 110
"""Across the mesh, of the thinned-out one that poses are compared on."""
CLOUD = 5000
EFFORT_WEIGHT = 0.005
"""What a unit of effort (see `Registration.effort`) counts beside the misfit, when poses are compared."""
DOUBTFUL_EFFORT, GREATEST_EFFORT = 150.0, 210.0
DOUBTFUL_ERROR, GREATEST_ERROR = 0.012, 0.025
"""What heads need and what other things need: docs/registration.md."""
TRIMMED = 0.85
"""Share of the head's places, the nearest to the mesh, that the fit error is the mean of: others are hair and holes."""
ATTEMPTS = 2
"""With other starts, where no face was found at first."""
OPEN_MOUTH = 1.5
"""Standard deviations by which the jaw is opened for the second fit."""
ENOUGH = 4
"""Landmarks set by hand from which on they give a pose."""


@dataclass(frozen=True)
class Registration:
    """landmarks: 478, on the given mesh; space: from the mesh's coordinates to head space; head: float32 [V, 3], the
    built-in head's vertices under the mesh, in head space; error: mean distance between them, as a share of the head's
    height; effort: squared standard deviations by which this head is an unusual one, all together."""

    landmarks: MeshPoints
    space: HeadSpace
    head: NDArray[np.float32]
    error: float
    effort: float

    @property
    def doubt(self) -> str:
        """A sentence, or nothing."""
        if self.effort > DOUBTFUL_EFFORT or self.error > DOUBTFUL_ERROR:
            return "This mesh is unlike the heads that are known; check that the landmarks lie where they belong."
        return ""


def register(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    start: MeshPoints | None = None,
    fixed: NDArray[np.integer] | None = None,
    places: MeshPoints | None = None,
    identities: int = 60,
    after_step: Callable[[], None] = lambda: None,
) -> Registration:
    """Finds the face of a mesh that may face anywhere, be of any size, open, with shoulders.

    vertices [V, 3]; triangles [T, 3]; start: landmarks that are about right; fixed [F], places: landmarks that are set
    by hand, and where; identities: how many components of the built-in head may be used; after_step: is called often,
    and ends the search when it raises. Raises UserError for what is no head.
    """
    template = load_template(identities)
    points, faces = visible_surface(vertices, triangles)
    if len(faces) < LEAST:
        raise not_a_head("It has too few faces.")
    marks = (
        None
        if fixed is None or places is None or not len(fixed)
        else marked(template, fixed, places.on(vertices, triangles))
    )
    for attempt in range(1 if start is not None else ATTEMPTS):
        if start is not None:
            poses = [pose_of(template.model.landmarks(template.vertices), start.on(vertices, triangles))]
        else:
            poses = find_poses(template, points, faces, attempt)
        if marks is not None and len(marks.places) >= ENOUGH:
            own = np.einsum("nk,nkc->nc", marks.barycentric, template.vertices[marks.vertices])
            poses.insert(0, pose_of(own, marks.places))
        pose, fit = best(template, points, faces, poses, marks, after_step)
        target = Surface.of(pose.to_head(points), faces)
        fit = finished(template, target, fit, placed_marks(marks, pose), after_step)
        shape = fit.shape(template)
        error, effort = fit_error(template, target, fit, shape), effort_of(fit)
        if effort < GREATEST_EFFORT and error < GREATEST_ERROR:
            break
    else:
        if marks is None:
            raise not_a_head("No place was found on it where a face would fit.")
    found = nearest_points(
        pose.to_target(fit.moved(template.model.landmarks(shape).astype(np.float64))), vertices, triangles
    )
    if fixed is not None and places is not None:
        found.triangles[fixed], found.barycentric[fixed] = places.triangles, places.barycentric
    inner = fit_space(template.model, shape.astype(np.float32))
    return Registration(found, composed(pose, fit, inner), inner.to_head(shape), error, effort)


def not_a_head(reason: str) -> UserError:
    return UserError(
        f"This is no head. {reason}",
        "Choose the mesh of a head, alone or with its shoulders, or set landmarks by hand.",
    )


def best(
    template: Template,
    points: Floats,
    faces: Indices,
    poses: list[Pose],
    marks: Marks | None,
    after_step: Callable[[], None],
) -> tuple[Pose, Fit]:
    """The pose under which the least unusual head fits best, and that head so far: in several rounds fewer of them are
    fitted better."""
    rng = np.random.default_rng(0)
    triangle, weights = sampled(points, faces, CLOUD, rng)
    cloud = np.einsum("nk,nkc->nc", weights, points[faces[triangle]])
    normals = facet_normals(points, faces)[triangle]
    rough = cluster(points, faces, float(np.linalg.norm(np.ptp(points, axis=0))) / ROUGH_CELLS)
    runners = [(pose, Fit.start(template)) for pose in poses]
    for count, stage in ROUNDS:
        tried = []
        for pose, before in runners[:count]:
            target = Surface.of(pose.to_head(rough[0]), rough[1])
            fit = fitted(template, target, before, (stage,), placed_marks(marks, pose), after_step)
            tried.append((score(template, pose, fit, cloud, normals, marks), pose, fit))
        tried.sort(key=lambda runner: runner[0])
        runners = [(pose, fit) for _, pose, fit in tried]
    return runners[0]


def finished(template: Template, target: Surface, fit: Fit, marks: Marks | None, after_step: Callable[[], None]) -> Fit:
    """The fit with everything that the template can do, from a closed mouth and from an open one: a lower lip that has
    begun on the wrong side of a gap stays there. The more likely head of the two."""
    jaw = template.identities + list(EXPRESSIONS).index("jawOpen")
    weights = fit.weights.copy()
    weights[jaw] += OPEN_MOUTH
    tried = [fitted(template, target, start, FREE, marks, after_step) for start in (fit, replace(fit, weights=weights))]
    return min(tried, key=lambda candidate: unlikeliness(template, target, candidate))


def unlikeliness(template: Template, target: Surface, fit: Fit) -> float:
    """Twice the negative logarithm of how likely this head is under this mesh, but for a constant."""
    off = fit_error(template, target, fit, fit.shape(template)) * CROWN_TO_CHIN / SPREAD
    return effort_of(fit) + INDEPENDENT * off**2


def score(template: Template, pose: Pose, fit: Fit, cloud: Floats, normals: Floats, marks: Marks | None) -> float:
    """The less, the more likely it is that the head lies this way."""
    shape = fit.shape(template)
    own = (pose.to_head(cloud) - fit.translation) @ fit.rotation / fit.scale
    total = misfit(template, shape, own, normals @ pose.rotation @ fit.rotation) + EFFORT_WEIGHT * effort_of(fit)
    if marks is not None:
        there = fit.moved(np.einsum("nk,nkc->nc", marks.barycentric, shape[marks.vertices]))
        total += 10 * float(np.linalg.norm(there - pose.to_head(marks.places), axis=1).mean())
    return total


def effort_of(fit: Fit) -> float:
    return float((fit.weights**2).sum() + (fit.fields**2).sum())


def fit_error(template: Template, target: Surface, fit: Fit, shape: Floats) -> float:
    """Mean distance from the head's nearest places to the mesh, as a share of its height."""
    place = fit.moved(shape[head_points(template)])
    distance = np.sort(np.linalg.norm(place - target.nearest(place)[2], axis=1))
    return float(distance[: int(TRIMMED * len(distance))].mean() / (fit.scale * CROWN_TO_CHIN))


def marked(template: Template, fixed: NDArray[np.integer], places: NDArray[np.floating]) -> Marks:
    model = template.model
    vertices = model.triangles[model.landmark_triangles[fixed]].astype(np.int64)
    return Marks(vertices, model.landmark_barycentric[fixed].astype(np.float64), places.astype(np.float64))


def placed_marks(marks: Marks | None, pose: Pose) -> Marks | None:
    return None if marks is None else Marks(marks.vertices, marks.barycentric, pose.to_head(marks.places))


def pose_of(head: NDArray[np.floating], places: NDArray[np.floating]) -> Pose:
    """The similarity that brings points [N, 3] of head space nearest to their places [N, 3] (Umeyama, 1991)."""
    own, theirs = head - head.mean(0), places - places.mean(0)
    u, sizes, v = np.linalg.svd(theirs.T.astype(np.float64) @ own)
    signs = np.array([1.0, 1.0, np.linalg.det(u @ v)])
    rotation = u * signs @ v
    scale = float((sizes * signs).sum() / (own**2).sum())
    return Pose(scale, rotation, places.mean(0) - scale * rotation @ head.mean(0))


def nearest_points(
    points: NDArray[np.floating], vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> MeshPoints:
    """Where on a mesh points [N, 3] lie."""
    middle, size = vertices.mean(0), float(np.ptp(vertices, axis=0).max())  # a mesh may be tiny and far away
    surface = Surface.of((vertices.astype(np.float64) - middle) / size, triangles.astype(np.int64))
    triangle, weights, _ = surface.nearest((points - middle) / size)
    return MeshPoints(triangle.astype(np.int32), weights.astype(np.float32))


def composed(pose: Pose, fit: Fit, inner: HeadSpace) -> HeadSpace:
    """The mesh's coordinates → the pose's → the fitted head's → head space."""
    scale = inner.scale / (pose.scale * fit.scale)
    rotation = (pose.rotation @ fit.rotation).T
    origin = pose.translation + pose.scale * pose.rotation @ fit.translation
    translation = inner.translation - scale * rotation @ origin
    return HeadSpace(scale, rotation.astype(np.float32), translation.astype(np.float32))
