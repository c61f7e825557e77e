# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge's training pictures, and what each can tell: shards on disk."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headsculpt.evaluation.attributes import ATTRIBUTES, visible
from headsculpt.evaluation.judge.mirrored import face_painted_behind, two_faced
from headsculpt.evaluation.judge.network import QUESTIONS
from headsculpt.evaluation.judge.studio import NEAR_LIMIT, Subject, draw_camera
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import Look

UNKNOWN = -1
"""The label of a question that a picture can not answer."""
SHARD = 250
"""Heads in one file."""


@dataclass(frozen=True)
class Views:
    """How many pictures of each head: of all of it, of its face alone, of a two-faced twin from behind."""

    whole: int
    near: int
    twin: int

    @property
    def count(self) -> int:
        return self.whole + self.near + self.twin


TRAINING_VIEWS = Views(3, 2, 1)
"""Few of each, of many heads: with a dozen pictures of each the network learned the heads by heart."""
HELD_OUT_VIEWS = Views(5, 5, 0)


FACE_SHOWN, FACE_HIDDEN = 75.0, 118.0
"""Degrees of |azimuth| up to which a face is seen, and from which on it is not; between is a matter of taste."""
VIEW_LIMITS, VIEW_MARGIN = (45.0, 120.0), 8.0
"""Where front turns to side and side to back, and how near to that nobody can tell."""
OWN_SEEDS = 1 << 20
"""Noise seeds from here on are the judge's: Look.draw's lie below."""
CROSS_DRESSING = 0.1
"""How often a woman has a beard or a man lipstick: seldom, or a beard would say nothing of who wears it."""

PAINTED = ("bald", "short")
"""Styles whose back is flat enough for a face to be painted on."""


@dataclass(frozen=True)
class Record:
    """What a picture shows. words: Look.words(); azimuth: degrees; near: of the face alone; two_faced: of a head with a
    second face, from behind."""

    words: dict[str, str]
    azimuth: float
    near: bool = False
    two_faced: bool = False


Sample = tuple[NDArray[np.uint8], Record]


def draw_look(rng: np.random.Generator, identity_count: int) -> Look:
    """A random look whose attributes know nothing of each other, as far as they can be seen together: what the pack's
    training set holds out is here as frequent as anything else."""
    words = {name: _value(name, rng) for name in ATTRIBUTES}
    man = words["sex"] == "man"
    if not man and rng.random() > CROSS_DRESSING:
        words |= {"beard": "", "moustache": ""}
    if (man and rng.random() > CROSS_DRESSING) or words["paint"]:
        words["lipstick"] = ""
    if words["beard"] not in ("", "stubble"):
        words["moustache"] = ""  # it has one
    identity = tuple(rng.normal(size=identity_count).clip(-2, 2).tolist())
    return Look(**words, identity=identity, seed=OWN_SEEDS + int(rng.integers(OWN_SEEDS)))


def _value(attribute: str, rng: np.random.Generator) -> str:
    values = ATTRIBUTES[attribute]
    if "" in values and rng.random() < NOTHING.get(attribute, 0.0):
        return ""
    return str(rng.choice(values))


NOTHING = {"paint": 0.6, "glasses": 0.3, "headwear": 0.4, "ears": 0.1, "lipstick": 0.2, "moustache": 0.2}
"""How often an attribute is set to nothing before it is drawn from all its values: such things hide others."""


def labels(record: Record) -> NDArray[np.int8]:
    """The right answer to each of QUESTIONS, int8 [Q]; UNKNOWN where the picture can not tell. Of a two-faced head from
    behind only one thing is asked."""
    if record.two_faced:
        return _encoded({"face": "shown"})
    away = abs((record.azimuth + 180) % 360 - 180)
    said = visible(record.words, record.azimuth, record.near)
    if all(abs(away - limit) > VIEW_MARGIN for limit in VIEW_LIMITS):
        said["view"] = QUESTIONS["view"][sum(away > limit for limit in VIEW_LIMITS)]
    if not FACE_SHOWN < away < FACE_HIDDEN:
        said["face"] = "shown" if away <= FACE_SHOWN else "hidden"
    return _encoded(said)


def _encoded(said: dict[str, str]) -> NDArray[np.int8]:
    return np.array(
        [answers.index(said[name]) if name in said else UNKNOWN for name, answers in QUESTIONS.items()], np.int8
    )


def draw_azimuth(rng: np.random.Generator) -> float:
    """Degrees in ±180: a little more from the front, where there is most to tell."""
    return float(rng.triangular(-180, 0, 180) if rng.random() < 0.5 else rng.uniform(-180, 180))


def head_samples(wardrobe: Wardrobe, views: Views, rng: np.random.Generator) -> Iterator[Sample]:
    """The pictures of one random head."""
    look = draw_look(rng, len(wardrobe.model.identity))
    head = wardrobe.dress(look)
    subject, words = Subject(head.mesh), look.words()
    for view in range(views.whole + views.near):
        near = view >= views.whole
        azimuth = rng.uniform(-NEAR_LIMIT, NEAR_LIMIT) if near else draw_azimuth(rng)
        yield subject.photograph(draw_camera(azimuth, near, rng), rng), Record(words, azimuth, near)
    for _ in range(views.twin):
        painted = look.style in PAINTED and rng.random() < 0.5
        twin = Subject((face_painted_behind if painted else two_faced)(head.mesh, rng.uniform(-0.05, 0.05)))
        azimuth = 180 + rng.uniform(-FACE_SHOWN, FACE_SHOWN)
        yield twin.photograph(draw_camera(azimuth, False, rng), rng), Record(words, azimuth, two_faced=True)


def render_shards(folder: Path, heads: int, views: Views, seed: int, wardrobe: Wardrobe) -> None:
    """Writes shard after shard; one that is there already is kept, so that a broken run can go on."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(-(-heads // SHARD)):
        path = folder / f"{seed:03d}-{shard:04d}.npz"
        if path.exists():
            continue
        start = time.perf_counter()
        rng = np.random.default_rng([seed, shard])
        count = min(SHARD, heads - shard * SHARD)
        pictures, records = zip(*(one for _ in range(count) for one in head_samples(wardrobe, views, rng)), strict=True)
        partial = path.with_suffix(".part.npz")
        text = json.dumps([asdict(record) for record in records])
        np.savez(partial, pictures=np.stack(pictures), records=np.array(text))
        os.replace(partial, path)
        each = (time.perf_counter() - start) / len(pictures)
        print(f"{path.name}: {len(pictures)} pictures, {1e3 * each:.0f} ms each", flush=True)


def load_shards(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """All pictures [N, S, S, 3] and labels [N, Q] of some shards."""
    pictures, answers = [], []
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            pictures.append(data["pictures"])
            answers += [labels(Record(**record)) for record in json.loads(str(data["records"]))]
    return np.concatenate(pictures), np.stack(answers)
