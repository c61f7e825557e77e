# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken numbers in a step: what is left untouched, when the state goes back, what the user hears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from shapes import AS_IT_IS, icosphere
from tiny_pack import make_tiny_pack

from headsculpt.errors import UserError
from headsculpt.guidance.prompts import ViewPrompts
from headsculpt.jobs.events import Event, JobControl, Notice
from headsculpt.jobs.monitor import JobMonitor
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.shape.distance import signed_distance_grid
from headsculpt.shape.field import FieldSettings, RadianceField
from headsculpt.shape.occupancy import OccupancyGrid, OccupancySettings
from headsculpt.stages import optimizer
from headsculpt.stages.coarse import STAGE, run_coarse
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.optimizer import IN_A_ROW, MAX_RETURNS, REMEMBER_EVERY, GuardedAdam
from headsculpt.stages.presets import PREVIEW
from headsculpt.stages.views import ViewSampler

GOAL = torch.tensor([3.0, -2.0, 0.5])


class Descent:
    """Two parameters on their way to GOAL; a step's loss can be multiplied by something broken."""

    def __init__(self) -> None:
        self.first, self.second = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
        self.beside, self.said = torch.zeros(2), list[str]()
        groups = [{"params": [self.first], "lr": 0.1}, {"params": [self.second], "lr": 0.01}]
        self.adam = GuardedAdam(groups, self.said.append, [self.beside])

    def steps(self, count: int, factor: float = 1.0) -> None:
        for _ in range(count):
            distance = (self.first - GOAL).square().sum() + (self.second - GOAL).square().sum()
            self.adam.step(distance * factor)
            self.beside += 1

    def state(self) -> list[torch.Tensor]:
        return [tensor.detach().clone() for tensor in self.adam._state()]


def plain_steps(count: int) -> list[torch.Tensor]:
    """The same by torch's own Adam."""
    first, second = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    groups = [{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.01}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    for _ in range(count):
        adam.zero_grad()
        ((first - GOAL).square().sum() + (second - GOAL).square().sum()).backward()
        adam.step()
    return [first.detach(), second.detach()]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_without_trouble_it_is_adam() -> None:
    descent = Descent()
    descent.steps(70)
    torch.testing.assert_close([descent.first.detach(), descent.second.detach()], plain_steps(70))
    assert descent.said == []


def test_slowing_down_takes_shares_of_the_first_rates() -> None:
    """Adam's first step is as long as its rate."""
    descent = Descent()
    descent.adam.slow_down(0.5)
    descent.adam.slow_down(0.1)
    descent.steps(1)
    assert torch.allclose(descent.first.abs(), torch.full((3,), 0.01)) and torch.allclose(
        (descent.second - 1).abs(), torch.full((3,), 0.001), atol=1e-6
    )


@pytest.mark.parametrize("factor", [torch.nan, torch.inf, -torch.inf, 1e30, 1e5])
def test_a_broken_step_changes_nothing(factor: float) -> None:
    descent = Descent()
    descent.steps(10)
    before = descent.state()
    before[2] += 1  # counts broken steps, too
    descent.steps(1, factor)
    assert equal(descent.state(), before)
    descent.steps(10)
    torch.testing.assert_close([descent.first.detach(), descent.second.detach()], plain_steps(20))
    assert len(descent.said) == 1 and "left out" in descent.said[0]


def test_it_gets_used_to_longer_gradients() -> None:
    """Another loss, ten thousand times as large for good, is no explosion after some steps."""
    descent = Descent()
    descent.steps(20)
    descent.steps(10, 1e4)
    assert len(descent.said) == 1 and not equal(descent.state()[:2], plain_steps(20))


def test_many_in_a_row_lead_back_to_the_last_good_state() -> None:
    descent = Descent()
    descent.steps(REMEMBER_EVERY)
    good = descent.state()
    good[2] -= 1  # noted within the step
    descent.steps(30)
    descent.steps(IN_A_ROW - 1, torch.nan)
    assert not torch.equal(descent.first.detach(), good[0])
    descent.steps(1, torch.nan)
    descent.beside -= 1
    assert equal(descent.state(), good)
    assert len(descent.said) == 2 and f"after step {REMEMBER_EVERY}" in descent.said[1]
    descent.steps(20)
    torch.testing.assert_close([descent.first.detach(), descent.second.detach()], plain_steps(REMEMBER_EVERY + 20))


def test_trouble_from_the_start_leads_back_there_and_ends_the_stage() -> None:
    descent = Descent()
    descent.steps(IN_A_ROW, torch.nan)
    assert torch.equal(descent.first.detach(), torch.zeros(3))
    descent.steps(15)
    torch.testing.assert_close([descent.first.detach(), descent.second.detach()], plain_steps(15))
    with pytest.raises(UserError, match="again and again"):
        descent.steps(MAX_RETURNS * IN_A_ROW, torch.nan)


def test_a_gpus_counters_are_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out does not depend on looking: the kernel does it."""
    descent = Descent()
    descent.adam._look_every = 16
    descent.steps(4)
    descent.steps(1, torch.nan)
    descent.steps(5)
    assert descent.said == []
    torch.testing.assert_close([descent.first.detach(), descent.second.detach()], plain_steps(9))
    descent.steps(6)
    assert len(descent.said) == 1
    descent.steps(20, torch.nan)
    assert len(descent.said) == 2 and "back" in descent.said[1]


SETTINGS = replace(PREVIEW.coarse, steps=24, resolutions=((0.0, 16),), samples=4)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("pack")))


class Growth:
    """A ball that grows by a tiny pack's opinion, which is NaN at some of its steps."""

    def __init__(self, pack: Pack, breaks: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch) -> None:
        whole, calls = Pack.predict_noise, [0]

        def predict_noise(self: Pack, latents: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
            step, calls[0] = calls[0] // SETTINGS.score.target_steps, calls[0] + 1
            found = whole(self, latents, *others)
            return torch.full_like(found, torch.nan) if breaks(step) else found

        monkeypatch.setattr(Pack, "predict_noise", predict_noise)
        random = torch.Generator().manual_seed(0)
        ball = icosphere(3)
        distance = signed_distance_grid(ball.vertices, ball.triangles, 33)
        self.field = RadianceField(FieldSettings(levels=3, log2_size=10, finest=32, hidden=8), distance, random)
        self.occupancy = OccupancyGrid(self.field, OccupancySettings(resolution=16))
        prompts = ViewPrompts(pack, "a bald man", settings=SETTINGS.score)
        distillation = Distillation(pack, prompts, np.zeros((478, 3)), SETTINGS.score, random)
        sampler = ViewSampler(pack.spec, SETTINGS.views, np.random.default_rng(0))
        self.said: list[str] = []
        monitor = JobMonitor(AS_IT_IS, {STAGE: 24}, 0, self.listen, JobControl())
        self.done = run_coarse(self.field, self.occupancy, distillation, sampler, SETTINGS, random, monitor)
        assert monitor.notices == self.said

    def listen(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.said.append(event.text)

    @property
    def whole(self) -> bool:
        return all(parameter.isfinite().all() for parameter in [*self.field.parameters(), self.occupancy.density])


def test_a_stage_survives_a_model_that_breaks_now_and_then(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    growth = Growth(pack, lambda step: step in (3, 9, 20), monkeypatch)
    assert growth.done == 24 and growth.whole
    assert len(growth.said) == 1 and "left out" in growth.said[0]


def test_a_stage_goes_back_and_on(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "REMEMBER_EVERY", 5)
    growth = Growth(pack, lambda step: 12 <= step < 12 + IN_A_ROW, monkeypatch)
    assert growth.done == 24 and growth.whole
    assert len(growth.said) == 2 and "after step 10" in growth.said[1]
    assert growth.field.encoder.table.abs().max() > 1e-3  # it has learned


def test_a_model_that_says_nothing_but_nan_is_given_up(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "IN_A_ROW", 3)
    with pytest.raises(UserError, match="ran out of range"):
        Growth(pack, lambda step: True, monkeypatch)
