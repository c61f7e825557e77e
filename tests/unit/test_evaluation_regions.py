# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours and distances that are known, found again on heads made for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headsculpt.evaluation.colors import difference, lab
from headsculpt.evaluation.findings import measure
from headsculpt.evaluation.regions import region_color, region_triangles, standoff, thickness, weighted_quantile
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.mesh import TexturedMesh
from headsculpt.packs.pocket.training.looks.words import SKINS

PALETTE = np.array([[[77, 166, 64], [173, 41, 20], [64, 115, 217], [128, 128, 128]]] * 4, np.uint8)
GREEN, RED, BLUE, GREY = range(4)


@pytest.fixture(scope="module")
def head() -> Head:
    model = load_builtin()
    return Head.from_vertices(model, model.vertices)


def painted(vertices: NDArray[np.floating], triangles: NDArray[np.int32], colors: NDArray[np.integer]) -> TexturedMesh:
    """A mesh whose triangles [T] have one of PALETTE's colours each."""
    uv = np.stack([(colors + 0.5) / 4, np.full(len(colors), 0.5)], axis=1)
    corner_uv = np.repeat(uv[:, None], 3, axis=1).astype(np.float32)
    vertices = vertices.astype(np.float32)
    flat = np.full((4, 4, 3), (128, 128, 255), np.uint8)
    return TexturedMesh(vertices, triangles, np.zeros_like(vertices), corner_uv, PALETTE, flat)


def by_region(head: Head, scalp: int = GREY) -> NDArray[np.int64]:
    """Green skin, blue beard, a scalp of this colour, all else grey."""
    rows = {tuple(row): index for index, row in enumerate(head.triangles.tolist())}
    colors = np.full(len(head.triangles), GREY)
    for region, color in (("skin", GREEN), ("scalp", scalp), ("beard", BLUE)):
        colors[[rows[tuple(row)] for row in region_triangles(head, region).tolist()]] = color
    return colors


def outward(head: Head) -> NDArray[np.float64]:
    """Unit normals [V, 3], by the mean of the neighbouring triangles."""
    corners = head.vertices[head.triangles].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.zeros(head.vertices.shape)
    for corner in range(3):
        np.add.at(sums, head.triangles[:, corner], cross)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def test_the_chosen_head_itself(head: Head) -> None:
    mesh = painted(head.vertices, head.triangles, by_region(head, scalp=RED))
    for region, color in (("skin", GREEN), ("scalp", RED), ("ridge", RED), ("beard", BLUE)):
        assert np.allclose(region_color(mesh, head, region), lab(PALETTE[0, color] / 255), atol=1e-4), region
    assert standoff(mesh, head) < 1e-4 and thickness(mesh, head) < 1e-4


def test_regions_lie_where_they_should(head: Head) -> None:
    middle = {name: head.vertices[region_triangles(head, name)].mean(axis=1) for name in ("skin", "scalp", "beard")}
    assert middle["scalp"][:, 1].max() > 0.29 and middle["scalp"][:, 2].min() < -0.2  # crown and back of the skull
    assert middle["beard"][:, 1].max() < 0.05 < middle["skin"][:, 1].max()  # below the eyes; the forehead is skin
    ridge = head.vertices[region_triangles(head, "ridge")].mean(axis=1)
    assert np.abs(ridge[:, 0]).max() < 0.02 and np.ptp(ridge[:, 2]) > 0.25


@pytest.mark.parametrize("height", [0.06, -0.02])
def test_a_scalp_moved_along_its_normals(head: Head, height: float) -> None:
    """0.06 outwards is a tenth of a head; inwards counts, too, and colours are still found."""
    moved = head.vertices + height * head.masks["scalp"][:, None] * outward(head)
    mesh = painted(moved, head.triangles, by_region(head, scalp=RED))
    assert standoff(mesh, head) == pytest.approx(abs(height) / 0.6, rel=0.03)
    assert thickness(mesh, head) == pytest.approx(abs(height) / 0.6, rel=0.05)
    assert np.allclose(region_color(mesh, head, "scalp"), lab(PALETTE[0, RED] / 255), atol=1e-4)


def test_a_crest_is_shape_and_paint_is_not(head: Head) -> None:
    """The crest is the strip along the middle, once more and 0.09 higher."""
    strip = region_triangles(head, "ridge")
    higher = head.vertices + 0.09 * outward(head)
    paint = painted(head.vertices, head.triangles, by_region(head, scalp=RED))
    mohawk = painted(
        np.concatenate([head.vertices, higher]),
        np.concatenate([head.triangles, strip + len(head.vertices)]),
        np.concatenate([by_region(head, scalp=GREEN), np.full(len(strip), RED)]),
    )
    assert standoff(paint, head) < 0.001
    assert standoff(mohawk, head) == pytest.approx(0.15, rel=0.03)
    assert thickness(mohawk, head) == pytest.approx(0.15, rel=0.1)
    assert np.allclose(region_color(mohawk, head, "ridge"), lab(PALETTE[0, RED] / 255), atol=1e-4)
    assert np.allclose(region_color(mohawk, head, "scalp"), lab(PALETTE[0, GREEN] / 255), atol=1e-4)


def test_a_result_elsewhere_has_no_standoff(head: Head) -> None:
    with pytest.raises(ValueError, match="over the scalp"):
        standoff(painted(head.vertices - [0, 2, 0], head.triangles, by_region(head)), head)


def test_quantile_is_by_weight() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 8.0])
    assert [weighted_quantile(values, weights, share) for share in (0.05, 0.5, 0.85, 0.95)] == [1, 2, 2, 3]


def test_a_bald_head(head: Head) -> None:
    asked = {"skin": "green", "style": "bald"}
    kept = measure(painted(head.vertices, head.triangles, by_region(head, scalp=GREEN)), head, asked)
    assert kept.standoff_kept and set(kept.colors) == {"skin", "scalp"}
    assert kept.colors["scalp"].nearest == "green" and kept.colors["scalp"].difference < 1
    swollen = head.vertices + 0.02 * head.masks["scalp"][:, None] * outward(head)
    missed = measure(painted(swollen, head.triangles, by_region(head, scalp=RED)), head, asked)
    assert not missed.standoff_kept
    assert missed.colors["scalp"].nearest == "red" and missed.colors["scalp"].difference > 50
    found = difference(lab(SKINS["green"]), missed.colors["scalp"].lab)
    assert missed.colors["scalp"].difference == pytest.approx(float(found), abs=0.02)


def test_a_flat_mohawk_is_missed(head: Head) -> None:
    asked = {"skin": "green", "style": "mohawk", "hair": "red", "beard": "beard"}
    found = measure(painted(head.vertices, head.triangles, by_region(head, scalp=RED)), head, asked)
    assert not found.standoff_kept
    assert {region: color.nearest for region, color in found.colors.items()} == {
        "skin": "green",
        "hair": "red",
        "beard": "blue",
    }


def test_what_is_covered_is_not_measured(head: Head) -> None:
    mesh = painted(head.vertices, head.triangles, by_region(head))
    worn = {"skin": "green", "style": "long", "hair": "red", "headwear": "hat"}
    assert set(measure(mesh, head, worn).colors) == {"skin"} and measure(mesh, head, worn).standoff_kept
    assert measure(mesh, head, {"skin": "green", "paint": "skull", "sex": "man"}).colors == {}
