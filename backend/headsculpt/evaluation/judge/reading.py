# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads heads: a few pictures of each, what the network makes of them, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.errors import UserError
from headsculpt.evaluation.attributes import ATTRIBUTES, seen_from
from headsculpt.evaluation.judge import network, studio
from headsculpt.evaluation.judge.network import QUESTIONS, SIZE, Network
from headsculpt.evaluation.judge.studio import FACE, camera
from headsculpt.mesh import Mesh, TexturedMesh
from headsculpt.render.meshview import picture

WEIGHTS = Path(__file__).parent / "weights.safetensors"
AROUND, AROUND_VIEWS, BEHIND, NEIGHBOURS = 10.0, 36, 120.0, 3
"""Second faces are looked for every 10°, beyond 120°, where none should be; three neighbours must agree on one."""
_RADIUS, _FOV, _FOV_NEAR = 1.9, 38.0, 13.0
_AMBIENT, _BACKGROUND = 0.55, (0.6, 0.6, 0.62)


@dataclass(frozen=True)
class View:
    """Where the judge looks from, degrees. near: at the face alone."""

    azimuth: float
    elevation: float = 5.0
    near: bool = False


_NEAR = ((0, 0), (0, 10), (20, 5), (-20, 5), (40, 5), (-40, 5))
PORTRAITS = (
    *(View(azimuth) for azimuth in (0, 22, -22, 45, -45, 80, -80, 110, -110, 150, -150, 180)),
    *(View(azimuth, elevation, near=True) for azimuth, elevation in _NEAR),
)
"""What a finished head is read from."""


@dataclass(frozen=True)
class Reading:
    """Log-probabilities of every attribute's values, averaged over the views that show it."""

    scores: Mapping[str, Mapping[str, float]]

    @property
    def found(self) -> dict[str, str]:
        """The likeliest value of every attribute."""
        return {name: max(values, key=values.__getitem__) for name, values in self.scores.items()}

    def certainty(self, name: str, value: str) -> float:
        """How likely a value is, 0 … 1, beside the attribute's others."""
        scores = np.array(list(self.scores[name].values()))
        return float(np.exp(self.scores[name][value]) / np.exp(scores).sum())


@dataclass(frozen=True)
class SecondFace:
    """seen: views beyond BEHIND that show a face; looked: how many there are; two_faced: NEIGHBOURS in a row do."""

    seen: int
    looked: int
    two_faced: bool


class Judge:
    """The trained network, and the score from which on a picture shows a face."""

    def __init__(self, trained: Network, face_threshold: float) -> None:
        self.network, self.face_threshold = trained, face_threshold

    def scores(self, pictures: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Log-probabilities of each question's answers, [N, K], for pictures [N, S, S, 3] of any size."""
        return answers(self.network, pictures)

    def read(self, pictures: NDArray[np.uint8], views: Sequence[View]) -> Reading:
        """What pictures [N, S, S, 3] of one head show together, each from one of the views [N]."""
        scores = self.scores(pictures)
        together = {}
        for name, values in ATTRIBUTES.items():
            shown = [index for index, view in enumerate(views) if seen_from(name, view.azimuth, view.near)]
            means = scores[name][shown].mean(0).tolist()
            together[name] = dict(zip(values, means, strict=True))
        return Reading(together)

    def read_head(self, mesh: Mesh | TexturedMesh) -> Reading:
        """What a head in head space shows."""
        return self.read(photographs(mesh, PORTRAITS), PORTRAITS)

    def second_face(self, mesh: Mesh | TexturedMesh) -> SecondFace:
        """Whether a head in head space has a face behind, too."""
        views = [View(index * AROUND) for index in range(AROUND_VIEWS)]
        behind = [view for view in views if BEHIND < view.azimuth < 360 - BEHIND]
        faces = (face_scores(self.scores(photographs(mesh, behind))) > self.face_threshold).tolist()
        return SecondFace(sum(faces), len(faces), in_a_row(faces))


@lru_cache(maxsize=1)
def load_judge() -> Judge:
    """The judge that comes with HeadSculpt. Raises UserError when its weights are not there."""
    if not WEIGHTS.exists():
        raise UserError(
            "The judge's weights are not there.", "Train it (docs/judge.md) and put them beside the judge's code."
        )
    trained, notes = network.load(WEIGHTS)
    return Judge(trained, float(notes["face_threshold"]))


@torch.no_grad()
def answers(trained: Network, pictures: NDArray[np.uint8], batch: int = 64) -> dict[str, Tensor]:
    """See Judge.scores."""
    chunks = []
    for start in range(0, len(pictures), batch):
        chunk = torch.from_numpy(pictures[start : start + batch]).permute(0, 3, 1, 2) / 255
        if chunk.shape[-1] != SIZE:
            chunk = torch.nn.functional.interpolate(chunk, (SIZE, SIZE), mode="bilinear", antialias=True)
        chunks.append({name: scores.log_softmax(1) for name, scores in trained(chunk).items()})
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in QUESTIONS}


def face_scores(scores: Mapping[str, Tensor]) -> Tensor:
    """How much likelier it is that a picture shows a face than not: log-odds [N]."""
    hidden, shown = scores["face"].unbind(1)
    return shown - hidden


def in_a_row(faces: Sequence[bool]) -> bool:
    """Whether NEIGHBOURS of these views, in the order of their azimuths, all show a face."""
    return any(all(faces[start : start + NEIGHBOURS]) for start in range(len(faces) - NEIGHBOURS + 1))


def photographs(mesh: Mesh | TexturedMesh, views: Sequence[View], size: int = studio.SIZE) -> NDArray[np.uint8]:
    """Plain pictures [N, S, S, 3] of a head in head space."""
    pictures = []
    for view in views:
        fov, target = (_FOV_NEAR, FACE) if view.near else (_FOV, np.zeros(3))
        at = camera(view.azimuth, view.elevation, _RADIUS, fov, target, size)
        pictures.append(picture(mesh, at, ambient=_AMBIENT, background=_BACKGROUND)[0])
    return np.stack(pictures)
