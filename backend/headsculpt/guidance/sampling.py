# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a pack's own, from words and landmark maps: denoising from pure noise by DDIM (Song et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.packs.pack import Pack

CELLS_AT_ONCE = 4096
"""Latent cells in one call: 16 pictures of the pocket pack, one of Stable Diffusion 1.5."""


@torch.no_grad()
def sample(
    pack: Pack,
    texts: Sequence[str],
    noise: Tensor,
    guidance: float,
    steps: int = 25,
    maps: Tensor | None = None,
    control_scale: Tensor | None = None,
    after_step: Callable[[], None] | None = None,
) -> Tensor:
    """Latents [B, C, h, w] for texts, from `noise` of that shape, by DDIM with classifier-free guidance.

    maps: landmark maps [B, 3, S, S] in [0, 1]; control_scale: [B], 1 if None; after_step: called after each step, and
    what it raises ends the sampling.
    The timesteps are spaced backwards from the last one, where there is nothing but noise, and the last step leads to
    what is clean (Lin et al. 2024; diffusers' DDIMScheduler with `trailing` spacing and `set_alpha_to_one`).
    """
    latents, count = noise, len(texts)
    words = torch.cat([pack.embed([""]).expand(count, -1, -1), pack.embed(texts)])
    seen = None if maps is None else pack.read_landmarks(maps).repeat(2, 1, 1, 1)
    scale = None if control_scale is None else control_scale.repeat(2)
    times = _timesteps(len(pack.alphas_cumprod), steps)
    for now, after in zip(times, [*times[1:], None], strict=True):
        t = torch.full((2 * count,), now, device=noise.device)
        plain, named = pack.predict_noise(torch.cat([latents, latents]), t, words, seen, scale).chunk(2)
        predicted = plain + guidance * (named - plain)
        latents = pack.remove_noise(latents, t[:count], predicted)
        if after is not None:
            latents = pack.add_noise(latents, torch.full((count,), after, device=noise.device), predicted)
        if after_step is not None:
            after_step()
    return latents


def _timesteps(trained: int, steps: int) -> list[int]:
    """`steps` timesteps, falling, from the last of the `trained` ones."""
    return [round(trained - trained / steps * step) - 1 for step in range(steps)]


def draw_noise(pack: Pack, count: int, seed: int) -> Tensor:
    """[count, C, h, w]; the first ones do not depend on how many follow, nor on the device."""
    generator = torch.Generator().manual_seed(seed)
    size = pack.spec.latent_size
    one = (pack.spec.latent_channels, size, size)
    return torch.stack([torch.randn(one, generator=generator) for _ in range(count)]).to(pack.device)


def calls(pack: Pack, count: int) -> Iterator[slice]:
    """`count` pictures in groups that fit into one call of the networks."""
    at_once = max(1, CELLS_AT_ONCE // pack.spec.latent_size**2)
    return (slice(start, min(start + at_once, count)) for start in range(0, count, at_once))


def default_guidance(pack: Pack) -> float:
    """What suits a pack: 7.5 is what Stable Diffusion's pipelines take, the pocket pack's colours are true at 4."""
    return 7.5 if pack.known_words is None else 4.0


def draw_pictures(
    pack: Pack,
    texts: Sequence[str],
    noise: Tensor,
    guidance: float,
    steps: int,
    maps: Tensor | None = None,
    control_scale: Tensor | None = None,
    after_step: Callable[[], None] | None = None,
) -> NDArray[np.uint8]:
    """Pictures [N, S, S, 3], as `sample` with as many of them in a call as are good for memory and speed."""
    pictures = []
    for part in calls(pack, len(texts)):
        latents = sample(
            pack,
            texts[part],
            noise[part],
            guidance,
            steps,
            None if maps is None else maps[part],
            None if control_scale is None else control_scale[part],
            after_step,
        )
        pictures.append(as_bytes(pack, latents))
    return np.concatenate(pictures)


@torch.no_grad()
def as_bytes(pack: Pack, latents: Tensor) -> NDArray[np.uint8]:
    """Latents [N, C, h, w] as pictures [N, S, S, 3]."""
    decoded = pack.codec.decode(latents)
    return (decoded.permute(0, 2, 3, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
