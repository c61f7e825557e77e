# SPDX-License-Identifier: GPL-3.0-or-later
"""The gradients of score distillation's relatives, with a model whose opinion is known, against their formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pack import SIZE, make_tiny_pack

from headsculpt.guidance.methods import BRANCHES, Method, Words
from headsculpt.guidance.prompts import ViewPrompts
from headsculpt.guidance.score import ScoreSettings, sample_timesteps, score_gradient
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.render.camera import Camera
from headsculpt.stages.distillation import Distillation
from headsculpt.stages.views import Views

TIMES = torch.tensor([150, 199, 200, 800])
ROWS = {words: float(number) for number, words in enumerate(Words)}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(make_tiny_pack(tmp_path_factory.mktemp("packs") / "pack", "epsilon", "vae"))


class Known:
    """A pack whose noise is known: a wave in the noisy latents and in t, for each of the words another."""

    def __init__(self, pack: Pack) -> None:
        self.alphas_cumprod = pack.alphas_cumprod
        self.add_noise, self.remove_noise, self.find_noise = pack.add_noise, pack.remove_noise, pack.find_noise
        self.calls: list[tuple[int, Any]] = []

    def read_landmarks(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((1, 2, 3))

    def predict_noise(
        self, noisy: torch.Tensor, t: torch.Tensor, embeddings: torch.Tensor, landmarks: Any, scale: Any
    ) -> torch.Tensor:
        self.calls.append((len(noisy), landmarks))
        return known_noise(noisy, t, embeddings[:, 0, 0])


def known_noise(noisy: Any, t: Any, row: Any) -> Any:
    """Of arrays and tensors alike."""
    library = torch if isinstance(noisy, torch.Tensor) else np
    return library.sin(noisy * (1 + row.reshape(-1, 1, 1, 1)) + t.reshape(-1, 1, 1, 1) / 300.0)


class Case:
    """One batch, and the gradient at it."""

    def __init__(self, pack: Pack) -> None:
        generator = torch.Generator().manual_seed(5)
        self.pack = Known(pack)
        self.latents = torch.randn(4, 4, 8, 8, generator=generator)
        self.noise = torch.randn(4, 4, 8, 8, generator=generator)
        self.words: Mapping[Words, torch.Tensor] = {words: torch.full((4, 2, 3), row) for words, row in ROWS.items()}

    def gradient(self, settings: ScoreSettings, **changes: Any) -> torch.Tensor:
        return self.score(settings, **changes).gradient

    def score(self, settings: ScoreSettings, **changes: Any) -> Any:
        arguments: dict[str, Any] = {"words": self.words, "landmark_maps": torch.rand(4, 3, SIZE, SIZE)}
        arguments |= {"control_scale": torch.ones(4), "t": TIMES, "noise": self.noise} | changes
        return score_gradient(self.pack, self.latents, settings=settings, **arguments)  # type: ignore[arg-type]


def reference(case: Case, method: Method, s: float) -> np.ndarray:
    """The formulas of the papers in float64, one sample and one number at a time, from diffusers' noise schedule."""
    from diffusers import DDIMScheduler

    schedule: Any = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    found = np.empty(case.latents.shape)
    for sample, t in enumerate(TIMES.tolist()):
        alpha = math.prod(1 - beta for beta in schedule.betas[: t + 1].double().tolist())
        z, added = case.latents[sample].double().numpy(), case.noise[sample].double().numpy()
        noisy = math.sqrt(alpha) * z + math.sqrt(1 - alpha) * added
        y, neg, none, viewless, faulty = (
            known_noise(noisy, np.array(t), np.array(ROWS[words]))[0]
            for words in (Words.PROMPT, Words.NEGATIVE, Words.NOTHING, Words.NO_VIEW, Words.FAULTS)
        )
        direction = {
            Method.SDS: lambda: neg + s * (y - neg) - added,  # noqa: B023
            Method.CSD: lambda: s * (y - neg),  # noqa: B023
            Method.NFSD: lambda: s * (y - none) + (none if t < 200 else none - neg),  # noqa: B023
            Method.SSD: lambda: neg + s * (y - neg) - viewless,  # noqa: B023
            Method.BRIDGE: lambda: s * (y - faulty),  # noqa: B023
        }[method]()
        found[sample] = math.sqrt(alpha) * (1 - alpha) * direction
    return found


@pytest.mark.parametrize("method", [method for method in Method if method is not Method.TARGET])
def test_the_gradient_is_the_formula_and_takes_one_call(pack: Pack, method: Method) -> None:
    case = Case(pack)
    found = case.gradient(ScoreSettings(method, guidance_scale=7.5))
    expected = torch.from_numpy(reference(case, method, 7.5)).float()
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    ((pictures, landmarks),) = case.pack.calls
    assert pictures == 4 * len(BRANCHES[method]) == 4 * ScoreSettings(method).calls
    assert len(landmarks) == pictures  # every branch sees them


def test_sds_is_its_own_residual_and_a_classifier(pack: Pack) -> None:
    """ε_∅ + s(ε_y − ε_∅) − ε = (ε_y − ε) + (s − 1)(ε_y − ε_∅); the second part is CSD's."""
    case = Case(pack)
    residual = case.gradient(ScoreSettings(guidance_scale=1.0))
    classifier = case.gradient(ScoreSettings(Method.CSD, guidance_scale=1.0))
    torch.testing.assert_close(case.gradient(ScoreSettings(guidance_scale=100.0)), residual + 99 * classifier)


def test_nfsd_takes_noise_for_the_domain_below_200(pack: Pack) -> None:
    """With s = 0 only δ is left: ε_∅ below 200; from there on nothing, where there is no negative prompt."""
    case = Case(pack)
    words = {**case.words, Words.NEGATIVE: case.words[Words.NOTHING]}
    found = case.gradient(ScoreSettings(Method.NFSD, guidance_scale=0.0), words=words)
    assert found[2:].abs().max() == 0
    alpha = pack.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    nothing = known_noise(pack.add_noise(case.latents, TIMES, case.noise), TIMES, torch.full((4,), ROWS[Words.NOTHING]))
    torch.testing.assert_close(found[:2], (alpha.sqrt() * (1 - alpha) * nothing)[:2])


def test_ssd_against_pure_noise_is_sds(pack: Pack) -> None:
    """Their difference is w(t)(ε − ε(y without its view)), whatever the scale."""
    case = Case(pack)
    noisy = pack.add_noise(case.latents, TIMES, case.noise)
    viewless = known_noise(noisy, TIMES, torch.full((4,), ROWS[Words.NO_VIEW]))
    alpha = pack.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    for scale in (1.0, 7.5):
        sds, ssd = (case.gradient(ScoreSettings(method, scale)) for method in (Method.SDS, Method.SSD))
        expected = alpha.sqrt() * (1 - alpha) * (case.noise - viewless)
        torch.testing.assert_close(ssd - sds, expected, rtol=1e-4, atol=1e-5)


def test_the_direction_leads_to_what_is_denoised(pack: Pack) -> None:
    case = Case(pack)
    alpha = pack.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    for method in (Method.CSD, Method.NFSD, Method.SSD):
        found = case.score(ScoreSettings(method, 2.0))
        way = alpha * (1 - alpha).sqrt() * (case.latents - found.denoised)
        torch.testing.assert_close(found.gradient, way, rtol=1e-3, atol=1e-4)


def test_a_target_of_one_step_is_where_sds_leads(pack: Pack) -> None:
    case = Case(pack)
    settings = ScoreSettings(Method.TARGET, 3.0, target_steps=1)
    one, sds = case.score(settings), case.score(ScoreSettings(guidance_scale=3.0))
    torch.testing.assert_close(one.denoised, sds.denoised)
    torch.testing.assert_close(one.gradient, case.latents - sds.denoised)
    case.pack.calls.clear()
    case.score(replace(settings, target_steps=3))
    assert [pictures for pictures, _ in case.pack.calls] == [8, 8, 8]
    assert replace(settings, target_steps=3).calls == 6


def test_ssd_is_rescaled_where_it_is_guided(pack: Pack) -> None:
    case = Case(pack)
    plain, rescaled = (ScoreSettings(Method.SSD, 7.5, rescale=share) for share in (0.0, 0.7))
    sds = [case.gradient(replace(settings, method=Method.SDS)) for settings in (plain, rescaled)]
    ssd = [case.gradient(settings) for settings in (plain, rescaled)]
    torch.testing.assert_close(ssd[1] - ssd[0], sds[1] - sds[0], rtol=1e-3, atol=1e-4)
    assert (ssd[1] - ssd[0]).abs().max() > 0.01


def test_annealing_to_the_lowest_level() -> None:
    """t_max = t_min + (1 − √(step/N))(t_max⁰ − t_min): from all levels to the lowest alone."""
    settings = ScoreSettings(t_min=0.02, t_max=0.98, t_max_end=0.02)
    for progress, highest in ((0.0, 980), (0.25, 500), (0.81, 116), (1.0, 20)):
        t = sample_timesteps(settings, progress, 5000, 1000, torch.Generator().manual_seed(0))
        assert 20 <= t.min() <= 22 and highest - 2 <= t.max() <= highest


def test_a_real_model_is_asked_all_branches_at_once(pack: Pack) -> None:
    """One call of a real U-Net and ControlNet gives what a call for each branch does."""
    texts = {words: pack.embed([f"a {words.name.lower()}"] * 4) for words in Words}
    generator = torch.Generator().manual_seed(1)
    latents, noise = torch.randn(2, 4, 4, 8, 8, generator=generator)
    maps, scale = torch.rand(4, 3, SIZE, SIZE, generator=generator), torch.tensor([1.0, 0.5, 0.0, 1.0])
    noisy, features = pack.add_noise(latents, TIMES, noise), pack.read_landmarks(maps)
    one_by_one = {words: pack.predict_noise(noisy, TIMES, text, features, scale) for words, text in texts.items()}
    found = score_gradient(pack, latents, texts, maps, scale, TIMES, noise, ScoreSettings(Method.NFSD, 7.5))
    alpha = pack.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    y, none, neg = (one_by_one[words] for words in (Words.PROMPT, Words.NOTHING, Words.NEGATIVE))
    direction = 7.5 * (y - none) + torch.stack([none[0], none[1], (none - neg)[2], (none - neg)[3]])
    torch.testing.assert_close(found.gradient, alpha.sqrt() * (1 - alpha) * direction, rtol=0, atol=1e-5)


class Stage:
    """What a stage asks about two views, from the front and from behind."""

    def __init__(self, pack: Pack, settings: ScoreSettings) -> None:
        random = torch.Generator().manual_seed(0)
        prompts = ViewPrompts(pack, "a bald man", "beard", settings=settings)
        landmarks = np.random.default_rng(0).normal(0, 0.1, (478, 3))
        distillation = Distillation(pack, prompts, landmarks, settings, random)
        azimuth, flat = torch.tensor([0.0, 170.0]), torch.zeros(2)
        camera = Camera.orbit(azimuth, flat, flat + 1.2, flat + 40, SIZE)
        views = Views(camera, azimuth, flat, 0, camera.rotation[:, 2], flat + 0.5, torch.ones(2, 3))
        latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        calls: list[int] = []
        hook = pack.controlnet.register_forward_pre_hook(lambda *_: calls.append(1))
        distillation.latent_loss(latents, views, 0.5).backward()
        hook.remove()
        assert latents.grad is not None and latents.grad.isfinite().all()
        self.gradient, self.control_calls = latents.grad, len(calls)


def test_every_method_serves_a_stage(pack: Pack) -> None:
    found = [Stage(pack, ScoreSettings(method)).gradient for method in Method]
    for index, gradient in enumerate(found):
        assert all((gradient - other).abs().max() > 1e-4 for other in found[:index])


def test_without_landmarks_the_net_is_not_asked(pack: Pack) -> None:
    with_them, without = Stage(pack, ScoreSettings()), Stage(pack, ScoreSettings(landmarks=False))
    assert (with_them.control_calls, without.control_calls) == (1, 0)
    change = (with_them.gradient - without.gradient).abs().amax((1, 2, 3))
    assert change[0] > 1e-4 and change[1] < 1e-5  # from behind they say nothing anyway
