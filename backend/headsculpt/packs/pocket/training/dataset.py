# SPDX-License-Identifier: GPL-3.0-or-later
"""What training draws its batches from: the latents, captions and landmark maps of rendered pictures, on the device."""

from __future__ import annotations

import multiprocessing
import zlib
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....head import landmarks as face
from ....render import landmark_map
from ...codec import LinearCodec
from ...spec import PackSpec
from .captions import caption, make_tokenizer
from .networks import PATCH, TEXT_LENGTH
from .pictures import Record, load_shard, pack_spec, shard_paths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CAPTIONS = 8
"""Different captions of each picture."""
_FEATURE_LINES = [chain for _, chains in landmark_map.LINES[1:] for chain in chains]  # the first is the face's outline
FEATURES = sorted({*face.LEFT_IRIS, *face.RIGHT_IRIS}.union(*_FEATURE_LINES))
"""Landmarks of eyes, irises, brows and lips."""
FACE_WEIGHT, FEATURE_WEIGHT = 2.0, 4.0
"""How much latent pixels of the face, and of eyes, brows and lips, weigh in the loss beside the others: they are few,
and what most words are about."""


@dataclass(frozen=True)
class Part:
    """Pictures made ready for training, on the CPU or a device."""

    latents: Tensor
    """[N, C, h, w]."""
    weights: Tensor
    """[N, 1, h, w], of latent pixels in the loss."""
    tokens: Tensor
    """int16 [N, CAPTIONS, T]."""
    mapped: Tensor
    """int64 [M]: which pictures have a landmark map."""
    maps: Tensor
    """uint8 [M, 3, S, S]."""


@dataclass(frozen=True)
class Batch:
    """Latents [B, C, h, w], their weights [B, 1, h, w], token ids [B, T], and maps [B, 3, S, S] or none."""

    latents: Tensor
    weights: Tensor
    tokens: Tensor
    maps: Tensor | None


class TrainingSet:
    """All pictures that are there so far."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.empty = _tokens([""])[0].to(device)
        self.all: Part | None = None

    def __len__(self) -> int:
        return 0 if self.all is None else len(self.all.latents)

    def add(self, parts: list[Part]) -> None:
        """Takes more pictures in."""
        if not parts:
            return
        parts = [self.all, *parts] if self.all is not None else parts
        starts = np.cumsum([0, *(len(part.latents) for part in parts)]).tolist()
        columns = {
            field.name: torch.cat([getattr(part, field.name).to(self.device) for part in parts])
            for field in fields(Part)
            if field.name != "mapped"
        }
        mapped = [part.mapped.to(self.device) + start for part, start in zip(parts, starts, strict=False)]
        self.all = Part(**columns, mapped=torch.cat(mapped))

    def batch(self, size: int, mapped: bool, empty_captions: float, generator: torch.Generator) -> Batch:
        """A random one; with landmark maps or without. empty_captions: the share of captions left empty."""
        assert self.all is not None, "no pictures"
        some = self.all
        rows = self._draw(len(some.mapped if mapped else some.latents), size, generator)
        chosen = some.mapped[rows] if mapped else rows
        tokens = some.tokens[chosen, self._draw(CAPTIONS, size, generator)]
        left_empty = torch.rand(size, 1, generator=generator, device=self.device) < empty_captions
        tokens = torch.where(left_empty, self.empty, tokens).long()
        return Batch(some.latents[chosen], some.weights[chosen], tokens, some.maps[rows] / 255 if mapped else None)

    def _draw(self, below: int, size: int, generator: torch.Generator) -> Tensor:
        return torch.randint(below, (size,), generator=generator, device=self.device)


class Shards:
    """Reads the shards of a folder in processes of their own, also those that appear while training goes on."""

    def __init__(self, folder: Path, codec_tensors: dict[str, Tensor], processes: int = 1) -> None:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self.pool = ProcessPoolExecutor(processes, context)
        self.folder, self.codec = folder, {name: tensor.numpy() for name, tensor in codec_tensors.items()}
        self.seen: set[Path] = set()
        self.reading: dict[Path, Future[dict[str, NDArray]]] = {}

    def new(self, wait: bool = False) -> list[Part]:
        """Those that were not given before, in the order of their names. wait: all that are there now."""
        for path in shard_paths(self.folder):
            if path not in self.seen:
                self.seen.add(path)
                self.reading[path] = self.pool.submit(_prepare_shard, path, self.codec)
        ready = [path for path, columns in self.reading.items() if wait or columns.done()]
        read = [self.reading.pop(path).result() for path in ready]
        return [Part(**{name: torch.from_numpy(column) for name, column in columns.items()}) for columns in read]

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


def _prepare_shard(path: Path, codec_tensors: dict[str, NDArray]) -> dict[str, NDArray]:
    """Part's columns, as arrays: torch's tensors need open files on their way between processes."""
    torch.set_num_threads(1)
    codec = LinearCodec(**{name: torch.from_numpy(array) for name, array in codec_tensors.items()}, device="cpu")
    part = prepare(*load_shard(path), codec, pack_spec(), np.random.default_rng(zlib.crc32(path.name.encode())))
    return {field.name: getattr(part, field.name).numpy() for field in fields(Part)}


def prepare(
    pictures: NDArray[np.uint8],
    landmarks: NDArray[np.float32],
    records: list[Record],
    codec: LinearCodec,
    spec: PackSpec,
    rng: np.random.Generator,
) -> Part:
    """Pictures [N, S, S, 3], their landmarks' pixels [N, 478, 2] and records."""
    # beyond the limit a map would be blank: the net never sees one, or it would learn that blank means the back
    limit = spec.views.landmark_limit
    mapped = [index for index, record in enumerate(records) if abs(record.azimuth) <= limit]
    size, side = spec.image_size, spec.image_size // PATCH
    maps = np.empty((len(mapped), size, size, 3), np.uint8)
    weights = np.ones((len(records), 1, side, side), np.float32)
    for row, index in enumerate(mapped):
        maps[row] = landmark_map.draw(landmarks[index], size)
        weights[index, 0] = face_weights(landmarks[index], side)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    texts = [caption(record, spec, rng) for record in records for _ in range(CAPTIONS)]
    return Part(
        torch.cat([codec.encode(chunk / 255) for chunk in images.split(256)]),
        torch.from_numpy(weights),
        _tokens(texts).view(len(records), CAPTIONS, TEXT_LENGTH),
        torch.tensor(mapped, dtype=torch.int64),
        torch.from_numpy(maps).permute(0, 3, 1, 2),
    )


def face_weights(landmarks: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """[size, size]: how much latent pixels weigh in the loss, where landmarks are seen at these pixels [478, 2]."""
    weights = np.ones((size, size), np.float32)
    cells = np.floor(landmarks / PATCH).astype(int)
    inside = np.all((cells >= 0) & (cells < size), axis=1)
    for points, weight in ((np.arange(len(cells)), FACE_WEIGHT), (np.array(FEATURES), FEATURE_WEIGHT)):
        columns, rows = cells[points[inside[points]]].T
        weights[rows, columns] = weight
    return weights


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(TEXT_LENGTH)


def _tokens(texts: list[str]) -> Tensor:
    """int16 [N, T]."""
    encoded = _tokenizer()(texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="np")
    return torch.from_numpy(encoded.input_ids.astype(np.int16))
