# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `generate`: a sentence and a head shape in, a textured head out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headsculpt import device
from headsculpt.finish.clean import clean
from headsculpt.finish.finish import cleaned, reduced, textured
from headsculpt.finish.report import versions
from headsculpt.guidance.prompts import CheckedPrompt, ViewPrompts, check_prompt
from headsculpt.guidance.score import ScoreSettings
from headsculpt.head.model import Head
from headsculpt.head.smoothing import LEVELS, smooth, smooth_surface
from headsculpt.jobs.events import Event, GenerateResult, JobControl
from headsculpt.jobs.heads import chosen_head
from headsculpt.jobs.monitor import JobMonitor
from headsculpt.jobs.request import GenerateRequest
from headsculpt.mesh import Mesh
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.shape.distance import closed_pieces, signed_distance_grid
from headsculpt.shape.field import RadianceField
from headsculpt.shape.occupancy import OccupancyGrid
from headsculpt.stages import coarse, fine, paint
from headsculpt.stages.distillation import Distillation, Watch
from headsculpt.stages.extraction import extract_surface
from headsculpt.stages.presets import PRESETS
from headsculpt.stages.settings import Preset
from headsculpt.stages.views import ViewSampler, ViewSettings

WARMUP_CHANNELS = 4
"""Normals and opacity: what stands for the latent while the coarse stage warms up."""
POCKET = Path(__file__).parents[1] / "packs" / "pocket"


def run_generate(
    request: GenerateRequest,
    emit: Callable[[Event], None],
    control: JobControl,
    pack: Pack | None = None,
    watch: Watch | None = None,
) -> GenerateResult:
    """The whole way from words to a head. The same request gives the same arrays on one machine's processor.

    emit: hears how far it is; control: how other threads end it; pack: a loaded one, instead of the request's; watch:
    sees what the model is shown and answers.
    Raises UserError for what the user can mend and errors.Cancelled.
    """
    torch.set_num_threads(request.threads or default_threads())
    preset = PRESETS[request.preset]
    head = chosen_head(request.head, emit, control)
    steps = {coarse.STAGE: preset.coarse.steps, fine.STAGE: preset.fine.steps, paint.STAGE: preset.paint.steps}
    monitor = JobMonitor(head.space, steps, request.preview_seconds, emit, control)
    with monitor.part("Getting ready"):
        pack = pack or loaded(request, monitor)
        prompt = check_prompt(pack, request.prompt)
        preset, changes = fitted(PRESETS[request.preset], pack)
        for text in prompt.notices + changes:
            monitor.notice(text)
        studio = Studio(request, pack, prompt.text, head, watch)
        field = RadianceField(
            preset.coarse.field,
            signed_distance_grid(*smooth_surface(head), preset.coarse.prior_resolution),
            studio.torch_random,
            coarse.latent_colors(pack, studio.torch_random) if preset.coarse.latent else None,
        ).to(pack.device)
        occupancy = OccupancyGrid(field, preset.coarse.occupancy)
    with monitor.part(coarse.STAGE):
        done = {"coarse": grow(field, occupancy, studio, preset, monitor)}
        surface = clean(extract_surface(field, occupancy, preset.coarse.extraction_resolution))
    with monitor.part(fine.STAGE):
        done["fine"] = 0
        if preset.fine.steps and not control.stop_requested:
            surface, done["fine"] = refine(surface, field, studio, preset, monitor)
    with monitor.part("Restoring details"):
        pieces = solid_pieces(head) if preset.finish.detail else []
        detail = cleaned(surface, pieces, preset.finish.detail)
        mesh = reduced(detail, preset.finish.triangles)
    with monitor.part(paint.STAGE):
        done["paint"] = 0 if control.stop_requested else color(mesh, field, studio, preset, monitor)
    with monitor.part("Making textures"):
        result = textured(mesh, detail, field.colors_at, preset.finish.texture)
        control.check()
    report = describe(request, pack, prompt, monitor.notices, done, monitor.seconds)
    return GenerateResult(head.space.mesh_from_head(result), report, head.space)


def loaded(request: GenerateRequest, monitor: JobMonitor) -> Pack:
    """The request's pack on the request's device; the user is told when that is not the card that is there."""
    folder = request.pack or POCKET
    weights = [path for path in (folder, request.base) if path is not None]
    choice = device.choose(request.device, *weights, *(path for path, _ in request.lora))
    if choice.reason:
        monitor.notice(choice.reason)
    pack = load_pack(folder, choice.device, choice.dtype, request.base, request.lora)
    pack.spare_card(choice.saving)
    return pack


class Studio:
    """What both stages look through: one head, one prompt, one pack, and the job's random numbers."""

    def __init__(
        self, request: GenerateRequest, pack: Pack, prompt: str, head: Head, watch: Watch | None = None
    ) -> None:
        self.watch = watch
        self.pack = pack
        self.head = head
        self.prompt = prompt
        self.negative_prompt = request.negative_prompt
        self.torch_random = torch.Generator().manual_seed(request.seed)
        self.numpy_random = np.random.default_rng(request.seed)

    def distillation(self, settings: ScoreSettings) -> Distillation:
        prompts = ViewPrompts(self.pack, self.prompt, self.negative_prompt, settings=settings)
        return Distillation(self.pack, prompts, self.head.landmarks, settings, self.torch_random, self.watch)

    def sampler(self, settings: ViewSettings) -> ViewSampler:
        return ViewSampler(self.pack.spec, settings, self.numpy_random)


def grow(field: RadianceField, occupancy: OccupancyGrid, studio: Studio, preset: Preset, monitor: JobMonitor) -> int:
    """The coarse stage; returns the steps done."""
    settings = preset.coarse
    return coarse.run_coarse(
        field,
        occupancy,
        studio.distillation(settings.score),
        studio.sampler(settings.views),
        settings,
        studio.torch_random,
        monitor,
    )


def refine(
    surface: Mesh, field: RadianceField, studio: Studio, preset: Preset, monitor: JobMonitor
) -> tuple[Mesh, int]:
    """The fine stage, from the coarse one's surface; returns its own and the steps done."""
    settings = preset.fine
    tetrahedra = fine.TetrahedralSurface(surface, settings.resolution, settings.smoothing, studio.pack.device)
    done = fine.run_fine(
        tetrahedra, field, studio.distillation(settings.score), studio.sampler(settings.views), settings, monitor
    )
    return tetrahedra.surface(), done


def color(mesh: Mesh, field: RadianceField, studio: Studio, preset: Preset, monitor: JobMonitor) -> int:
    """Painting; returns the steps done."""
    settings = preset.paint
    return paint.run_paint(
        mesh, field, studio.distillation(settings.score), studio.sampler(settings.views), settings, monitor
    )


def fitted(preset: Preset, pack: Pack) -> tuple[Preset, list[str]]:
    """The preset as far as this pack can follow it, and what had to change, a sentence each."""
    if preset.coarse.warmup_steps == 0 or pack.spec.latent_channels == WARMUP_CHANNELS:
        return preset, []
    change = (
        f"The pack “{pack.spec.name}” has no latents of {WARMUP_CHANNELS} channels, so the latent warm-up is left out."
    )
    return replace(preset, coarse=replace(preset.coarse, warmup_steps=0)), [change]


def solid_pieces(head: Head) -> list[Mesh]:
    """What is seen of a head from outside, smooth, as closed pieces: without the sockets behind its eyeballs, which
    are capped at the lids."""
    vertices, triangles = head.surface()
    sockets = head.masks["eye_sockets"] > 0.5
    return closed_pieces(*smooth(vertices, triangles[~sockets[triangles].any(axis=1)], LEVELS))


def describe(
    request: GenerateRequest,
    pack: Pack,
    prompt: CheckedPrompt,
    notices: list[str],
    done: dict[str, int],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The report: all that is needed to know where this head comes from and to make it again. JSON-able.

    Its settings are the preset's; the notices say what the pack could not follow.
    """
    preset = PRESETS[request.preset]
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "read_as": pack.readable(prompt.text),
        "unknown_words": prompt.unknown_words,
        "seed": request.seed,
        "preset": request.preset,
        "pack": pack.spec.name,
        "device": device.describe(pack.device),
        "precision": str(pack.dtype).removeprefix("torch."),
        **inputs(request),
        "steps": done,
        "steps_planned": {"coarse": preset.coarse.steps, "fine": preset.fine.steps, "paint": preset.paint.steps},
        "seconds": seconds,
        "settings": asdict(preset),
        "notices": notices,
        "versions": versions(),
    }


def inputs(request: GenerateRequest) -> dict[str, Any]:
    """What the report says of the files that a job begins with, by their names."""
    return {
        "base": None if request.base is None else request.base.name,
        "lora": {path.name: weight for path, weight in request.lora},
        "head": "built-in" if request.head is None else request.head.name,
    }


def default_threads() -> int:
    """All cores but one, which Blender and its window need: when something else works on the core of one of torch's
    threads, all the others wait for it at every step, and a job takes ten times as long."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)
