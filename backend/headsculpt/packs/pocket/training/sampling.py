# SPDX-License-Identifier: GPL-3.0-or-later
"""A sheet of a pack's own pictures, from words and landmark maps, to look at.

python -m headsculpt.packs.pocket.training.sampling PACK_FOLDER SHEET.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ....guidance.sampling import sample
from ....head.builtin import load_builtin
from ....head.model import Head
from ....render.landmark_map import landmark_maps
from ...pack import Pack, load_pack
from ...photos import draw_camera

PROMPTS = (
    "an angry old man with green skin, a red mohawk and a red beard",
    "a head of a smiling woman with pale skin and long blond hair, blue eyes",
    "a bald man with brown skin",
    "a head of a person with dark skin, a black afro",
    "a head of a sad person with tan skin, short brown hair and a brown beard",
    "a surprised head with blue skin, a white beard, green eyes",
    "a head of a person with gold skin, bald",
    "a head of a person with grey skin, long black hair",
)


def sheet(pack: Pack, seed: int = 3, guidance: float = 4.0) -> Image.Image:
    """Rows: front and back views by words alone; with landmarks, from afar and close; those landmarks' maps."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    spec, count = pack.spec, len(PROMPTS)
    model = load_builtin()
    landmarks = torch.from_numpy(Head.from_vertices(model, model.vertices).landmarks)
    noise = torch.randn(count, spec.latent_channels, spec.latent_size, spec.latent_size, generator=generator)
    back = spec.views.back_token if spec.views.back_token in pack.learned_tokens else spec.views.back
    rows = [
        sample(pack, [f"{prompt}, {view}" for prompt in PROMPTS], noise, guidance) for view in (spec.views.front, back)
    ]
    shown = []
    for law in (spec.cameras, *spec.close_ups):
        azimuths = rng.uniform(-1, 1, count) * min(75, law.azimuth_limit)
        maps = torch.cat([landmark_maps(landmarks, draw_camera(law, a, spec.image_size, rng)) for a in azimuths])
        names = [
            ", ".join(filter(None, (spec.views.front if abs(a) < 45 else spec.views.side, law.words))) for a in azimuths
        ]
        texts = [f"{prompt}, {name}" for prompt, name in zip(PROMPTS, names, strict=True)]
        rows.append(sample(pack, texts, noise, guidance, maps=maps))
        shown.append(maps)
    pictures = [pack.codec.decode(row) for row in rows] + shown
    strip = torch.cat([torch.cat(list(row), 2) for row in pictures], 1)
    return Image.fromarray((strip.permute(1, 2, 0).numpy() * 255).astype(np.uint8))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sheet(load_pack(sys.argv[1])).save(Path(sys.argv[2]))
