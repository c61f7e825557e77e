# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be set of the two stages. Defaults are the paper's (Table 2) where it names a value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from headsculpt.guidance.score import ScoreSettings
from headsculpt.shape.field import FieldSettings
from headsculpt.shape.occupancy import OccupancySettings
from headsculpt.stages.views import ViewSettings

SUMMED = 4 * 64 * 64
"""The authors put their regularisers beside a sum over 4 views and 64² latent pixels; here the score is their mean."""


class Look(StrEnum):
    """What pictures of a surface show."""

    LIT = "lit"
    """Its colours under the views' light (paper)."""
    NORMALS = "normals"
    """Its normals as the camera sees them, as colours: geometry alone, as Fantasia3D's first stage."""


@dataclass(frozen=True)
class CoarseSettings:
    """The radiance field and its optimisation (Sec. 3.1, 3.2)."""

    steps: int = 7000
    """Optimiser steps (paper's text and the authors' code; Table 2 says 70k)."""
    resolutions: tuple[tuple[float, int], ...] = ((0.0, 64),)
    """(share of the steps done, picture size in pixels): the size from that share on (paper: 64 throughout)."""
    samples: int = 64
    """Samples along a ray, all of them in occupied space (the paper's 1024 go over the whole box)."""
    warmup_steps: int = 2000
    """Steps in which normals and opacity stand for the latent (authors' code; needs a latent of 4 channels)."""
    learning_rate_grid: float = 1e-3
    """Adam's rate for the hash grid (paper; the authors' code has ten times as much)."""
    learning_rate_mlp: float = 1e-3
    """Adam's rate for the field's MLP (paper)."""
    weight_residual: float = 0.0
    """Squared density residual of what is seen (ours): keeps the head's shape where the prompt asks nothing."""
    weight_carving: float = 0.0
    """Squared density residual where it is negative (ours): words add hair and horns, they seldom take flesh away."""
    weight_rim: float = 0.0
    """Optical depth at the rim of pictures of the whole head, where the model leaves room for hair (ours): fog that
    gets there plays the background, and then fills everything."""
    weight_smooth_normals: float = 0.0
    """Squared differences of neighbouring pixels' normals (ours): takes out bumps."""
    weight_predicted_normals: float = 0.1
    """Predicted against depth normals, both ways (ours; the paper does not say how its network learns normals): smooth
    predicted normals draw the surface smooth."""
    weight_entropy: float = 5e-4 / SUMMED
    """Entropy of each ray's opacity, ramped up over the stage's first half (authors' code)."""
    weight_orientation: float = 5e-4 / SUMMED
    """Squared predicted normals of what is seen, as far as they look away from the camera (authors' code)."""
    weight_sketch: float = 0.0
    """Cross entropy of the field's opacity against inside and outside of the chosen head, summed along each ray, less
    near its surface: Latent-NeRF's guide by a sketched shape (there 5e-6; the paper has the head as prior instead)."""
    sketch_leniency: float = 0.125
    """σ of that nearness, head space units (Latent-NeRF: .25 for shapes of twice a head's size)."""
    latent: bool = False
    """The field's values are latents, rendered as large as the model's and shown to it as they are: Latent-NeRF. Else
    they are colours, rendered as pictures that are encoded (paper)."""
    open_levels: float = 0.0
    """Share of the steps over which the hash grid's fine levels open, coarse to fine (ours); 0: all from the start."""
    prior_resolution: int = 257
    """Nodes along a side of the grid that the chosen head's signed distance is kept on (ours)."""
    extraction_resolution: int = 256
    """Cells along a side of the grid that the final surface is extracted on (as the authors' tetrahedra)."""
    field: FieldSettings = dataclasses.field(default_factory=FieldSettings)
    occupancy: OccupancySettings = dataclasses.field(default_factory=OccupancySettings)
    views: ViewSettings = dataclasses.field(default_factory=ViewSettings)
    score: ScoreSettings = dataclasses.field(default_factory=ScoreSettings)


@dataclass(frozen=True)
class FineSettings:
    """The tetrahedral surface and its optimisation (Sec. 3.1 (2))."""

    steps: int = 5000
    """Optimiser steps (paper's text and the authors' code; Table 2 says 50k)."""
    resolution: int = 256
    """Cells along a side of the cube that is cut into tetrahedra (authors' code)."""
    picture: int = 512
    """Size of the rasterised pictures in pixels (paper)."""
    look: Look = Look.LIT
    """What the pictures show."""
    learning_rate_shape: float = 1e-2
    """Adam's rate for s_i (in cells) and for the offsets (in half cells) (paper)."""
    learning_rate_color: float = 1e-3
    """Adam's rate for the colour field that goes on from the coarse stage (paper)."""
    smoothing: int = 0
    """How often changes of the surface are averaged over neighbouring grid vertices (ours, instead of a Laplacian loss:
    a step then moves patches, not single vertices)."""
    weight_laplacian: float = 0.2 / SUMMED
    """Length of the surface's uniform Laplacian, mean over its vertices (authors' code)."""
    views: ViewSettings = dataclasses.field(default_factory=ViewSettings)
    score: ScoreSettings = dataclasses.field(default_factory=ScoreSettings)


@dataclass(frozen=True)
class PaintSettings:
    """Colours alone, on the finished shape (ours)."""

    steps: int = 0
    """Times that the model is asked what a batch of pictures should become; the paper has no such stage."""
    memory: int = 1
    """Answers that are remembered: colours are fitted to all of them, in turn."""
    fits: int = 1
    """Optimiser steps to each answer. With one each, what one picture shows (strands, irises) is gone before another
    shows the same place; with some and a memory they settle on colours that all of them can have."""
    picture: int = 512
    """Size of the rasterised pictures in pixels."""
    learning_rate: float = 1e-3
    """Adam's rate for the colour field at the beginning; falls as a cosine to a tenth."""
    views: ViewSettings = dataclasses.field(default_factory=ViewSettings)
    score: ScoreSettings = dataclasses.field(default_factory=ScoreSettings)


@dataclass(frozen=True)
class FinishSettings:
    """What is made of the fine surface."""

    triangles: int = 40_000
    """Triangles of the result at most."""
    texture: int = 2048
    """Side of the textures in pixels."""
    detail: float = 0.0035
    """Side of the cells, in head space units, on which the chosen head's own details are restored (ours); 0: none."""


@dataclass(frozen=True)
class Preset:
    """All settings of a job."""

    coarse: CoarseSettings = dataclasses.field(default_factory=CoarseSettings)
    fine: FineSettings = dataclasses.field(default_factory=FineSettings)
    paint: PaintSettings = dataclasses.field(default_factory=PaintSettings)
    finish: FinishSettings = dataclasses.field(default_factory=FinishSettings)
