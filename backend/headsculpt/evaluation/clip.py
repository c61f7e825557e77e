# SPDX-License-Identifier: GPL-3.0-or-later
"""How well pictures fit sentences, by CLIP (Radford et al. 2021): a second opinion where a pack folder has `clip/`.

`clip/` is a transformers folder. The figures that papers print come from openai/clip-vit-large-patch14, at revision
32bd64288804d66eefd0ccbe215aa642df71cc41. The pocket pack ships none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headsculpt.errors import UserError

FOLDER = "clip"
SIZE = 224
"""Side of the pictures that heads are rendered at for it."""
AZIMUTHS = (0.0, 45.0, -45.0)
"""What a head is seen from, degrees."""


@dataclass(frozen=True)
class ClipScore:
    """similarity: CLIP-S, 100 × the mean cosine between a head's pictures and its prompt; retrieval: CLIP-R, the share
    of its pictures whose best prompt among all is its own."""

    similarity: float
    retrieval: float


class Clip:
    """CLIPModel and CLIPProcessor of a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError when the folder does not hold them whole."""
        from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

        try:
            self.model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.processor: Any = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"The CLIP in {folder} can not be read.", "Fetch it again, or remove it.") from error

    @torch.no_grad()
    def cosines(self, pictures: NDArray[np.uint8], texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, M], between pictures [N, H, W, 3] and texts [M]."""
        pixels = self.processor(list(pictures), return_tensors="pt")
        words = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        seen = self.model.visual_projection(self.model.vision_model(**pixels).pooler_output)
        said = self.model.text_projection(self.model.text_model(**words).pooler_output)
        unit = torch.nn.functional.normalize
        return (unit(seen, dim=1) @ unit(said, dim=1).T).numpy()

    def score(self, pictures: NDArray[np.uint8], prompt: str, prompts: Sequence[str]) -> ClipScore:
        """One head's pictures beside its prompt and all prompts (its own among them)."""
        cosines, own = self.cosines(pictures, prompts), prompts.index(prompt)
        hits = cosines.argmax(1) == own
        return ClipScore(100 * float(cosines[:, own].mean()), float(hits.mean()))
