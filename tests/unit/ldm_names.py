# SPDX-License-Identifier: GPL-3.0-or-later
"""A Stable Diffusion folder as a single checkpoint: the names of Stable Diffusion's first program (CompVis), written
from its modules (`openaimodel.py`, `model.py` of its autoencoder), independently of the code under test."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut", "mid_block.attentions.0": "mid.attn_1"}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save_checkpoint(folder: Path, target: Path, layers: int = 1) -> Path:
    """Writes a folder's text encoder, U-Net and autoencoder into one file. layers: of the U-Net per block."""
    weights = {"model_ema.decay": torch.tensor(0.9)}
    encoder = load_file(folder / "text_encoder" / "model.safetensors")
    for name, tensor in encoder.items():
        weights[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    weights["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    for name, tensor in unet.items():
        weights[f"model.diffusion_model.{unet_name(name, layers, set(unet))}"] = tensor
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    blocks = 1 + max(int(found[1]) for name in vae if (found := re.search(r"up_blocks\.(\d+)", name)))
    for name, tensor in vae.items():
        convolution = ".attentions." in name and "group_norm" not in name and name.endswith("weight")
        weights[f"first_stage_model.{vae_name(name, blocks)}"] = tensor[..., None, None] if convolution else tensor
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, target)
    return target


def unet_name(name: str, layers: int, names: set[str]) -> str:
    for ours, theirs in UNET.items():
        if name.startswith(f"{ours}."):
            name = theirs + name[len(ours) :]
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name):
        way, block, kind, number, rest = found.groups()
        first = int(block) * (layers + 1) + (way == "down")
        side = "input_blocks" if way == "down" else "output_blocks"
        if kind == "downsamplers":
            return f"{side}.{first + layers}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            attends = any(other.startswith(f"up_blocks.{block}.attentions.") for other in names)
            return f"{side}.{first + layers}.{2 if attends else 1}.{rest}"
        name = f"{side}.{first + int(number)}.{0 if kind == 'resnets' else 1}.{rest}"
    if re.match(r"(input_blocks|output_blocks)\.\d+\.0\.|middle_block\.[02]\.", name):
        for ours, theirs in RESNET.items():
            name = re.sub(rf"\.{ours}\.", f".{theirs}.", name)
    return name


def vae_name(name: str, blocks: int) -> str:
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    for ours, theirs in VAE.items():
        name = name.replace(ours, theirs)
    if ".attn_1." in name:
        for ours, theirs in ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{blocks - 1 - int(found[1])}.block", name)
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name)
