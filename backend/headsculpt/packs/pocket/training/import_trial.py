# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the feasibility trial's weights as a pack folder, from which training can go on (`train --init`).

    python -m headsculpt.packs.pocket.training.import_trial TRIAL_FOLDER OUT_FOLDER

TRIAL_FOLDER holds pocket_fp16.safetensors (te., un., cn. prefixes), codec.npz (mu, V, sd) and words.json.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from . import networks
from .pictures import PACK


def import_trial(trial: Path, out: Path) -> None:
    with np.load(trial / "codec.npz", allow_pickle=False) as data:
        names = {"mean": "mu", "basis": "V", "scale": "sd"}
        codec = {name: torch.from_numpy(np.ascontiguousarray(data[key])).float() for name, key in names.items()}
    pack = networks.create(codec, seed=0)
    weights = {key: value.float() if value.is_floating_point() else value for key, value in
               load_file(trial / "pocket_fp16.safetensors").items()}  # fmt: skip
    parts = {prefix: {k[3:]: v for k, v in weights.items() if k.startswith(prefix)} for prefix in ("te.", "un.", "cn.")}
    words = json.loads((trial / "words.json").read_text(encoding="utf-8"))
    pack.load_words(parts["te."], {word: index for index, word in enumerate(words)})
    pack.unet.load_state_dict(parts["un."])
    pack.controlnet.load_state_dict(parts["cn."])
    pack.save(out)
    shutil.copy(PACK / "pack.json", out)


if __name__ == "__main__":
    import_trial(Path(sys.argv[1]), Path(sys.argv[2]))
