# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a few words, trained with all else frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from headsculpt.packs.pocket.training import networks, rows, train


def test_nothing_but_the_words_rows_changes(tmp_path: Path) -> None:
    shown = list(rows.photograph_value("ears", "elf ears", 2, np.random.default_rng(0)))
    assert shown and all(one.record.words["ears"] == "elf ears" for one in shown)
    assert all(0 < one.about.mean() < 0.5 for one in shown)  # ears are a part of the picture
    pack = networks.continue_from(rows.PACK, 0)
    rows.train_rows(pack, "elf ears", shown, rows.RowPlan(steps=3, batch=4))
    train.write_pack(pack, tmp_path / "pack", rows.KEPT)

    vocabulary = pack.tokenizer.get_vocab()
    words = torch.zeros(len(vocabulary), dtype=torch.bool)
    words[[vocabulary["elf"], vocabulary["ears"]]] = True
    for path in rows.PACK.rglob("*.safetensors"):
        before, after = load_file(path), load_file(tmp_path / "pack" / path.relative_to(rows.PACK))
        assert before.keys() == after.keys()
        for name, value in before.items():
            if name.endswith("token_embedding.weight"):
                assert torch.equal((value != after[name]).any(1), words)
            else:
                assert torch.equal(value, after[name]), name
