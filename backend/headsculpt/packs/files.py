# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the files of a pack folder. All that is missing or damaged ends in a UserError that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from headsculpt.device import memory_format
from headsculpt.errors import UserError
from headsculpt.packs.codec import Codec, LinearCodec, TinyCodec, VaeCodec
from headsculpt.packs.tokens import add_learned_tokens, read_tokens, token_files

if TYPE_CHECKING:
    from transformers import CLIPTextModel
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

FETCH_AGAIN = "Get the pack again, or choose another folder."


INSTRUCTIONS = "controlnet_instructions"
"""The folder of the ControlNet that edits are made with; a pack may do without."""
QUICK = "vae_tiny"
"""The folder of a small autoencoder (diffusers' AutoencoderTiny, TAESD); a pack may do without."""


def check_files(folder: Path, base: Path) -> None:
    """Finds what is missing or cut short before minutes go into loading the rest.

    base: where text encoder, U-Net and codec come from: `folder` itself, another folder or a single file.
    """
    if base.is_dir():
        _check_base(base)
    for part in ("controlnet_landmarks", INSTRUCTIONS, QUICK):
        if part == "controlnet_landmarks" or (folder / part).is_dir():
            _read_json(folder / part / "config.json")
            _weights_variant(folder / part)
    for path in token_files(folder):
        read_tokens(path)


def _check_base(folder: Path) -> None:
    for part in ("text_encoder", "unet"):
        _read_json(folder / part / "config.json")
        _weights_variant(folder / part)
    if (folder / "codec").is_dir():
        _weights_variant(folder / "codec")
    else:
        _read_json(folder / "vae" / "config.json")
        _weights_variant(folder / "vae")
    _read_json(folder / "scheduler" / "scheduler_config.json")
    for name in ("tokenizer.json",) if _has_whole_tokenizer(folder / "tokenizer") else ("vocab.json", "merges.txt"):
        if not (folder / "tokenizer" / name).is_file():
            raise _missing(folder / "tokenizer" / name)


def load_network(folder: Path, network: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A frozen network of a diffusers or transformers class."""
    from diffusers.utils.import_utils import is_accelerate_available
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    of_transformers = network.__module__.startswith("transformers.")
    options: dict[str, Any] = {"dtype": dtype} if of_transformers else {"torch_dtype": dtype}
    if not of_transformers and not is_accelerate_available():
        options["low_cpu_mem_usage"] = False  # the default warns without accelerate
    try:
        model, report = network.from_pretrained(
            folder,
            variant=_weights_variant(folder),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # whatever two libraries raise at files that do not make a network
        raise UserError(f"The files in {folder} do not make a {network.__name__}.", FETCH_AGAIN) from error
    if lacking := [*report["missing_keys"], *report["mismatched_keys"]]:
        raise UserError(f"The weights in {folder} lack {lacking[0]}.", FETCH_AGAIN)
    return settled(model, device)


def settled(network: Any, device: torch.device) -> Any:
    """The network where it computes, frozen."""
    return network.to(device=device, memory_format=memory_format(device)).eval().requires_grad_(False)


def _weights_variant(folder: Path) -> str | None:
    """Which of the usual names the weights have. Raises UserError if there are none or they are not whole."""
    for variant, suffix in ((None, ".safetensors"), ("fp16", ".fp16.safetensors")):
        for stem in ("model", "diffusion_pytorch_model"):
            if (path := folder / (stem + suffix)).is_file():
                _check_safetensors(path)
                return variant
    if pickles := sorted(path for ending in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(ending)):
        raise UserError(
            f"{pickles[0]} is a pickle, which can hold a program, and is not read.",
            "Get this model's safetensors files.",
        )
    raise _missing(folder / "diffusion_pytorch_model.safetensors")


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, "pt"):  # compares the header with the file's length
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short.", FETCH_AGAIN) from error


def load_codec(folder: Path, device: torch.device, dtype: torch.dtype) -> Codec:
    if not (folder / "codec").is_dir():
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        return VaeCodec(load_network(folder / "vae", AutoencoderKL, device, dtype))
    try:
        return LinearCodec(**load_file(folder / "codec" / "model.safetensors"), device=device)
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"The file in {folder / 'codec'} is no codec.", FETCH_AGAIN) from error


def load_quick_codec(folder: Path, device: torch.device, dtype: torch.dtype) -> Codec | None:
    if not (folder / QUICK).is_dir():
        return None
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    return TinyCodec(load_network(folder / QUICK, AutoencoderTiny, device, dtype))


def _has_whole_tokenizer(folder: Path) -> bool:
    """tokenizer.json holds all; Stable Diffusion 1.5's own folder has CLIP's vocab.json and merges.txt instead."""
    return (folder / "tokenizer.json").is_file() or not (folder / "vocab.json").is_file()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    from transformers.models.clip.tokenization_clip import CLIPTokenizer
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

    kind = PreTrainedTokenizerFast if _has_whole_tokenizer(folder) else CLIPTokenizer
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise UserError(f"The tokenizer in {folder} is damaged.", FETCH_AGAIN) from error


def load_learned_words(folder: Path, tokenizer: PreTrainedTokenizerFast, encoder: CLIPTextModel) -> tuple[str, ...]:
    """Teaches tokenizer and encoder the pack's own words and the user's for it, which go before the pack's."""
    learned: set[str] = set()
    for path in reversed(token_files(folder)):
        rows = {word: row for word, row in read_tokens(path).items() if word not in learned}
        try:
            add_learned_tokens(tokenizer, encoder, rows)
        except ValueError as error:
            advice = FETCH_AGAIN if path.parent == folder else "Learn them again for this pack, or take the file away."
            raise UserError(f"The words in {path} do not belong to this pack ({error}).", advice) from error
        learned |= set(rows)
    return tuple(sorted(learned))


def load_schedule(folder: Path) -> Any:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    config = _read_json(folder / "scheduler_config.json")
    try:
        if "beta_schedule" not in config:
            raise ValueError("it names no beta_schedule")  # diffusers would take a default, another model's
        return DDIMScheduler.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"The noise schedule in {folder} is not known.", FETCH_AGAIN) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged.", FETCH_AGAIN) from error
    return content


def _missing(path: Path) -> UserError:
    advice = FETCH_AGAIN
    if path.parent.name == "controlnet_landmarks":
        advice = f"Put a face landmark ControlNet for this model into {path.parent}."
    return UserError(f"The model pack lacks {path}.", advice)
