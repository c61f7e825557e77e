# SPDX-License-Identifier: GPL-3.0-or-later
"""The full-size pack has the files that it should have; docs/packs.md says what loading them took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headsculpt.packs import full_size
from headsculpt.packs.base import SD15
from headsculpt.packs.files import INSTRUCTIONS
from headsculpt.packs.pack import load_pack


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same configurations, narrower, shallower and for smaller pictures."""
    for config in SD15.rglob("*"):
        if config.is_file():
            target = tmp_path / "configs" / config.relative_to(SD15)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(config.read_bytes())
    blocks = {"block_out_channels": [32, 32, 32, 32], "attention_head_dim": 4, "cross_attention_dim": 32}
    narrow = {
        "unet": blocks | {"layers_per_block": 1, "sample_size": 16},
        "controlnet": blocks | {"layers_per_block": 1},
        "vae": {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1},
        "text_encoder": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    }
    for part, changes in narrow.items():
        path = tmp_path / "configs" / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    monkeypatch.setattr(full_size, "SD15", tmp_path / "configs")
    full_size.make_full_size(tmp_path / "pack")
    return tmp_path / "pack"


def test_it_is_stable_diffusion_in_half_precision_with_two_nets(small: Path) -> None:
    for part in ("text_encoder", "unet", "vae", "controlnet_landmarks", INSTRUCTIONS):
        files = list((small / part).glob("*.fp16.safetensors"))
        assert len(files) == 1 and {tensor.dtype for tensor in load_file(files[0]).values()} == {torch.float16}
    pack = load_pack(small)
    assert (pack.spec.image_size, pack.spec.latent_size, pack.spec.text_length) == (128, 16, 77)
    assert pack.spec.prediction_type == "epsilon" and pack.instruction_net is not None
    assert pack.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    generator = torch.Generator().manual_seed(0)
    maps, latents = torch.rand(1, 3, 128, 128, generator=generator), torch.randn(1, 4, 16, 16, generator=generator)
    call = latents, torch.tensor([500]), pack.embed(["an old wizard"])
    both = pack.predict_noise(*call, pack.read_landmarks(maps), None, pack.read_reference(maps))
    assert both.isfinite().all() and 0.1 < both.std() < 10
    assert (both - pack.predict_noise(*call, pack.read_landmarks(maps))).abs().max() > 1e-3
    assert (both - pack.predict_noise(*call, None, None, pack.read_reference(maps))).abs().max() > 1e-3
