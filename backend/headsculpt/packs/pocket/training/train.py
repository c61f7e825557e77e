# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the pocket pack: text encoder, U-Net and landmark ControlNet together, on the pictures of pictures.py.

    python -m headsculpt.packs.pocket.training.train --data out/pocket/data --out out/pocket/run --minutes 90

Started again it goes on where it was. SIGTERM or Ctrl-C writes the checkpoint and the pack, then ends. OUT gets
`checkpoint.pt`, `loss.csv` and, at every checkpoint, `pack/`: the averaged weights in half precision.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from ....device import computes_bfloat16, mixed
from . import networks
from .dataset import Batch, Shards, TrainingSet
from .networks import Networks
from .pictures import PACK, load_shard, shard_paths


@dataclass(frozen=True)
class Plan:
    """How to train. Progress is the larger of samples / `samples` and minutes / `minutes`; 0 means no such limit."""

    samples: int = 0
    minutes: float = 0.0
    peak_rate: float = 1e-3
    """Learning rate after the warm-up; falls as a cosine to `final_rate` of it."""
    final_rate: float = 0.02
    warm_up: int = 200
    """Steps."""
    batch: int = 64
    empty_captions: float = 0.10
    """Share of captions left empty, for classifier-free guidance."""
    landmark_batches: float = 0.45
    """Share of batches that go through the ControlNet."""
    average: float = 0.999
    """Decay of the running average of the weights, which is what is exported."""
    clip: float = 1.0
    readers: int = 1
    """Processes that make pictures ready."""
    seed: int = 1


LOOK_SECONDS = 5.0
"""Between two looks for new shards."""


class Trainer:
    """The loop's whole state, which `state` gives and `restore` takes."""

    def __init__(self, pack: Networks, plan: Plan, device: str) -> None:
        self.pack, self.plan, self.device = pack.to(device), plan, torch.device(device)
        self.data = TrainingSet(self.device)
        if computes_bfloat16(self.device) and self.device.type == "cpu":
            networks.attend_plainly(pack)
        self.alphas = DDIMScheduler(**networks.SCHEDULE).alphas_cumprod.to(device)
        self.parameters = self.pack.parameters()
        self.optimizer = torch.optim.AdamW(
            self.parameters, plan.peak_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.rng = np.random.default_rng(plan.seed)
        self.generator = torch.Generator(device).manual_seed(plan.seed)
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the planned end."""
        plan = self.plan
        by_samples = self.step * plan.batch / plan.samples if plan.samples else 0.0
        by_time = self.seconds / 60 / plan.minutes if plan.minutes else 0.0
        return max(by_samples, by_time)

    @property
    def rate(self) -> float:
        """The learning rate now."""
        plan = self.plan
        falling = plan.final_rate + (1 - plan.final_rate) * (1 + math.cos(math.pi * min(1, self.progress))) / 2
        return plan.peak_rate * min(1, (self.step + 1) / plan.warm_up) * falling

    def train_step(self) -> tuple[Tensor, bool]:
        """One step. Returns its loss, which a card may still be at, and whether its batch had landmarks."""
        start = time.perf_counter()
        plan, mapped = self.plan, bool(self.rng.random() < self.plan.landmark_batches)
        batch = self.data.batch(plan.batch, mapped, plan.empty_captions, self.generator)
        noise = torch.randn(batch.latents.shape, generator=self.generator, device=self.device)
        t = spread_times(plan.batch, len(self.alphas), self.generator)
        with mixed(self.device):
            loss = velocity_loss(self.pack, self.alphas, batch, noise, t)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.clip)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        self.seconds += time.perf_counter() - start
        return loss.detach(), mapped

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.plan.average, (10 + self.step) / (20 + self.step))
        torch._foreach_lerp_(self.average, [parameter.detach() for parameter in self.parameters], 1 - decay)

    def state(self) -> dict[str, Any]:
        return {
            "parts": {name: part.state_dict() for name, part in self.pack.parts.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "codec": self.pack.codec_tensors,
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for name, part in self.pack.parts.items():
            part.load_state_dict(state["parts"][name])
        torch._foreach_copy_(self.average, state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"].cpu())
        self.step, self.seconds = state["step"], state["seconds"]

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Writes the averaged weights as a pack folder, complete or not at all."""
        trained = [parameter.detach().clone() for parameter in self.parameters]
        torch._foreach_copy_([parameter.data for parameter in self.parameters], self.average)
        write_pack(self.pack, folder, ("pack.json",))
        torch._foreach_copy_([parameter.data for parameter in self.parameters], trained)


def spread_times(count: int, below: int, generator: torch.Generator) -> Tensor:
    """Times int64 [count] on the generator's device, one from each part of the schedule: losses then vary less."""
    shares = torch.rand(count, generator=generator, device=generator.device)
    return ((torch.arange(count, device=generator.device) + shares) / count * below).long()


def velocity_loss(pack: Networks, alphas: Tensor, batch: Batch, noise: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of v = √ᾱ·ε − √(1−ᾱ)·z₀ (Salimans and Ho 2022), weighted by the batch's weights.

    alphas: ᾱ [T] of the schedule; noise: ε [B, C, h, w]; t: int64 [B].
    """
    latents, maps = batch.latents, batch.maps
    alpha = alphas[t].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    words = pack.text_encoder(batch.tokens).last_hidden_state
    residuals: dict[str, Any] = {}
    if maps is not None:
        maps = maps.contiguous(memory_format=torch.channels_last)
        down, middle = pack.controlnet(noisy, t, words, maps, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    velocity = pack.unet(noisy, t, words, **residuals).sample
    error = velocity.float() - (alpha.sqrt() * noise - (1 - alpha).sqrt() * latents)
    return (batch.weights * error.square()).mean() / batch.weights.mean()


def write_pack(pack: Networks, folder: Path, kept: Sequence[str]) -> None:
    """Writes networks as a pack folder, complete or not at all, with these files of the pack that ships beside them."""
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    pack.save(partial)
    for name in kept:
        shutil.copy(PACK / name, partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    partial = path.with_suffix(".part")
    torch.save(trainer.state(), partial)
    os.replace(partial, path)


class LossLog:
    """`loss.csv`: a row every `every` steps with the mean losses since the last one, without and with landmarks."""

    HEADER = ("step", "samples", "seconds", "rate", "loss", "loss_landmarks")

    def __init__(self, path: Path, every: int = 50) -> None:
        self.path, self.every = path, every
        self.losses: dict[bool, list[Tensor]] = {False: [], True: []}
        if not path.exists():
            self._write(self.HEADER)

    def add(self, trainer: Trainer, loss: Tensor, mapped: bool) -> None:
        self.losses[mapped].append(loss)
        if trainer.step % self.every:
            return
        means = [f"{float(torch.stack(kind).mean()):.4f}" if kind else "" for kind in self.losses.values()]
        row = (trainer.step, trainer.step * trainer.plan.batch, f"{trainer.seconds:.0f}", f"{trainer.rate:.2e}", *means)
        self._write(row)
        print(" ".join(f"{name} {value}" for name, value in zip(self.HEADER, row, strict=True)), flush=True)
        self.losses = {False: [], True: []}

    def _write(self, row: tuple[object, ...]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)


def interrupts() -> Iterator[bool]:
    """Yields, again and again, whether the process was asked to end."""
    asked: list[int] = []
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda number, frame: asked.append(number))
    while True:
        yield bool(asked)


def start(data: Path, out: Path, plan: Plan, init: Path | None, device: str) -> Trainer:
    """A trainer where the checkpoint in `out` left off, else with the weights of `init`, else with random ones."""
    checkpoint = out / "checkpoint.pt"
    saved = torch.load(checkpoint, map_location=device, weights_only=True) if checkpoint.exists() else None
    if saved:
        pack = networks.create({key: value.cpu() for key, value in saved["codec"].items()}, plan.seed)
    elif init:
        pack = networks.continue_from(init, plan.seed)
    else:
        pack = networks.create(networks.fit_codec(load_shard(shard_paths(data)[0])[0]), plan.seed)
    trainer = Trainer(pack, plan, device)
    if saved:
        trainer.restore(saved)
    return trainer


def train(data: Path, out: Path, plan: Plan, init: Path | None, device: str, save_minutes: float) -> Trainer:
    """Trains until the plan's end or an interrupt; writes checkpoint, pack and losses into `out`. Shards that come into
    `data` meanwhile are taken in."""
    if not shard_paths(data):
        raise FileNotFoundError(f"{data} holds no shards; make some with {__package__}.pictures")
    out.mkdir(parents=True, exist_ok=True)
    trainer = start(data, out, plan, init, device)
    shards = Shards(data, trainer.pack.codec_tensors, plan.readers)
    try:
        trainer.data.add(shards.new(wait=True))
        print(
            f"{len(trainer.data)} pictures, {sum(map(torch.Tensor.numel, trainer.parameters)) / 1e6:.2f} M parameters",
            flush=True,
        )
        _run(trainer, shards, out, save_minutes)
    finally:
        shards.close()
    save_checkpoint(trainer, out / "checkpoint.pt")
    trainer.export(out / "pack")
    print(
        f"{trainer.step * plan.batch} samples of {len(trainer.data)} pictures in {trainer.seconds / 60:.1f} minutes, "
        f"pack in {out / 'pack'}"
    )
    return trainer


def _run(trainer: Trainer, shards: Shards, out: Path, save_minutes: float) -> None:
    log, saved_at, looked_at = LossLog(out / "loss.csv"), time.monotonic(), time.monotonic()
    asked_to_end = interrupts()
    while trainer.progress < 1 and not next(asked_to_end):
        log.add(trainer, *trainer.train_step())
        if time.monotonic() - looked_at > LOOK_SECONDS:
            trainer.data.add(shards.new())
            looked_at = time.monotonic()
        if time.monotonic() - saved_at > 60 * save_minutes:
            save_checkpoint(trainer, out / "checkpoint.pt")
            trainer.export(out / "pack")
            saved_at = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures.py's shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=0, help="end after so many pictures seen")
    parser.add_argument("--minutes", type=float, default=0.0, help="end after so much time spent training")
    parser.add_argument("--init", type=Path, help="pack folder whose weights, codec and words to go on from")
    parser.add_argument("--peak-rate", type=float, default=Plan.peak_rate)
    parser.add_argument("--batch", type=int, default=Plan.batch)
    parser.add_argument("--readers", type=int, default=Plan.readers, help="processes that make pictures ready")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between checkpoints")
    arguments = parser.parse_args()
    if not arguments.samples and not arguments.minutes:
        parser.error("say when to end: --samples or --minutes")
    torch.set_num_threads(arguments.threads)
    plan = Plan(
        arguments.samples,
        arguments.minutes,
        arguments.peak_rate,
        batch=arguments.batch,
        readers=arguments.readers,
        seed=arguments.seed,
    )
    train(arguments.data, arguments.out, plan, arguments.init, arguments.device, arguments.save_minutes)


if __name__ == "__main__":
    main()
