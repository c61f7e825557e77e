# SPDX-License-Identifier: GPL-3.0-or-later
"""Between pictures and latents: a linear codec, and Stable Diffusion's autoencoder, behind the same two functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution


class Codec(Protocol):
    """Pictures [B, 3, H, W] in [0, 1] to latents [B, C, H / factor, W / factor] of about unit variance, and back."""

    channels: int
    factor: int
    one_by_one: bool
    """Whether pictures are encoded one after the other, and again for their gradients, in less memory."""

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

    one_by_one = False  # there is nothing to gain

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


class _Shrink(torch.autograd.Function):
    """What goes into half precision: brings its gradient back to the size that _Magnify has noted."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, size: list[Tensor]) -> Tensor:
        ctx.size = size
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.size.pop(), None


class _Magnify(torch.autograd.Function):
    """What comes out of half precision: its gradient goes through there with 1 as its largest value, since small
    numbers vanish there, and notes its size."""

    @staticmethod
    def forward(ctx: Any, latents: Tensor, size: list[Tensor]) -> Tensor:
        ctx.size = size
        return latents.view_as(latents)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        largest = gradients[0].abs().amax().clamp(min=torch.finfo(gradients[0].dtype).tiny)
        ctx.size.append(largest)
        return gradients[0] / largest, None


class VaeCodec:
    """Stable Diffusion's AutoencoderKL; latents carry its scaling factor."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        self._autoencoder: Any = autoencoder
        self.one_by_one = False
        config: Any = autoencoder.config
        self._scaling: float = config.scaling_factor
        self.channels = config.latent_channels
        self.factor = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See Codec."""
        if generator is not None:
            return self._posterior(images).sample(generator).to(images.dtype) * self._scaling
        half, size = self._autoencoder.dtype == torch.float16, list[Tensor]()
        pictures = _Shrink.apply(images, size) if half else images
        if self.one_by_one:
            latents = torch.cat([checkpoint(self._mean, picture, use_reentrant=False) for picture in pictures.split(1)])
        else:
            latents = self._mean(pictures)
        latents = latents.to(images.dtype) * self._scaling
        return _Magnify.apply(latents, size) if half else latents

    def _posterior(self, images: Tensor) -> DiagonalGaussianDistribution:
        return self._autoencoder.encode(2 * images.to(self._autoencoder.dtype) - 1).latent_dist

    def _mean(self, images: Tensor) -> Tensor:
        return self._posterior(images).mean

    def decode(self, latents: Tensor) -> Tensor:
        """See Codec."""
        images = self._autoencoder.decode(latents.to(self._autoencoder.dtype) / self._scaling, return_dict=False)[0]
        return ((images.to(latents.dtype) + 1) / 2).clamp(0, 1)


class TinyCodec(VaeCodec):
    """An AutoencoderTiny that was trained to do as Stable Diffusion's does (TAESD), in a fraction of its work."""

    def __init__(self, autoencoder: AutoencoderTiny) -> None:
        self._autoencoder: Any = autoencoder
        self.one_by_one = False
        config: Any = autoencoder.config
        self._scaling = config.scaling_factor
        self.channels = config.latent_channels
        self.factor = 2 ** (len(config.encoder_block_out_channels) - 1)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See Codec. `generator` is not used: this code is not random."""
        return super().encode(images)

    def _mean(self, images: Tensor) -> Tensor:
        return self._autoencoder.encode(2 * images.to(self._autoencoder.dtype) - 1).latents
