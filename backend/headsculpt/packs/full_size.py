# SPDX-License-Identifier: GPL-3.0-or-later
"""A Stable Diffusion 1.5 with two ControlNets in its real size and layout, of random weights in half precision.

It proves, where no weights can be had, that a pack of that size loads, what it needs and how fast it is. Its pictures
are noise. In the worker's environment:

    python -m headsculpt.packs.full_size FOLDER          # writes 3.6 GB
    python -m headsculpt.packs.full_size FOLDER --try    # loads it and predicts noise once; --device cuda, --half
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from headsculpt.packs.base import SD15, clip_vocabulary
from headsculpt.packs.files import INSTRUCTIONS
from headsculpt.packs.manifest import size_text
from headsculpt.packs.pack import Pack, load_pack

WEIGHTS = {"text_encoder": "model", "unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
NETS = ("controlnet_landmarks", INSTRUCTIONS)
PROMPT, NEGATIVE = "a head of an old wizard with a white beard, front view", "blurry"


def make_full_size(folder: Path, seed: int = 0) -> None:
    """Writes the pack. The same seed gives the same weights."""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [(part, part) for part in WEIGHTS] + [(net, "controlnet") for net in NETS]
    for part, config in parts:
        (folder / part).mkdir(exist_ok=True)
        shutil.copyfile(SD15 / config / "config.json", folder / part / "config.json")
        weights = {name: _random(name, size, generator) for name, size in _sizes(config)}
        stem = WEIGHTS.get(part, "diffusion_pytorch_model")
        save_file(weights, folder / part / f"{stem}.fp16.safetensors", {"format": "pt"})
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(SD15 / part, folder / part, dirs_exist_ok=True)
    merges = (folder / "tokenizer" / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(clip_vocabulary(merges)), encoding="utf-8")


def _sizes(config: str) -> Iterator[tuple[str, torch.Size]]:
    """Names and sizes of a network's weights."""
    # By module: the packages' own entrances import far more than these.
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.controlnets.controlnet import ControlNetModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    network: Any
    with torch.device("meta"):  # sizes alone
        if config == "text_encoder":
            network = CLIPTextModel(CLIPTextConfig.from_pretrained(SD15 / config))
        else:
            kind: Any = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "controlnet": ControlNetModel}[config]
            network = kind.from_config(kind.load_config(SD15 / config))
    for name, value in network.state_dict().items():
        yield name, value.shape


def _random(name: str, size: torch.Size, generator: torch.Generator) -> Tensor:
    """Half precision. Matrices and convolutions keep the size of what goes through them, a ControlNet's last ones
    (zero in a new one) a tenth of it; norms do nothing."""
    if len(size) < 2:
        return (torch.ones if name.endswith("weight") else torch.zeros)(size, dtype=torch.float16)
    fan_in = size[1:].numel()
    share = 0.1 if name.startswith(("controlnet_down_blocks", "controlnet_mid_block")) else 1.0
    return (torch.randn(size, generator=generator) * share / fan_in**0.5).half()


def try_full_size(folder: Path, device: str, half: bool) -> dict[str, tuple[float, float]]:
    """Loads the pack, encodes a picture and predicts noise for words, negative words and both nets in one call.

    Returns seconds by the clock and of the processor (all threads), by what they went into.
    """
    seconds: dict[str, tuple[float, float]] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start, used = time.perf_counter(), time.process_time()
        yield
        seconds[name] = time.perf_counter() - start, time.process_time() - used

    with timed("load"):
        pack = load_pack(folder, device, torch.float16 if half else torch.float32)
    picture = torch.rand(1, 3, pack.spec.image_size, pack.spec.image_size, device=pack.device)
    words = pack.embed([NEGATIVE, PROMPT])
    steps = {"encode": lambda: pack.codec.encode(picture), "predict": lambda: _predict(pack, picture, words)}
    for name, step in steps.items():
        with torch.no_grad():
            if pack.device.type == "cuda":
                step()  # the first call chooses kernels
            with timed(name):
                finite = bool(step().isfinite().all())  # waits for the device
        if not finite:
            raise FloatingPointError(f"{name} gave what is no number")
    return seconds


def _predict(pack: Pack, picture: Tensor, words: Tensor) -> Tensor:
    size = (1, pack.spec.latent_channels, pack.spec.latent_size, pack.spec.latent_size)
    latents = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(pack.device).repeat(2, 1, 1, 1)
    landmarks, reference = (read(picture).repeat(2, 1, 1, 1) for read in (pack.read_landmarks, pack.read_reference))
    return pack.predict_noise(latents, torch.full((2,), 500, device=pack.device), words, landmarks, None, reference)


def _peak(device: torch.device) -> int:
    """Bytes: of the graphics card, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description="Stable Diffusion 1.5 and two ControlNets of random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--try", action="store_true", dest="trial", help="load it and predict noise once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="compute in half precision (graphics cards only)")
    options = parser.parse_args()
    if options.trial:
        for name, (clock, processor) in try_full_size(options.folder, options.device, options.half).items():
            print(f"{name:8} {clock:7.2f} s, {processor:7.2f} s of the processor")
        print(f"memory's peak {_peak(torch.device(options.device)) / 1e9:.2f} GB")
        return
    start = time.perf_counter()
    make_full_size(options.folder)
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{size_text(size)} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
