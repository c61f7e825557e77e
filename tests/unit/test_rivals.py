# SPDX-License-Identifier: GPL-3.0-or-later
"""What the paper's rivals do differently: a blob for a prior, a field of latents with a sketch, normals as pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shapes import icosphere
from tiny_pack import make_tiny_pack

from headsculpt.packs.codec import LinearCodec
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.render.camera import Camera
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.occupancy import OccupancyGrid, OccupancySettings
from headsculpt.shape.prior import Prior
from headsculpt.stages.coarse import latent_colors, over_background, render_field, sketch_loss
from headsculpt.stages.extraction import extract_surface
from headsculpt.stages.fine import render_surface
from headsculpt.stages.settings import Look
from headsculpt.stages.views import Views

SMALL = FieldSettings(levels=3, log2_size=10, finest=32, hidden=8)
BLOB = replace(SMALL, prior=Prior.BLOB)


def field(settings: FieldSettings, colors: torch.Tensor | None = None) -> RadianceField:
    ball = icosphere(3)  # stands for the head: a ball of radius .3
    distance = signed_distance_grid(ball.vertices, ball.triangles, 65)
    return RadianceField(settings, distance, torch.Generator().manual_seed(0), colors)


def last_layer(grown: RadianceField) -> torch.nn.Linear:
    layer = grown.mlp[-1]
    assert isinstance(layer, torch.nn.Linear)
    return layer


def views(count: int, size: int) -> Views:
    azimuth, flat = 70.0 * torch.arange(count), torch.zeros(count)
    camera = Camera.orbit(azimuth, flat, flat + 1.8, flat + 35.0, size)
    background = torch.linspace(0.2, 0.9, 3 * count).view(count, 3)
    return Views(camera, azimuth, flat, 0, camera.rotation[:, 2], flat + 0.5, background)


def test_the_blob_is_stable_dreamfusions() -> None:
    """softplus(λ(1 − |x|/r)) with λ = 10 and r = .5, whatever the head is."""
    points = torch.tensor([[0.0, 0, 0.02], [0.1, 0.2, -0.1], [0.5, 0, 0], [0.6, -0.2, 0.6]])
    expected = [math.log1p(math.exp(10 * (1 - math.dist(point, (0, 0, 0)) / 0.5))) for point in points.tolist()]
    density, _, normal = field(BLOB)(points)
    torch.testing.assert_close(density, torch.tensor(expected), rtol=0.02, atol=1e-3)
    torch.testing.assert_close(normal[1:], torch.nn.functional.normalize(points[1:], dim=1), rtol=0, atol=0.05)


def test_an_untrained_blob_is_a_ball_of_a_heads_size_and_every_ray_looks_through_it() -> None:
    blob = field(BLOB)
    occupancy = OccupancyGrid(blob, OccupancySettings(resolution=32))
    assert occupancy.sampled(torch.zeros(1, 3)).all()  # nothing of it is opaque
    mesh = extract_surface(blob, occupancy, 48)
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert radius == pytest.approx(0.25, abs=0.01)


def test_a_blob_grows_as_much_as_the_network_says() -> None:
    blob = field(replace(BLOB, density_gain=1.0))
    with torch.no_grad():
        last_layer(blob).bias[3] = 2.0  # 2 more everywhere: λ/r = 20 per unit, so .1 further out
    mesh = extract_surface(blob, OccupancyGrid(blob, OccupancySettings(resolution=32)), 48)
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.35, abs=0.01)
    density, _, _ = blob(torch.from_numpy(mesh.vertices))
    torch.testing.assert_close(density, torch.full_like(density, 5.0), rtol=0.1, atol=0)


def test_a_blob_that_has_grown_far_is_not_hollow() -> None:
    """Far from any surface it is what the network says, not what the untrained blob was."""
    blob = field(replace(BLOB, density_gain=1.0))
    with torch.no_grad():
        last_layer(blob).bias[3] = 5.0  # .25 further out: a ball of twice the radius
    mesh = extract_surface(blob, OccupancyGrid(blob, OccupancySettings(resolution=32)), 72)
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.5, abs=0.01)
    with torch.no_grad():
        last_layer(blob).bias[3] = -2.5  # all but the middle is gone
    mesh = extract_surface(blob, OccupancyGrid(blob, OccupancySettings(resolution=32)), 72)
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.125, abs=0.01)


def test_the_sketch_is_latent_nerfs() -> None:
    """By hand, one sample: in and out clamped to .99 and .01, δ = .2, and nothing is asked at the surface itself."""
    for density, distance, sigma in ((3.0, 0.1, 0.125), (3.0, -0.1, 0.125), (40.0, -0.02, 0.3), (0.0, 0.2, 0.1)):
        p, q = 1 - math.exp(-0.2 * density), 0.99 if distance < 0 else 0.01
        cross_entropy = -(p * math.log(q) + (1 - p) * math.log(1 - q))
        expected = cross_entropy * (1 - math.exp(-(distance**2) / (2 * sigma**2)))
        found = sketch_loss(torch.tensor([density]), torch.tensor([distance]), sigma)
        assert float(found) == pytest.approx(expected, rel=1e-4)
    dense = torch.tensor([5.0, 5.0, 5.0], requires_grad=True)
    sketch_loss(dense, torch.tensor([0.2, -0.2, 0.0]), 0.125).sum().backward()
    assert dense.grad is not None
    outside, inside, surface = dense.grad.tolist()
    assert outside > 0 > inside and surface == 0  # less outside, more inside


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    yield load_pack(make_tiny_pack(tmp_path_factory.mktemp("pack")))


def test_latents_add_to_the_colours_that_they_decode_to(pack: Pack) -> None:
    colors = latent_colors(pack, torch.Generator().manual_seed(0))
    assert colors.shape == (pack.spec.latent_channels + 1, 3)
    plain = torch.tensor([[0.3, 0.5, 0.4], [0.6, 0.4, 0.5]])
    latents = pack.codec.encode(plain[:, :, None, None].expand(-1, -1, 4, 4))[:, :, 0, 0]
    decoded = pack.codec.decode(latents[:, :, None, None]).mean((2, 3))
    torch.testing.assert_close(latents @ colors[:-1] + colors[-1], decoded, rtol=0, atol=0.08)


def test_an_exact_code_gives_exact_colours(tmp_path: Path) -> None:
    """A codec whose three latents are a patch's red, green and blue."""
    basis = torch.zeros(2, 2, 3, 3)
    for channel in range(3):
        basis[..., channel, channel] = 0.5
    codec = LinearCodec(torch.zeros(12), basis.view(12, 3), torch.full((3,), 0.2))
    pack = load_pack(make_tiny_pack(tmp_path / "pack"))
    spec = replace(pack.spec, latent_channels=3, latent_size=16)
    colors = latent_colors(replace(pack, codec=codec, spec=spec), torch.Generator().manual_seed(0))
    latents = codec.encode(torch.full((1, 3, 2, 2), 0.6) * torch.tensor([1.0, 0.5, 0.8])[:, None, None])[0, :, 0, 0]
    torch.testing.assert_close(
        latents @ colors[:-1] + colors[-1], 0.6 * torch.tensor([1.0, 0.5, 0.8]), rtol=0, atol=1e-3
    )


def test_a_latent_field_is_seen_as_the_latents_of_its_picture(pack: Pack) -> None:
    """Flat colours on a flat background: what is rendered as latents is what the encoder makes of the picture."""
    latent = field(SMALL, latent_colors(pack, torch.Generator().manual_seed(0)))
    occupancy = OccupancyGrid(latent, OccupancySettings(resolution=32))
    seen = views(2, pack.spec.latent_size)
    flat = torch.tensor([0.5, 0.3, 0.4])
    code = pack.codec.encode(flat[None, :, None, None].expand(-1, -1, 8, 8))[0, :, 0, 0]
    with torch.no_grad():
        last_layer(latent).bias[4:] = code
        picture = render_field(latent, occupancy, seen.camera, 32, None)
        latents = over_background(picture, seen, pack.codec)
    assert latents.shape == (2, pack.spec.latent_channels, pack.spec.latent_size, pack.spec.latent_size)
    middle, corner = latents[:, :, 4, 4], latents[:, :, 0, 0]
    torch.testing.assert_close(middle, code.expand(2, -1), rtol=0, atol=0.02)
    behind = pack.codec.encode(seen.background[:, :, None, None].expand(-1, -1, 8, 8))[:, :, 0, 0]
    torch.testing.assert_close(corner, behind, rtol=0, atol=1e-4)
    decoded = pack.codec.decode(code[None, :, None, None]).mean((0, 2, 3))
    torch.testing.assert_close(latent.color(torch.zeros(1, 3))[0], decoded, rtol=0, atol=0.08)


def test_normals_as_a_picture_face_the_camera() -> None:
    """A ball: its middle looks at the camera, its left to the left, its top up."""
    ball, seen = icosphere(4), views(3, 64)
    vertices, triangles = torch.from_numpy(ball.vertices), torch.from_numpy(ball.triangles).long()
    pictures = render_surface(vertices, triangles, field(SMALL), seen, Look.NORMALS)
    for index, picture in enumerate(pictures):
        torch.testing.assert_close(picture[:, 31, 31], torch.tensor([0.5, 0.5, 1.0]), rtol=0, atol=0.06)
        assert picture[0, 32, 24] < 0.42 < 0.58 < picture[0, 32, 40]
        assert picture[1, 40, 32] < 0.42 < 0.58 < picture[1, 24, 32]
        torch.testing.assert_close(picture[:, 0, 0], seen.background[index])
