# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA files change the weights as their formula says, whichever program wrote them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_pack import make_tiny_pack
from torch import Tensor, nn

from headsculpt.errors import UserError
from headsculpt.packs.pack import Pack, load_pack

RANK = 3
LINEAR = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0"
CONV = "down_blocks.1.attentions.0.proj_in"
WIDE = "up_blocks.1.resnets.0.conv1"
TEXT = "encoder.layers.1.self_attn.v_proj"
TEXT_OUT = "encoder.layers.1.self_attn.out_proj"

Names = Callable[[str, str, str], str]
"""A tensor's name for network, layer and factor ("down" or "up")."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pack(tmp_path_factory.mktemp("packs") / "sd", "epsilon", "vae")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Pack:
    return load_pack(folder)


def kohya(network: str, layer: str, factor: str) -> str:
    prefix = "lora_unet_" if network == "unet" else "lora_te_text_model_"
    return f"{prefix}{layer.replace('.', '_')}.lora_{factor}.weight"


def peft(network: str, layer: str, factor: str) -> str:
    prefix = "unet." if network == "unet" else "text_encoder.text_model."
    return f"{prefix}{layer}.lora_{'A' if factor == 'down' else 'B'}.weight"


def dotted(network: str, layer: str, factor: str) -> str:
    """diffusers 0.14 to 0.20."""
    prefix = "unet." if network == "unet" else "text_encoder.text_model."
    return f"{prefix}{layer}.{'lora' if network == 'unet' else 'lora_linear_layer'}.{factor}.weight"


def processor(network: str, layer: str, factor: str) -> str:
    """diffusers' first: attention processors of the U-Net, without a prefix."""
    attention, _, projection = layer.removesuffix(".0").rpartition(".")
    return f"{attention}.processor.{projection}_lora.{factor}.weight"


def layer_of(pack: Pack, network: str, layer: str) -> nn.Linear | nn.Conv2d:
    found: Any = (pack.unet if network == "unet" else pack.text_encoder).get_submodule(layer)
    return found


def factors(pack: Pack, network: str, layer: str, seed: int) -> tuple[Tensor, Tensor]:
    weight = layer_of(pack, network, layer).weight
    generator = torch.Generator().manual_seed(seed)
    tail = weight.shape[2:]
    down = torch.randn(RANK, weight.shape[1], *tail, generator=generator)
    return down, torch.randn(weight.shape[0], RANK, *(1 for _ in tail), generator=generator)


LAYERS = {"unet": [LINEAR, OUT, CONV, WIDE], "text": [TEXT, TEXT_OUT]}


@pytest.mark.parametrize(
    ("names", "layers", "alpha"),
    [
        (kohya, LAYERS, 1.5),
        (kohya, LAYERS, None),
        (peft, LAYERS, None),
        (dotted, LAYERS, None),
        (processor, {"unet": [LINEAR, OUT]}, None),
    ],
)
def test_weights_change_by_the_closed_form(
    folder: Path, plain: Pack, tmp_path: Path, names: Names, layers: dict[str, list[str]], alpha: float | None
) -> None:
    """W + w · (alpha / r) · B · A, a convolution's product taken over its input channels; nothing else moves."""
    tensors, expected = {}, {}
    for network, chosen in layers.items():
        for seed, layer in enumerate(chosen):
            down, up = factors(plain, network, layer, seed)
            tensors |= {names(network, layer, "down"): down, names(network, layer, "up"): up}
            if alpha is not None:
                tensors[names(network, layer, "down").replace("lora_down.weight", "alpha")] = torch.tensor(alpha)
            scale = 0.7 * (RANK if alpha is None else alpha) / RANK
            product = torch.einsum("or...,ri...->oi...", up.expand(*up.shape[:2], *down.shape[2:]), down)
            expected[network, layer] = layer_of(plain, network, layer).weight + scale * product
    save_file(tensors, tmp_path / "style.safetensors")
    pack = load_pack(folder, lora=[(tmp_path / "style.safetensors", 0.7)])
    for (network, layer), weight in expected.items():
        torch.testing.assert_close(layer_of(pack, network, layer).weight, weight, rtol=0, atol=1e-5)
    for ours, theirs, network in ((pack.unet, plain.unet, "unet"), (pack.text_encoder, plain.text_encoder, "text")):
        old = theirs.state_dict()
        moved = {name for name, value in ours.state_dict().items() if not torch.equal(value, old[name])}
        assert moved == {f"{layer}.weight" for where, layer in expected if where == network}


def test_two_add_up_and_the_opposite_weight_undoes(folder: Path, plain: Pack, tmp_path: Path) -> None:
    for number in (0, 1):
        down, up = factors(plain, "unet", LINEAR, number)
        save_file(
            {kohya("unet", LINEAR, "down"): down, kohya("unet", LINEAR, "up"): up}, tmp_path / f"{number}.safetensors"
        )
    first, second = tmp_path / "0.safetensors", tmp_path / "1.safetensors"
    both = load_pack(folder, lora=[(first, 1.0), (second, 0.5)])
    change = sum(
        w * up @ down
        for w, (down, up) in ((1.0, factors(plain, "unet", LINEAR, 0)), (0.5, factors(plain, "unet", LINEAR, 1)))
    )
    torch.testing.assert_close(
        layer_of(both, "unet", LINEAR).weight, layer_of(plain, "unet", LINEAR).weight + change, rtol=0, atol=1e-5
    )
    undone = load_pack(folder, lora=[(first, 1.0), (first, -1.0)])
    torch.testing.assert_close(
        layer_of(undone, "unet", LINEAR).weight, layer_of(plain, "unet", LINEAR).weight, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("rslora", "root"), [(False, RANK), (True, RANK**0.5)])
def test_diffusers_own_header_is_read(folder: Path, plain: Pack, tmp_path: Path, rslora: bool, root: float) -> None:
    down, up = factors(plain, "unet", LINEAR, 0)
    said = {"unet.lora_alpha": 2.0, "unet.r": RANK, "unet.use_rslora": rslora, "unet.alpha_pattern": {LINEAR: 6.0}}
    header = {"lora_adapter_metadata": json.dumps(said)}
    save_file({peft("unet", LINEAR, "down"): down, peft("unet", LINEAR, "up"): up}, tmp_path / "a.safetensors", header)
    pack = load_pack(folder, lora=[(tmp_path / "a.safetensors", 1.0)])
    expected = layer_of(plain, "unet", LINEAR).weight + 6.0 / root * up @ down
    torch.testing.assert_close(layer_of(pack, "unet", LINEAR).weight, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["kohya", "peft", "dotted"])
def test_diffusers_itself_predicts_the_same(folder: Path, plain: Pack, tmp_path: Path, kind: str) -> None:
    """Needs peft, which diffusers loads LoRAs with and HeadSculpt does without; docs/packs.md says how this was run."""
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    names = {"kohya": kohya, "peft": peft, "dotted": dotted}[kind]
    tensors: dict[str, Tensor] = {}
    for network, chosen in LAYERS.items():
        for seed, layer in enumerate(chosen):
            down, up = factors(plain, network, layer, seed)
            tensors |= {names(network, layer, "down"): 0.2 * down, names(network, layer, "up"): 0.2 * up}
            if kind == "kohya":
                tensors[names(network, layer, "down").replace("lora_down.weight", "alpha")] = torch.tensor(1.5)
    file = tmp_path / "style.safetensors"
    save_file(tensors, file)
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.load_lora_weights(file, adapter_name="style")
    pipeline.set_adapters("style", 0.7)
    pack = load_pack(folder, lora=[(file, 0.7)])
    texts = ["a bald old man", "a head with red hair"]
    words = pipeline.encode_prompt(texts, "cpu", 1, False)[0]
    torch.testing.assert_close(pack.embed(texts), words, rtol=0, atol=1e-5)
    assert (plain.embed(texts) - words).abs().max() > 1e-2
    latents, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([20, 700])
    with torch.no_grad():
        expected = pipeline.unet(latents, t, words).sample
    torch.testing.assert_close(pack.predict_noise(latents, t, words), expected, rtol=0, atol=1e-5)
    assert (plain.predict_noise(latents, t, words) - expected).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lora_unet_input_blocks_9_1_proj_in.lora_down.weight": (3, 8)}, "another kind of model"),
        ({kohya("unet", LINEAR, "down"): (3, 640), kohya("unet", LINEAR, "up"): (640, 3)}, "another size"),
        ({kohya("unet", LINEAR, "down"): (3, 16)}, "another kind"),
        ({kohya("unet", LINEAR, "down").replace("lora_down", "hada_w1_a"): (3, 16)}, "no plain LoRA"),
        ({kohya("unet", LINEAR, "down").replace("lora_down.weight", "dora_scale"): (3, 16)}, "no plain LoRA"),
        ({"unet.conv_in.weight": (3, 16)}, "no plain LoRA"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=message) as caught:
        load_pack(folder, lora=[(tmp_path / "a.safetensors", 1.0)])
    assert "a.safetensors" in caught.value.message and caught.value.advice


@pytest.mark.parametrize(("name", "content"), [("a.pt", b"\x80"), ("a.safetensors", b"\x80"), ("b.safetensors", None)])
def test_a_file_that_is_none(folder: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_pack(folder, lora=[(tmp_path / name, 1.0)])
