# SPDX-License-Identifier: GPL-3.0-or-later
"""What is fitted: the built-in head's outside, the ways in which its shape may change, and how likely each is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headsculpt.head.builtin import load_builtin
from headsculpt.head.model import Head, HeadModel
from headsculpt.shape.repair import on_border, views_of

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

EXPRESSIONS = {
    "jawOpen": 0.3,
    "eyeBlinkLeft": 0.4,
    "eyeBlinkRight": 0.4,
    "mouthSmileLeft": 0.3,
    "mouthSmileRight": 0.3,
    "mouthFrownLeft": 0.3,
    "mouthFrownRight": 0.3,
    "mouthPucker": 0.3,
    "browInnerUp": 0.3,
}
"""One standard deviation of the weight of each expression that a stranger's head may have."""
KERNELS = ((0.045, 0.7), (0.014, 0.25), (0.005, 0.1))
"""What no component explains is a random field, a sum of these: one standard deviation and reach, head space units."""
FIELDS = 130
"""How many smooth functions stand for the field; what is left out of its variance is less than 1 %."""
SEED_POINTS = 600


@dataclass(frozen=True)
class Template:
    """The built-in head in head space. V: all its vertices.

    vertices: float64 [V, 3]; outside: int64 [T, 3], the triangles that can be seen; shown: int64 [S], their vertices;
    border: bool [V], on the rim of what can be seen; components: float64 [K, V, 3],
    identities, then expressions, one standard deviation each; identities: how many of them are; fields: float64 [F, V],
    smooth functions whose random sums (weights of variance 1, for each axis) are the field; trust: float64 [V], how
    much a place says about the head, 0 … 1.
    """

    model: HeadModel
    vertices: Floats
    outside: Indices
    shown: Indices
    border: NDArray[np.bool_]
    components: Floats
    identities: int
    fields: Floats
    trust: Floats


@lru_cache(maxsize=2)
def load_template(identities: int = 60) -> Template:
    """identities: how many of the model's components may be used."""
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    vertices = head.vertices.astype(np.float64)
    hidden = np.max([model.masks[name] for name in ("mouth_bag", "eye_sockets", "teeth", "gums", "tongue")], axis=0)
    triangles = model.triangles[(hidden[model.triangles] < 0.5).all(axis=1)].astype(np.int64)
    front, back = views_of(vertices, triangles)
    outside = triangles[front > back]
    expressions = [
        weight * model.expression[model.expression_names.index(name)] for name, weight in EXPRESSIONS.items()
    ]
    components = head.space.scale * np.concatenate([model.identity[:identities], expressions])
    return Template(
        model,
        vertices,
        outside,
        np.unique(outside),
        on_border(outside, len(vertices)),
        components.astype(np.float64),
        identities,
        random_fields(vertices),
        trust_of(model),
    )


def trust_of(model: HeadModel) -> Floats:
    """Necks are cut where somebody likes it, scalps have hair and hats on them, and no two ears are alike."""
    masks = model.masks
    trust = np.ones(len(model.vertices))
    trust -= 0.4 * masks["scalp"] + 0.7 * masks["neck"] + 0.4 * masks["ears"]
    return np.clip(trust, 0.2, 1.0)


def random_fields(points: Floats) -> Floats:
    """Functions [F, N] at points [N, 3] whose sums with weights of variance 1 have KERNELS for their covariance
    (Nyström's method; Lüthi et al., Gaussian Process Morphable Models, 2018)."""
    rng = np.random.default_rng(0)
    seeds = points[rng.choice(len(points), SEED_POINTS, replace=False)]
    values, vectors = np.linalg.eigh(covariance(seeds, seeds))
    values, vectors = values[::-1][:FIELDS], vectors[:, ::-1][:, :FIELDS]
    return (covariance(points, seeds) @ vectors / np.sqrt(values)).T


def covariance(points: Floats, others: Floats) -> Floats:
    """Of the field's values along one axis, [N, M], at points [N, 3] and [M, 3]."""
    squared = (points**2).sum(1)[:, None] - 2 * points @ others.T + (others**2).sum(1)
    squared = np.maximum(squared, 0)
    return np.sum([size**2 * np.exp(-squared / (2 * reach**2)) for size, reach in KERNELS], axis=0)
