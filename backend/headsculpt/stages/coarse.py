# SPDX-License-Identifier: GPL-3.0-or-later
"""The coarse stage: a radiance field with the head as its density prior, shaped by score distillation (Eq. 2–5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from headsculpt.packs.codec import Codec
from headsculpt.packs.pack import Pack
from headsculpt.render.camera import Camera
from headsculpt.render.shading import shade
from headsculpt.render.volume import composite, sample_rays
from headsculpt.shape.distance import sample_grid
from headsculpt.shape.field import RadianceField
from headsculpt.shape.occupancy import OccupancyGrid
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.extraction import extract_surface
from headsculpt.stages.monitor import Monitor
from headsculpt.stages.normals import depth_normals
from headsculpt.stages.optimizer import GuardedAdam
from headsculpt.stages.settings import CoarseSettings
from headsculpt.stages.views import Views, ViewSampler

STAGE = "Growing the head"
_RIM = 16
"""The rim is so large a share of a picture's width."""
_COVERED = 1e-3
"""Of the light that still comes through fog: from there on depth means nothing."""
PREVIEW_RESOLUTION = 72
"""Cells along a side of the grid that a preview's surface is extracted on: a third of a second."""


@dataclass(frozen=True)
class FieldPicture:
    """What cameras see of a field. Tensors [B, H, W, …]; outside the head opacity is 0 and the rest is undefined.

    color: premultiplied by opacity, sRGB, or a latent field's latents; opacity: [B, H, W]; normals: towards the viewer,
    of the rendered depth; predicted_normals: the field's own, premultiplied by opacity; residual: mean squared density
    residual of what is seen; carving: the same of all samples where it is negative; orientation: how far predicted
    normals of what is seen look away, squared; sketch: see CoarseSettings.weight_sketch.
    """

    color: Tensor
    opacity: Tensor
    normals: Tensor
    predicted_normals: Tensor
    residual: Tensor
    carving: Tensor
    orientation: Tensor
    sketch: Tensor


def run_coarse(
    field: RadianceField,
    occupancy: OccupancyGrid,
    distillation: Distillation,
    sampler: ViewSampler,
    settings: CoarseSettings,
    generator: torch.Generator,
    monitor: Monitor,
) -> int:
    """Optimises the field in place. Returns the number of steps done, fewer than asked when the user stops it."""
    optimizer = GuardedAdam(
        [
            {"params": field.encoder.parameters(), "lr": settings.learning_rate_grid},
            {"params": field.mlp.parameters(), "lr": settings.learning_rate_mlp},
        ],
        monitor.notice,
        [occupancy.density],
    )
    for step in range(settings.steps):
        progress = step / settings.steps
        if step % settings.occupancy.interval == 0:
            occupancy.update(field, generator)
        if settings.open_levels > 0:
            field.encoder.open_levels(progress / settings.open_levels)
        pack = distillation.pack
        size = pack.spec.latent_size if settings.latent else picture_size(settings, progress)
        views = sampler.sample(size, progress)
        seen = views.to(occupancy.mask.device)
        leniency = settings.sketch_leniency if settings.weight_sketch else 0.0
        picture = render_field(field, occupancy, seen.camera, settings.samples, generator, leniency)
        if step < settings.warmup_steps:
            loss = distillation.latent_loss(warmup_latent(picture, pack.spec.latent_size), views, progress)
        elif settings.latent:
            loss = distillation.latent_loss(over_background(picture, seen, pack.codec), views, progress)
        else:
            loss = distillation.picture_loss(lit(picture, seen), views, progress)
        loss = loss + regularisers(picture, settings, progress)
        if settings.weight_rim > 0 and views.shot == 0:
            loss = loss + settings.weight_rim * fog_at_the_rim(picture.opacity)
        optimizer.step(loss)
        if monitor.after_step(
            STAGE, step + 1, settings.steps, lambda: extract_surface(field, occupancy, PREVIEW_RESOLUTION)
        ):
            return step + 1
    return settings.steps


def picture_size(settings: CoarseSettings, progress: float) -> int:
    """The size in force at this share of the steps."""
    return [size for start, size in settings.resolutions if start <= progress][-1]


def render_field(
    field: RadianceField,
    occupancy: OccupancyGrid,
    camera: Camera,
    samples: int,
    generator: torch.Generator | None,
    leniency: float = 0.0,
) -> FieldPicture:
    """Volume rendering (Eq. 4) of what lies in occupied space; without a generator the samples are not jittered, and
    without a leniency there is no sketch."""
    origins, directions = camera.rays()
    shape = directions.shape[:3]
    starts = origins[:, None, None, :].expand_as(directions).reshape(-1, 3)
    rays = directions.reshape(-1, 3)
    samples_on_rays = sample_rays(starts, rays, occupancy.mask, samples, generator, occupancy.density)
    hit = samples_on_rays.rays
    count = len(hit)
    met, hits = samples_on_rays.met, samples_on_rays.met.sum().clamp(min=1)
    points = samples_on_rays.points.reshape(-1, 3)
    density, color, normal = field(points)
    distance_along, channels = samples_on_rays.t, color.shape[1]
    values = torch.cat([color.view(count, -1, channels), normal.view(count, -1, 3), distance_along[..., None]], -1)
    summed, weights, opacity = composite(density.view(count, -1), values, samples_on_rays.deltas)

    def picture(values: Tensor, fill: Tensor) -> Tensor:
        return fill.index_copy(0, hit, values).view(*shape, *values.shape[1:])

    sketch = density.new_zeros(count, 1)
    if leniency:
        sketch = sketch_loss(density, sample_grid(field.head_distance, points), leniency).view(count, -1)
    carving = field.residual.view(count, -1).clamp(max=0) ** 2
    facing_away = (normal.view(count, -1, 3) * rays[hit][:, None]).sum(-1).clamp(min=0)
    background_depth = origins.norm(dim=-1)[:, None, None].expand(shape).reshape(-1)
    depth = summed[:, -1] + (1 - opacity) * distance_along[:, -1]
    depth = torch.where(met, depth, background_depth[hit])
    return FieldPicture(
        color=picture(summed[:, :channels], density.new_zeros(len(rays), channels)),
        opacity=picture(opacity, density.new_zeros(len(rays))),
        normals=depth_normals(origins, directions, picture(depth, background_depth)),
        predicted_normals=picture(summed[:, channels:-1], density.new_zeros(len(rays), 3)),
        residual=(weights.detach() * field.residual.view(count, -1) ** 2).sum() / hits,
        carving=(carving * met[:, None]).sum() / (hits * samples),
        orientation=(weights.detach() * facing_away**2).sum() / hits,
        sketch=(sketch * met[:, None]).sum() / len(rays),
    )


def lit(picture: FieldPicture, views: Views) -> Tensor:
    """Pictures [B, 3, H, W] under the views' light, over their background."""
    light = views.light[:, None, None, :]
    shaded = shade(picture.color, picture.normals, light, views.ambient[:, None, None, None])
    behind = (1 - picture.opacity)[..., None] * views.background[:, None, None, :]
    return (shaded + behind).permute(0, 3, 1, 2)


def over_background(picture: FieldPicture, views: Views, codec: Codec) -> Tensor:
    """Latents [B, C, h, w] of a latent field over the latents of the views' plain backgrounds."""
    flat = views.background[:, :, None, None].expand(-1, -1, 8 * codec.factor, 8 * codec.factor)
    with torch.no_grad():
        behind = codec.encode(flat)[:, :, 4, 4]  # in the middle: an autoencoder's rim is different
    latents = picture.color + (1 - picture.opacity)[..., None] * behind[:, None, None, :]
    return latents.permute(0, 3, 1, 2)


def sketch_loss(density: Tensor, distance: Tensor, leniency: float) -> Tensor:
    """Latent-NeRF's Sketch-Shape loss of samples [N], CE(α, inside) · (1 − exp(−d²/2σ²)) with α = 1 − exp(−.2 density).

    distance: signed, to the sketch; leniency: σ. As in its authors' code the cross entropy is of α to in and out, which
    are kept off 0 and 1 by .01.
    """
    inside = torch.where(distance < 0, 0.99, 0.01)
    opacity = -torch.expm1(-0.2 * density)
    cross_entropy = -(opacity * inside.log() + (1 - opacity) * (1 - inside).log())
    return cross_entropy * -torch.expm1(-(distance**2) / (2 * leniency**2))


def latent_colors(pack: Pack, generator: torch.Generator) -> Tensor:
    """How a pack's latents add to colours, [C + 1, 3]: see RadianceField. The best fit to plain pictures, decoded."""
    channels, side = pack.spec.latent_channels, pack.codec.factor
    latents = torch.randn(64 * channels, channels, generator=generator).to(pack.device)
    middle = slice(side, 2 * side)  # of 3 × 3 latents: an autoencoder's rim is different
    with torch.no_grad():
        pictures = torch.cat(
            [pack.codec.decode(part[:, :, None, None].expand(-1, -1, 3, 3)) for part in latents.split(64)]
        )
    colors = pictures[..., middle, middle].mean((2, 3))
    known = torch.cat([latents, torch.ones_like(latents[:, :1])], 1)
    return torch.linalg.lstsq(known, colors).solution


def warmup_latent(picture: FieldPicture, size: int) -> Tensor:
    """Normals and opacity as a latent [B, 4, size, size] in [−1, 1]: shape first, no encoder (authors' code)."""
    opacity = picture.opacity[..., None]
    latent = torch.cat([picture.normals * opacity, 2 * opacity - 1], -1).permute(0, 3, 1, 2)
    return F.interpolate(latent, size=(size, size), mode="bilinear", antialias=True)


def fog_at_the_rim(opacity: Tensor) -> Tensor:
    """Mean optical depth at the rim of pictures whose opacity is [B, H, W]: above, and beside down to the shoulders.

    Unlike the opacity it pulls just as much where the rim is covered already.
    """
    width = opacity.shape[-1]
    band, down = width // _RIM, 2 * width // 3
    rim = torch.cat(
        [part.flatten(1) for part in (opacity[:, :band], opacity[:, :down, :band], opacity[:, :down, -band:])], 1
    )
    return -(1 - rim + _COVERED).log().mean()


def regularisers(picture: FieldPicture, settings: CoarseSettings, progress: float) -> Tensor:
    """The sum of the weighted losses that do not come from the diffusion model."""
    opacity = picture.opacity.clamp(1e-5, 1 - 1e-5)
    entropy = -(opacity * opacity.log2() + (1 - opacity) * (1 - opacity).log2()).mean()
    seen = picture.opacity.detach()
    down = F.mse_loss(picture.normals[:, 1:], picture.normals[:, :-1], reduction="none").sum(-1)
    across = F.mse_loss(picture.normals[:, :, 1:], picture.normals[:, :, :-1], reduction="none").sum(-1)
    smooth = (down * seen[:, 1:] * seen[:, :-1]).mean() + (across * seen[:, :, 1:] * seen[:, :, :-1]).mean()
    agreement = (seen * (1 - (picture.predicted_normals * picture.normals).sum(-1))).mean()
    return (
        settings.weight_entropy * min(1.0, 2 * progress) * entropy
        + settings.weight_orientation * picture.orientation
        + settings.weight_smooth_normals * smooth
        + settings.weight_predicted_normals * agreement
        + settings.weight_residual * picture.residual
        + settings.weight_carving * picture.carving
        + settings.weight_sketch * picture.sketch
    )
