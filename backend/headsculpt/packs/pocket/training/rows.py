# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the rows of a few words with all else frozen: what the pack makes of texts without them stays the same.

    python -m headsculpt.packs.pocket.training.rows ears "elf ears" --out out/pocket/elf-ears

Renders heads that show an attribute's value, then lets the words of that value learn what it looks like. OUT becomes a
copy of the pack whose text encoder has these rows, to be measured by headsculpt.evaluation.words.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor

from ....device import computes_bfloat16, mixed
from ....head.builtin import load_builtin
from . import networks
from .dataset import Batch, Part, prepare
from .looks.wardrobe import Wardrobe
from .looks.words import Look
from .networks import PATCH, Networks
from .pictures import PACK, VIEWS_PER_LOOK, Record, pack_spec, take
from .train import spread_times, velocity_loss, write_pack

ABOUT = 0.02
"""Mean difference of a patch, pictures in [0, 1], from which on the value counts as seen there."""
KEPT = ("pack.json", "learned_embeds.safetensors")
"""Files that stay right, as they were made with the networks that stay frozen here."""


@dataclass(frozen=True)
class RowPlan:
    """How to train rows. What was tried on “elf ears” stands in docs/pack.md."""

    looks: int = 450
    steps: int = 500
    batch: int = 48
    rate: float = 1e-2
    """Adam's, reached in `warm_up` steps, then falling linearly to a tenth."""
    warm_up: int = 20
    about_weight: float = 8.0
    """How much latent pixels where the value is seen weigh in the loss beside the others."""
    seed: int = 900


@dataclass(frozen=True)
class Shown:
    """A picture [S, S, 3] that shows the value, its landmarks' pixels [478, 2], its record, and the latent pixels
    [S / 8, S / 8] where the value is seen."""

    picture: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    record: Record
    about: NDArray[np.bool_]


def photograph_value(attribute: str, value: str, looks: int, rng: np.random.Generator) -> Iterator[Shown]:
    """Pictures of `looks` heads with this value of an attribute; views that do not show it are left out.

    Each is taken twice, with the value and without, under the same camera and light: where they differ it is seen.
    """
    spec, wardrobe = pack_spec(), Wardrobe(load_builtin())
    while looks:
        look = Look.draw(rng, len(wardrobe.model.identity))
        if look.words()[attribute] != value:
            continue
        looks -= 1
        taken_back: dict[str, Any] = {attribute: ""}
        head, without = wardrobe.dress(look), wardrobe.dress(replace(look, **taken_back))
        for _ in range(VIEWS_PER_LOOK):
            state = rng.bit_generator.state
            plain, _, _ = take(without, look, spec, rng)
            rng.bit_generator.state = state
            picture, landmarks, record = take(head, look, spec, rng)
            about = _differs(picture, plain)
            if about.any():
                yield Shown(picture, landmarks, record, about)


def _differs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[S / 8, S / 8]: in which patches two pictures [S, S, 3] differ."""
    side = len(one) // PATCH
    difference = np.abs(one.astype(np.float32) - other).reshape(side, PATCH, side, PATCH, 3).mean((1, 3, 4)) / 255
    return difference > ABOUT


def train_rows(pack: Networks, value: str, shown: Sequence[Shown], plan: RowPlan) -> None:
    """Trains the rows of the value's words; nothing else in `pack` changes."""
    vocabulary = pack.tokenizer.get_vocab()
    ids = [vocabulary[word] for word in value.split()]
    table = _frozen_but(pack, ids)
    part = _weighted(pack, shown, plan)
    named = torch.stack([(part.tokens == index).any(-1) for index in ids]).all(0).nonzero()  # [M, 2]: picture, caption
    optimizer, generator = torch.optim.Adam([table], plan.rate), torch.Generator().manual_seed(plan.seed)
    alphas = DDIMScheduler(**networks.SCHEDULE).alphas_cumprod
    for step in range(plan.steps):
        pictures, captions = named[torch.randint(len(named), (plan.batch,), generator=generator)].unbind(1)
        tokens = part.tokens[pictures, captions].long()
        batch = Batch(part.latents[pictures], part.weights[pictures], tokens, None)
        noise = torch.randn(batch.latents.shape, generator=generator)
        t = spread_times(plan.batch, len(alphas), generator)
        with mixed(table.device):
            loss = velocity_loss(pack, alphas, batch, noise, t)
        optimizer.param_groups[0]["lr"] = plan.rate * min(1, (step + 1) / plan.warm_up) * (1 - 0.9 * step / plan.steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {plan.steps}, loss {loss.item():.4f}", flush=True)


def _frozen_but(pack: Networks, ids: Sequence[int]) -> Tensor:
    """The table of words, of which only these rows get gradients; Adam leaves rows alone that never had any."""
    for parameter in pack.parameters():
        parameter.requires_grad_(False)
    encoder: Any = pack.text_encoder
    table: Tensor = encoder.get_input_embeddings().weight
    table.requires_grad_(True)
    mask = torch.zeros(len(table), 1)
    mask[list(ids)] = 1
    table.register_hook(lambda gradient: gradient * mask)
    return table


def _weighted(pack: Networks, shown: Sequence[Shown], plan: RowPlan) -> Part:
    part = prepare(
        np.stack([one.picture for one in shown]),
        np.stack([one.landmarks for one in shown]),
        [one.record for one in shown],
        pack.codec(),
        pack_spec(),
        np.random.default_rng(plan.seed),
    )
    about = torch.from_numpy(np.stack([one.about for one in shown]))[:, None]
    return replace(part, weights=part.weights.masked_fill(about, plan.about_weight))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attribute", help="such as ears")
    parser.add_argument("value", help="of that attribute; its words are trained")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pack with the new rows")
    parser.add_argument("--steps", type=int, default=RowPlan.steps)
    parser.add_argument("--rate", type=float, default=RowPlan.rate)
    parser.add_argument("--about-weight", type=float, default=RowPlan.about_weight)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = RowPlan(steps=arguments.steps, rate=arguments.rate, about_weight=arguments.about_weight)
    rng = np.random.default_rng(plan.seed)
    shown = list(photograph_value(arguments.attribute, arguments.value, plan.looks, rng))
    print(f"{len(shown)} pictures that show {arguments.value}", flush=True)
    pack = networks.continue_from(PACK, plan.seed)
    if computes_bfloat16(torch.device("cpu")):
        networks.attend_plainly(pack)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    train_rows(pack, arguments.value, shown, plan)
    write_pack(pack, arguments.out, KEPT)


if __name__ == "__main__":
    main()
