# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the training set: pictures of dressed heads, where their landmarks are, and what is in them.

python -m headsculpt.packs.pocket.training.pictures --out out/pocket/data --looks 2400
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ....head.builtin import load_builtin
from ...photos import draw_camera, photograph
from ...spec import PackSpec, read_description
from .looks.wardrobe import PaintedHead, Wardrobe
from .looks.words import Look

PACK = Path(__file__).parents[1]
VIEWS_PER_LOOK = 6
FRONT_SHARE, FRONT_SPREAD = 0.55, 35.0  # of the azimuths, normal about the face with this deviation in degrees
CLOSE_SHARES = (0.30, 0.45)  # of the views that a close-up can show, for each of the pack's
SHARD = 200  # looks in one file


@dataclass(frozen=True)
class Record:
    """What is in a picture.

    words: Look.words(); azimuth: degrees; shot: 0 for the whole head, else the number of the pack's close-up.
    """

    words: dict[str, str]
    azimuth: float
    shot: int


def pack_spec() -> PackSpec:
    """What the pack.json of the pocket pack says."""
    return PackSpec(**read_description(PACK))


def draw_azimuth(rng: np.random.Generator) -> float:
    """Degrees in ±180: mostly from the front, as in pictures of people."""
    azimuth = rng.normal(0, FRONT_SPREAD) if rng.random() < FRONT_SHARE else rng.uniform(-180, 180)
    return float((azimuth + 180) % 360 - 180)


def draw_shot(spec: PackSpec, azimuth: float, rng: np.random.Generator) -> int:
    """0 for the whole head, or the number of a close-up that can look from this azimuth."""
    shares = [
        share if abs(azimuth) <= law.azimuth_limit else 0.0
        for law, share in zip(spec.close_ups, CLOSE_SHARES, strict=True)
    ]
    return int(rng.choice(len(shares) + 1, p=[1 - sum(shares), *shares]))


def take(
    head: PaintedHead, look: Look, spec: PackSpec, rng: np.random.Generator, azimuth: float | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Record]:
    """One picture [S, S, 3] of a dressed head, its landmarks' pixels [478, 2] and its record."""
    azimuth = draw_azimuth(rng) if azimuth is None else azimuth
    shot = draw_shot(spec, azimuth, rng)
    camera = draw_camera(spec.close_ups[shot - 1] if shot else spec.cameras, azimuth, spec.image_size, rng)
    photo = photograph(head.mesh, camera, spec, rng)
    landmarks = camera.project(torch.from_numpy(head.landmarks))[0][0].numpy()
    return photo, landmarks, Record(look.words(), azimuth, shot)


def take_many(
    wardrobe: Wardrobe, looks: int, spec: PackSpec, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], Record]]:
    """VIEWS_PER_LOOK pictures of each of `looks` random looks."""
    for _ in range(looks):
        look = Look.draw(rng, len(wardrobe.model.identity))
        head = wardrobe.dress(look)
        for _ in range(VIEWS_PER_LOOK):
            yield take(head, look, spec, rng)


def render_shards(out: Path, looks: int, seed: int) -> None:
    """Writes shard after shard; one that is there already is kept, so that a broken run can go on."""
    spec, wardrobe = pack_spec(), Wardrobe(load_builtin())
    out.mkdir(parents=True, exist_ok=True)
    for shard in range(-(-looks // SHARD)):
        path = out / f"shard-{seed:03d}-{shard:04d}.npz"
        if path.exists():
            continue
        start = time.perf_counter()
        rng = np.random.default_rng([seed, shard])
        pictures, landmarks, records = zip(
            *take_many(wardrobe, min(SHARD, looks - shard * SHARD), spec, rng), strict=True
        )
        partial = path.with_suffix(".part.npz")
        text = json.dumps([asdict(record) for record in records])
        np.savez(partial, pictures=np.stack(pictures), landmarks=np.stack(landmarks), records=np.array(text))
        os.replace(partial, path)
        print(
            f"{path.name}: {len(pictures)} pictures, {(time.perf_counter() - start) / len(pictures) * 1e3:.0f} ms each"
        )


def shard_paths(folder: Path, names: str = "shard-*.npz") -> list[Path]:
    """A folder's shards of such names, in their order; none that is half-written."""
    return sorted(path for path in folder.glob(names) if ".part" not in path.name)


def load_shard(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[Record]]:
    """The pictures [N, S, S, 3], landmarks [N, 478, 2] and records of one."""
    with np.load(path, allow_pickle=False) as data:
        records = [Record(**record) for record in json.loads(str(data["records"]))]
        return data["pictures"], data["landmarks"], records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--looks", type=int, default=2400, help=f"heads, each seen {VIEWS_PER_LOOK} times")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    render_shards(arguments.out, arguments.looks, arguments.seed)


if __name__ == "__main__":
    main()
