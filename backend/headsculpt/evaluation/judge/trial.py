# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a trained judge is right, on heads that it has never seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headsculpt.evaluation.judge.augment import augment
from headsculpt.evaluation.judge.mirrored import face_painted_behind, two_faced
from headsculpt.evaluation.judge.network import QUESTIONS, Network
from headsculpt.evaluation.judge.reading import AROUND, BEHIND, answers, face_scores, in_a_row
from headsculpt.evaluation.judge.renders import HELD_OUT_VIEWS, UNKNOWN, draw_look
from headsculpt.evaluation.judge.studio import Subject, draw_camera
from headsculpt.mesh import Mesh
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe

CALIBRATION_HEADS, ONE_FACE_HEADS, TWO_FACED_HEADS = 200, 300, 100
CALIBRATION, TRIAL = 3, 4
"""Seeds of the heads that the threshold is set on, and of those that it is tried on."""
MARGIN = 0.25
"""How far, in log-odds, the threshold lies above all that heads of one face show from behind."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers: of single pictures, of the same pictures made worse, of heads by all their pictures
    together, of the value that is told worst; and that value."""

    pictures: float
    worse_pictures: float
    heads: float
    worst: float
    worst_value: str


def try_out(
    trained: Network, pictures: NDArray[np.uint8], labels: NDArray[np.int8], wardrobe: Wardrobe
) -> tuple[dict[str, object], float]:
    """Prints and returns all figures, and the threshold from which on a picture shows a face.

    pictures [N, S, S, 3], labels [N, Q]: held-out heads in the order of renders.head_samples.
    """
    table = accuracies(trained, pictures, labels)
    print("| | single pictures | made worse | heads | worst value |\n|---|---|---|---|---|")
    for name, row in table.items():
        shares = f"{row.pictures:.1%} | {row.worse_pictures:.1%} | {row.heads:.1%}"
        print(f"| {name} | {shares} | {row.worst_value or 'none'} {row.worst:.0%} |")
    same: Callable[[Mesh, float], Mesh] = lambda mesh, plane: mesh  # noqa: E731
    quiet = behind_scores(trained, wardrobe, same, CALIBRATION_HEADS, CALIBRATION)
    threshold = max(0.0, float(quiet.max()) + MARGIN)
    faces: dict[str, float] = {"threshold": threshold}
    for name, change in (("one face", same), ("mirrored", two_faced), ("painted", face_painted_behind)):
        heads = ONE_FACE_HEADS if name == "one face" else TWO_FACED_HEADS
        shown = behind_scores(trained, wardrobe, change, heads, TRIAL) > threshold
        faces[f"{name}: views"] = float(shown.float().mean())
        faces[f"{name}: heads"] = float(np.mean([in_a_row(row) for row in shown.tolist()]))
        print(f"{name}: a face behind in {faces[f'{name}: views']:.2%} of {shown.numel()} views,", end=" ")
        print(f"two-faced are {faces[f'{name}: heads']:.1%} of {len(shown)} heads")
    return {"attributes": {name: asdict(row) for name, row in table.items()}, "second face": faces}, threshold


def accuracies(trained: Network, pictures: NDArray[np.uint8], labels: NDArray[np.int8]) -> dict[str, Accuracy]:
    """By question, of those that the labels can answer."""
    plain = answers(trained, pictures)
    worse = answers(trained, _made_worse(pictures))
    table = {}
    for index, (name, values) in enumerate(QUESTIONS.items()):
        right = torch.from_numpy(labels[:, index].astype(np.int64))
        known = right != UNKNOWN
        if not known.any():
            continue
        hits = (plain[name].argmax(1) == right)[known]
        each = [float(hits[right[known] == value].float().mean()) for value in range(len(values))]
        worst = int(np.nanargmin(each))
        table[name] = Accuracy(
            float(hits.float().mean()),
            float((worse[name].argmax(1) == right)[known].float().mean()),
            _by_head(plain[name], right) if name not in ("view", "face") else float("nan"),
            each[worst],
            values[worst],
        )
    return table


def _by_head(scores: Tensor, right: Tensor) -> float:
    """Share of heads whose pictures answer rightly together."""
    known = (right != UNKNOWN).view(-1, HELD_OUT_VIEWS.count)
    total = (scores.view(-1, HELD_OUT_VIEWS.count, scores.shape[1]) * known[..., None]).sum(1)
    label = right.view(-1, HELD_OUT_VIEWS.count).amax(1)
    return float((total.argmax(1) == label)[known.any(1)].float().mean())


def _made_worse(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    random = torch.Generator().manual_seed(0)
    changed = []
    for start in range(0, len(pictures), 64):
        chunk = torch.from_numpy(pictures[start : start + 64]).permute(0, 3, 1, 2) / 255
        changed.append((augment(chunk, random).permute(0, 2, 3, 1) * 255 + 0.5).to(torch.uint8).numpy())
    return np.concatenate(changed)


def behind_scores(
    trained: Network, wardrobe: Wardrobe, change: Callable[[Mesh, float], Mesh], heads: int, seed: int
) -> Tensor:
    """Log-odds of a face [heads, views] in views beyond BEHIND, AROUND apart, of random heads after `change`."""
    turns = np.arange(BEHIND + AROUND, 360 - BEHIND, AROUND)
    scores = []
    for head in range(heads):
        rng = np.random.default_rng([seed, head])
        mesh = wardrobe.dress(draw_look(rng, len(wardrobe.model.identity))).mesh
        subject = Subject(change(mesh, rng.uniform(-0.05, 0.05)))
        pictures = [subject.photograph(draw_camera(turn, False, rng), rng) for turn in turns]
        scores.append(face_scores(answers(trained, np.stack(pictures))))
    return torch.stack(scores)
