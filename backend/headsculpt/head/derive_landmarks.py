# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds MediaPipe's 478 points on the built-in head and completes `builtin/head.npz` with them.

    python -m headsculpt.head.derive_landmarks

Runs in an environment of its own with `mediapipe==0.10.21` (numpy < 2, Python ≤ 3.12), which the product never needs.
Painted people of the model are rendered from several sides; each point that the detector finds is carried back onto
the mesh, and the places found are averaged robustly. Then left and right are made equal, and the points of lids and
irises are moved onto the edges that they stand for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from . import landmarks as points_of
from .builtin import PATH, read_model
from .derivation.quadmesh import Indices, border_loops, edges, rings
from .derivation.surface import Floats, closest_on_triangles
from .model import HeadModel

SIZE = 640
FOV = 26.0  # degrees
DISTANCE = 0.62  # metres
TARGET = np.array([0.0, 0.025, 0.03])
AZIMUTHS = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
PEOPLE = 6
LEAST_FACING = 0.05  # cosine between normal and view below which a found point says nothing

# what lies on an edge of the mesh: upper and lower chain, and how many edges from the border of the skin that edge is
CONTOURS = (
    (points_of.LEFT_EYE_UPPER, points_of.LEFT_EYE_LOWER, 1),
    (points_of.RIGHT_EYE_UPPER, points_of.RIGHT_EYE_LOWER, 1),
    (points_of.LIPS_UPPER_INNER, points_of.LIPS_LOWER_INNER, 2),
)

Chosen = NDArray[np.bool_]
Places = tuple[Indices, Floats]  # triangles [L] and barycentric coordinates [L, 3]

SKINS = ((0.86, 0.67, 0.56), (0.72, 0.52, 0.40), (0.50, 0.34, 0.25))
IRISES = ((0.30, 0.20, 0.12), (0.30, 0.42, 0.50), (0.28, 0.36, 0.22))


def paint(model: HeadModel, person: int) -> Floats:
    """Colours [V, 3] by region: what a detector trained on photographs wants to see."""
    masks = model.masks
    color = np.tile(np.array(SKINS[person % len(SKINS)]), (len(model.vertices), 1))
    layers = (
        ("lips", color[0] * [0.80, 0.50, 0.52], 0.9),
        ("brows", np.array([0.12, 0.08, 0.06]), 0.85),
        ("scalp", np.array([0.14, 0.10, 0.08]), 0.9),
        ("mouth_bag", np.array([0.25, 0.08, 0.08]), 1.0),
        ("eyeballs", np.array([0.90, 0.88, 0.86]), 1.0),
        ("iris", np.array(IRISES[person % len(IRISES)]), 1.0),
        ("pupil", np.array([0.03, 0.03, 0.03]), 1.0),
    )
    for name, over, strength in layers:
        alpha = strength * masks[name][:, None]
        if name == "mouth_bag":
            alpha = alpha * (1 - masks["lips"][:, None])
        color = color * (1 - alpha) + alpha * over
    return color


def on_all_corners(mask: NDArray[np.float32], faces: NDArray[np.int32]) -> Chosen:
    """Which faces [F, 3 or 4] have all corners in a part, by its mask [V]."""
    chosen: Chosen = np.all(mask[faces] > 0.5, axis=1)
    return chosen


def normals(vertices: Floats, triangles: NDArray[np.int32]) -> Floats:
    """Unit vertex normals [V, 3], weighted by area."""
    a, b, c = vertices[triangles[:, 0]], vertices[triangles[:, 1]], vertices[triangles[:, 2]]
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], np.cross(b - a, c - a))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


class View:
    """A pinhole camera on a circle about the head; azimuth in degrees, positive towards the subject's left."""

    def __init__(self, azimuth: float) -> None:
        angle = np.radians(azimuth)
        backward = np.array([np.sin(angle), 0.0, np.cos(angle)])
        self.frame = np.stack([np.array([np.cos(angle), 0.0, -np.sin(angle)]), np.array([0.0, 1.0, 0.0]), backward])
        self.position = TARGET + DISTANCE * backward
        self.focal = 0.5 * SIZE / np.tan(np.radians(FOV) / 2)

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels [N, 2] as (column, row) and depth [N]."""
        local = (points - self.position) @ self.frame.T
        depth = -local[:, 2]
        return local[:, :2] * [1, -1] * (self.focal / depth)[:, None] + SIZE / 2, depth


def nearest_triangles(pixels: Floats, depth: Floats, triangles: NDArray[np.int32]) -> tuple[NDArray[np.int32], Floats]:
    """A plain depth buffer: the triangle in each pixel [S, S] (−1 for none) and its barycentric coordinates
    [S, S, 3], linear in the picture, which at this distance from so small triangles is as good."""
    ids = np.full((SIZE, SIZE), -1, np.int32)
    barycentric = np.zeros((SIZE, SIZE, 3))
    buffer = np.full((SIZE, SIZE), np.inf)
    corners = pixels[triangles]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    low = np.maximum(np.ceil(corners.min(1) - 0.5).astype(int), 0)
    high = np.minimum(np.floor(corners.max(1) - 0.5).astype(int), SIZE - 1)
    for t in np.flatnonzero((high >= low).all(1) & (area < 0)):  # rows go down, so what faces us turns clockwise
        (x0, y0), (x1, y1) = low[t], high[t]
        offset = np.stack(np.meshgrid(np.arange(x0, x1 + 1) + 0.5, np.arange(y0, y1 + 1) + 0.5), -1) - corners[t, 0]
        v = (offset[..., 0] * edge2[t, 1] - offset[..., 1] * edge2[t, 0]) / area[t]
        w = (edge1[t, 0] * offset[..., 1] - edge1[t, 1] * offset[..., 0]) / area[t]
        weights = np.stack([1 - v - w, v, w], -1)
        z = weights @ depth[triangles[t]]
        window = (slice(y0, y1 + 1), slice(x0, x1 + 1))
        nearer = (weights >= -1e-9).all(-1) & (z < buffer[window])
        buffer[window][nearer] = z[nearer]
        ids[window][nearer] = t
        barycentric[window][nearer] = weights[nearer]
    return ids, barycentric


def detections(model: HeadModel, seed: int = 5) -> tuple[Floats, Floats, Floats, Floats]:
    """Where each landmark was found, on the neutral head: points [D, 478, 3] in metres, weights [D, 478] (0 where it
    fell on nothing, or on the inside), azimuths [D], one row per person and view in which a face was found; and the
    detector's own coordinates [F, 478, 3] in the front views."""
    import mediapipe

    rng = np.random.default_rng(seed)
    detector = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
    )
    triangles, neutral = model.triangles, model.vertices.astype(np.float64)
    shown = on_all_corners(model.masks["skin"] + model.masks["eyeballs"], triangles)
    found, weights, azimuths, fronts = [], [], [], []
    for person in range(PEOPLE):
        identity = np.zeros(1) if person == 0 else rng.normal(size=20).clip(-1.2, 1.2)
        vertices = model.posed(identity).astype(np.float64)
        normal, color = normals(vertices, triangles), paint(model, person)
        for azimuth in AZIMUTHS:
            view = View(azimuth)
            pixels, depth = view.project(vertices)
            ids, barycentric = nearest_triangles(pixels, depth, triangles)
            smooth = np.einsum("...k,...kc->...c", barycentric, normal[triangles[ids]])
            lamp = np.array([0.35, 0.5, 0.8]) @ view.frame
            lit = 0.45 + 0.65 * np.clip(smooth @ (lamp / np.linalg.norm(lamp)), 0, 1)
            image = np.einsum("...k,...kc->...c", barycentric, color[triangles[ids]]) * lit[..., None]
            image[ids < 0] = 0.7
            result = detector.process(np.ascontiguousarray(image.clip(0, 1) * 255).astype(np.uint8))
            if not result.multi_face_landmarks:
                continue
            spots = np.array([[p.x, p.y, p.z] for p in result.multi_face_landmarks[0].landmark]) * SIZE
            if azimuth == 0:
                fronts.append(spots)
            column, row = np.clip(spots[:, :2].astype(int), 0, SIZE - 1).T
            triangle = ids[row, column]
            facing = smooth[row, column] @ view.frame[2]
            found.append(np.einsum("lk,lkc->lc", barycentric[row, column], neutral[triangles[triangle]]))
            weights.append(np.where((triangle >= 0) & shown[triangle] & (facing > LEAST_FACING), facing**2, 0.0))
            azimuths.append(azimuth)
    return np.array(found), np.array(weights), np.array(azimuths), np.array(fronts)


def from_its_side(weights: Floats, azimuths: Floats, fronts: Floats) -> Floats:
    """Weights [D, 478] without the views from across the nose, in which a hidden point falls on what hides it."""
    across = fronts.mean(0)[:, 0]
    side = (across - across[points_of.NOSE_TIP]) / np.ptp(across)  # −.5 right to .5 left
    return np.where(side * azimuths[:, None] < -1.0, 0.0, weights)


def robust_mean(points: Floats, weights: Floats) -> Floats:
    """Weighted means [L, 3] of points [D, L, 3], with Cauchy's weights about them until they stand (2 mm wide)."""
    mean = np.nanmedian(np.where(weights[..., None] > 0, points, np.nan), 0)
    for _ in range(30):
        trust = weights / (1 + (np.linalg.norm(points - mean, axis=-1) / 0.002) ** 2)
        mean = (points * trust[..., None]).sum(0) / np.maximum(trust.sum(0), 1e-9)[:, None]
    return mean


def mirror_images(fronts: Floats) -> NDArray[np.int64]:
    """For each landmark [478] the one on the other side, from the detector's coordinates in front views [F, 478, 3]:
    the pairing with the least sum of squared distances."""
    points = fronts.mean(0)
    points[:, 0] -= points[:, 0].mean()
    flipped = points * [-1, 1, 1]
    cost = ((points[:, None] - flipped[None]) ** 2).sum(-1)
    return linear_sum_assignment(cost)[1]


def nearest_places(points: Floats, vertices: Floats, triangles: NDArray[np.int32], chosen: Chosen) -> Places:
    """The nearest places of points [L, 3] on the chosen triangles [T]."""
    candidates = np.flatnonzero(chosen)
    corners = vertices[triangles[candidates]]
    near = cKDTree(corners.mean(1)).query(points, 40)[1]
    barycentric, distance = closest_on_triangles(points[:, None], corners[near])
    pick = (np.arange(len(points)), distance.argmin(1))
    return candidates[near[pick]], barycentric[pick]


def places_on_edges(points: Floats, vertices: Floats, triangles: NDArray[np.int32], edge: Indices) -> Places:
    """The nearest places of points [L, 3] on edges [E, 2] of the mesh, each on one triangle beside its edge."""
    start, along = vertices[edge[:, 0]], vertices[edge[:, 1]] - vertices[edge[:, 0]]
    t = np.clip(((points[:, None] - start) * along).sum(-1) / (along**2).sum(-1), 0, 1)
    nearest = np.linalg.norm(start + t[..., None] * along - points[:, None], axis=-1).argmin(1)
    triangle, barycentric = np.empty(len(points), np.int64), np.zeros((len(points), 3))
    for i, (a, b) in enumerate(edge[nearest]):
        triangle[i] = np.flatnonzero((triangles == a).any(1) & (triangles == b).any(1))[0]
        share = t[i, nearest[i]]
        barycentric[i, triangles[triangle[i]] == a] = 1 - share
        barycentric[i, triangles[triangle[i]] == b] = share
    return triangle, barycentric


def halves(skin: Indices, loop: Indices, ring: int, vertices: Floats) -> list[Indices]:
    """The upper and the lower edges [E, 2] of the ring about a border loop, which its outmost vertices part."""
    number = rings(skin, loop, ring, len(vertices))
    edge = edges(skin)[0]
    edge = edge[(number[edge] == ring).all(1)]
    members = np.unique(edge)
    corners = members[[vertices[members, 0].argmin(), vertices[members, 0].argmax()]]
    free = edge[~np.isin(edge, corners).any(1)]
    graph = coo_matrix((np.ones(len(free)), free.T), shape=(len(vertices),) * 2)
    label = connected_components(graph, directed=False)[1]
    inner = np.setdiff1d(members, corners)
    above = label == label[inner[vertices[inner, 1].argmax()]]
    return [edge[above[edge].any(1)], edge[~above[edge].any(1)]]


def place(model: HeadModel, points: Floats) -> Places:
    """Where on the mesh the landmarks [478, 3] lie: irises and pupils on the eyeballs, lids and the inner lips on the
    edges that bound what is seen between them, all others where the skin is nearest."""
    vertices, triangles, masks = model.vertices.astype(np.float64), model.triangles, model.masks
    triangle, barycentric = nearest_places(points, vertices, triangles, on_all_corners(masks["skin"], triangles))
    skin = model.quads[on_all_corners(masks["skin"], model.quads)].astype(np.int64)
    loops = border_loops(skin)
    for upper, lower, ring in CONTOURS:
        middle = points[[*upper, *lower]].mean(0)
        loop = min(loops, key=lambda loop: float(np.linalg.norm(vertices[loop].mean(0) - middle)))
        for chain, edge in zip((upper, lower), halves(skin, loop, ring, vertices), strict=True):
            between = list(chain[1:-1])  # the corners lie beside these edges
            triangle[between], barycentric[between] = places_on_edges(points[between], vertices, triangles, edge)
    for side, pupil, iris in (
        ("right", points_of.RIGHT_PUPIL, points_of.RIGHT_IRIS),
        ("left", points_of.LEFT_PUPIL, points_of.LEFT_IRIS),
    ):
        ball = masks[f"eyeball_{side}"]
        pole = np.flatnonzero(ball)[0]  # eyeball.py starts there
        triangle[pupil] = np.flatnonzero((triangles == pole).any(1))[0]
        barycentric[pupil] = triangles[triangle[pupil]] == pole
        edge = edges(model.quads[on_all_corners(ball, model.quads)].astype(np.int64))[0]
        edge = edge[np.ptp(masks["iris"][edge], axis=1) > 0.5]
        middle = vertices[edge].mean(1)
        for i in iris:
            offset = points[i] - points[pupil]
            axis = np.abs(offset[:2]).argmax()
            outmost = edge[(middle[:, axis] * np.sign(offset[axis])).argmax()]
            triangle[i] = np.flatnonzero(np.isin(triangles, outmost).sum(1) == 2)[0]
            barycentric[i] = np.isin(triangles[triangle[i]], outmost) / 2
    return triangle, barycentric


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--head", type=Path, default=PATH, help="the file to complete (default: the built-in head's)")
    path = parser.parse_args().head
    model = read_model(path)
    found, weights, azimuths, fronts = detections(model)
    weights = from_its_side(weights, azimuths, fronts)
    points = robust_mean(found, weights)
    scatter = 1e3 * np.sqrt((weights[..., None] * (found - points) ** 2).sum((0, 2)) / weights.sum(0))
    print(
        f"{len(found)} faces found of {PEOPLE * len(AZIMUTHS)}; scatter of a point: median {np.median(scatter):.1f} mm"
    )
    points = (points + points[mirror_images(fronts)] * [-1, 1, 1]) / 2
    triangle, barycentric = place(model, points)
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    arrays["landmark_triangles"] = triangle.astype(np.uint16)
    arrays["landmark_barycentric"] = barycentric.astype(np.float32)
    moved = np.einsum("lk,lkc->lc", barycentric, model.vertices[model.triangles[triangle]]) - points
    print(f"moved onto the mesh by {1e3 * np.median(np.linalg.norm(moved, axis=1)):.1f} mm (median)")
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
