# SPDX-License-Identifier: GPL-3.0-or-later
"""Textures: the surface's own colours and normals everywhere on it, seams included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from shapes import bumps, icosphere, is_closed_manifold

from headsculpt.finish.bake import angle_normals, area_normals, bake
from headsculpt.finish.clean import decimate
from headsculpt.finish.finish import finish
from headsculpt.finish.unwrap import unwrap
from headsculpt.mesh import Mesh, TexturedMesh
from headsculpt.render.shading import corner_tangents

SIZE = 512


def color_at(points: np.ndarray) -> np.ndarray:
    """Waves through space: about eight periods along a head, three of colour."""
    return (0.5 + 0.4 * np.sin(points * np.array([40, 45, 50], np.float32) + 1)).astype(np.float32)


@dataclass
class Baked:
    mesh: Mesh
    normals: np.ndarray
    corner_uv: np.ndarray
    base_color: np.ndarray
    normal_map: np.ndarray


@pytest.fixture(scope="module")
def baked() -> Baked:
    """A bumpy ball of 20,480 triangles on one of 2,500."""
    detail = icosphere(5, bumps)
    mesh = decimate(detail, 2500)
    normals = angle_normals(mesh)
    corner_uv = unwrap(mesh, SIZE)
    return Baked(mesh, normals, corner_uv, *bake(mesh, normals, corner_uv, detail, color_at, SIZE))


def looked_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[N, 3] in [0, 1] at uv [N, 2], origin at the bottom left, filtered bilinearly."""
    size = len(texture)
    x, y = np.clip(uv[:, 0] * size - 0.5, 0, size - 1), np.clip((1 - uv[:, 1]) * size - 0.5, 0, size - 1)
    column, row = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    fx, fy = (x - column)[:, None], (y - row)[:, None]
    image = texture.astype(np.float64) / 255
    upper = (1 - fx) * image[row, column] + fx * image[row, column + 1]
    lower = (1 - fx) * image[row + 1, column] + fx * image[row + 1, column + 1]
    return (1 - fy) * upper + fy * lower


def halved(texture: np.ndarray) -> np.ndarray:
    """The next mip level."""
    rows = texture.astype(np.float64).reshape(len(texture) // 2, 2, len(texture) // 2, 2, 3)
    return rows.mean(axis=(1, 3))


def at(bary: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Values [T, 3, C] at the same place [3] of every triangle."""
    return np.einsum("c,tci->ti", bary, corners)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def surface(mesh: Mesh, bary: np.ndarray) -> np.ndarray:
    """Where the bumpy ball itself is, over points of the light mesh."""
    direction = unit(at(bary, mesh.vertices[mesh.triangles]).astype(np.float64))
    return direction * bumps(direction)[:, None]


MIDDLE = np.array([1, 1, 1]) / 3
PLACES = [MIDDLE, *np.eye(3), *(1 - np.eye(3)) / 2, np.array([0.98, 0.01, 0.01])]
"""The middle, the corners and the edges' middles: half of the edges and corners at a rim are on a seam."""


@pytest.mark.parametrize("place", PLACES)
def test_colors_are_those_of_the_surface(baked: Baked, place: np.ndarray) -> None:
    found = looked_up(baked.base_color, at(place, baked.corner_uv))
    off = np.abs(found - color_at(surface(baked.mesh, place).astype(np.float32)))
    assert off.mean() < 0.01 and np.quantile(off, 0.999) < 0.06


def sides_of_seams(baked: Baked) -> tuple[np.ndarray, np.ndarray]:
    """UVs [S, K, 2] along the edges that two charts share, as seen from the one side and from the other."""
    edges: dict[tuple[int, int], np.ndarray] = {}
    one, other = [], []
    for triangle, uv in zip(baked.mesh.triangles, baked.corner_uv, strict=True):
        for k in range(3):
            a, b = int(triangle[k]), int(triangle[(k + 1) % 3])
            if (b, a) in edges:
                facing = edges[b, a][::-1]
                if not np.allclose(facing, uv[[k, (k + 1) % 3]], atol=1e-6):
                    one.append(facing)
                    other.append(uv[[k, (k + 1) % 3]])
            edges[a, b] = uv[[k, (k + 1) % 3]]
    along = np.linspace(0, 1, 9)[None, :, None]
    ends = np.array(one), np.array(other)
    return tuple((1 - along) * side[:, :1] + along * side[:, 1:] for side in ends)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_seams_do_not_show(baked: Baked, level: int) -> None:
    one, other = sides_of_seams(baked)
    assert len(one) > 100
    texture = baked.base_color
    for _ in range(level):
        texture = halved(texture)
    step = np.abs(looked_up(texture, one.reshape(-1, 2)) - looked_up(texture, other.reshape(-1, 2)))
    assert step.mean() < 0.006 * 3**level and np.quantile(step, 0.99) < 0.03 * 3**level


def test_no_texel_is_empty(baked: Baked) -> None:
    assert baked.base_color.min() >= 0.1 * 255 - 1, "the darkest color there is"
    assert (baked.normal_map[..., 2] > 0).all()


def test_normal_map_of_the_mesh_itself_is_flat() -> None:
    mesh = decimate(icosphere(4, bumps), 1500)
    normals = area_normals(mesh).astype(np.float32)
    _, normal_map = bake(mesh, normals, unwrap(mesh, 256), mesh, color_at, 256)
    assert np.abs(normal_map.astype(int) - (128, 128, 255)).max() <= 1


def test_normal_map_brings_back_what_was_thinned_out(baked: Baked) -> None:
    """Drawn as a shader does, against the normals of the formula by finite differences."""
    mesh = baked.mesh
    tangents = corner_tangents(mesh.vertices, mesh.triangles, baked.normals, baked.corner_uv)
    before, after = [], []
    for place in PLACES:
        x, y, z = (2 * looked_up(baked.normal_map, at(place, baked.corner_uv)) - 1).T
        normal, tangent = at(place, baked.normals[mesh.triangles]), at(place, tangents[..., :3])
        bitangent = tangents[:, 0, 3:] * np.cross(normal, tangent)
        drawn = unit(x[:, None] * tangent + y[:, None] * bitangent + z[:, None] * normal)
        point = surface(mesh, place)
        across = unit(np.cross(point, [0.3, 0.5, 0.8]))
        around = unit(np.cross(point, across))

        def moved(step: np.ndarray, point: np.ndarray = point) -> np.ndarray:
            direction = unit(point + step)
            return direction * bumps(direction)[:, None]

        steps = [moved(1e-5 * way) - moved(-1e-5 * way) for way in (across, around)]
        true = unit(np.cross(*steps))
        true *= np.sign((true * point).sum(axis=1))[:, None]
        before.append(np.degrees(np.arccos(np.clip((unit(normal) * true).sum(axis=1), -1, 1))))
        after.append(np.degrees(np.arccos(np.clip((drawn * true).sum(axis=1), -1, 1))))
    assert np.mean(after) < 1.0 and np.mean(after) < 0.25 * np.mean(before)


def test_the_finish_as_a_whole() -> None:
    head = finish(icosphere(5, bumps), color_at, triangles=3000, texture=256)
    assert isinstance(head, TexturedMesh)
    assert is_closed_manifold(Mesh(head.vertices, head.triangles)) and len(head.triangles) <= 3000
    assert head.base_color.shape == head.normal_map.shape == (256, 256, 3)
    assert np.allclose(np.linalg.norm(head.normals, axis=1), 1, atol=1e-5)
    again = finish(icosphere(5, bumps), color_at, triangles=3000, texture=256)
    for name, values in vars(head).items():
        assert np.array_equal(values, getattr(again, name)), name
