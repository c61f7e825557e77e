# SPDX-License-Identifier: GPL-3.0-or-later
"""Score distillation (Eq. 1 and 5): how a picture's latents should change, by a diffusion model's opinion of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from headsculpt.guidance.methods import BRANCHES, DIRECTIONS, Method, Opinion, Words
from headsculpt.packs.pack import Pack


@dataclass(frozen=True)
class ScoreSettings:
    """The defaults are the paper's."""

    method: Method = Method.SDS
    """Which gradient (paper: SDS)."""
    guidance_scale: float = 100.0
    """s of classifier-free guidance, ε_∅ + s(ε_y − ε_∅), and of the other methods' formulas (paper: 100)."""
    rescale: float = 0.0
    """0 … 1, where there is classifier-free guidance: how far the guided denoised latents are brought back to the
    conditional ones' standard deviation, against saturation (Lin et al. 2024, section 3.4; paper: none)."""
    t_min: float = 0.02
    """Lowest noise level, as a share of the schedule's length (paper)."""
    t_max: float = 0.98
    """Highest noise level at the first step (paper)."""
    t_max_end: float = 0.98
    """Highest noise level at the last step (paper: always .98; with t_min it anneals to nothing, as HiFA's does)."""
    target_steps: int = 4
    """DDIM steps to a target; other methods than TARGET have none."""
    landmarks: bool = True
    """The ControlNet sees the head's landmarks: Eq. 5; without it Eq. 1."""
    view_token: bool = True
    """Views from behind are called by the learned token, where the pack has one; else by plain words (Sec. 3.2)."""

    @property
    def branches(self) -> tuple[Words, ...]:
        """What the model has to be told in each of a step's branches."""
        return BRANCHES[self.method]

    @property
    def calls(self) -> int:
        """Pictures that the U-Net sees for one picture and step."""
        return len(self.branches) * (self.target_steps if self.method is Method.TARGET else 1)


class ScoreResult(NamedTuple):
    """gradient: on the latents. denoised: the clean latents that its direction leads to. Both [B, C, h, w]."""

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
    words: Mapping[Words, Tensor],
    landmark_maps: Tensor | None,
    control_scale: Tensor | None,
    t: Tensor,
    noise: Tensor,
    settings: ScoreSettings,
) -> ScoreResult:
    """How `latents` should change to look more like the prompt; descend along the result.

    latents, noise: [B, C, h, w]; words: embeddings [B, T, C] of settings.branches; landmark_maps: [B, 3, S, S];
    control_scale: [B]; t: int64 [B]. Without maps the ControlNet stays out; without a scale it is 1.

    w(t) times the method's direction with w = √ᾱ(1−ᾱ) (for SDS Eq. 1, with landmarks Eq. 5); for a TARGET latents −
    target, the gradient of half the squared distance to a target that takes no part in differentiation.
    """
    latents = latents.detach()
    landmarks = None if landmark_maps is None else pack.read_landmarks(landmark_maps)

    def ask(noisy: Tensor, level: Tensor) -> Opinion:
        """One call of the model for all branches."""
        count = len(settings.branches)
        noises = pack.predict_noise(
            torch.cat([noisy] * count),
            torch.cat([level] * count),
            torch.cat([words[branch] for branch in settings.branches]),
            None if landmarks is None else torch.cat([landmarks] * count),
            None if control_scale is None else torch.cat([control_scale] * count),
        ).chunk(count)
        by_words = dict(zip(settings.branches, noises, strict=True))
        return Opinion(pack, noisy, noise, level, by_words, settings.guidance_scale, settings.rescale)

    opinion = ask(pack.add_noise(latents, t, noise), t)
    if settings.method is not Method.TARGET:
        direction = DIRECTIONS[settings.method](opinion)
        alpha = pack.alphas_cumprod[t].view(-1, 1, 1, 1)
        gradient = alpha.sqrt() * (1 - alpha) * direction
        return ScoreResult(gradient, pack.remove_noise(opinion.noisy, t, noise + direction))
    predicted = opinion.guided()
    denoised = pack.remove_noise(opinion.noisy, t, predicted)
    for step in range(1, settings.target_steps):
        lower = (t * (settings.target_steps - step) // settings.target_steps).clamp(min=1)
        opinion = ask(pack.add_noise(denoised, lower, predicted), lower)  # a DDIM step with η = 0
        predicted = opinion.guided()
        denoised = pack.remove_noise(opinion.noisy, lower, predicted)
    return ScoreResult(latents - denoised, denoised)


def distillation_loss(latents: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose gradient on `latents` is `gradient`. Its value means nothing."""
    return (latents * gradient.detach()).sum()
