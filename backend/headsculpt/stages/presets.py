# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets. Paper is Table 2, and the authors' code where that is silent; Standard and Preview are ours.

docs/paper.md lists what is different from the paper, and why.
"""

from __future__ import annotations

from dataclasses import replace

from headsculpt.guidance.methods import Method
from headsculpt.guidance.score import ScoreSettings
from headsculpt.shape.field import FieldSettings
from headsculpt.shape.occupancy import OccupancySettings
from headsculpt.stages.settings import CoarseSettings, FineSettings, FinishSettings, PaintSettings, Preset
from headsculpt.stages.views import ViewSettings

PAPER = Preset()
"""7,000 + 5,000 steps of score distillation at guidance 100: for a GPU and Stable Diffusion 1.5."""

_FIELD = FieldSettings(lower_bound=-6.0, density_gain=20.0)
_GROWING = ScoreSettings(Method.TARGET, guidance_scale=5.0, rescale=0.2, target_steps=1, t_min=0.3, t_max_end=0.75)

_PAINTING = ViewSettings(batch=4, close_up_shares=(0.3, 0.3))
"""What Preview and Standard paint from: all sides alike, or the few answers that fall on a nape leave it blotched."""

PREVIEW = Preset(
    coarse=CoarseSettings(
        steps=160,
        resolutions=((0.0, 64), (0.6, 96)),
        samples=24,
        warmup_steps=0,
        learning_rate_grid=0.05,
        learning_rate_mlp=0.01,
        weight_residual=0.02,
        weight_carving=0.5,
        weight_rim=1.0,
        weight_entropy=0.0,
        weight_orientation=0.0,
        prior_resolution=161,
        extraction_resolution=160,
        field=replace(_FIELD, levels=10, log2_size=16, finest=320, hidden=32, surface_width=0.006),
        occupancy=OccupancySettings(resolution=64),
        views=ViewSettings(batch=2, front_share=0.25, close_up_shares=(0.4, 0.2), close_up_ramp=0.8),
        score=_GROWING,
    ),
    fine=FineSettings(
        steps=70,
        resolution=160,
        picture=192,
        smoothing=8,
        weight_laplacian=0.0,
        learning_rate_color=3e-2,
        views=ViewSettings(batch=2, front_share=0.25, close_up_shares=(0.36, 0.24)),
        score=ScoreSettings(Method.TARGET, guidance_scale=5.0, target_steps=1, t_min=0.15, t_max_end=0.5),
    ),
    paint=PaintSettings(
        steps=40,
        memory=16,
        fits=6,
        picture=192,
        learning_rate=3e-2,
        views=_PAINTING,
        score=ScoreSettings(Method.TARGET, guidance_scale=5.0, target_steps=1, t_min=0.1, t_max=0.95, t_max_end=0.15),
    ),
    finish=FinishSettings(triangles=20_000, texture=1024, detail=0.0045),
)
"""For two CPU cores and the pocket pack: some minutes."""

STANDARD = Preset(
    coarse=CoarseSettings(
        steps=600,
        resolutions=((0.0, 64), (0.5, 128)),
        samples=32,
        warmup_steps=0,
        learning_rate_grid=0.03,
        learning_rate_mlp=0.005,
        weight_residual=0.02,
        weight_carving=0.5,
        weight_rim=1.0,
        weight_entropy=0.0,
        weight_orientation=0.0,
        prior_resolution=193,
        extraction_resolution=160,
        field=replace(_FIELD, levels=12, log2_size=17, finest=512),
        views=ViewSettings(batch=4, close_up_shares=(0.4, 0.15), close_up_ramp=0.8),
        score=_GROWING,
    ),
    fine=FineSettings(
        steps=400,
        resolution=160,
        picture=256,
        smoothing=4,
        weight_laplacian=0.0,
        learning_rate_color=2e-2,
        views=ViewSettings(batch=4, close_up_shares=(0.3, 0.2)),
        score=ScoreSettings(Method.TARGET, guidance_scale=5.0, target_steps=1, t_min=0.1, t_max_end=0.5),
    ),
    paint=PaintSettings(
        steps=120,
        memory=24,
        fits=6,
        picture=256,
        learning_rate=2e-2,
        views=_PAINTING,
        score=ScoreSettings(Method.TARGET, guidance_scale=5.0, target_steps=1, t_min=0.05, t_max=0.95, t_max_end=0.15),
    ),
    finish=FinishSettings(triangles=40_000, texture=2048),
)
"""More views, more steps and a finer surface than Preview."""

PRESETS = {"preview": PREVIEW, "standard": STANDARD, "paper": PAPER}
