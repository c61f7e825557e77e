# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head as an artist and an engine would judge it: the mesh, its textures' room, regions and movements."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree

from headsculpt.head.builtin import PATH, load_builtin
from headsculpt.head.landmarks import (
    CHIN,
    COUNT,
    FACE_OVAL,
    FOREHEAD,
    LEFT_BROW_LOWER,
    LEFT_BROW_UPPER,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LEFT_PUPIL,
    LIPS_LOWER_INNER,
    LIPS_LOWER_OUTER,
    LIPS_UPPER_INNER,
    LIPS_UPPER_OUTER,
    NOSE_TIP,
    RIGHT_BROW_LOWER,
    RIGHT_BROW_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    RIGHT_PUPIL,
)

MODEL = load_builtin()
VERTICES = MODEL.vertices.astype(np.float64)
MILLIMETRE = 1e-3

# Apple's list (ARKit, ARFaceAnchor.BlendShapeLocation)
APPLE = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft
mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower
mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight tongueOut
""".split()  # noqa: SIM905


def part(*names: str) -> np.ndarray:
    """Which vertices belong to one of these parts."""
    return np.any([MODEL.masks[name] > 0.5 for name in names], axis=0)


def quads_of(*names: str) -> np.ndarray:
    return MODEL.quads[part(*names)[MODEL.quads].all(1)]


def directed_edges(faces: np.ndarray) -> Counter[tuple[int, int]]:
    pairs = np.stack([faces, np.roll(faces, -1, 1)], 2).reshape(-1, 2)
    return Counter(map(tuple, pairs.tolist()))


def blocked(points: np.ndarray, direction: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether rays from points [N, 3] meet one of the triangles [T, 3, 3] (Möller and Trumbore 1997)."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(direction, edge2)
    determinant = (edge1 * across).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = points[:, None] - corners[:, 0]
        u = (offset * across).sum(-1) / determinant
        turned = np.cross(offset, edge1)
        v = turned @ direction / determinant
        distance = (turned * edge2).sum(-1) / determinant
    return ((u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-5)).any(1)


def seen_eye(side: str, vertices: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
    """Which vertices of one eyeball are seen from a direction, by the names of no renderer."""
    skin = MODEL.triangles[part("skin", "eye_sockets")[MODEL.triangles].all(1)]
    corners = vertices[skin]
    corners = corners[(np.abs(corners[..., 0]).max(1) < 0.07) & (corners[..., 2].min(1) > 0.05)]
    ball = np.flatnonzero(part(f"eyeball_{side}"))
    towards = np.asarray(direction) / np.linalg.norm(direction)
    front = ball[(vertices[ball] - vertices[ball].mean(0)) @ towards > 0.007]
    return front[~blocked(vertices[front], towards, corners)]


def test_the_file_is_small_and_needs_no_pickle() -> None:
    assert PATH.stat().st_size < 4 * 2**20
    with np.load(PATH, allow_pickle=False) as data:
        assert all(not data[key].dtype.hasobject for key in data)


def test_sizes_and_order() -> None:
    """Saved heads and what was trained on this mesh rely on its vertices' numbers: what comes later is appended."""
    skin, balls, rows, tongue = (
        part("skin", "mouth_bag", "eye_sockets"),
        part("eyeballs"),
        part("teeth", "gums"),
        part("tongue"),
    )
    assert np.array_equal(np.flatnonzero(skin), np.arange(5956))
    assert np.array_equal(np.flatnonzero(balls), np.arange(5956, 6776))
    assert rows.sum() <= 1200 and tongue.sum() <= 250
    order = 1 * balls + 2 * rows + 3 * tongue
    assert (np.diff(order) >= 0).all() and ((skin + order) > 0).all()
    assert np.array_equal(np.unique(MODEL.quads), np.arange(len(VERTICES)))
    assert len(MODEL.identity) >= 40 and MODEL.identity.shape[1:] == MODEL.vertices.shape


def test_every_face_is_a_quad_without_fold() -> None:
    corners = VERTICES[MODEL.quads]
    assert all(len(set(quad)) == 4 for quad in MODEL.quads.tolist())
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    assert (0.5 * np.linalg.norm(normal, axis=1)).min() > 0.01 * MILLIMETRE**2
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.roll(corners, -1, 1) - corners
    back = np.roll(corners, 1, 1) - corners
    angle = np.degrees(np.arctan2((np.cross(side, back) * normal[:, None]).sum(-1), (side * back).sum(-1)))
    skin = part("skin", "mouth_bag", "eye_sockets")[MODEL.quads].all(1)
    assert angle[skin].min() > 15 and angle[skin].max() < 178
    assert angle.min() > 0  # the poles of the eyeballs are closed by flat quads


def test_skin_is_one_manifold_that_is_open_at_the_neck_alone() -> None:
    edges = directed_edges(quads_of("skin", "mouth_bag", "eye_sockets"))
    assert max(edges.values()) == 1  # no edge twice the same way: manifold, and turned alike
    border = {a: b for a, b in edges if (b, a) not in edges}
    start = min(border)
    loop = [start]
    while border[loop[-1]] != start:
        loop.append(border[loop[-1]])
    assert len(loop) == len(border)
    assert VERTICES[loop, 1].max() < -0.1  # under the chin
    vertices = len({a for a, _ in edges})
    undirected = len({frozenset(edge) for edge in edges})
    assert vertices - undirected + len(quads_of("skin", "mouth_bag", "eye_sockets")) == 1  # a disc


def closed_parts() -> dict[str, np.ndarray]:
    """Which vertices belong to each part that stands alone."""
    rows = np.flatnonzero(part("teeth", "gums"))
    upper, lower = np.split(rows, 2)
    alone = {name: np.flatnonzero(part(name)) for name in ("eyeball_left", "eyeball_right", "tongue")}
    return {**alone, "upper teeth": upper, "lower teeth": lower}


@pytest.mark.parametrize(
    ("name", "least", "most"),  # cubic centimetres
    [
        ("eyeball_left", 12, 18),
        ("eyeball_right", 12, 18),
        ("tongue", 20, 80),
        ("upper teeth", 5, 15),
        ("lower teeth", 5, 15),
    ],
)
def test_inner_parts_are_closed_and_turned_outwards(name: str, least: float, most: float) -> None:
    mine = closed_parts()[name]
    faces = MODEL.quads[np.isin(MODEL.quads, mine).all(1)]
    edges = directed_edges(faces)
    assert max(edges.values()) == 1 and all((b, a) in edges for a, b in edges)
    assert len({a for a, _ in edges}) - len(edges) // 2 + len(faces) == 2
    corners = VERTICES[faces] - VERTICES[mine].mean(0)
    volume = (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    volume += (np.cross(corners[:, 0], corners[:, 2]) * corners[:, 3]).sum() / 6
    assert least < 1e6 * volume < most


def test_no_two_vertices_are_in_one_place() -> None:
    assert cKDTree(VERTICES).query(VERTICES, 2)[0][:, 1].min() > 0.05 * MILLIMETRE


def test_left_and_right_are_mirror_images() -> None:
    away, _ = cKDTree(VERTICES).query(VERTICES * [-1, 1, 1])
    assert away.max() < 0.01 * MILLIMETRE
    for left, right in (("eyeball_left", "eyeball_right"),):
        assert (VERTICES[part(left), 0] > 0).all() and (VERTICES[part(right), 0] < 0).all()


def test_texture_coordinates_lie_in_the_square_and_do_not_overlap() -> None:
    assert MODEL.uv.min() >= 0 and MODEL.uv.max() <= 1
    size = 512
    corners = MODEL.uv[MODEL.quad_uv].astype(np.float64)[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2) * size
    count = np.zeros((size, size), np.int32)
    for a, b, c in corners:
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        assert area > 0  # not mirrored
        low = np.floor(np.min([a, b, c], 0)).astype(int)
        high = np.ceil(np.max([a, b, c], 0)).astype(int)
        x, y = np.arange(low[0], high[0]) + 0.5, (np.arange(low[1], high[1]) + 0.5)[:, None]
        u = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        v = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        count[low[1] : high[1], low[0] : high[0]] += (u > 1e-6) & (v > 1e-6) & (u + v < 1 - 1e-6)
    assert (count > 1).sum() < 0.01 * (count > 0).sum()
    assert (count > 0).mean() > 0.7


def test_the_seam_is_at_the_back_and_the_face_gets_more_than_its_share() -> None:
    skin = part("skin")[MODEL.quads].all(1)
    places: dict[int, set[int]] = {}
    for vertex, place in zip(MODEL.quads[skin].ravel().tolist(), MODEL.quad_uv[skin].ravel().tolist(), strict=True):
        places.setdefault(vertex, set()).add(place)
    seam = [vertex for vertex, at in places.items() if len(at) > 1]
    assert seam and np.abs(VERTICES[seam, 0]).max() < MILLIMETRE
    assert VERTICES[seam, 2].max() < 0.03  # behind the ears, or on the crown
    corners, flat = VERTICES[MODEL.quads[skin]], MODEL.uv[MODEL.quad_uv[skin]].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
    one, other = flat[:, 2] - flat[:, 0], flat[:, 3] - flat[:, 1]
    room = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    face = (MODEL.masks["face"] > 0.5)[MODEL.quads[skin]].all(1)
    assert room[face].sum() / room.sum() > 1.3 * area[face].sum() / area.sum()


def test_masks_name_what_they_cover() -> None:
    masks = MODEL.masks
    for mask in masks.values():
        assert mask.shape == (len(VERTICES),) and mask.min() == 0 and mask.max() == 1
    skin = part("skin")
    regions = masks["scalp"] + masks["face"] + masks["ears"] + masks["neck"]
    assert np.abs(regions[skin] - 1).max() < 0.02  # every place of the skin belongs to one of them, or is between
    centre = {name: np.average(VERTICES, axis=0, weights=mask) for name, mask in masks.items()}
    assert all(abs(centre[name][0]) < MILLIMETRE for name in masks if not name.startswith("eyeball_"))
    for upper, lower in (("scalp", "brows"), ("brows", "eyes"), ("eyes", "lips"), ("lips", "beard"), ("beard", "neck")):
        assert centre[upper][1] > centre[lower][1]
    assert centre["scalp"][2] < centre["ears"][2] < centre["face"][2] < centre["lips"][2]
    assert VERTICES[part("scalp"), 1].max() == VERTICES[:, 1].max()
    assert not (part("beard") & part("lips")).any() and not (part("scalp") & part("ears")).any()
    assert (part("pupil") <= part("iris")).all() and (part("iris") <= part("eyeballs")).all()
    assert np.array_equal(masks["eyeballs"], masks["eyeball_left"] + masks["eyeball_right"])


@pytest.mark.parametrize("side", ["left", "right"])
def test_irises_are_seen_between_the_lids(side: str) -> None:
    seen = seen_eye(side, VERTICES, (0, 0, 1))
    pupil = np.flatnonzero(part("pupil") & part(f"eyeball_{side}"))
    assert set(pupil) <= set(seen)
    iris = part("iris") & part(f"eyeball_{side}")
    white = part(f"eyeball_{side}") & ~iris
    assert iris[seen].sum() > 0.7 * iris.sum()
    assert white[seen].any()
    # and nothing of the same eyeball lies before them
    ball = VERTICES[MODEL.triangles[part(f"eyeball_{side}")[MODEL.triangles].all(1)]]
    assert not blocked(VERTICES[iris] + [0, 0, 1e-5], np.array([0.0, 0.0, 1.0]), ball).any()


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_lids_close_when_an_eye_blinks(side: str, other: str) -> None:
    blink = MODEL.posed(None, {f"eyeBlink{side.title()}": 1.0}).astype(np.float64)
    for direction in ((0, 0, 1), (0, 0.3, 1), (0.3, 0, 1), (-0.3, 0, 1)):
        assert len(seen_eye(side, blink, direction)) == 0
    assert np.array_equal(seen_eye(other, blink, (0, 0, 1)), seen_eye(other, VERTICES, (0, 0, 1)))
    half = MODEL.posed(None, {f"eyeBlink{side.title()}": 0.5}).astype(np.float64)
    assert 0 < len(seen_eye(side, half, (0, 0, 1))) < len(seen_eye(side, VERTICES, (0, 0, 1)))


def test_expressions_are_apples_and_left_is_the_subjects() -> None:
    assert sorted(MODEL.expression_names) == sorted(APPLE)
    for name, moved in zip(MODEL.expression_names, MODEL.expression, strict=True):
        amount = np.linalg.norm(moved, axis=1)
        assert amount.max() > 2 * MILLIMETRE, name
        if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            side = np.average(VERTICES[:, 0], weights=amount**2)
            assert (side > 0.005) if name.endswith("Left") else (side < -0.005), name
    for name in ("jawLeft", "mouthLeft"):
        moved = MODEL.expression[MODEL.expression_names.index(name)]
        assert moved[part("lips"), 0].mean() > MILLIMETRE


def test_eyes_turn_where_they_look() -> None:
    pupil = np.flatnonzero(part("pupil") & part("eyeball_left"))
    for word, axis, sign in (("Up", 1, 1), ("Down", 1, -1), ("In", 0, -1), ("Out", 0, 1)):
        moved = MODEL.expression[MODEL.expression_names.index(f"eyeLook{word}Left")]
        assert (sign * moved[pupil, axis]).min() > 3 * MILLIMETRE
        ball = part("eyeball_left")
        before, after = VERTICES[ball], VERTICES[ball] + moved[ball]
        some = np.arange(0, len(before), 7)
        lengths = [np.linalg.norm(p[some, None] - p[None, some], axis=-1) for p in (before, after)]
        assert np.abs(lengths[0] - lengths[1]).max() < 0.02 * MILLIMETRE  # it turns as a rigid body


def test_expressions_at_full_weight_do_not_tear_the_skin() -> None:
    skin = MODEL.triangles[part("skin")[MODEL.triangles].all(1)]
    edges = np.unique(np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), 1), axis=0)

    def lengths(vertices: np.ndarray) -> np.ndarray:
        return np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)

    def area_normals(vertices: np.ndarray) -> np.ndarray:
        a, b, c = vertices[skin[:, 0]], vertices[skin[:, 1]], vertices[skin[:, 2]]
        return np.cross(b - a, c - a)

    rest, before = lengths(VERTICES), area_normals(VERTICES)
    for name in MODEL.expression_names:
        weights = {"jawOpen": 1.0, name: 1.0} if name == "mouthClose" else {name: 1.0}  # ARKit means them together
        posed = MODEL.posed(None, weights).astype(np.float64)
        assert (lengths(posed) - rest).max() < (11 if "jawOpen" in weights and len(weights) > 1 else 5) * MILLIMETRE, (
            name
        )
        after = area_normals(posed)
        assert np.linalg.norm(after, axis=1).min() > 1e-9, name
        assert ((before * after).sum(1) < 0).mean() < 0.004, name


def test_closing_the_mouth_undoes_opening_the_jaw() -> None:
    def gap(vertices: np.ndarray) -> float:
        points = MODEL.landmarks(vertices)
        return float(np.linalg.norm(points[13] - points[14]))  # the inner lips' middles

    opened, closed = MODEL.posed(None, {"jawOpen": 1}), MODEL.posed(None, {"jawOpen": 1, "mouthClose": 1})
    assert gap(opened) > 0.03 and gap(closed) < 0.007 and gap(VERTICES) < 0.003


POINTS = MODEL.landmarks(VERTICES).astype(np.float64)


def test_landmarks_lie_on_the_surface() -> None:
    assert MODEL.landmark_triangles.shape == (COUNT,)
    assert MODEL.landmark_triangles.min() >= 0 and MODEL.landmark_triangles.max() < len(MODEL.triangles)
    weights = MODEL.landmark_barycentric
    assert weights.shape == (COUNT, 3) and weights.min() >= -1e-6 and np.abs(weights.sum(1) - 1).max() < 1e-5
    parts = MODEL.triangles[MODEL.landmark_triangles]
    iris = np.arange(COUNT) >= RIGHT_PUPIL
    assert np.array_equal(part("eyeballs")[parts].all(1), iris)
    assert part("skin")[parts[~iris]].all()


def test_landmarks_are_symmetric() -> None:
    flipped = POINTS * [-1, 1, 1]
    pairs = [
        *zip(LEFT_EYE_UPPER, RIGHT_EYE_UPPER, strict=True),
        *zip(LEFT_EYE_LOWER, RIGHT_EYE_LOWER, strict=True),
        *zip(LEFT_BROW_UPPER, RIGHT_BROW_UPPER, strict=True),
        *zip(LEFT_BROW_LOWER, RIGHT_BROW_LOWER, strict=True),
        *zip(FACE_OVAL[1:], FACE_OVAL[:0:-1], strict=True),
        (LEFT_PUPIL, RIGHT_PUPIL),
    ]
    for chain in (LIPS_UPPER_OUTER, LIPS_LOWER_OUTER, LIPS_UPPER_INNER, LIPS_LOWER_INNER):
        pairs += zip(chain, chain[::-1], strict=True)
    left, right = np.array(pairs).T
    assert np.linalg.norm(POINTS[left] - flipped[right], axis=1).max() < 0.3 * MILLIMETRE
    assert cKDTree(POINTS).query(flipped)[0].max() < 1 * MILLIMETRE
    assert np.abs(POINTS[[NOSE_TIP, FOREHEAD, CHIN], 0]).max() < 0.3 * MILLIMETRE


def test_landmarks_are_where_an_anatomist_would_put_them() -> None:
    y, z = POINTS[:, 1], POINTS[:, 2]
    assert z.argmax() in (1, 4)  # the tip of the nose
    assert y[CHIN] == y[list(FACE_OVAL)].min() and y[FOREHEAD] > y[list(FACE_OVAL)].max() - 2 * MILLIMETRE
    for upper, lower in (
        (LEFT_BROW_UPPER, LEFT_BROW_LOWER),
        (LEFT_EYE_UPPER[1:-1], LEFT_EYE_LOWER[1:-1]),
        (LIPS_UPPER_OUTER[1:-1], LIPS_UPPER_INNER[1:-1]),
        (LIPS_UPPER_INNER[1:-1], LIPS_LOWER_INNER[1:-1]),
        (LIPS_LOWER_INNER[1:-1], LIPS_LOWER_OUTER[1:-1]),
    ):
        assert (y[list(upper)] > y[list(lower)]).all()
    for lids, iris, pupil, side in (
        (LEFT_EYE_UPPER + LEFT_EYE_LOWER, LEFT_IRIS, LEFT_PUPIL, "left"),
        (RIGHT_EYE_UPPER + RIGHT_EYE_LOWER, RIGHT_IRIS, RIGHT_PUPIL, "right"),
    ):
        eye = POINTS[list(lids)]
        assert (eye.min(0)[:2] < POINTS[pupil, :2]).all() and (POINTS[pupil, :2] < eye.max(0)[:2]).all()
        assert (eye[:, 0] > 0).all() == (side == "left")
        ball = VERTICES[part(f"eyeball_{side}")]
        away = cKDTree(ball).query(np.delete(eye, [0, 8, 9, 17], 0))[0]  # all but the corners
        assert away.max() < 3 * MILLIMETRE
        radius = np.linalg.norm(POINTS[list(iris)] - POINTS[pupil], axis=1)
        assert np.allclose(radius, 0.006, atol=0.0008)  # an iris is 12 mm across
    lips = MODEL.masks["lips"]
    inside = (POINTS[list(LIPS_UPPER_OUTER)] + POINTS[list(LIPS_UPPER_INNER)]) / 2
    assert lips[cKDTree(VERTICES).query(inside)[1]].min() > 0.5
    brows = (POINTS[list(LEFT_BROW_UPPER[1:-1])] + POINTS[list(LEFT_BROW_LOWER[1:-1])]) / 2
    assert MODEL.masks["brows"][cKDTree(VERTICES).query(brows)[1]].min() > 0.5


def test_landmarks_follow_the_face() -> None:
    opened = MODEL.landmarks(MODEL.posed(None, {"jawOpen": 1}))
    assert opened[CHIN, 1] < POINTS[CHIN, 1] - 0.02
    assert np.abs(opened[list(LEFT_BROW_UPPER)] - POINTS[list(LEFT_BROW_UPPER)]).max() < MILLIMETRE
    blink = MODEL.landmarks(MODEL.posed(None, {"eyeBlinkLeft": 1}))
    upper, lower = list(LEFT_EYE_UPPER[3:6]), list(LEFT_EYE_LOWER[3:6])
    assert (POINTS[upper, 1] - POINTS[lower, 1]).min() > 7 * MILLIMETRE
    assert (blink[upper, 1] - blink[lower, 1]).max() < 1 * MILLIMETRE
