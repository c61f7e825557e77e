# SPDX-License-Identifier: GPL-3.0-or-later
"""Both codecs against what they are by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headsculpt.packs.codec import LinearCodec, VaeCodec

PATCH, CHANNELS = 4, 6


@pytest.fixture(scope="module")
def tables() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "mean": random.normal(0, 0.2, 3 * PATCH**2),
        "basis": np.linalg.qr(random.normal(size=(3 * PATCH**2, CHANNELS)))[0],
        "scale": np.linspace(2, 0.5, CHANNELS),
    }


@pytest.fixture(scope="module")
def linear(tables: dict[str, np.ndarray]) -> LinearCodec:
    mean, basis, scale = (torch.from_numpy(tables[name]) for name in ("mean", "basis", "scale"))
    return LinearCodec(mean, basis, scale)


def pictures(count: int = 2, height: int = 12, width: int = 20) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_linear_code_is_the_projection_of_each_patch(linear: LinearCodec, tables: dict[str, np.ndarray]) -> None:
    images = pictures()
    latents = linear.encode(images)
    assert latents.shape == (2, CHANNELS, 3, 5)
    for row in range(3):
        for column in range(5):
            rows, columns = slice(row * PATCH, (row + 1) * PATCH), slice(column * PATCH, (column + 1) * PATCH)
            patch = images[:, :, rows, columns].numpy().astype(np.float64).transpose(0, 2, 3, 1).reshape(2, -1)
            expected = (2 * patch - 1 - tables["mean"]) @ tables["basis"] / tables["scale"]
            np.testing.assert_allclose(latents[:, :, row, column].numpy(), expected, atol=1e-5)


def test_linear_codec_gives_back_what_it_can_hold(linear: LinearCodec) -> None:
    """Pictures that the code can hold come back exactly; others as the nearest such picture."""
    codes = 0.3 * torch.randn(1, CHANNELS, 3, 5, generator=torch.Generator().manual_seed(2))
    images = linear.decode(codes)
    assert images.min() > 0 and images.max() < 1, "clamped: the test would show nothing"
    torch.testing.assert_close(linear.encode(images), codes, rtol=0, atol=1e-5)
    image = pictures(1)
    missed = linear.decode(linear.encode(image)) - image
    moved = linear.decode(linear.encode(image) + 0.05) - image
    assert missed.square().sum() < moved.square().sum()


def test_all_components_hold_everything() -> None:
    size = 3 * PATCH**2
    basis = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(3)))[0]
    codec = LinearCodec(torch.full((size,), 0.1), basis, torch.full((size,), 0.7))
    torch.testing.assert_close(codec.decode(codec.encode(pictures())), pictures(), rtol=0, atol=1e-5)


def test_linear_gradient_is_that_of_finite_differences(linear: LinearCodec) -> None:
    image = pictures(1, 4, 4).requires_grad_()
    weights = torch.randn(1, CHANNELS, 1, 1, generator=torch.Generator().manual_seed(4))
    (linear.encode(image) * weights).sum().backward()
    assert image.grad is not None
    step = torch.zeros_like(image)
    step[0, 1, 2, 3] = 0.1
    with torch.no_grad():
        change = ((linear.encode(image + step) - linear.encode(image - step)) * weights).sum() / 0.2
    torch.testing.assert_close(image.grad[0, 1, 2, 3], change, rtol=1e-4, atol=1e-5)


def test_tables_that_are_no_codec_are_refused(tables: dict[str, np.ndarray]) -> None:
    wrong = {name: torch.from_numpy(table) for name, table in tables.items()}
    with pytest.raises(ValueError, match="no codec"):
        LinearCodec(wrong["mean"][:-1], wrong["basis"], wrong["scale"])
    with pytest.raises(ValueError, match="no codec"):
        LinearCodec(wrong["mean"][:-1], wrong["basis"][:-1], wrong["scale"])


@pytest.fixture(scope="module")
def autoencoder() -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    network: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.3,
    )
    return network.eval().requires_grad_(False)


def test_vae_code_is_the_pipelines(autoencoder: Any) -> None:
    """Pictures go in as diffusers' image processor would send them, and come out as it would."""
    from diffusers.image_processor import VaeImageProcessor

    codec, processor, images = VaeCodec(autoencoder), VaeImageProcessor(vae_scale_factor=4), pictures(2, 16, 32)
    assert (codec.channels, codec.factor) == (4, 4)
    posterior = autoencoder.encode(processor.preprocess(images)).latent_dist
    torch.testing.assert_close(codec.encode(images), posterior.mode() * 0.3)
    drawn = codec.encode(images, torch.Generator().manual_seed(7))
    torch.testing.assert_close(drawn, posterior.sample(torch.Generator().manual_seed(7)) * 0.3)
    assert (drawn - posterior.mode() * 0.3).abs().max() > 1e-3
    shown = processor.postprocess(autoencoder.decode(drawn / 0.3).sample, output_type="pt")
    torch.testing.assert_close(codec.decode(drawn), shown)


def test_gradients_pass_through_the_vae_to_the_picture(autoencoder: Any) -> None:
    image = pictures(1, 16, 16).requires_grad_()
    VaeCodec(autoencoder).encode(image).square().sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0
