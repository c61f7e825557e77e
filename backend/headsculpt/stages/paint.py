# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting: the colours alone, on the finished shape, so that they lie where its lids, lips and hairline are.

Not in the paper. The surfaces of its two stages are rougher than the result, whose details are the chosen head's own.
The model's answers are remembered for a while, and colours are fitted to all of them, as Instruct-NeRF2NeRF (Haque et
al. 2023) does with its pictures: gradients that are used once average away what each of them shows.
"""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

from headsculpt.mesh import Mesh
from headsculpt.shape.field import RadianceField
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.fine import MLP_SHARE, render_surface
from headsculpt.stages.monitor import Monitor
from headsculpt.stages.optimizer import GuardedAdam
from headsculpt.stages.settings import PaintSettings
from headsculpt.stages.views import Views, ViewSampler

STAGE = "Painting"
FINAL_RATE = 0.1
"""Share of the learning rate that is left at the end."""


def run_paint(
    mesh: Mesh,
    field: RadianceField,
    distillation: Distillation,
    sampler: ViewSampler,
    settings: PaintSettings,
    monitor: Monitor,
) -> int:
    """Optimises the field's colours in place, as they are seen on `mesh`. Returns the number of steps done."""
    device = field.distance.device
    vertices, triangles = torch.from_numpy(mesh.vertices).to(device), torch.from_numpy(mesh.triangles).long().to(device)
    rate = settings.learning_rate
    optimizer = GuardedAdam(
        [
            {"params": field.encoder.parameters(), "lr": rate},
            {"params": field.mlp.parameters(), "lr": MLP_SHARE * rate},
        ],
        monitor.notice,
    )

    def as_it_is() -> Mesh:
        return Mesh(mesh.vertices, mesh.triangles, field.colors_at(mesh.vertices))

    answers: deque[tuple[Views, Tensor, float]] = deque(maxlen=settings.memory)
    for step in range(settings.steps):
        progress = step / settings.steps
        views = sampler.sample(settings.picture)
        shown = views.to(device)
        with torch.no_grad():
            pictures = render_surface(vertices, triangles, field, shown)
        answers.append((shown, distillation.target(pictures, views, progress), progress))
        optimizer.slow_down(FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2)
        for fit in range(step * settings.fits, (step + 1) * settings.fits):
            shown, target, asked = answers[fit % len(answers)]
            pictures = render_surface(vertices, triangles, field, shown)
            optimizer.step(distillation.fit_loss(pictures, target, asked))
        if monitor.after_step(STAGE, step + 1, settings.steps, as_it_is):
            return step + 1
    return settings.steps
