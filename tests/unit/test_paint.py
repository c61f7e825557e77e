# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting: colours alone, on a finished shape, fitted to answers that are remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from shapes import icosphere
from tiny_pack import make_tiny_pack

from headsculpt.guidance.methods import Method
from headsculpt.guidance.prompts import ViewPrompts
from headsculpt.guidance.score import ScoreSettings
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.monitor import SilentMonitor
from headsculpt.stages.paint import run_paint
from headsculpt.stages.settings import PaintSettings
from headsculpt.stages.views import ViewSampler, ViewSettings

BALL = icosphere(3)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("tiny")))


def new_distillation(pack: Pack, method: Method = Method.TARGET) -> Distillation:
    settings = ScoreSettings(method, 5.0, landmarks=False)
    prompts = ViewPrompts(pack, "a bald man", settings=settings)
    return Distillation(pack, prompts, np.zeros((478, 3)), settings, torch.Generator().manual_seed(0))


def new_field() -> RadianceField:
    grid = signed_distance_grid(BALL.vertices, BALL.triangles, 33)
    settings = FieldSettings(levels=4, log2_size=12, finest=64, hidden=16)
    return RadianceField(settings, grid, torch.Generator().manual_seed(0))


def new_sampler(pack: Pack) -> ViewSampler:
    return ViewSampler(pack.spec, ViewSettings(batch=2), np.random.default_rng(0))


@pytest.mark.parametrize("method", [Method.SDS, Method.TARGET])
def test_fitting_pictures_as_they_were_is_a_step_of_score_distillation(pack: Pack, method: Method) -> None:
    views = new_sampler(pack).sample(24)
    pictures = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (expected,) = torch.autograd.grad(new_distillation(pack, method).picture_loss(pictures, views, 0.5), pictures)
    distillation = new_distillation(pack, method)
    target = distillation.target(pictures, views, 0.5)
    assert not target.requires_grad
    (found,) = torch.autograd.grad(distillation.fit_loss(pictures, target, 0.5), pictures)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


class Red(Distillation):
    """Wants every picture to be red, and counts how often it is asked and its answers are fitted to."""

    def __init__(self, other: Distillation) -> None:
        self.__dict__ |= other.__dict__
        self.asked, self.fitted = 0, list[int]()
        self.progress = list[float]()
        self.answers = list[torch.Tensor]()

    @torch.no_grad()
    def target(self, pictures: torch.Tensor, views: Any, progress: float) -> torch.Tensor:
        self.asked += 1
        self.progress.append(progress)
        red = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1).expand_as(pictures)
        self.answers.append(self.encode(red, progress))
        return self.answers[-1]

    def fit_loss(self, pictures: torch.Tensor, target: torch.Tensor, progress: float) -> torch.Tensor:
        self.fitted.append(next(number for number, answer in enumerate(self.answers) if answer is target))
        assert progress == self.progress[self.fitted[-1]], "encoded as the answer was, which is quicker at first"
        return super().fit_loss(pictures, target, progress)


def test_colours_become_what_the_answers_say(pack: Pack) -> None:
    field, red = new_field(), Red(new_distillation(pack))
    settings = PaintSettings(steps=12, memory=4, fits=5, picture=24, learning_rate=3e-2)
    assert run_paint(BALL, field, red, new_sampler(pack), settings, SilentMonitor()) == 12
    colors = field.colors_at(BALL.vertices)
    assert (colors[:, 0] > colors[:, 1] + 0.3).mean() > 0.9
    assert red.asked == 12 and len(red.fitted) == 60
    for step in range(12):  # only the last four are remembered, and all of them are fitted to
        used = set(red.fitted[5 * step : 5 * step + 5])
        assert used == set(range(max(0, step - 3), step + 1))


def test_painting_ends_when_it_is_told_to(pack: Pack) -> None:
    class Stopping(SilentMonitor):
        def after_step(self, *arguments: Any) -> bool:
            return True

    field, settings = new_field(), PaintSettings(steps=5, picture=16)
    before = field.colors_at(BALL.vertices)
    assert run_paint(BALL, field, new_distillation(pack), new_sampler(pack), settings, Stopping()) == 1
    still = replace(settings, steps=0)
    assert run_paint(BALL, new_field(), new_distillation(pack), new_sampler(pack), still, SilentMonitor()) == 0
    assert not np.array_equal(field.colors_at(BALL.vertices), before)
