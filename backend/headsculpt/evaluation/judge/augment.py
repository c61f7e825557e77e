# SPDX-License-Identifier: GPL-3.0-or-later
"""What generated pictures look like, done to renders: soft, blocky, noisy, off in colour, not quite upright."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from headsculpt.evaluation.judge.network import SIZE

BLOCK = 8
"""Side of the blocks in pixels, as in the pack's codec and in JPEG."""
LUMA = torch.tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
"""sRGB to JPEG's brightness and two differences of colour."""


def augment(pictures: Tensor, random: torch.Generator) -> Tensor:
    """A changed copy [B, 3, SIZE, SIZE] of pictures [B, 3, S, S] in [0, 1]; a third of them keep their sharpness."""
    pictures = _moved(pictures, random)
    kind = torch.randint(0, 3, (len(pictures),), generator=random, device=random.device)
    changed = torch.empty_like(pictures)
    for number, change in enumerate((lambda same, _: same, _soft, _blocky)):
        changed[kind == number] = change(pictures[kind == number], random)
    return _noisy(_tinted(changed, random), random).clamp(0, 1)


def _uniform(random: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=random, device=random.device)


def _moved(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Mirrored in half of all cases, turned a little, scaled and shifted; what comes in from outside is mirrored."""
    count = len(pictures)
    turn = _uniform(random, (count,), -0.06, 0.06)
    scale = _uniform(random, (count,), 0.92, 1.1)
    flip = _uniform(random, (count,), -1, 1).sign()
    shift = _uniform(random, (count, 2), -0.05, 0.05)
    cos, sin = scale * turn.cos(), scale * turn.sin()
    rows = torch.stack([flip * cos, -flip * sin, shift[:, 0], sin, cos, shift[:, 1]], 1).view(count, 2, 3)
    grid = functional.affine_grid(rows, [count, 3, SIZE, SIZE], align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _soft(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Blurred as by a smaller picture that was enlarged."""
    if len(pictures) == 0:
        return pictures
    size = pictures.shape[-1]
    small = int(size / float(_uniform(random, (), 1.2, 2.6)))
    shrunk = functional.interpolate(pictures, (small, small), mode="bilinear", antialias=True)
    return functional.interpolate(shrunk, (size, size), mode="bilinear")


def _blocky(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Blocks of pixels that keep only their lowest frequencies, each a little wrong: what a codec of patches, or
    JPEG, leaves."""
    count = len(pictures)
    basis = _cosines().to(pictures)
    luma = LUMA.to(pictures)
    blocks = torch.einsum("kc,bcyx->bkyx", luma, pictures).unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    waves = torch.einsum("uy,bkmynx,vx->bkmunv", basis, blocks, basis)
    rise = torch.arange(BLOCK, device=pictures.device)
    frequency = (rise[:, None, None] + rise)[None, None, None]
    kept = _uniform(random, (count, 3, 1, 1, 1, 1), 2.5, 6.0)
    kept[:, 1:] *= 0.5  # colour is coarser
    wrong = torch.randn(waves.shape, generator=random, device=random.device) * _uniform(
        random, (count, 1, 1, 1, 1, 1), 0.0, 0.08
    )
    waves = torch.where(frequency <= kept, waves + wrong, 0.0)
    blocks = torch.einsum("uy,bkmunv,vx->bkmynx", basis, waves, basis)
    return torch.einsum("ck,bkyx->bcyx", torch.linalg.inv(luma), blocks.flatten(4, 5).flatten(2, 3)).contiguous()


def _cosines() -> Tensor:
    """The orthonormal DCT-II of BLOCK values, [frequency, place]."""
    place = (torch.arange(BLOCK) + 0.5) * math.pi / BLOCK
    waves = torch.cos(torch.arange(BLOCK)[:, None] * place) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return waves


def _tinted(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Another exposure, contrast and saturation, and each channel a little stronger or weaker."""
    count = len(pictures)
    gain = _uniform(random, (count, 3, 1, 1), 0.96, 1.04) * _uniform(random, (count, 1, 1, 1), 0.93, 1.07)
    offset = _uniform(random, (count, 3, 1, 1), -0.015, 0.015)
    grey = pictures.mean(1, keepdim=True)
    saturation = _uniform(random, (count, 1, 1, 1), 0.9, 1.12)
    return (grey + saturation * (pictures - grey)) * gain + offset


def _noisy(pictures: Tensor, random: torch.Generator) -> Tensor:
    noise = torch.randn(pictures.shape, generator=random, device=random.device)
    return pictures + noise * _uniform(random, (len(pictures), 1, 1, 1), 0.0, 0.02)
