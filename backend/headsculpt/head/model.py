# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear head model, and one head of it in head space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UserError
from .landmarks import CHIN, FACE_OVAL
from .skeleton import blend
from .space import CROWN_TO_CHIN, HeadSpace

INNER_PARTS = ("teeth", "gums")

Index = TypeVar("Index", bound=np.integer)


@dataclass(frozen=True)
class HeadModel:
    """vertices + Σ identity + Σ expression, on one quad mesh. Metres, y up, facing +z, x is the subject's left.

    vertices: float32 [V, 3], skin first, then the other parts; quads: int32 [Q, 4], counter-clockwise from outside,
    a triangle repeats its last index; uv: float32 [U, 2], origin bottom left; quad_uv: int32 [Q, 4], indices into uv;
    identity: float32 [K, V, 3], displacements of one standard deviation; expression: float32 [E, V, 3],
    displacements at weight 1; masks: regions and parts by name, float32 [V] in [0, 1];
    joint_parents: [J], each joint's own before it, −1 for none; joint_regressor: float32 [J, V], weights of vertices
    that give the joints' places; skin_weights: float32 [V, J], rows add up to 1, at most four joints in one;
    landmark_triangles: int32 [478], rows of `triangles`, in MediaPipe's order; landmark_barycentric: float32 [478, 3].
    """

    vertices: NDArray[np.float32]
    quads: NDArray[np.int32]
    uv: NDArray[np.float32]
    quad_uv: NDArray[np.int32]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]
    masks: dict[str, NDArray[np.float32]]
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joint_regressor: NDArray[np.float32]
    skin_weights: NDArray[np.float32]
    landmark_triangles: NDArray[np.int32]
    landmark_barycentric: NDArray[np.float32]

    @cached_property
    def triangles(self) -> NDArray[np.int32]:
        """int32 [T, 3]: every quad (a, b, c, d) as (a, b, c) and (a, c, d), its two halves behind each other."""
        return split_quads(self.quads)

    def posed(
        self, identity: ArrayLike | None = None, expression: Mapping[str, float] | None = None
    ) -> NDArray[np.float32]:
        """Vertices [V, 3] of one person with one expression.

        identity: weights of the first ≤ K components in standard deviations; expression: weight by name.
        Raises UserError for more weights than components and for a name that the model does not have.
        """
        posed = self.vertices.copy()
        if identity is not None:
            weights = np.asarray(identity, np.float32)
            if weights.ndim != 1 or len(weights) > len(self.identity):
                raise UserError(
                    f"A head shape has at most {len(self.identity)} identity weights, not {weights.size}.",
                    "Leave out the last ones.",
                )
            posed += np.tensordot(weights, self.identity[: len(weights)], 1)
        for name, weight in (expression or {}).items():
            if name not in self.expression_names:
                raise UserError(
                    f"The head has no expression called “{name}”.", f"It has {', '.join(self.expression_names)}."
                )
            posed += np.float32(weight) * self.expression[self.expression_names.index(name)]
        return posed

    def joint_positions(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """Where the joints [J, 3] of this model's mesh with these vertices [V, 3] are, in their coordinates."""
        return (self.joint_regressor @ vertices).astype(np.float32)

    def turned(self, vertices: NDArray[np.floating], rotations: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
        """Vertices [V, 3] with joints turned: rotation vectors [3] in radians by joint, about the head's own axes (+x
        opens the jaw and lowers the gaze, +y looks to the subject's left). A child turns with the joint it hangs on.

        Raises UserError for a joint that the model does not have.
        """
        vectors = np.zeros((len(self.joint_names), 3))
        for name, vector in rotations.items():
            if name not in self.joint_names:
                raise UserError(f"The head has no joint called “{name}”.", f"It has {', '.join(self.joint_names)}.")
            vectors[self.joint_names.index(name)] = vector
        return blend(vertices, self.joint_positions(vertices), self.joint_parents, self.skin_weights, vectors)

    def landmarks(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """The 478 MediaPipe points [478, 3] on this model's mesh with these vertices [V, 3], in their coordinates."""
        corners = vertices[self.triangles[self.landmark_triangles]]
        return np.einsum("lk,lkc->lc", self.landmark_barycentric, corners).astype(np.float32)


def split_quads(quads: NDArray[Index]) -> NDArray[Index]:
    """Triangles [T, 3] of quads [Q, 4]; one that repeats its last index gives a single triangle."""
    halves = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1)
    keep = np.ones((len(quads), 2), bool)
    keep[:, 1] = quads[:, 2] != quads[:, 3]
    return np.ascontiguousarray(halves[keep])


@dataclass(frozen=True)
class Head:
    """One shape in head space: what the stages are given.

    vertices: float32 [V, 3]; triangles: int32 [T, 3]; landmarks: float32 [478, 3]; masks: float32 [V] by name;
    space: the way back to the coordinates that the shape came in.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    landmarks: NDArray[np.float32]
    masks: dict[str, NDArray[np.float32]]
    space: HeadSpace

    def surface(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Vertices [V, 3] and triangles [S, 3] that make the shape's outside: all but the teeth in their gums, which
        lie behind closed lips and are thinner than a step of the grids that the shape is put into."""
        within = np.zeros(len(self.vertices), bool)
        for name in INNER_PARTS:
            within |= self.masks[name] > 0.5
        return self.vertices, self.triangles[~within[self.triangles].any(1)]

    @classmethod
    def from_vertices(cls, model: HeadModel, vertices: NDArray[np.floating]) -> Head:
        """A head of the model's topology from its vertices [V, 3], upright and facing +z, in any unit and place.

        Raises UserError when they can not be this model's: another count, not finite, or without height.
        """
        vertices = np.asarray(vertices, np.float32)
        if vertices.shape != model.vertices.shape:
            raise UserError(
                f"This mesh has {len(vertices):,} vertices and the built-in head has {len(model.vertices):,}.",
                "Pick a mesh that was made from the built-in head and still has its vertices.",
            )
        if not np.isfinite(vertices).all():
            raise UserError("Some of this mesh's vertices have no valid position.", "Pick another mesh.")
        space = fit_space(model, vertices)
        moved = space.to_head(vertices)
        return cls(moved, model.triangles, model.landmarks(moved), model.masks, space)


def fit_space(model: HeadModel, vertices: NDArray[np.float32]) -> HeadSpace:
    """Scale and translation that take vertices [V, 3] of the model's mesh to head space; they are taken as upright."""
    landmarks = model.landmarks(vertices)
    scalp = vertices[model.masks["scalp"] > 0.5]
    face = vertices[model.masks["face"] > 0.5]
    crown, chin = float(scalp[:, 1].max()), float(landmarks[CHIN, 1])
    if crown <= chin:
        raise UserError("This head's crown is not above its chin.", "Turn it upright, or pick another mesh.")
    scale = CROWN_TO_CHIN / (crown - chin)
    # the oval has as many points on one side as on the other, so its mean lies on the symmetry plane
    centre = np.array(
        [landmarks[list(FACE_OVAL), 0].mean(), (crown + chin) / 2, (face[:, 2].max() + scalp[:, 2].min()) / 2]
    )
    return HeadSpace(scale, np.eye(3, dtype=np.float32), (-scale * centre).astype(np.float32))
