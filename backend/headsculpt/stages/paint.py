# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting: the colours alone, on the finished shape, so that they lie where its lids, lips and hairline are.

Not in the paper. The surfaces of its two stages are rougher than the result, whose details are the chosen head's own.
"""

from __future__ import annotations

import torch

from headsculpt.mesh import Mesh
from headsculpt.shape.field import RadianceField
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.fine import MLP_SHARE, render_surface
from headsculpt.stages.monitor import Monitor
from headsculpt.stages.optimizer import GuardedAdam
from headsculpt.stages.settings import PaintSettings
from headsculpt.stages.views import ViewSampler

STAGE = "Painting"


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

    for step in range(settings.steps):
        views = sampler.sample(settings.picture)
        pictures = render_surface(vertices, triangles, field, views.to(device))
        optimizer.step(distillation.picture_loss(pictures, views, step / settings.steps))
        if monitor.after_step(STAGE, step + 1, settings.steps, as_it_is):
            return step + 1
    return settings.steps
