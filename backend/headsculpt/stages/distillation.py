# SPDX-License-Identifier: GPL-3.0-or-later
"""What both stages ask the diffusion model: in which direction should these pictures change?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headsculpt.device import by_channels, sent
from headsculpt.guidance.prompts import ViewPrompts, landmark_scale
from headsculpt.guidance.score import ScoreSettings, distillation_loss, sample_timesteps, score_gradient
from headsculpt.packs.pack import Pack
from headsculpt.render.landmark_map import landmark_maps
from headsculpt.stages.views import Views

QUICK_SHARE = 0.7
"""Share of a stage, from its beginning, in which pictures go through the pack's small autoencoder, where it has one;
the last steps need the whole one (ours: the autoencoder is half of Stable Diffusion's work in a step)."""


@dataclass(frozen=True)
class Answer:
    """What the model was shown in one step, and what it made of it.

    shown, answered: clean latents [B, C, h, w]; t: int64 [B]; views: B views, on the processor; progress: share of the
    stage that was done, 0 … 1.
    """

    pack: Pack
    shown: Tensor
    answered: Tensor
    t: Tensor
    views: Views
    progress: float


Watch = Callable[[Answer], None]


class Distillation:
    """Landmark-guided score distillation (Eq. 5) for one head, one prompt and one pack."""

    def __init__(
        self,
        pack: Pack,
        prompts: ViewPrompts,
        landmarks: np.ndarray,
        settings: ScoreSettings,
        generator: torch.Generator,
        watch: Watch | None = None,
    ) -> None:
        """prompts: made for these settings; landmarks: the chosen head's MediaPipe points [478, 3], head space; watch:
        sees every answer and must not change it."""
        self.pack = pack
        self.prompts = prompts
        self.landmarks = torch.as_tensor(landmarks, dtype=torch.float32)
        self.settings = settings
        self.generator = generator
        self.watch = watch

    def picture_loss(self, pictures: Tensor, views: Views, progress: float) -> Tensor:
        """A loss whose gradient on the latents of these pictures [B, 3, H, W] is the score's.

        views: on the processor, wherever the pictures are; progress: share of the stage that is done, 0 … 1.
        """
        return self.latent_loss(self.encode(pictures, progress), views, progress)

    def latent_loss(self, latents: Tensor, views: Views, progress: float) -> Tensor:
        """The same for pictures that are latents [B, C, h, w] already."""
        # a mean over views and latent pixels, so that the weights of other losses hold for any batch and size
        return distillation_loss(latents, self._gradient(latents, views, progress)) / _places(latents)

    @torch.no_grad()
    def target(self, pictures: Tensor, views: Views, progress: float) -> Tensor:
        """What the latents of these pictures are to become, [B, C, h, w]: a step down the score's gradient."""
        latents = self.encode(pictures, progress)
        return latents - self._gradient(latents, views, progress)

    def fit_loss(self, pictures: Tensor, target: Tensor, progress: float) -> Tensor:
        """How far these pictures are from what they were to become. As long as they are what they were when that was
        asked, at this progress, its gradient is picture_loss's."""
        latents = self.encode(pictures, progress)
        return 0.5 * (latents - target).square().sum() / _places(latents)

    def encode(self, pictures: Tensor, progress: float) -> Tensor:
        """Latents [B, C, h, w] of pictures of any size."""
        size = self.pack.spec.image_size
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=pictures.shape[-1] > size)
        quick = self.pack.quick_codec if progress < QUICK_SHARE else None
        return (quick or self.pack.codec).encode(by_channels(pictures))

    def _gradient(self, latents: Tensor, views: Views, progress: float) -> Tensor:
        pack, count, device = self.pack, len(latents), latents.device
        latents = by_channels(latents)
        t = sample_timesteps(self.settings, progress, count, len(pack.alphas_cumprod), self.generator)
        noise = torch.randn(latents.shape, generator=self.generator)
        maps = scale = None
        if self.settings.landmarks:
            maps = landmark_maps(self.landmarks, views.camera.resized(pack.spec.image_size), device)
            scale = landmark_scale(pack.spec.views, views.azimuth)
        words = {
            branch: self.prompts.of(branch, views.azimuth, views.elevation, views.shot)
            for branch in self.settings.branches
        }
        score = score_gradient(pack, latents, words, maps, scale, sent(t, device), sent(noise, device), self.settings)
        if self.watch:
            self.watch(Answer(pack, latents.detach(), score.denoised, t, views, progress))
        return score.gradient


def _places(latents: Tensor) -> int:
    """Latent pixels of a batch."""
    return len(latents) * latents.shape[-1] * latents.shape[-2]
