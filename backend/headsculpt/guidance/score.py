# SPDX-License-Identifier: GPL-3.0-or-later
"""Score distillation (Eq. 1 and 5): how a picture's latents should change, by a diffusion model's opinion of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from headsculpt.packs.pack import Pack


@dataclass(frozen=True)
class ScoreSettings:
    """The defaults are the paper's, for its coarse stage."""

    guidance_scale: float = 100.0
    """s of classifier-free guidance, ε_∅ + s(ε_y − ε_∅)."""
    rescale: float = 0.0
    """0 … 1: how far the guided denoised latents are brought back to the conditional ones' standard deviation, against
    saturation (Lin et al. 2024, section 3.4)."""
    t_min: float = 0.02
    """Lowest noise level, as a share of the schedule's length."""
    t_max: float = 0.98
    """Highest noise level at the first step."""
    t_max_end: float = 0.50
    """Highest noise level at the last step."""
    target_steps: int = 1
    """1: score distillation. More: the gradient leads to what so many DDIM steps make of the noisy latents."""


class ScoreResult(NamedTuple):
    """gradient: on the latents. denoised: what the model takes the clean latents to be. Both [B, C, h, w]."""

    gradient: Tensor
    denoised: Tensor


def sample_timesteps(
    settings: ScoreSettings, progress: float, batch: int, steps: int, generator: torch.Generator
) -> Tensor:
    """Noise levels for a batch, int64 [B], uniform in t_min … t_max of a schedule of `steps`.

    progress: share of the stage that is done, 0 … 1; t_max falls with its square root, from `t_max` to `t_max_end`.
    """
    highest = settings.t_max_end + (1 - progress**0.5) * (settings.t_max - settings.t_max_end)
    level = settings.t_min + torch.rand(batch, generator=generator, device=generator.device) * (
        highest - settings.t_min
    )
    return (level * steps).long().clamp(1, steps - 1)


@torch.no_grad()
def score_gradient(
    pack: Pack,
    latents: Tensor,
    positive: Tensor,
    negative: Tensor,
    landmark_maps: Tensor | None,
    control_scale: Tensor | None,
    t: Tensor,
    noise: Tensor,
    settings: ScoreSettings,
) -> ScoreResult:
    """How `latents` should change to look more like the prompt; descend along the result.

    latents, noise: [B, C, h, w]; positive, negative: embeddings [B, T, C]; landmark_maps: [B, 3, S, S];
    control_scale: [B]; t: int64 [B]. Without maps the ControlNet stays out; without a scale it is 1.

    With one target step w(t)·(ε̂ − ε) with w = √ᾱ(1−ᾱ) (Eq. 1, with landmarks Eq. 5); with more, latents − target,
    the gradient of half the squared distance to a target that takes no part in differentiation.
    """
    latents = latents.detach()
    landmarks = None if landmark_maps is None else pack.read_landmarks(landmark_maps)
    noisy = pack.add_noise(latents, t, noise)
    predicted, denoised = _guided(pack, noisy, t, positive, negative, landmarks, control_scale, settings)
    if settings.target_steps <= 1:
        alpha = pack.alphas_cumprod[t].view(-1, 1, 1, 1)
        return ScoreResult(alpha.sqrt() * (1 - alpha) * (predicted - noise), denoised)
    for step in range(1, settings.target_steps):
        lower = (t * (settings.target_steps - step) // settings.target_steps).clamp(min=1)
        noisy = pack.add_noise(denoised, lower, predicted)  # a DDIM step with η = 0
        predicted, denoised = _guided(pack, noisy, lower, positive, negative, landmarks, control_scale, settings)
    return ScoreResult(latents - denoised, denoised)


def distillation_loss(latents: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose gradient on `latents` is `gradient`. Its value means nothing."""
    return (latents * gradient.detach()).sum()


def _guided(
    pack: Pack,
    noisy: Tensor,
    t: Tensor,
    positive: Tensor,
    negative: Tensor,
    landmarks: Tensor | None,
    control_scale: Tensor | None,
    settings: ScoreSettings,
) -> tuple[Tensor, Tensor]:
    """Noise and clean latents that classifier-free guidance finds in `noisy`, from one batched call."""
    away, towards = pack.predict_noise(
        torch.cat([noisy, noisy]),
        torch.cat([t, t]),
        torch.cat([negative, positive]),
        None if landmarks is None else torch.cat([landmarks, landmarks]),
        None if control_scale is None else torch.cat([control_scale, control_scale]),
    ).chunk(2)
    noise = away + settings.guidance_scale * (towards - away)
    clean = pack.remove_noise(noisy, t, noise)
    if settings.rescale == 0:
        return noise, clean
    clean = rescaled(clean, pack.remove_noise(noisy, t, towards), settings.rescale)
    return pack.find_noise(noisy, t, clean), clean


def rescaled(guided: Tensor, conditional: Tensor, share: float) -> Tensor:
    """`guided` with its standard deviation moved by `share` towards `conditional`'s, for each sample. [B, C, h, w]."""
    ratio = conditional.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
    return guided * (share * ratio + 1 - share)
