# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for the engine, the exporter and the judge where only what is done with their results is tested."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from shapes import AS_IT_IS, icosphere

from headsculpt.evaluation.judge.network import Network
from headsculpt.evaluation.judge.reading import Judge
from headsculpt.finish.finish import finish
from headsculpt.finish.gltf import glb, png
from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head
from headsculpt.jobs.events import GenerateResult
from headsculpt.jobs.generate import inputs
from headsculpt.jobs.request import GenerateRequest
from headsculpt.mesh import TexturedMesh
from headsculpt.packs.pack import Pack
from headsculpt.packs.pocket.training.looks.words import SKINS
from headsculpt.stages.presets import PRESETS


@lru_cache(maxsize=1)
def white_ball() -> TexturedMesh:
    """A ball a little larger than a skull, in the built-in head's own coordinates."""
    model = load_builtin()
    space = Head.from_vertices(model, model.vertices).space
    mesh = finish(icosphere(3), np.ones_like, 600, 64)
    return replace(mesh, vertices=space.from_head(1.1 * mesh.vertices))


def ball(color: tuple[float, float, float]) -> TexturedMesh:
    mesh = white_ball()
    return replace(mesh, base_color=np.full_like(mesh.base_color, np.round(255 * np.array(color))))


class Engine:
    """Stands for run_generate: balls of the colour that the prompt names, or grey ones from an unknown U-Net."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, request: GenerateRequest, emit: object, control: object, pack: Pack | None) -> GenerateResult:
        self.prompts.append(request.prompt)
        named = [color for word, color in SKINS.items() if f"{word} skin" in request.prompt]
        report = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "read_as": request.prompt,
            "unknown_words": [],
            "seed": request.seed,
            "preset": request.preset,
            "steps": {"coarse": 1, "fine": 1},
            "seconds": {"Growing": 2.0, "Refining": 1.0},
            "settings": asdict(PRESETS[request.preset]),
            **inputs(request),
        }
        return GenerateResult(ball(named[0] if pack is None else (0.5, 0.5, 0.5)), report, AS_IT_IS)


def export(result: GenerateResult, folder: Path) -> None:
    """Files in an export's order, with a small turntable: the real one is tested with the finish."""
    (folder / "head.glb").write_bytes(glb(result.mesh, "head", {}))
    sheet = np.full((128, 8, 64, 3), 200, np.uint8)  # two rows of eight views: a bar that is lighter in each
    sheet[8:, :, 28:40] = 20 * np.arange(8, dtype=np.uint8)[:, None, None]
    (folder / "turntable.png").write_bytes(png(sheet.reshape(128, 512, 3)))
    (folder / "report.json").write_text(json.dumps(result.report))


@lru_cache(maxsize=1)
def new_judge() -> Judge:
    """One that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Judge(Network().eval(), 0.0)
