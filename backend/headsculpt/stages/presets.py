# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets. Paper is Table 2 with facts about it from the authors' code; Standard and Preview are ours."""

from __future__ import annotations

from headsculpt.guidance.score import ScoreSettings
from headsculpt.shape.field import FieldSettings
from headsculpt.shape.occupancy import OccupancySettings
from headsculpt.stages.settings import CoarseSettings, FineSettings, FinishSettings, Preset
from headsculpt.stages.views import ViewSettings

PAPER = Preset()
"""7,000 + 5,000 steps of score distillation at guidance 100; hours on a GPU, days without."""

_OURS = FieldSettings(levels=8, log2_size=15, finest=160, hidden=32, surface_width=0.006, density_gain=20.0)

PREVIEW = Preset(
    coarse=CoarseSettings(
        steps=150,
        resolutions=((0.0, 64), (0.6, 96)),
        samples=24,
        warmup_steps=0,
        learning_rate_grid=0.05,
        learning_rate_mlp=0.01,
        weight_entropy=0.0,
        extraction_resolution=96,
        field=_OURS,
        occupancy=OccupancySettings(resolution=64),
        views=ViewSettings(batch=2, front_share=0.25, close_up_share=0.3),
        score=ScoreSettings(guidance_scale=5.0, rescale=0.5, t_max_end=0.2, target_steps=4),
    ),
    fine=FineSettings(
        steps=80,
        resolution=128,
        picture=192,
        learning_rate_shape=2e-2,
        learning_rate_color=5e-3,
        views=ViewSettings(batch=2, front_share=0.25, close_up_share=0.5),
        score=ScoreSettings(guidance_scale=5.0, rescale=0.5, t_max=0.5, t_max_end=0.15, target_steps=4),
    ),
    finish=FinishSettings(triangles=20_000, texture=1024),
)
"""Two minutes on two cores with the pocket pack."""

STANDARD = Preset(
    coarse=CoarseSettings(
        steps=600,
        resolutions=((0.0, 64), (0.5, 128)),
        samples=32,
        warmup_steps=0,
        learning_rate_grid=0.03,
        learning_rate_mlp=0.005,
        weight_entropy=0.0,
        field=FieldSettings(levels=12, log2_size=17, finest=512, surface_width=0.005, density_gain=20.0),
        views=ViewSettings(batch=4, close_up_share=0.3),
        score=ScoreSettings(guidance_scale=7.5, rescale=0.5, t_max_end=0.2, target_steps=4),
    ),
    fine=FineSettings(
        steps=400,
        resolution=128,
        picture=256,
        views=ViewSettings(batch=4, close_up_share=0.4),
        score=ScoreSettings(guidance_scale=7.5, rescale=0.5, t_max=0.5, t_max_end=0.15, target_steps=4),
    ),
    finish=FinishSettings(triangles=40_000, texture=2048),
)
"""A quarter of an hour on two cores with the pocket pack; the same on a GPU with Stable Diffusion 1.5."""

PRESETS = {"preview": PREVIEW, "standard": STANDARD, "paper": PAPER}
