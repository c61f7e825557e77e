# SPDX-License-Identifier: GPL-3.0-or-later
"""The head's joints and what moves with them. ICT has none; its jawOpen tells where a jaw turns and what goes along."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

from .contact import rigid
from .quadmesh import Indices, edges
from .regions import smoothstep
from .surface import Floats

NAMES = ("neck", "head", "jaw", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1, 1)
# in centimetres: where the neck leaves the shoulders, and where it carries the skull
NECK, SKULL = (0.0, -12.5, -1.0), (0.0, -3.2, 0.2)
# heights of two slanting lines in the side view: above the first all goes with the head, below the other with the neck
HEAD_FROM, SLOPE, NECK_FROM = -6.8, -0.42, -12.4
NEAR = 5.0  # centimetres from a joint, in height and depth, of the skin that carries it
STIFF = 1.0  # centimetres of the jaw's motion below which a vertex's share of it is not to be trusted
SMOOTHING = 12  # passes over the jaw's weights


def regressor(neutral: Floats, skin: Indices, jaw: Floats, balls: list[Indices], centres: list[Floats]) -> Floats:
    """Weights [J, V] of vertices that give the joints' places, so that they follow a face's shape.

    neutral [V, 3] in centimetres; skin [S]: its vertices; jaw [3]; balls, centres: the eyeballs' vertices and middles.
    """
    result = np.zeros((len(NAMES), len(neutral)))
    for row, place in enumerate((NECK, SKULL, jaw)):
        near = skin[np.linalg.norm(neutral[skin, 1:] - np.asarray(place)[1:], axis=1) < NEAR]
        result[row, near] = _mean_at(neutral[near], np.asarray(place))
    for row, (ball, centre) in enumerate(zip(balls, centres, strict=True), start=3):
        result[row, ball] = _mean_at(neutral[ball], centre)
    return result


def _mean_at(points: Floats, place: Floats) -> Floats:
    """Weights [N] that add up to 1 and take points [N, 3] to a place [3]: of all such those nearest to equal ones."""
    equal = np.full(len(points), 1 / len(points))
    rows = np.column_stack([points, np.ones(len(points))]).T
    missing = np.append(place, 1.0) - rows @ equal
    return equal + rows.T @ np.linalg.solve(rows @ rows.T, missing)


def hinge(before: Floats, after: Floats) -> tuple[Floats, float]:
    """Where the jaw turns: the place [3] on the symmetry plane that stays when the lower teeth [N, 3] open, and by how
    many radians they do."""
    rotation, shift = rigid(before, after)
    flat = rotation[1:, 1:]
    place = np.linalg.solve(np.eye(2) - flat, shift[1:])
    return np.array([0.0, *place]), float(np.arctan2(flat[1, 0], flat[0, 0]))


def skin_weights(
    neutral: Floats, opened: Floats, quads: Indices, jaw: Floats, angle: float, parts: dict[str, Floats]
) -> Floats:
    """Weights [V, J] of the joints, at most three for a vertex.

    opened [V, 3]: the neutral head with jawOpen; quads [Q, 4]; jaw and angle: as `hinge` gives them; parts: how much of
    each eyeball [V] ("left_eye", "right_eye") and of the jaw's own bone ("jaw") a vertex is.
    """
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    whole = np.zeros_like(neutral)
    whole[:, 1:] = (neutral[:, 1:] - jaw[1:]) @ (turn - np.eye(2)).T
    share = ((opened - neutral) * whole).sum(1) / ((whole**2).sum(1) + STIFF**2)
    share = np.clip(_smooth(np.clip(share, 0, 1), quads) * 1.02, 0, 1)
    share = np.where(parts["jaw"] > 0, parts["jaw"], share)

    from_line = neutral[:, 1] - SLOPE * (neutral[:, 2] - 1.0)
    head = smoothstep(from_line, NECK_FROM, HEAD_FROM)
    result = np.zeros((len(neutral), len(NAMES)))
    result[:, 2] = share * np.maximum(head, parts["jaw"] > 0)
    result[:, 0] = (1 - head) * (1 - result[:, 2])
    result[:, 1] = 1 - result[:, 0] - result[:, 2]
    for column, name in enumerate(NAMES[3:], start=3):
        result[parts[name] > 0.5] = np.eye(len(NAMES))[column]
    return result


def _smooth(values: Floats, quads: Indices) -> Floats:
    """Values [V] after passes of means with their neighbours along the edges."""
    edge = edges(quads)[0]
    ends = np.concatenate([edge, edge[:, ::-1]])
    near = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(values),) * 2)
    near = diags(1 / np.maximum(np.asarray(near.sum(1)).ravel(), 1)) @ near
    for _ in range(SMOOTHING):
        values = (values + near @ values) / 2
    return values
