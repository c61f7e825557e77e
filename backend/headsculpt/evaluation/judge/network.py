# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge's network: one trunk, and for each question the scores of its answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from headsculpt.evaluation.attributes import ATTRIBUTES

QUESTIONS: dict[str, tuple[str, ...]] = {
    **ATTRIBUTES,
    "view": ("front", "side", "back"),
    "face": ("hidden", "shown"),
}
"""All that the network is asked, and the possible answers."""
SIZE = 128
"""Side of the pictures that it reads, pixels."""
WIDTHS, BLOCKS = (32, 64, 128, 224), (1, 2, 2, 2)
"""Channels after each halving of the picture, and residual blocks there."""
PLACES, MIXED = 32, 160
"""Channels that keep their place in the picture, and the features that all of those are mixed into."""


class Network(nn.Module):
    """3.3 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, count in zip((3, *WIDTHS[:-1]), WIDTHS, BLOCKS, strict=True):
            layers += [*_convolution(before, width, stride=2), nn.ReLU(inplace=True)]
            layers += [_Residual(width) for _ in range(count)]
        trunk: Any = nn.Sequential(*layers)
        self.trunk = trunk.to(memory_format=torch.channels_last)
        cells = (SIZE >> len(WIDTHS)) ** 2
        self.places = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], PLACES, 1), nn.Flatten(), nn.Linear(PLACES * cells, MIXED), nn.ReLU(inplace=True)
        )
        self.drop = nn.Dropout(0.3)
        self.answers = nn.Linear(MIXED + 2 * WIDTHS[-1], sum(map(len, QUESTIONS.values())))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """pictures: [B, 3, SIZE, SIZE] in [0, 1]. Returns the scores of each question's answers, [B, K]."""
        seen = self.trunk((pictures - 0.5).contiguous(memory_format=torch.channels_last))
        # what is where, the mean for colours, and the largest for small things wherever they are
        features = torch.cat([self.places(seen), seen.mean((2, 3)), seen.amax((2, 3))], 1)
        scores = self.answers(self.drop(features)).split([len(answers) for answers in QUESTIONS.values()], 1)
        return dict(zip(QUESTIONS, scores, strict=True))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_convolution(width, width), nn.ReLU(inplace=True), *_convolution(width, width, gain=0.0)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.change(features))


def _convolution(before: int, after: int, stride: int = 1, gain: float = 1.0) -> tuple[nn.Module, nn.Module]:
    norm = nn.BatchNorm2d(after)
    nn.init.constant_(norm.weight, gain)
    return nn.Conv2d(before, after, 3, stride, 1, bias=False), norm


def save(network: Network, path: Path, notes: Mapping[str, str]) -> None:
    """Writes the weights, convolutions in half precision, with the questions and `notes` beside them."""
    tensors = {
        name: value.half().contiguous() if value.ndim > 1 else value.contiguous()
        for name, value in network.state_dict().items()
    }
    partial = path.with_suffix(".part")
    save_file(tensors, partial, {**notes, "questions": json.dumps(QUESTIONS)})
    os.replace(partial, path)


def load(path: Path) -> tuple[Network, dict[str, str]]:
    """The network, ready for reading, and its notes. Raises ValueError if it was trained for other questions."""
    with safe_open(path, "pt") as file:
        notes = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if notes.pop("questions") != json.dumps(QUESTIONS):
        raise ValueError(f"{path.name} answers other questions than these: train it anew")
    network = Network()
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    )
    return network.eval(), notes
