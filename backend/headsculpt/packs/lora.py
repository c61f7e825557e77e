# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA files: low-rank changes of a base's weights (Hu et al. 2021), added once when the pack is loaded.

Read are plain LoRAs for linear layers and convolutions, named as kohya's scripts name them (`lora_unet_…lora_down`,
`lora_te_…`) or as diffusers has named them over time (`unet.….lora_A`, `….lora.down`, `….processor.to_q_lora.down`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from headsculpt.errors import UserError

FACTORS = re.compile(r"[._]lora(_linear_layer)?[._](?P<factor>down|A|up|B)(\.weight)?$")
PREFIXES = {"lora_unet_": "unet", "lora_te_": "text_encoder", "unet.": "unet", "text_encoder.": "text_encoder"}
OLD_NAMES = re.compile(r"_processor_(to_[qkv]|to_out)$")
ADVICE = "Choose a LoRA for Stable Diffusion 1.5, in kohya's or diffusers' layout."


@dataclass
class Change:
    """ΔW = (alpha / r) · up · down of one layer. down: [r, in, …]; up: [out, r, …]."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


@dataclass(frozen=True)
class Metadata:
    """What diffusers writes into a file's header. Without it, alpha is the rank."""

    settings: Mapping[str, Any] = field(default_factory=dict)

    def alpha(self, network: str, layer: str, rank: int) -> float:
        patterns = self.settings.get(f"{network}.alpha_pattern") or {}
        named = next((value for name, value in patterns.items() if _flat(name) == layer), None)
        return float(named or self.settings.get(f"{network}.lora_alpha") or rank)

    def by_root(self, network: str) -> bool:
        """Whether alpha is divided by the rank's square root (Kalajdzievski 2023)."""
        return bool(self.settings.get(f"{network}.use_rslora"))


@torch.no_grad()
def add_lora(path: Path, weight: float, unet: nn.Module, text_encoder: nn.Module) -> None:
    """W + weight · (alpha / r) · up · down for each layer that the file names. Raises UserError if one does not fit."""
    changes, metadata = _read(path)
    layers = {"unet": _layers(unet), "text_encoder": _layers(text_encoder)}
    for (network, name), change in changes.items():
        layer = layers[network].get(name)
        if layer is None or change.down is None or change.up is None:
            raise UserError(f"{path} is for another kind of model: there is no {name} here.", ADVICE)
        rank = change.down.shape[0]
        alpha = metadata.alpha(network, name, rank) if change.alpha is None else change.alpha
        scale = weight * alpha / (rank**0.5 if metadata.by_root(network) else rank)
        kept: Any = layer.weight
        if change.up.numel() // rank * (change.down.numel() // rank) != kept.numel() or change.up.shape[1] != rank:
            raise UserError(f"{path} is for another kind of model: its {name} is of another size.", ADVICE)
        difference = (change.up.float().flatten(1) @ change.down.float().flatten(1)).reshape(kept.shape)
        kept.copy_(kept.float() + scale * difference.to(kept.device))


def _read(path: Path) -> tuple[dict[tuple[str, str], Change], Metadata]:
    """The changes by network and layer. Raises UserError."""
    if path.suffix != ".safetensors":
        raise UserError(f"{path} is no .safetensors file; older formats can hold a program, and are not read.", ADVICE)
    changes: dict[tuple[str, str], Change] = {}
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get("lora_adapter_metadata", "{}"))
            for name in file.keys():  # noqa: SIM118  # it is no dictionary
                _sort_in(changes, name, file.get_tensor(name), path)
    except FileNotFoundError as error:
        raise UserError(f"There is no LoRA at {path}.", "Choose the file again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or cut short.", "Get the LoRA again.") from error
    if not changes or any(said.get(f"{network}.use_dora") for network in ("unet", "text_encoder")):
        raise UserError(f"{path} is no plain LoRA.", ADVICE)
    return changes, Metadata(said)


def _sort_in(changes: dict[tuple[str, str], Change], name: str, tensor: Tensor, path: Path) -> None:
    found = FACTORS.search(name)
    if found is None and not name.endswith(".alpha"):
        raise UserError(f"{path} is no plain LoRA: it holds {name}.", ADVICE)
    stem = name.removesuffix(".alpha") if found is None else name[: found.start()]
    prefix = next((prefix for prefix in PREFIXES if stem.startswith(prefix)), "")
    network = PREFIXES.get(prefix, "unet")  # diffusers' first files held the U-Net alone and did not say so
    layer = OLD_NAMES.sub(lambda old: "_to_out_0" if old[1] == "to_out" else f"_{old[1]}", _flat(stem[len(prefix) :]))
    change = changes.setdefault((network, layer), Change())
    if found is None:
        change.alpha = float(tensor)
    elif found["factor"] in ("down", "A"):
        change.down = tensor
    else:
        change.up = tensor


def _layers(network: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """What can be changed, by its flat name."""
    return {_flat(name): layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}


def _flat(name: str) -> str:
    """A layer's name in the form that all layouts have in common."""
    return name.replace(".", "_").removeprefix("text_model_")
