# SPDX-License-Identifier: GPL-3.0-or-later
"""The density prior of Eq. 3, against closed forms in float64 and 50 digits."""

import mpmath
import numpy as np
import pytest
import torch

from headsculpt.shape import prior


def closed_form(distance: float, a: float) -> float:
    """softplus⁻¹(sigmoid(−d/a)/a) with 50 digits, as the paper writes it."""
    with mpmath.workdps(50):
        tau = 1 / (mpmath.mpf(a) * (1 + mpmath.exp(mpmath.mpf(distance) / mpmath.mpf(a))))
        return float(mpmath.log(mpmath.expm1(tau)))


@pytest.mark.parametrize("a", [0.005, 0.02])
def test_float32_agrees_with_the_closed_form_from_deep_inside_to_far_outside(a: float) -> None:
    distances = np.linspace(-0.5, 0.5, 401)
    expected = np.array([closed_form(float(np.float32(d)), a) for d in distances])
    got = prior.density(torch.from_numpy(distances).float(), a, lower_bound=-1000.0)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-6, atol=2e-5)


def test_float64_agrees_with_the_closed_form_around_the_switch_to_the_series() -> None:
    a = 0.005
    distances = np.linspace(0.02, 0.07, 201)  # τ from 3.6 down to 2e-4
    expected = np.array([closed_form(d, a) for d in distances])
    got = prior.density(torch.from_numpy(distances), a, lower_bound=-1000.0).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=2e-8)


def test_softplus_of_it_is_the_paper_density() -> None:
    a, distances = 0.005, torch.linspace(-0.5, 0.5, 1001, dtype=torch.float64)
    got = torch.nn.functional.softplus(prior.density(distances, a, lower_bound=-1000.0), threshold=1e9)
    torch.testing.assert_close(got, torch.sigmoid(-distances / a) / a, rtol=1e-7, atol=0)


def test_the_lower_bound_is_kept_and_empties_space() -> None:
    far = prior.density(torch.tensor([0.1, 0.5, 1.0]), 0.005, lower_bound=-10.0)
    assert far.tolist() == [-10.0] * 3
    assert torch.nn.functional.softplus(far).max() * 1.5 < 1e-4  # the opacity of the whole cube's width


def test_gradients_are_finite_and_right_even_where_tau_underflows() -> None:
    distances = torch.linspace(-0.5, 0.5, 101, dtype=torch.float32, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior.density(distances, 0.005, lower_bound=-1000.0).sum(), distances)
    d = distances.detach().double()
    step = 1e-6
    slope = [(closed_form(float(x) + step, 0.005) - closed_form(float(x) - step, 0.005)) / (2 * step) for x in d]
    assert torch.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-4, atol=1e-3)
