# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the stages: views that the pack was trained with, surfaces that keep the chosen head, moves in patches."""

import numpy as np
import pytest
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.packs.spec import CameraRange, PackSpec
from headsculpt.render.camera import Camera
from headsculpt.shape.distance import FIELD_BOUND, signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.occupancy import OccupancyGrid, OccupancySettings
from headsculpt.stages.coarse import fog_at_the_rim, lit, render_field
from headsculpt.stages.extraction import NECK, extract_surface, where_much_has_grown
from headsculpt.stages.fine import TetrahedralSurface, render_surface
from headsculpt.stages.normals import depth_normals
from headsculpt.stages.views import Views, ViewSampler, ViewSettings, wrap_degrees

SPEC = PackSpec(
    name="test",
    cameras=CameraRange(radius=(1.6, 2.0), fov=(38, 42), elevation=(-10, 40), target_jitter=0.02),
    close_ups=(
        CameraRange(radius=(1.6, 2.0), fov=(20, 22), elevation=(-10, 20), azimuth_limit=80, words="close up"),
        CameraRange(radius=(1.6, 2.0), fov=(12, 14), elevation=(-5, 10), azimuth_limit=60, words="face close up"),
    ),
)


@pytest.fixture(scope="module")
def head() -> Head:
    model = load_builtin()
    return Head.from_vertices(model, model.vertices)


@pytest.fixture(scope="module")
def field(head: Head) -> RadianceField:
    settings = FieldSettings(levels=4, log2_size=12, finest=64, hidden=16, density_gain=20.0)
    return RadianceField(
        settings, signed_distance_grid(head.vertices, head.triangles, 129), torch.Generator().manual_seed(0)
    )


@pytest.fixture(scope="module")
def occupancy(field: RadianceField) -> OccupancyGrid:
    return OccupancyGrid(field, OccupancySettings(resolution=64))


def test_every_side_has_its_turn_in_each_batch() -> None:
    sampler = ViewSampler(SPEC, ViewSettings(batch=4), np.random.default_rng(0))
    for _ in range(50):
        azimuth = np.sort(sampler.sample(16).azimuth.numpy() % 360)
        gaps = np.diff(np.append(azimuth, azimuth[0] + 360))
        assert gaps.max() < 140 and gaps.min() > 40


def test_views_stay_in_the_ranges_that_the_pack_knows() -> None:
    sampler = ViewSampler(
        SPEC, ViewSettings(batch=3, front_share=0.3, close_up_shares=(0.3, 0.2)), np.random.default_rng(1)
    )
    batches = [sampler.sample(16) for _ in range(200)]
    shares = np.bincount([views.shot for views in batches]) / len(batches)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.1)
    for views in batches:
        cameras = SPEC.close_ups[views.shot - 1] if views.shot else SPEC.cameras
        assert views.azimuth.abs().max() <= cameras.azimuth_limit + 1e-4
        assert cameras.elevation[0] <= views.elevation.min() and views.elevation.max() <= cameras.elevation[1]
        fov = torch.rad2deg(views.camera.fov_y)
        assert cameras.fov[0] - 1e-3 <= fov.min() and fov.max() <= cameras.fov[1] + 1e-3
        # the one light is always on the camera's side
        assert ((views.light * views.camera.rotation[:, 2]).sum(1) > 0).all()
        assert torch.allclose(views.light.norm(dim=1), torch.ones(3))


def test_angles_are_wrapped() -> None:
    np.testing.assert_allclose(wrap_degrees(np.array([-190.0, 180, 359, 725])), [170, -180, -1, 5])


def test_normals_of_a_ball_seen_as_depth_point_outwards() -> None:
    camera = Camera.orbit(
        torch.tensor([30.0]), torch.tensor([20.0]), torch.tensor([2.0]), torch.tensor([30.0]), 64, None
    )
    origins, directions = camera.rays()
    along = (origins[:, None, None] * directions).sum(-1)
    hidden = along**2 - (origins.norm(dim=1)[:, None, None] ** 2 - 0.3**2)
    depth = torch.where(hidden > 0, -along - hidden.clamp(min=0).sqrt(), torch.full_like(along, 2.0))
    normals = depth_normals(origins, directions, depth)
    truth = torch.nn.functional.normalize(origins[:, None, None] + directions * depth[..., None], dim=-1)
    middle = hidden > 0.03  # away from the rim
    assert (normals * truth).sum(-1)[middle].min() > 0.99


def test_an_untrained_field_is_extracted_as_the_chosen_head(
    head: Head, field: RadianceField, occupancy: OccupancyGrid
) -> None:
    import igl

    mesh = extract_surface(field, occupancy, 96)
    skin = head.masks["scalp"][head.triangles].min(1) > 0.5
    distance = np.sqrt(
        igl.point_mesh_squared_distance(
            head.vertices[np.unique(head.triangles[skin])].astype(np.float64),
            mesh.vertices.astype(np.float64),
            mesh.triangles.astype(np.int64),
        )[0]
    )
    assert np.percentile(distance, 95) < 0.002  # a third of a per cent of the head's height
    assert mesh.colors is not None and np.allclose(mesh.colors, 0.5, atol=0.05)


def grown(field: RadianceField, where: list[float], radius: float, density: float) -> RadianceField:
    """The untrained field, and a ball of even fog."""

    class Fogged(RadianceField):
        def density_change(self, points: torch.Tensor) -> torch.Tensor:
            inside = (points - torch.tensor(where)).norm(dim=1) < radius
            return torch.where(inside, density - self.settings.lower_bound, 0.0)

    fogged = Fogged(field.settings, field.distance.numpy(), torch.Generator().manual_seed(0))
    fogged.load_state_dict(field.state_dict())
    return fogged


def test_a_fog_as_hair_is_becomes_surface_and_a_thinner_one_does_not(
    head: Head, field: RadianceField, occupancy: OccupancyGrid
) -> None:
    top = head.vertices[head.vertices[:, 1].argmax()]
    where = [0.0, float(top[1]) + 0.16, float(top[2])]  # where the prior has ended
    heights = {
        density: extract_surface(grown(field, where, 0.08, density), occupancy, 96).vertices[:, 1].max() - top[1]
        for density in (8.0, 3.0)
    }
    assert heights[8.0] > 0.1 and heights[3.0] == pytest.approx(0, abs=0.012)


def test_a_speck_is_no_hair(head: Head, field: RadianceField, occupancy: OccupancyGrid) -> None:
    top = head.vertices[head.vertices[:, 1].argmax()]
    fogged = grown(field, [0.0, float(top[1]) + 0.02, float(top[2])], 0.025, 2.0)
    plain, flecked = (extract_surface(each, occupancy, 96) for each in (field, fogged))
    assert flecked.vertices[:, 1].max() == pytest.approx(plain.vertices[:, 1].max(), abs=0.014)


@pytest.mark.parametrize(("height", "thickness", "kept"), [(0.1, 0.02, True), (-0.4, 0.02, False), (-0.4, 0.06, True)])
def test_a_thin_fog_at_the_neck_is_no_surface_but_thick_hair_is(height: float, thickness: float, kept: bool) -> None:
    """A plate of fog beside a post in the head's place, above or below NECK."""
    axis = torch.linspace(-FIELD_BOUND, FIELD_BOUND, 161)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    head = (x**2 + z**2).sqrt() - 0.1
    plate = torch.stack([(x - 0.2).abs() - thickness / 2, (y - height).abs() - 0.15, z.abs() - 0.15]).amax(0)
    level = where_much_has_grown(torch.minimum(head, plate), head, head)
    middle = level[(axis - 0.2).abs().argmin(), (axis - height).abs().argmin(), 80]
    assert (middle < 0) == kept and (height - 0.15 > NECK or height + 0.15 < NECK)


def test_fog_at_the_rim_is_its_optical_depth_and_shoulders_are_none() -> None:
    head = torch.zeros(1, 64, 64)
    head[:, 20:, 16:48] = 1.0
    head[:, 48:] = 1.0  # shoulders reach the rim
    assert float(fog_at_the_rim(head)) == pytest.approx(0, abs=2e-3)
    for depth in (0.1, 1.0, 4.0):
        tau = torch.full((1, 64, 64), depth, requires_grad=True)
        loss = fog_at_the_rim(1 - torch.exp(-tau))
        assert loss.item() == pytest.approx(depth, rel=0.03)
        (pull,) = torch.autograd.grad(loss, tau)
        assert float(pull.sum()) == pytest.approx(1, rel=0.06)  # as strong where all is covered
        assert (pull[0, 10:40, 10:54] == 0).all() and (pull[0, 50:] == 0).all()


def test_field_and_surface_are_the_same_picture(head: Head, field: RadianceField, occupancy: OccupancyGrid) -> None:
    """Carried over to tetrahedra, the untrained head looks as it did: colours, light, silhouette, left and right."""
    count = 2
    camera = Camera.orbit(
        torch.tensor([20.0, -130.0]),
        torch.tensor([5.0, 15.0]),
        torch.full((count,), 1.9),
        torch.full((count,), 40.0),
        64,
    )
    views = Views(
        camera,
        torch.tensor([20.0, -130.0]),
        torch.tensor([5.0, 15.0]),
        False,
        torch.nn.functional.normalize(camera.rotation[:, 2] + 0.5 * camera.rotation[:, 0], dim=1),
        torch.full((count,), 0.5),
        torch.full((count, 3), 0.9),
    )
    with torch.no_grad():
        volume = lit(render_field(field, occupancy, camera, 64, None), views)
        surface = TetrahedralSurface(extract_surface(field, occupancy, 64), 64, 2)
        raster = render_surface(*surface.mesh(), field, views)
    assert (volume - raster).abs().mean() < 0.02
    assert (volume - raster.flip(-1)).abs().mean() > 0.03


def test_a_push_on_one_vertex_moves_a_patch_and_smoothing_widens_it(
    head: Head, field: RadianceField, occupancy: OccupancyGrid
) -> None:
    mesh = extract_surface(field, occupancy, 48)
    moved = []
    for smoothing in (0, 4):
        surface = TetrahedralSurface(mesh, 48, smoothing)
        before = surface.surface().vertices
        with torch.no_grad():
            surface.change[surface.start.abs().argmin(), 0] = -0.5
        after = surface.surface()
        moved.append(len(np.setdiff1d(after.vertices.round(6).view("f4,f4,f4"), before.round(6).view("f4,f4,f4"))))
    assert 0 < moved[0] < moved[1]
