# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what view a picture shows, by ridge regression on its latents: for where the judge is not at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...pack import Pack
from .captions import view_words
from .pictures import load_shards

BATCH = 256


class LatentReader:
    """Front, side or back, read from latents by ridge regression on the means of them and of their size, 2×2 each."""

    def __init__(self, latents: Tensor, views: Tensor, ridge: float = 1000.0) -> None:
        """latents: [N, C, h, w]; views: int64 [N], 0, 1, 2."""
        features = self._features(latents)
        self._mean, self._deviation = features.mean(0), features.std(0) + 1e-5
        design = self._design(latents)
        target = functional.one_hot(views, 3).float()
        self._weights = torch.linalg.solve(design.T @ design + ridge * torch.eye(design.shape[1]), design.T @ target)

    def __call__(self, latents: Tensor) -> Tensor:
        """int64 [N]."""
        return (self._design(latents) @ self._weights).argmax(1)

    @staticmethod
    def _features(latents: Tensor) -> Tensor:
        return torch.cat([functional.avg_pool2d(part, 2).flatten(1) for part in (latents, latents.abs())], 1)

    def _design(self, latents: Tensor) -> Tensor:
        features = (self._features(latents) - self._mean) / self._deviation
        return torch.cat([features, torch.ones(len(features), 1)], 1)


def train_reader(
    pack: Pack, data: Path, held_out: Path
) -> tuple[Callable[[NDArray[np.uint8]], NDArray[np.int64]], float]:
    """A reader of pictures [N, S, S, 3], trained on one folder's shards and their mirror images, and the share of
    another's that it reads right."""
    straight, mirrored = _whole_views(pack, data), _whole_views(pack, data, mirrored=True)
    reader = LatentReader(torch.cat([straight[0], mirrored[0]]), torch.cat([straight[1], mirrored[1]]))
    latents, true = _whole_views(pack, held_out)
    right = float((reader(latents) == true).float().mean())
    return lambda pictures: reader(_encoded(pack, pictures)).numpy(), right


def _whole_views(pack: Pack, data: Path, mirrored: bool = False) -> tuple[Tensor, Tensor]:
    """Latents and views (0 front, 1 side, 2 back) of the pictures in a folder that are no close-ups."""
    pictures, _, records = load_shards(data)
    whole = [index for index, record in enumerate(records) if not record.shot]
    names = (pack.spec.views.front, pack.spec.views.side, pack.spec.views.back)
    views = torch.tensor([names.index(view_words(pack.spec, records[index].azimuth)) for index in whole])
    chosen = pictures[whole]
    return _encoded(pack, chosen[:, :, ::-1] if mirrored else chosen), views


@torch.no_grad()
def _encoded(pack: Pack, pictures: NDArray[np.uint8]) -> Tensor:
    """Latents [N, C, h, w] on the CPU."""
    chunks = [
        torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH])).permute(0, 3, 1, 2) / 255
        for start in range(0, len(pictures), BATCH)
    ]
    return torch.cat([pack.codec.encode(chunk.to(pack.device)).cpu() for chunk in chunks])
