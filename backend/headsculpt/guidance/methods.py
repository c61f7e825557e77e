# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to make a gradient of a diffusion model's opinion: the paper's, and those that came after it.

Each is a function from an Opinion to a direction [B, C, h, w]; w(t) times the direction is the gradient on the latents.
In the formulas y is the prompt, ∅ the negative prompt or no words, s the guidance scale, ε the noise that was added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from headsculpt.packs.pack import Pack

NFSD_EARLY = 200
"""Below this t of 1000 the unconditional noise is taken for the domain's own (Katzir et al. 2023, section 4.2)."""


class Words(Enum):
    """What the model is told in one branch of a step."""

    PROMPT = "the prompt with the words of the view"
    NEGATIVE = "the negative prompt, or nothing where there is none"
    NOTHING = "nothing"
    NO_VIEW = "the prompt without the words of the view"
    FAULTS = "the prompt, and what is wrong with distilled pictures"


class Method(StrEnum):
    """Which gradient."""

    SDS = "sds"
    """Score distillation sampling (Poole et al. 2022): the paper's Eq. 1 and 5."""
    TARGET = "target"
    """The way to what a few DDIM steps make of the noisy latents (as in HiFA; Zhu et al. 2023)."""
    CSD = "csd"
    """Classifier score distillation (Yu et al. 2023)."""
    NFSD = "nfsd"
    """Noise-free score distillation (Katzir et al. 2023)."""
    SSD = "ssd"
    """Against the prompt without view words under the same landmarks: what is view-specific stays, noise cancels."""
    BRIDGE = "bridge"
    """From pictures with the faults of distilled ones to those of the prompt (McAllister et al. 2024, second stage)."""


@dataclass(frozen=True)
class Opinion:
    """What the model says of a batch of noisy latents.

    noisy, added: [B, C, h, w], the latents and the noise in them; t: int64 [B]; noises: what noise it finds when told
    these words; scale, rescale: ScoreSettings' guidance_scale and rescale.
    """

    pack: Pack
    noisy: Tensor
    added: Tensor
    t: Tensor
    noises: Mapping[Words, Tensor]
    scale: float
    rescale: float

    def guided(self) -> Tensor:
        """The noise by classifier-free guidance, ε_∅ + s(ε_y − ε_∅), its clean latents rescaled."""
        away, towards = self.noises[Words.NEGATIVE], self.noises[Words.PROMPT]
        noise = away + self.scale * (towards - away)
        if self.rescale == 0:
            return noise
        clean = self.pack.remove_noise(self.noisy, self.t, noise)
        clean = rescaled(clean, self.pack.remove_noise(self.noisy, self.t, towards), self.rescale)
        return self.pack.find_noise(self.noisy, self.t, clean)


def sds(opinion: Opinion) -> Tensor:
    """ε_∅ + s(ε_y − ε_∅) − ε."""
    return opinion.guided() - opinion.added


def csd(opinion: Opinion) -> Tensor:
    """s(ε_y − ε_∅): what guidance adds, alone."""
    return opinion.scale * (opinion.noises[Words.PROMPT] - opinion.noises[Words.NEGATIVE])


def nfsd(opinion: Opinion) -> Tensor:
    """s(ε_y − ε_∅) + δ with no words as ∅; δ = ε_∅ at low noise, else ε_∅ − ε_neg."""
    nothing, negative = opinion.noises[Words.NOTHING], opinion.noises[Words.NEGATIVE]
    early = (opinion.t < NFSD_EARLY).view(-1, 1, 1, 1)
    domain = torch.where(early, nothing, nothing - negative)
    return opinion.scale * (opinion.noises[Words.PROMPT] - nothing) + domain


def ssd(opinion: Opinion) -> Tensor:
    """ε_∅ + s(ε_y − ε_∅) − ε(y without its view)."""
    return opinion.guided() - opinion.noises[Words.NO_VIEW]


def bridge(opinion: Opinion) -> Tensor:
    """s(ε_y − ε(y with faults))."""
    return opinion.scale * (opinion.noises[Words.PROMPT] - opinion.noises[Words.FAULTS])


DIRECTIONS: Mapping[Method, Callable[[Opinion], Tensor]] = {  # a target is no direction
    Method.SDS: sds,
    Method.CSD: csd,
    Method.NFSD: nfsd,
    Method.SSD: ssd,
    Method.BRIDGE: bridge,
}

BRANCHES: Mapping[Method, tuple[Words, ...]] = {
    Method.SDS: (Words.NEGATIVE, Words.PROMPT),
    Method.TARGET: (Words.NEGATIVE, Words.PROMPT),
    Method.CSD: (Words.NEGATIVE, Words.PROMPT),
    Method.NFSD: (Words.NOTHING, Words.NEGATIVE, Words.PROMPT),
    Method.SSD: (Words.NEGATIVE, Words.PROMPT, Words.NO_VIEW),
    Method.BRIDGE: (Words.FAULTS, Words.PROMPT),
}
"""What each has to ask, in one call of the model."""


def rescaled(guided: Tensor, conditional: Tensor, share: float) -> Tensor:
    """`guided` with its standard deviation moved by `share` towards `conditional`'s, for each sample. [B, C, h, w]."""
    ratio = conditional.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
    return guided * (share * ratio + 1 - share)
