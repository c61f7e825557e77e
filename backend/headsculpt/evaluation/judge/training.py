# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the judge on renders of its own, apart from the pack, and says how often it is right.

    python -m headsculpt.evaluation.judge.training --out out/judge --minutes 30

Started again it goes on where it was; `--init` begins with the weights of an earlier training. OUT gets the renders,
`checkpoint.pt`, and at the end `weights.safetensors` and `accuracy.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from headsculpt.device import mixed
from headsculpt.evaluation.judge import network
from headsculpt.evaluation.judge.augment import augment
from headsculpt.evaluation.judge.network import QUESTIONS, Network
from headsculpt.evaluation.judge.renders import HELD_OUT_VIEWS, TRAINING_VIEWS, UNKNOWN, load_shards, render_shards
from headsculpt.evaluation.judge.studio import SIZE as STUDIO_SIZE
from headsculpt.evaluation.judge.trial import try_out
from headsculpt.head.builtin import load_builtin
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.pictures import shard_paths

TRAINING, HELD_OUT = 1, 2
"""Seeds of the two sets of heads."""
HELD_OUT_HEADS = 150
SHARDS = "*.npz"
"""Names of the judge's shards, which have a folder of their own."""


@dataclass(frozen=True)
class Plan:
    """How to train."""

    minutes: float
    """Of training, without rendering."""
    peak_rate: float = 2e-3
    """Learning rate after the warm-up; falls as a cosine to nothing."""
    warm_up: float = 0.03
    """Share of the time in which the rate rises."""
    batch: int = 32
    smoothing: float = 0.02
    """Of the labels."""
    weight_decay: float = 0.05
    seed: int = 1


class Trainer:
    """The loop's whole state."""

    def __init__(self, plan: Plan, device: str) -> None:
        torch.manual_seed(plan.seed)  # layers take their first weights from the global generator
        self.plan, self.device = plan, torch.device(device)
        self.pictures = torch.empty(0, STUDIO_SIZE, STUDIO_SIZE, 3, dtype=torch.uint8, device=device)
        self.labels = torch.empty(0, len(QUESTIONS), dtype=torch.int64, device=device)
        self.network = Network().to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.peak_rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay
        )
        self.order = torch.Generator().manual_seed(plan.seed)
        self.random = torch.Generator(device).manual_seed(plan.seed)
        self.step, self.seconds = 0, 0.0

    def add(self, pictures: NDArray[np.uint8], labels: NDArray[np.int8]) -> None:
        """Takes more pictures [N, S, S, 3] and their labels [N, Q] in."""
        self.pictures = torch.cat([self.pictures, torch.from_numpy(pictures).to(self.device)])
        self.labels = torch.cat([self.labels, torch.from_numpy(labels).long().to(self.device)])

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.seconds / 60 / self.plan.minutes)

    @property
    def rate(self) -> float:
        """The learning rate now."""
        rising = min(1.0, (self.progress + 1e-4) / self.plan.warm_up)
        return self.plan.peak_rate * rising * (1 + math.cos(math.pi * self.progress)) / 2

    def train_step(self) -> Tensor:
        """One step; returns its loss, which a card may still be at."""
        start = time.perf_counter()
        chosen = torch.randint(0, len(self.pictures), (self.plan.batch,), generator=self.order).to(self.device)
        pictures = self.pictures[chosen].permute(0, 3, 1, 2) / 255
        pictures = augment(pictures, self.random)
        with mixed(self.device):
            scores = self.network(pictures)
        scores = {name: answers.float() for name, answers in scores.items()}
        loss = answer_loss(scores, self.labels[chosen], self.plan.smoothing)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.seconds += time.perf_counter() - start
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "random": self.random.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.set_state(state["order"].cpu())
        self.random.set_state(state["random"].cpu())
        self.step, self.seconds = state["step"], state["seconds"]


def answer_loss(scores: dict[str, Tensor], labels: Tensor, smoothing: float) -> Tensor:
    """The mean cross entropy of all questions, each over those pictures that can answer it. labels: int64 [B, Q]."""
    losses = []
    for answers, right in zip(scores.values(), labels.unbind(1), strict=True):
        if (right != UNKNOWN).any():
            losses.append(functional.cross_entropy(answers, right, ignore_index=UNKNOWN, label_smoothing=smoothing))
    return torch.stack(losses).mean()


def train(out: Path, plan: Plan, device: str, init: Path | None = None, save_minutes: float = 2.0) -> Network:
    """Trains to the plan's end on the renders in `out`, those that come in meanwhile too; returns the network, on the
    CPU.

    init: weights to begin with, where there is no checkpoint yet.
    """
    trainer, checkpoint = Trainer(plan, device), out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=device, weights_only=True))
    elif init is not None:
        trainer.network.load_state_dict(network.load(init)[0].state_dict())
    known: set[Path] = set()
    saved, losses = trainer.seconds, list[Tensor]()
    while trainer.progress < 1:
        if len(losses) % 100 == 0:
            _report(trainer, losses)
            losses.clear()
            new = [path for path in shard_paths(out / "renders", SHARDS) if path not in known]
            if new:
                trainer.add(*load_shards(new))
                known.update(new)
        losses.append(trainer.train_step())
        if trainer.seconds - saved > 60 * save_minutes:
            _write(trainer.state(), checkpoint)
            saved = trainer.seconds
    _write(trainer.state(), checkpoint)
    return trainer.network.cpu().eval()


def _report(trainer: Trainer, losses: list[Tensor]) -> None:
    if not losses:
        return
    each = 1e3 * trainer.seconds / trainer.step / trainer.plan.batch
    print(
        f"{trainer.progress:.0%} loss {float(torch.stack(losses).mean()):.4f}, {each:.2f} ms a picture, "
        f"{len(trainer.pictures)} pictures",
        flush=True,
    )


def _write(state: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, without rendering")
    parser.add_argument("--init", type=Path, help="weights.safetensors to go on from, with the learning rate anew")
    parser.add_argument("--peak-rate", type=float, default=Plan.peak_rate, help="lower where good weights go on")
    parser.add_argument("--heads", type=int, default=6000, help="in the training set")
    parser.add_argument("--seed", type=int, default=TRAINING, help="of those heads: another one makes others")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out, wardrobe = arguments.out, Wardrobe(load_builtin())
    render_shards(out / "renders", arguments.heads, TRAINING_VIEWS, arguments.seed, wardrobe)
    render_shards(out / "held_out", HELD_OUT_HEADS, HELD_OUT_VIEWS, HELD_OUT, wardrobe)
    trained = train(out, Plan(arguments.minutes, arguments.peak_rate), arguments.device, arguments.init)
    accuracy, threshold = try_out(trained, *load_shards(shard_paths(out / "held_out", SHARDS)), wardrobe)
    network.save(trained, out / "weights.safetensors", {"face_threshold": f"{threshold:.4f}"})
    (out / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
