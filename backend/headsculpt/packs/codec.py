# SPDX-License-Identifier: GPL-3.0-or-later
"""Between pictures and latents: a linear codec, and Stable Diffusion's autoencoder, behind the same two functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


class Codec(Protocol):
    """Pictures [B, 3, H, W] in [0, 1] to latents [B, C, H / factor, W / factor] of about unit variance, and back."""

    channels: int
    factor: int

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents, differentiable in `images`. Where the code of a picture is a distribution, a sample of it is
        drawn with `generator`, or its mean is taken without one."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures, clamped to [0, 1]."""


class LinearCodec:
    """Principal components of square patches: z = (x − mean) · basis / scale for each patch x of an image in −1 … 1.

    mean: [3·p·p], a patch flattened as (row, column, RGB); basis: [3·p·p, C], orthonormal columns; scale: [C].
    Encoding is one convolution, so that ∂z/∂image costs next to nothing.
    """

    def __init__(self, mean: Tensor, basis: Tensor, scale: Tensor, device: torch.device | str = "cpu") -> None:
        self.channels = basis.shape[1]
        self.factor = round((basis.shape[0] / 3) ** 0.5)
        if mean.shape != basis.shape[:1] or scale.shape != basis.shape[1:] or 3 * self.factor**2 != len(mean):
            raise ValueError(f"no codec: mean {mean.shape}, basis {basis.shape}, scale {scale.shape}")
        mean, basis, scale = (tensor.to(device, torch.float32) for tensor in (mean, basis, scale))
        size = (self.factor, self.factor, 3)
        encoder = (basis / scale).T
        # Pictures are in 0 … 1, the components belong to −1 … 1: x = 2 · image − 1 goes into weights and bias.
        self._encoder = 2 * encoder.reshape(-1, *size).permute(0, 3, 1, 2).contiguous()
        self._encoder_bias = -encoder @ (1 + mean)
        self._decoder = ((basis * scale).T / 2).reshape(-1, *size).permute(0, 3, 1, 2).contiguous()
        self._mean_patch = ((1 + mean) / 2).reshape(size).permute(2, 0, 1)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See Codec. `generator` is not used: a linear code is not random."""
        return functional.conv2d(images, self._encoder, self._encoder_bias, stride=self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """See Codec."""
        detail = functional.conv_transpose2d(latents, self._decoder, stride=self.factor)
        return (detail + self._mean_patch.repeat(1, *latents.shape[-2:])).clamp(0, 1)


class VaeCodec:
    """Stable Diffusion's AutoencoderKL; latents carry its scaling factor."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        self._autoencoder = autoencoder
        config: Any = autoencoder.config
        self._scaling: float = config.scaling_factor
        self.channels = config.latent_channels
        self.factor = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See Codec."""
        posterior = self._autoencoder.encode(2 * images.to(self._autoencoder.dtype) - 1).latent_dist
        latents = posterior.mean if generator is None else posterior.sample(generator)
        return latents.to(images.dtype) * self._scaling

    def decode(self, latents: Tensor) -> Tensor:
        """See Codec."""
        images = self._autoencoder.decode(latents.to(self._autoencoder.dtype) / self._scaling, return_dict=False)[0]
        return ((images.to(latents.dtype) + 1) / 2).clamp(0, 1)
