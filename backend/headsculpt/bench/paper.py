# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps per second of the Paper preset, and the share that its networks alone would take: `build.py bench --paper`.

On a graphics card with Stable Diffusion 1.5 in full size and random weights, which are as fast as trained ones. Without
a card the pocket pack stands in, so that the command can be tried.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from headsculpt import device
from headsculpt.guidance.prompts import ViewPrompts, landmark_scale
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.head.smoothing import smooth_surface
from headsculpt.jobs.generate import POCKET, WARMUP_CHANNELS
from headsculpt.mesh import Mesh
from headsculpt.packs.full_size import make_full_size
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.render.landmark_map import landmark_maps
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.field import RadianceField
from headsculpt.shape.occupancy import OccupancyGrid
from headsculpt.stages import coarse, fine
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.monitor import SilentMonitor
from headsculpt.stages.presets import PAPER
from headsculpt.stages.settings import CoarseSettings, FineSettings, Preset
from headsculpt.stages.views import ViewSampler

ON_CARD, WITHOUT = 64, 2
"""Steps that are measured, on a card and without one."""


@dataclass(frozen=True)
class Row:
    """A stage's steps per second, and those of its networks called alone."""

    stage: str
    steps: float
    networks: float

    @property
    def share(self) -> float:
        """Of the speed that the networks alone allow, 0 … 1."""
        return self.steps / self.networks


def print_paper(folder: Path | None = None) -> None:
    """Prints the table. folder: of a pack; None for random weights in full size, which are made first."""
    choice = device.choose("auto", *([folder] if folder else []))
    on_card = choice.device.type != "cpu"
    if not on_card:
        print(f"{choice.reason or 'There is no NVIDIA card here.'} A trial with few steps on the processor:")
        folder = folder or POCKET
    with tempfile.TemporaryDirectory(prefix="headsculpt-", ignore_cleanup_errors=True) as made:
        if folder is None:
            print("Making Stable Diffusion 1.5 of random weights (3.6 GB) …", flush=True)
            folder = Path(made)
            make_full_size(folder)
        pack = load_pack(folder, choice.device, choice.dtype)
    pack.spare_card(choice.saving)
    precision = str(pack.dtype).removeprefix("torch.")
    print(f"{device.describe(pack.device)}, {precision}, torch {torch.__version__}, pack “{pack.spec.name}”")
    print(f"{'stage':40}{'steps/s':>10}{'networks alone':>18}{'share':>8}")
    for row in paper_rows(pack, ON_CARD if on_card else WITHOUT):
        print(f"{row.stage:40}{row.steps:10.2f}{row.networks:18.2f}{row.share:8.0%}", flush=True)
    if on_card:
        print(f"memory's peak {torch.cuda.max_memory_allocated(pack.device) / 1e9:.1f} GB")


def paper_rows(pack: Pack, steps: int, preset: Preset = PAPER) -> Iterator[Row]:
    """Each stage, the coarse one with its latent warm-up first, if the pack can do it. steps: how many are measured,
    after half as many that are not."""
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    generator = torch.Generator().manual_seed(0)
    grid = signed_distance_grid(*smooth_surface(head), preset.coarse.prior_resolution)
    field = RadianceField(preset.coarse.field, grid, generator).to(pack.device)
    occupancy = OccupancyGrid(field, preset.coarse.occupancy)
    count = steps + max(1, steps // 2)

    def parts(settings: CoarseSettings | FineSettings) -> tuple[Distillation, ViewSampler]:
        prompts = ViewPrompts(pack, "a head of an old man with a red beard", settings=settings.score)
        distillation = Distillation(pack, prompts, head.landmarks, settings.score, generator)
        return distillation, ViewSampler(pack.spec, settings.views, np.random.default_rng(0))

    for warm in [True, False] if pack.spec.latent_channels == WARMUP_CHANNELS else [False]:
        settings = replace(preset.coarse, steps=count, warmup_steps=count if warm else 0)
        watch = _Watch(count - steps, pack.device)
        coarse.run_coarse(field, occupancy, *parts(settings), settings, generator, watch)
        alone = _networks(pack, *parts(settings), pictures=not warm)
        yield Row(f"{coarse.STAGE}{', latent warm-up' if warm else ''}", watch.rate, _rate(alone, watch, count))
    surface = fine.TetrahedralSurface(
        Mesh(head.vertices, head.triangles), preset.fine.resolution, preset.fine.smoothing, pack.device
    )
    refined = replace(preset.fine, steps=count)
    watch = _Watch(count - steps, pack.device)
    fine.run_fine(surface, field, *parts(refined), refined, watch)
    alone = _networks(pack, *parts(refined), pictures=True)
    yield Row(fine.STAGE, watch.rate, _rate(alone, watch, count))


class _Watch(SilentMonitor):
    """Measures the steps after the first `skip`; waits for a card only where it begins and ends."""

    def __init__(self, skip: int, device: torch.device) -> None:
        self.skip, self.device = skip, device
        self.rate = 0.0
        self._start = 0.0

    def after_step(self, stage: str, step: int, steps: int, mesh: Callable[[], Mesh]) -> bool:
        self.note(step, steps)
        return False

    def note(self, step: int, steps: int) -> None:
        """`step` of `steps` is done."""
        if step in (self.skip, steps):
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            if step == self.skip:
                self._start = time.perf_counter()
            else:
                self.rate = (steps - self.skip) / (time.perf_counter() - self._start)


def _rate(step: Callable[[], None], like: _Watch, count: int) -> float:
    """Steps per second of `step`, measured as the stage was."""
    watch = _Watch(like.skip, like.device)
    for number in range(1, count + 1):
        step()
        watch.note(number, count)
    return watch.rate


def _networks(pack: Pack, distillation: Distillation, sampler: ViewSampler, pictures: bool) -> Callable[[], None]:
    """A step of a stage without all that is not a network: U-Net and ControlNet for its branches, and for pictures the
    codec there and back. Each step has other views, and with them other ControlNet calls, as the stage has."""
    spec, settings = pack.spec, distillation.settings
    branches, count = len(settings.branches), sampler.settings.batch
    views = [sampler.sample(spec.image_size) for _ in range(16)]
    scales = [landmark_scale(spec.views, view.azimuth).repeat(branches) for view in views]
    maps = landmark_maps(distillation.landmarks, views[0].camera, pack.device)
    words = torch.cat(
        [
            distillation.prompts.of(branch, views[0].azimuth, views[0].elevation, views[0].shot)
            for branch in settings.branches
        ]
    )
    size = (count, spec.latent_channels, spec.latent_size, spec.latent_size)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(pack.device)
    t = torch.full((count * branches,), 500, device=pack.device)
    shown = maps.clone().requires_grad_()
    turn = iter(range(10**9))

    def step() -> None:
        latents = noise
        if pictures:
            latents = pack.codec.encode(shown)
        for _ in range(settings.calls // branches):
            features = pack.read_landmarks(maps).repeat(branches, 1, 1, 1)
            scale = scales[next(turn) % len(scales)]
            pack.predict_noise(latents.detach().repeat(branches, 1, 1, 1), t, words, features, scale)
        if pictures:
            torch.autograd.grad(latents, shown, noise)

    return step
