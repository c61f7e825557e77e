# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs whose results lie in folders, and that are not done twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from headsculpt.evaluation.asked import asked
from headsculpt.evaluation.examples import Example
from headsculpt.evaluation.judge.reading import load_judge
from headsculpt.evaluation.judgement import Judgement, judge_head
from headsculpt.finish.export import export_head
from headsculpt.finish.files import check_writable
from headsculpt.finish.gltf import read_glb
from headsculpt.jobs.events import Event, GenerateResult, JobControl, Notice
from headsculpt.jobs.generate import POCKET, inputs, run_generate
from headsculpt.jobs.heads import chosen_head
from headsculpt.jobs.request import GenerateRequest
from headsculpt.mesh import TexturedMesh
from headsculpt.packs.files import settled
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.spec import read_description
from headsculpt.packs.tokens import tokens_folder
from headsculpt.stages.presets import PRESETS

Generate = Callable[[GenerateRequest, Callable[[Event], None], JobControl, Pack | None], GenerateResult]
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run: its prompt, its folder, its report and what was found in its files."""

    example: Example
    folder: Path
    report: dict[str, Any]
    judgement: Judgement

    @property
    def seconds(self) -> float:
        return float(sum(self.report["seconds"].values()))

    def as_json(self) -> dict[str, Any]:
        kept = ("prompt", "read_as", "unknown_words", "seed", "preset", "steps", "seconds", "model")
        run = {key: self.report[key] for key in kept}
        judgement = self.judgement
        return {"name": self.folder.name, **run, "asked": judgement.asked, "found": judgement.as_json()}


def make(
    request: GenerateRequest, folder: Path, emit: Emit, random_unet: bool = False, generate: Generate = run_generate
) -> dict[str, Any]:
    """Runs a job and exports it, unless the folder holds the same job's result already. Returns the report.

    random_unet: with a U-Net that has learned nothing, drawn from the request's seed.
    """
    if report := finished(folder, request, random_unet):
        return report
    check_writable(folder)
    emit(Notice(f"{folder.name}: “{request.prompt}”"))
    pack = untrained(load_pack(request.pack or POCKET), request.seed) if random_unet else None
    result = generate(request, emit, JobControl(), pack)
    report = {**result.report, "model": model_used(request, random_unet)}
    export_head(replace(result, report=report), folder)
    return report


def examine(example: Example, request: GenerateRequest, folder: Path, report: dict[str, Any]) -> Outcome:
    """Judges the exported file itself, by what the example's prompt asks for."""
    head = chosen_head(request.head)
    wanted = asked(example.prompt, synonyms(request))
    return Outcome(example, folder, report, judge_head(exported(request, folder), head, wanted, load_judge()))


def exported(request: GenerateRequest, folder: Path) -> TexturedMesh:
    """The head in a folder, in head space."""
    return chosen_head(request.head).space.mesh_to_head(read_glb(folder / "head.glb"))


def synonyms(request: GenerateRequest) -> Mapping[str, str]:
    """Of the request's pack."""
    known: Mapping[str, str] = read_description(request.pack or POCKET).get("synonyms", {})
    return known


def finished(folder: Path, request: GenerateRequest, random_unet: bool = False) -> dict[str, Any] | None:
    """The report in a folder if it is this job's, by prompt, seed, every setting and the model's files; heads, bases
    and LoRA files are told apart by their names.

    report.json is written last, so that what it tells of is there.
    """
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "settings": json.loads(json.dumps(asdict(PRESETS[request.preset]))),
        "model": model_used(request, random_unet),
        **inputs(request),
    }
    same = isinstance(report, dict) and all(report.get(key) == value for key, value in wanted.items())
    return report if same else None


def model_used(request: GenerateRequest, random_unet: bool) -> dict[str, str]:
    """What the report of a run says of its model."""
    return {"files": fingerprint(request.pack or POCKET), "unet": "random" if random_unet else "trained"}


def fingerprint(pack: Path) -> str:
    """SHA-256 over the weights, settings and words in a pack's folder, but for what the pack is trained with, and over
    the words that the user has taught it."""
    digest = hashlib.sha256()
    for path in sorted(pack.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".txt") and "training" not in path.relative_to(pack).parts:
            digest.update(path.relative_to(pack).as_posix().encode() + b"\0" + path.read_bytes())
    for path in sorted(tokens_folder(pack).glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def untrained(pack: Pack, seed: int) -> Pack:
    """The same pack with a U-Net of the same architecture as it is before any training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers take their first weights from the global generator
        unet: Any = type(pack.unet).from_config(pack.unet.config)
    return replace(pack, unet=settled(unet.to(pack.dtype), pack.device))
