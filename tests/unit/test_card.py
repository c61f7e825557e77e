# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels for graphics cards, run by Warp on the processor, against those that the processor has itself; and whole
steps on torch's device without data, where everything fails that waits for a number or mixes devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from shapes import icosphere
from test_antialias import SCENES
from tiny_pack import make_tiny_pack
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from headsculpt import device
from headsculpt.guidance.methods import Method
from headsculpt.guidance.prompts import ViewPrompts
from headsculpt.guidance.score import ScoreSettings
from headsculpt.jobs import generate
from headsculpt.jobs.events import JobControl
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.files import load_codec, settled
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.render import antialias, raster, volume
from headsculpt.render.camera import Camera
from headsculpt.shape import hashgrid
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.hashgrid import HashGrid
from headsculpt.shape.occupancy import OccupancyGrid, OccupancySettings
from headsculpt.shape.tetrahedra import Room
from headsculpt.stages import coarse, fine, paint
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.monitor import SilentMonitor
from headsculpt.stages.presets import PREVIEW
from headsculpt.stages.settings import FinishSettings, Preset
from headsculpt.stages.views import ViewSampler, ViewSettings

PLACES = (device, hashgrid, volume, raster, antialias, fine)
NO_DATA = torch.device("meta")


@pytest.fixture
def on_card(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes tensors of the processor's go through the card's kernels, or not."""

    def force(wanted: bool) -> None:
        for module in PLACES:
            monkeypatch.setattr(module, "on_card", lambda tensor: wanted)

    return force


# --- each kernel against the processor's own


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("active", [6.0, 3.6])
def test_the_hash_grid_says_the_same_and_learns_the_same(on_card: Callable[[bool], None], active: float) -> None:
    grid = HashGrid(6, 2, 13, 4, 200, generator=torch.Generator().manual_seed(0))
    grid.table.data.normal_(generator=torch.Generator().manual_seed(1))
    grid.active_levels = active
    points = (random(2000, 3) * 1.2 - 0.1).requires_grad_()
    weights = random(2000, 12, seed=2) - 0.5

    def outcome() -> tuple[Tensor, ...]:
        encoded = grid(points)
        return (encoded, *torch.autograd.grad((encoded * weights).sum(), (grid.table, points)))

    on_card(False)
    expected = outcome()
    on_card(True)
    for found, wanted in zip(outcome(), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("known", [False, True])
def test_rays_are_sampled_in_the_same_places(on_card: Callable[[bool], None], known: bool) -> None:
    occupied = random(24, 24, 24) < 0.1
    density = random(24, 24, 24, seed=1) * 30 * occupied if known else None
    origins = torch.nn.functional.normalize(random(2000, 3, seed=2) - 0.5, dim=1) * 1.2
    origins[:9] = torch.tensor([0.1, 0.2, 0.3])  # inside the cube
    directions = torch.nn.functional.normalize(0.8 * (random(2000, 3, seed=3) - 0.5) - origins, dim=1)
    origins[9], directions[9] = torch.tensor([0.1, 0.1, -2.0]), torch.tensor([0.0, 0.0, 1.0])  # along an axis
    directions[10] = -directions[10]  # away from it all
    on_card(False)
    wanted = volume.sample_rays(origins, directions, occupied, 12, None, density)
    on_card(True)
    found = volume.sample_rays(origins, directions, occupied, 12, None, density)
    assert 100 < len(wanted.rays) < 2000 and torch.equal(found.rays, torch.arange(2000))
    assert torch.equal(found.met.nonzero()[:, 0], wanted.rays)
    for name in ("points", "t", "deltas"):
        torch.testing.assert_close(getattr(found, name)[found.met], getattr(wanted, name), atol=1e-6, rtol=1e-6)
    assert (found.deltas[~found.met] == 0).all()


def test_samples_of_a_card_lie_anywhere_in_their_strata(on_card: Callable[[bool], None]) -> None:
    on_card(True)
    origin, way = torch.tensor([[0.0, 0.0, -2.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    solid = torch.ones(8, 8, 8, dtype=torch.bool)
    found = volume.sample_rays(origin, way, solid, 64, torch.Generator().manual_seed(0))
    place = (found.t[0] - 1.25) / 1.5 * 64  # the cube is 1.5 wide, its face 1.25 away
    assert torch.equal(place.floor(), torch.arange(64.0)) and 0.2 < place.frac().std() < 0.4


@pytest.mark.parametrize("name", ["cube", "dense ball", "ball before ball", "open square"])
def test_pictures_of_triangles_and_their_gradients_are_the_same(on_card: Callable[[bool], None], name: str) -> None:
    scene = SCENES[name]()
    vertices = scene.vertices.requires_grad_()
    weights = random(96, 96, 3) - 0.5

    def outcome() -> tuple[Tensor, ...]:
        pixels, depth = scene.camera.project(vertices)
        ids, bary = raster.rasterize(pixels[0], depth[0], scene.triangles, 96, 96)
        colors = raster.interpolate(vertices * 2, scene.triangles, ids, bary)
        picture = antialias.antialias(colors, ids, pixels[0], depth[0], scene.triangles)
        (gradient,) = torch.autograd.grad((picture * weights).sum(), vertices)
        return ids, bary, colors, picture, gradient

    on_card(False)
    expected = outcome()
    on_card(True)
    for found, wanted in zip(outcome(), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_at_equal_depth_the_lower_id_wins_and_broken_triangles_are_left_out(on_card: Callable[[bool], None]) -> None:
    pixels = torch.tensor([[-9.0, -9.0], [50.0, -9.0], [-9.0, 50.0], [torch.nan, 3.0]])
    triangles = torch.tensor([[0, 1, 3], [0, 1, 2], [0, 2, 1]], dtype=torch.int32)
    on_card(True)
    ids, bary = raster.rasterize(pixels, torch.ones(4), triangles, 8, 8)
    assert (ids == 1).all() and torch.allclose(bary.sum(-1), torch.ones(8, 8))
    behind = torch.tensor([1.0, 1.0, -1.0, 1.0])
    assert (raster.rasterize(pixels, behind, triangles, 8, 8)[0] == -1).all()


# --- whole steps and jobs


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("pack"))


class NoMixing(TorchDispatchMode):
    """Fails where an operation takes tensors of the processor's and of the other device at once: cards do, too. And
    where a convolution's picture is not in the order of a card's weights, which costs time."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        tensors = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not copies and len({tensor.device for tensor in tensors if tensor.ndim}) > 1:
            raise AssertionError(f"{func} takes tensors of two devices")
        if func is torch.ops.aten.convolution.default and args[0].device == NO_DATA:
            assert args[0].is_contiguous() and args[1].is_contiguous()
        return func(*args, **(kwargs or {}))


def refuse(*_: Any, **__: Any) -> Tensor:
    raise AssertionError("numbers of Python's go to a card only when it has done all else")


class Backward:
    """An optimiser that only asks for the gradients."""

    steps = 0

    def __init__(self, groups: list[dict[str, Any]], *_: Any) -> None:
        self.parameters = [parameter for group in groups for parameter in group["params"]]

    def step(self, loss: Tensor) -> None:
        loss.backward()
        assert all(parameter.grad is not None for parameter in self.parameters)
        Backward.steps += 1

    def slow_down(self, share: float) -> None:
        assert 0 < share <= 1


def without_data(pack: Pack, folder: Path) -> Pack:
    """The pack as `spare_card` leaves it on a card."""
    names = ("unet", "controlnet", "landmark_encoder")
    networks = {name: settled(getattr(pack, name), NO_DATA) for name in names}
    codec = load_codec(folder, NO_DATA, torch.float32)
    return replace(pack, device=NO_DATA, codec=codec, alphas_cumprod=pack.alphas_cumprod.to(NO_DATA), **networks)


@pytest.fixture
def step(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes all that a stage needs, where there is no data. Kernels do nothing there."""
    from headsculpt.render import antialias_warp, raster_warp, volume_warp
    from headsculpt.shape import hashgrid_warp

    for module in (antialias_warp, raster_warp, volume_warp, hashgrid_warp):
        monkeypatch.setattr(module, "launch", lambda *_: None)
    monkeypatch.setattr(Tensor, "new_tensor", refuse)
    for stage in (coarse, fine, paint):
        monkeypatch.setattr(stage, "GuardedAdam", Backward)
    monkeypatch.setattr(Backward, "steps", 0)
    pack = without_data(load_pack(pack_folder), pack_folder)
    grid = signed_distance_grid(*(lambda ball: (ball.vertices, ball.triangles))(icosphere(2)), 33)
    settings = FieldSettings(levels=4, log2_size=12, finest=64, hidden=16)
    field = RadianceField(settings, grid, torch.Generator().manual_seed(0)).to(NO_DATA)
    landmarks = np.random.default_rng(0).normal(0, 0.1, (478, 3))

    def parts(method: Method) -> tuple[RadianceField, Distillation, ViewSampler]:
        score = ScoreSettings(method)
        prompts = ViewPrompts(pack, "a bald man", settings=score)
        distillation = Distillation(pack, prompts, landmarks, score, torch.Generator().manual_seed(0))
        return field, distillation, ViewSampler(pack.spec, ViewSettings(), np.random.default_rng(0))

    return parts


@pytest.mark.slow
@pytest.mark.parametrize("method", [Method.SDS, Method.TARGET, Method.NFSD])
def test_no_step_of_the_coarse_stage_waits_for_a_card_or_mixes_devices(
    step: Callable[..., Any], method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the occupancy grid's update, once in sixteen steps."""
    field, distillation, sampler = step(method)
    occupancy = OccupancyGrid(field, OccupancySettings(resolution=16))
    monkeypatch.setattr(occupancy, "update", lambda *_: None)
    settings = replace(PREVIEW.coarse, steps=3, resolutions=((0.0, 16),), samples=4, weight_sketch=1.0)
    with NoMixing():
        coarse.run_coarse(
            field, occupancy, distillation, sampler, settings, torch.Generator().manual_seed(0), SilentMonitor()
        )
    assert Backward.steps == 3


def test_no_step_of_refining_waits_for_a_card_or_mixes_devices(
    step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for how large the surface is, once in sixteen steps."""
    field, distillation, sampler = step(Method.SDS)
    looks = []
    monkeypatch.setattr(fine.TetrahedralSurface, "room", lambda _: looks.append(1) or Room(900, 600))
    surface = fine.TetrahedralSurface(icosphere(2), 24, 0, NO_DATA)
    settings = replace(PREVIEW.fine, steps=17, picture=16, weight_laplacian=0.1)
    with NoMixing():
        fine.run_fine(surface, field, distillation, sampler, settings, SilentMonitor())
    assert Backward.steps == 17 and len(looks) == 2


def test_no_step_of_painting_waits_for_a_card_or_mixes_devices(step: Callable[..., Any]) -> None:
    field, distillation, sampler = step(Method.SDS)
    with NoMixing():
        paint.run_paint(
            icosphere(2), field, distillation, sampler, replace(PREVIEW.paint, steps=2, picture=16), SilentMonitor()
        )
    assert Backward.steps == 2 * PREVIEW.paint.fits


def test_the_guard_itself_notices_both_faults() -> None:
    with NoMixing(), pytest.raises(AssertionError, match="two devices"):
        torch.nn.functional.linear(torch.zeros(2, 3, device=NO_DATA), torch.zeros(4, 3))
    with NoMixing(), pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(3, device=NO_DATA).nonzero()


SMALL = Preset(
    coarse=replace(
        PREVIEW.coarse, steps=6, resolutions=((0.0, 24),), samples=8, prior_resolution=65, extraction_resolution=48
    ),
    fine=replace(PREVIEW.fine, steps=2, resolution=48, picture=32, smoothing=2),
    paint=replace(PREVIEW.paint, steps=2, picture=32),
    finish=FinishSettings(triangles=1500, texture=64, detail=0.0),
)


@pytest.mark.slow
def test_a_whole_job_by_the_cards_kernels_makes_the_same_head(
    pack_folder: Path, on_card: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to rounding, which Adam makes larger from step to step: so the steps are few. Another seed moves half of all
    vertices by 3 mm."""
    monkeypatch.setattr(generate, "PRESETS", {"preview": SMALL})
    # on a card all rays draw their places, not those alone that meet something
    monkeypatch.setattr(volume, "_places", lambda rays, samples, _: torch.full((rays, samples), 0.5))
    request = GenerateRequest("a green man with red hair", pack=pack_folder, threads=1, preview_seconds=0)
    outcome = {}
    for wanted in (False, True):
        on_card(wanted)
        outcome[wanted] = generate.run_generate(request, lambda _: None, JobControl())
    own, cards = outcome[False], outcome[True]
    assert cards.report["steps"] == own.report["steps"] == {"coarse": 6, "fine": 2, "paint": 2}
    distance, _ = KDTree(own.mesh.vertices).query(cards.mesh.vertices)  # metres
    assert np.median(distance) < 1e-4 and np.quantile(distance, 0.9) < 1e-3
    picture, expected = (outcome.mesh.base_color.astype(float) for outcome in (cards, own))
    assert np.abs(picture.mean((0, 1)) - expected.mean((0, 1))).max() < 2
    assert expected.std() > 4  # something was painted at all


def test_a_camera_and_its_views_move_as_one() -> None:
    ones = torch.ones(2)
    moved = Camera.orbit(0 * ones, 0 * ones, ones, 40 * ones, 8).to(NO_DATA)
    assert {tensor.device for tensor in (*moved.rays(), moved.focal)} == {NO_DATA} and moved.height == 8
