# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head: read from `builtin/head.npz`, which `derive_builtin.py` and `derive_landmarks.py` made."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from .model import HeadModel

PATH = Path(__file__).parent / "builtin" / "head.npz"
MASK_PREFIX = "mask_"


@lru_cache(maxsize=1)
def load_builtin() -> HeadModel:
    """The built-in head model; read once, so treat its arrays as read-only."""
    return read_model(PATH)


def read_model(path: Path) -> HeadModel:
    """A HeadModel from an npz in the built-in head's layout: the arrays by their names, a mask as `mask_<name>`."""
    with np.load(path, allow_pickle=False) as data:
        masks = {
            key.removeprefix(MASK_PREFIX): data[key].astype(np.float32) / 255
            for key in data
            if key.startswith(MASK_PREFIX)
        }
        return HeadModel(
            vertices=data["vertices"],
            quads=data["quads"].astype(np.int32),
            uv=data["uv"],
            quad_uv=data["quad_uv"].astype(np.int32),
            identity=data["identity"].astype(np.float32),
            expression=data["expression"].astype(np.float32),
            expression_names=tuple(str(name) for name in data["expression_names"]),
            masks=masks,
            joint_names=tuple(str(name) for name in data["joint_names"]),
            joint_parents=tuple(int(parent) for parent in data["joint_parents"]),
            joint_regressor=data["joint_regressor"],
            skin_weights=data["skin_weights"].astype(np.float32) / 65535,
            landmark_triangles=data["landmark_triangles"].astype(np.int32),
            landmark_barycentric=data["landmark_barycentric"],
        )
