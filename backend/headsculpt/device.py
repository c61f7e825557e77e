# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job computes: on the processor, with numba's kernels, or on an NVIDIA card, with Warp's.

The one place that decides. A tensor's device says which kernels take it (`on_card`). Warp (`warp-lang`, an optional
package) compiles its kernels for cards and, in tests, for the processor: files that end in _warp.py.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from headsculpt.errors import UserError

ROOM = 3e9
"""Bytes of a card's memory that a job needs beside its pack's weights when it saves memory (estimated)."""
PLENTY = 10e9
"""The same, without saving: pictures of 512² go through the autoencoder four at a time, with gradients (estimated)."""


@dataclass(frozen=True)
class Choice:
    """device: a card or the processor; dtype: of the diffusion model's weights; saving: whether the card's memory is
    so small that pictures go through the autoencoder one by one; reason: why it is not the card, a sentence, or ""."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    saving: bool = False
    reason: str = ""


def choose(asked: str, *weights: Path) -> Choice:
    """Where a job computes. asked: “auto” (a card that has room, else the processor), “cpu”, “cuda” or “cuda:N”;
    weights: the folders or files that the pack's weights come from.

    Raises UserError when the card that was asked for can not be used.
    """
    if asked == "cpu":
        return Choice(torch.device("cpu"))
    device = torch.device("cuda" if asked == "auto" else asked)
    missing = _missing(device)
    free = 0 if missing else torch.cuda.mem_get_info(device)[0]
    needed = sum(_size_of(path) for path in weights) + ROOM
    if not missing and free < needed:
        missing = f"The graphics card has {free / 1e9:.1f} GB free, and this job needs about {needed / 1e9:.1f} GB."
    if not missing:
        return Choice(device, torch.float16, saving=free < needed - ROOM + PLENTY)
    if asked != "auto":
        raise UserError(missing, "Choose “auto” or “cpu”; docs/performance.md says what a graphics card needs.")
    has_card = torch.cuda.is_available()
    return Choice(torch.device("cpu"), reason=f"{missing} The processor computes instead." if has_card else "")


def _missing(device: torch.device) -> str:
    """Why this card can not be used, a sentence, or ""."""
    if not torch.cuda.is_available() or torch.version.cuda is None:  # torch for AMD calls its cards cuda, too
        return "There is no NVIDIA card here, or torch was built without CUDA."
    if (device.index or 0) >= torch.cuda.device_count():
        return f"There is no graphics card number {device.index}."
    if find_spec("warp") is None:
        return "To compute on a graphics card, the worker's environment lacks the package warp-lang."
    return ""


def _size_of(path: Path) -> int:
    """Bytes of the weights in half precision. Files in full precision count as twice too much."""
    files = [path] if path.is_file() else path.rglob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether it multiplies in bfloat16 by itself, about twice as fast as in single precision. Elsewhere bfloat16 is
    emulated, and far slower."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.cuda.is_bf16_supported(including_emulation=False)


def mixed(device: torch.device) -> torch.autocast:
    """A context in which networks multiply in bfloat16 where the device does so by itself; weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device))


def all_kinds() -> list[torch.device]:
    """Of those here: the processor and, if it can be used, the first card."""
    card = torch.device("cuda", 0)
    return [torch.device("cpu")] + ([] if _missing(card) else [card])


def describe(device: torch.device) -> str:
    """What users call it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def on_card(tensor: Tensor) -> bool:
    """Whether Warp's kernels work on this tensor, else numba's."""
    return tensor.device.type != "cpu"


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processor's on the device; the processor does not wait until a card has done what it is at."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def memory_format(device: torch.device) -> torch.memory_format:
    """In which order networks keep their weights. Channels last makes convolutions a tenth to a fifth faster on the
    processor. Not on a card: there torch's group normalisation wants a channel's pixels side by side, and turning
    pictures over and back for it takes a quarter of a step (docs/performance.md)."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def by_channels(pictures: Tensor) -> Tensor:
    """Pictures or latents [B, C, H, W] in the order that keeps the networks of a card in theirs; the processor's as
    they are."""
    return pictures.contiguous() if on_card(pictures) else pictures


def rows_to_ask(wanted: Tensor) -> Tensor:
    """Of wanted, bool [N], int64 [M]: the rows that are wanted. On a card all rows, since their number would have to be
    waited for."""
    if on_card(wanted):
        return torch.arange(len(wanted), device=wanted.device)
    return wanted.nonzero()[:, 0]


def give_back() -> None:
    """Gives a card's memory that no tensor holds any more back to other programs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
