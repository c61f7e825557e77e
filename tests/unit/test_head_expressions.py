# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head's expressions as an animator would judge them: what closes meets, and no part goes through another.

How deep one part lies in another is measured with libigl, which the head was not made with.
"""

from __future__ import annotations

import igl
import numpy as np
import pytest
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.head.expression_sheet import COLUMNS, sheet, shots
from headsculpt.render.camera import Camera
from headsculpt.render.raster import rasterize

MODEL = load_builtin()
TRIANGLES = MODEL.triangles.astype(np.int64)
MILLIMETRES = 1000.0
Weights = dict[str, float]


def part(*names: str) -> np.ndarray:
    return np.any([MODEL.masks[name] > 0.5 for name in names], axis=0)


def triangles_of(chosen: np.ndarray) -> np.ndarray:
    return TRIANGLES[chosen[TRIANGLES].all(1)]


FLESH = triangles_of(part("skin", "mouth_bag", "eye_sockets"))
ROWS = triangles_of(part("teeth", "gums"))
TONGUE = triangles_of(part("tongue"))
LIPS_AND_CHEEKS = (
    part("skin", "mouth_bag") & (MODEL.vertices[:, 2] > 0.04) & (np.abs(MODEL.vertices[:, 1] + 0.045) < 0.045)
)
MOUTH_MOVES = [name for name in MODEL.expression_names if name.startswith(("jaw", "mouth", "cheek", "nose", "tongue"))]
EYES_MOVE = [name for name in MODEL.expression_names if name.startswith(("eye", "brow", "cheekSquint", "nose"))]


def neck_border() -> np.ndarray:
    """Edges [E, 2] of the skin without a neighbour, each turned so that a fan from them closes the neck."""
    edges = np.concatenate([FLESH[:, [0, 1]], FLESH[:, [1, 2]], FLESH[:, [2, 0]]])
    present = set(map(tuple, edges.tolist()))
    return np.array([(b, a) for a, b in present if (b, a) not in present])


NECK = neck_border()


def posed(weights: Weights, identity: np.ndarray | None = None) -> np.ndarray:
    return MODEL.posed(identity, weights).astype(np.float64)


def meant(name: str) -> Weights:
    """An expression as it is used: mouthClose closes the mouth of an opened jaw."""
    return {"jawOpen": 1.0, name: 1.0} if name == "mouthClose" else {name: 1.0}


def depths(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How deep points [P, 3] lie in a closed mesh, in millimetres; 0 outside."""
    inside = np.flatnonzero(igl.fast_winding_number(vertices, triangles, points) > 0.5)
    result = np.zeros(len(points))
    if len(inside):
        result[inside] = MILLIMETRES * np.sqrt(igl.point_mesh_squared_distance(points[inside], vertices, triangles)[0])
    return result


def in_the_mouth(vertices: np.ndarray) -> dict[str, float]:
    """The greatest depth, in millimetres, of teeth, tongue and flesh (lips, cheeks, the mouth's lining) in another."""
    teeth, gums, tongue = (np.flatnonzero(part(name)) for name in ("teeth", "gums", "tongue"))
    closed = np.concatenate([FLESH, np.column_stack([NECK, np.full(len(NECK), len(vertices))])])
    points = np.concatenate([vertices, vertices[NECK].mean((0, 1))[None]])
    inner = np.concatenate([teeth, gums, tongue])
    in_flesh = depths(vertices[inner], points, closed)
    crowns, roots, tip = np.split(in_flesh, np.cumsum([len(teeth), len(gums)]))
    flesh = vertices[LIPS_AND_CHEEKS]
    near_teeth = depths(np.concatenate([flesh, vertices[tongue]]), vertices, ROWS)
    return {
        "teeth in flesh": max(crowns.max(), near_teeth[: len(flesh)].max()),
        "gums in flesh": roots.max(),
        "tongue in flesh": max(tip.max(), depths(flesh, vertices, TONGUE).max()),
        "tongue in teeth": max(near_teeth[len(flesh) :].max(), depths(vertices[teeth], vertices, TONGUE).max()),
    }


def eyes_through_lids(vertices: np.ndarray) -> float:
    """How deep the lids' skin lies in an eyeball, in millimetres."""
    lids = vertices[part("skin") & (np.abs(MODEL.vertices - [0, 0.035, 0.085]) < [0.06, 0.035, 0.04]).all(1)]
    return max(depths(lids, vertices, triangles_of(part(f"eyeball_{side}"))).max() for side in ("left", "right"))


def seen(vertices: np.ndarray, names: tuple[str, ...], azimuth: float = 0.0, elevation: float = 0.0) -> float:
    """The area in square millimetres that is seen of parts from in front, or from a side."""
    size, distance, fov = 1200, 1.0, 10.0
    angles = (torch.tensor([value]) for value in (azimuth, elevation, distance, fov))
    camera = Camera.orbit(*angles, size, torch.tensor([[0.0, 0.0, 0.09]]))
    pixels, depth = camera.project(torch.from_numpy(vertices.astype(np.float32)))
    ids, _ = rasterize(pixels[0], depth[0], torch.from_numpy(MODEL.triangles), size, size)
    of_parts = part(*names)[TRIANGLES].any(1)
    pixel = MILLIMETRES * 2 * distance * np.tan(np.radians(fov / 2)) / size
    ids = np.asarray(ids)
    return float(of_parts[ids[ids >= 0]].sum() * pixel**2)


def test_nothing_in_the_mouth_goes_through_anything_else() -> None:
    """Crowns, tongue, lips and cheeks by less than a millimetre, gums into the lining that they grow from by 1.5 mm."""
    for name in MOUTH_MOVES:
        found = in_the_mouth(posed(meant(name)))
        assert found.pop("gums in flesh") < 1.5, name
        assert max(found.values()) < 0.8, (name, found)


def test_eyes_do_not_come_through_the_lids() -> None:
    """At rest the lids' inner edge touches the eyeball; no expression presses it in deeper."""
    rest = eyes_through_lids(posed({}))
    assert rest < 0.6
    for name in EYES_MOVE:
        assert eyes_through_lids(posed({name: 1.0})) < rest + 0.1, name


@pytest.mark.parametrize("seed", range(4))
def test_strong_faces_with_strong_expressions_stay_whole(seed: int) -> None:
    """Sixty random weights up to two standard deviations: what is hidden may touch by 3 mm, nothing more."""
    identity = np.clip(np.random.default_rng(seed).normal(size=60), -2, 2)
    for weights in ({"jawOpen": 1.0}, {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, {"tongueOut": 1.0}):
        found = in_the_mouth(posed(weights, identity))
        assert max(found.values()) < 3.0, (weights, found)
    both = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
    assert seen(posed(both, identity), ("eyeballs",)) < 6  # square millimetres, of 300


def test_lids_close() -> None:
    both = posed({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    for azimuth, elevation in ((0.0, 0.0), (25.0, 0.0), (0.0, -15.0), (0.0, 15.0)):
        assert seen(both, ("eyeballs", "eye_sockets"), azimuth, elevation) == 0
    assert seen(posed({}), ("eyeballs",)) > 300


@pytest.mark.parametrize(
    "weights", [{"jawOpen": 1.0, "mouthClose": 1.0}, {"mouthPressLeft": 1.0, "mouthPressRight": 1.0}, {}]
)
def test_lips_meet(weights: Weights) -> None:
    for azimuth in (0.0, 25.0):
        assert seen(posed(weights), ("teeth", "gums", "tongue"), azimuth) < 1
    assert seen(posed({"jawOpen": 1.0}), ("teeth", "gums", "tongue", "mouth_bag")) > 500


def test_jaw_tongue_and_lower_teeth_go_together() -> None:
    opened = posed({"jawOpen": 1.0}) - posed({})
    upper, lower = np.split(np.flatnonzero(part("teeth", "gums")), 2)
    assert np.abs(opened[upper]).max() < 1e-4 and opened[lower, 1].max() < -0.01
    tip = np.flatnonzero(part("tongue"))[posed({})[part("tongue"), 2].argmax()]
    assert opened[tip, 1] < -0.02


def test_the_tongue_comes_out_over_the_lower_lip() -> None:
    out = posed({"tongueOut": 1.0})
    lips = MODEL.landmarks(out.astype(np.float32))
    tongue = out[part("tongue")]
    tip = tongue[tongue[:, 2].argmax()]
    assert tip[2] > lips[17, 2] + 0.008  # a good way before the lower lip
    assert tongue[:, 1].min() < lips[14, 1] and lips[13, 1] - lips[14, 1] > 0.012
    assert seen(out, ("tongue",)) > 500
    assert seen(posed({}), ("tongue",)) == 0


def test_the_sheet_shows_every_expression_once() -> None:
    every = shots(MODEL)
    for name in MODEL.expression_names:
        assert sum(shot.title.endswith(name) and shot.weights[name] == 1 for shot in every[:52]) == 1
    small = sheet(MODEL, 40)
    assert small.size == (40 * COLUMNS, 44 * 7)
