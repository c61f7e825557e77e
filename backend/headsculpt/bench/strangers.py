# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads as strangers bring them, whose landmarks are known because they are made here; and things that are no heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import igl
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from headsculpt.finish.clean import cut_below, decimate
from headsculpt.head.landmarks import LEFT_PUPIL, RIGHT_PUPIL
from headsculpt.head.model import Head, HeadModel
from headsculpt.mesh import Mesh
from headsculpt.shape.distance import nodes_near
from headsculpt.shape.repair import outer_surface, weld

Floats = NDArray[np.float64]
Warp = Callable[[Floats], Floats]

WITHIN = 40
"""The identity components that the fit may use for the heads that are to lie out of its span."""
NOISE = 0.005
"""Of the head's height (crown to chin)."""
HEIGHT = 0.6
CELL = 0.009
"""Of the grid that other topologies are extracted from, head space units."""
FEW = 2000


@dataclass(frozen=True)
class Stranger:
    """A mesh in coordinates of its own. landmarks: float64 [478, 3], where they truly are; what: was done to it."""

    vertices: Floats
    triangles: NDArray[np.int64]
    landmarks: Floats
    what: tuple[str, ...]

    @property
    def eye_distance(self) -> float:
        return float(np.linalg.norm(self.landmarks[LEFT_PUPIL] - self.landmarks[RIGHT_PUPIL]))


def stranger(model: HeadModel, number: int, within: bool) -> Stranger:
    """The same head for the same number. within: in the span of the built-in head, or not."""
    rng = np.random.default_rng([number, int(within)])
    head = person(model, rng, within)
    kinds = (as_it_is, remeshed, with_torso, remeshed_with_torso)
    head = kinds[number % len(kinds)](head)
    damages = [with_holes, decimated, noisy]
    if number % len(kinds) < 2:  # else the shoulders would go with the neck
        damages.insert(0, cut_at_the_neck)
    for index in sorted(rng.choice(len(damages), rng.integers(1, 4), replace=False)):
        head = damages[index](head, rng)
    return placed(head, rng)


def person(model: HeadModel, rng: np.random.Generator, within: bool) -> Stranger:
    """Somebody in head space, with the built-in head's topology."""
    weights = rng.normal(size=len(model.identity)).clip(-2, 2)
    expression = {}
    if rng.random() < 0.4:
        expression = {"jawOpen": float(rng.uniform(0.1, 0.5))}
    if not within:
        weights[WITHIN:] *= 2
        expression |= {"mouthLeft": float(rng.uniform(0, 0.4)), "cheekPuff": float(rng.uniform(0, 0.4))}
    posed = model.posed(weights, expression)
    head = Head.from_vertices(model, posed)
    warp = (lambda points: points) if within else random_warp(rng)
    vertices = warp(head.vertices.astype(np.float64))
    what = ("in the span",) if within else ("left out components", "bent and stretched")
    return Stranger(vertices, model.triangles.astype(np.int64), model.landmarks(vertices).astype(np.float64), what)


def random_warp(rng: np.random.Generator) -> Warp:
    """Stretches, bends and pulls points of head space about, smoothly."""
    stretch = rng.uniform(0.88, 1.12, 3)
    bend = np.radians(rng.uniform(-12, 12, 2))
    centres = rng.uniform(-0.4, 0.4, (12, 3))
    pulls = rng.normal(size=(12, 3)) * 0.02
    reach = rng.uniform(0.2, 0.4, 12)

    def warp(points: Floats) -> Floats:
        moved = points * stretch
        for angle, axis in zip(bend, (0, 2), strict=True):
            turn = angle * moved[:, 1] / HEIGHT
            moved = Rotation.from_rotvec(turn[:, None] * np.eye(3)[axis]).apply(moved)
        squared = ((moved[:, None] - centres) ** 2).sum(-1)
        return moved + np.exp(-squared / (2 * reach**2)) @ pulls

    return warp


def as_it_is(head: Stranger) -> Stranger:
    return replace(head, what=(*head.what, "own topology"))


def remeshed(head: Stranger) -> Stranger:
    """As one closed surface of another topology."""
    vertices, triangles = extracted([(head.vertices, head.triangles)])
    return Stranger(vertices, triangles, head.landmarks, (*head.what, "remeshed"))


def with_torso(head: Stranger) -> Stranger:
    """Shoulders of their own are stuck into the neck, as models are often built."""
    vertices, triangles = torso(head)
    return Stranger(
        np.concatenate([head.vertices, vertices]),
        np.concatenate([head.triangles, triangles + len(head.vertices)]),
        head.landmarks,
        (*head.what, "with shoulders"),
    )


def remeshed_with_torso(head: Stranger) -> Stranger:
    vertices, triangles = extracted([(head.vertices, head.triangles), torso(head)])
    return Stranger(vertices, triangles, head.landmarks, (*head.what, "with shoulders, remeshed"))


def torso(head: Stranger) -> tuple[Floats, NDArray[np.int64]]:
    """Chest and shoulders below a head, closed."""
    low = head.vertices[:, 1].min()
    neck = head.vertices[head.vertices[:, 1] < low + 0.1].mean(0)
    chest = ellipsoid(np.array([0.52, 0.42, 0.27])) + neck + [0, -0.3, -0.04]
    triangles = ellipsoid_triangles()
    return chest, triangles


def ellipsoid(radii: Floats, rings: int = 40) -> Floats:
    """Vertices of a closed surface about the origin, a little boxier than an ellipsoid; `ellipsoid_triangles` in it."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    around = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)[None]
    rows = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1)
    points = np.concatenate([[[0.0, 1, 0]], rows.reshape(-1, 3), [[0.0, -1, 0]]])
    return np.sign(points) * np.abs(points) ** 0.8 * radii


def ellipsoid_triangles(rings: int = 40) -> NDArray[np.int64]:
    """Counter-clockwise from outside."""
    segments = 2 * rings
    here = np.arange(segments)
    beside = (here + 1) % segments
    parts = [np.stack([0 * here, 1 + here, 1 + beside], 1)]
    for ring in range(rings - 2):
        upper, lower = 1 + ring * segments, 1 + (ring + 1) * segments
        parts.append(np.stack([upper + here, lower + here, upper + beside], 1))
        parts.append(np.stack([upper + beside, lower + here, lower + beside], 1))
    last = 1 + (rings - 2) * segments
    parts.append(np.stack([last + here, 0 * here + 1 + (rings - 1) * segments, last + beside], 1))
    return np.concatenate(parts)


def extracted(parts: list[tuple[Floats, NDArray[np.int64]]]) -> tuple[Floats, NDArray[np.int64]]:
    """The union of meshes, extracted from its signed distance by marching cubes."""
    surfaces = [outer_surface(*part) for part in parts]
    corners = np.concatenate([points[faces] for points, faces in surfaces])
    nodes, cells = nodes_near(corners, 3.2 * CELL, CELL)
    level = np.full(len(nodes), np.inf)
    for points, faces in surfaces:
        distance = np.sqrt(igl.point_mesh_squared_distance(nodes, points, faces)[0])
        inside = igl.fast_winding_number(points, faces, nodes) > 0.5
        level = np.minimum(level, np.where(inside, -distance, distance))
    points, faces, _ = igl.marching_cubes(level, nodes, cells, 0.0)
    return outer_surface(points, faces)


def noisy(head: Stranger, rng: np.random.Generator) -> Stranger:
    points, faces = weld(head.vertices, head.triangles)
    return Stranger(
        points + rng.normal(size=points.shape) * NOISE * HEIGHT / np.sqrt(3),
        faces,
        head.landmarks,
        (*head.what, "noise"),
    )


def with_holes(head: Stranger, rng: np.random.Generator) -> Stranger:
    """Three to five round holes anywhere above the neck, up to as large as an eye."""
    middle = head.vertices[head.triangles].mean(1)
    keep = np.ones(len(middle), bool)
    candidates = np.flatnonzero(middle[:, 1] > -0.3)
    for _ in range(rng.integers(3, 6)):
        centre = middle[rng.choice(candidates)]
        keep &= np.linalg.norm(middle - centre, axis=1) > rng.uniform(0.03, 0.07)
    return replace(head, triangles=head.triangles[keep], what=(*head.what, "holes"))


def decimated(head: Stranger, rng: np.random.Generator) -> Stranger:
    points, faces = weld(head.vertices, head.triangles)
    faces, origin = igl.split_nonmanifold(igl.bfs_orient(faces)[0])  # else nothing at all would be left
    mesh = decimate(Mesh(points[origin].astype(np.float32), faces.astype(np.int32)), FEW)
    return Stranger(
        mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64), head.landmarks, (*head.what, "2k triangles")
    )


def cut_at_the_neck(head: Stranger, rng: np.random.Generator) -> Stranger:
    """Somewhat aslant, below the chin."""
    tilt = Rotation.from_euler("xz", rng.uniform(-15, 15, 2), degrees=True).as_matrix()
    mesh = cut_below(
        Mesh((head.vertices @ tilt.T).astype(np.float32), head.triangles.astype(np.int32)), rng.uniform(-0.48, -0.4)
    )
    return Stranger(
        mesh.vertices.astype(np.float64) @ tilt, mesh.triangles.astype(np.int64), head.landmarks, (*head.what, "cut")
    )


def placed(head: Stranger, rng: np.random.Generator) -> Stranger:
    """Facing anywhere, anywhere, from a hundredth to a hundred times as large."""
    rotation = Rotation.random(random_state=rng).as_matrix()
    scale = 10 ** rng.uniform(-2, 2)
    shift = rng.normal(size=3) * scale
    return replace(
        head,
        vertices=scale * head.vertices @ rotation.T + shift,
        landmarks=scale * head.landmarks @ rotation.T + shift,
    )


def things() -> dict[str, tuple[Floats, NDArray[np.int64]]]:
    """Meshes that are no heads, by name."""
    sphere = ellipsoid_triangles()
    ball = ellipsoid(np.ones(3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    return {
        "sphere": (ball, sphere),
        "egg": (ball * [0.8, 1.1, 0.9] * (1 + 0.15 * ball[:, 1:2]), sphere),
        "cube": box(np.ones(3)),
        "body": joined(
            [
                (ball * 0.11 + [0, 1.62, 0], sphere),
                limb((0.07, 0.1, 0.07), (0, 1.48, 0)),
                limb((0.22, 0.32, 0.13), (0, 1.15, 0)),
                *(limb((0.06, 0.36, 0.06), (0.27 * side, 1.08, 0)) for side in (-1, 1)),
                *(limb((0.09, 0.45, 0.09), (0.11 * side, 0.45, 0)) for side in (-1, 1)),
            ]
        ),
        "car": joined(
            [
                box(np.array([0.85, 0.35, 2.1])),
                (box(np.array([0.75, 0.3, 1.0]))[0] * [1, 1, 0.9] + [0, 0.6, -0.2], box(np.ones(3))[1]),
                *(
                    (ball * [0.12, 0.33, 0.33] + [0.85 * side, -0.35, 1.3 * end], sphere)
                    for side in (-1, 1)
                    for end in (-1, 1)
                ),
            ]
        ),
    }


def limb(radii: tuple[float, ...], middle: tuple[float, ...]) -> tuple[Floats, NDArray[np.int64]]:
    points = ellipsoid(np.array(radii))
    points += middle
    return points, ellipsoid_triangles()


def box(half: Floats, steps: int = 12) -> tuple[Floats, NDArray[np.int64]]:
    """A closed box about the origin in squares, counter-clockwise from outside."""
    axis = np.linspace(-1, 1, steps + 1)
    across, up = (grid.reshape(-1) for grid in np.meshgrid(axis, axis, indexing="ij"))
    corner = (np.arange(steps)[:, None] * (steps + 1) + np.arange(steps)).reshape(-1)
    square = np.stack([corner, corner + steps + 1, corner + steps + 2, corner + 1], axis=1)
    faces = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    sides = []
    for turn in (0, 90, 180, 270):
        sides.append(Rotation.from_euler("y", turn, degrees=True))
    sides += [Rotation.from_euler("x", turn, degrees=True) for turn in (90, 270)]
    front = np.stack([across, up, np.ones_like(up)], axis=1)
    points, faces = joined([(side.apply(front), faces) for side in sides])
    points, faces = weld(points, faces)
    return points * half, faces


def joined(parts: list[tuple[Floats, NDArray[np.int64]]]) -> tuple[Floats, NDArray[np.int64]]:
    """All parts in one mesh."""
    start = np.cumsum([0] + [len(points) for points, _ in parts])
    return np.concatenate([points for points, _ in parts]), np.concatenate(
        [faces + first for (_, faces), first in zip(parts, start, strict=False)]
    )
