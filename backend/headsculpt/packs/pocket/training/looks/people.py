# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a bare head: identity, sex, age, expression and elf ears."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .....head.model import Head, HeadModel
from .anatomy import Array, smoothstep
from .ears import elf_ear_field
from .words import EXPRESSIONS, Look

AXIS_Z_OF_NECK = -0.05  # head units
CLOSED_LIPS = 0.010  # half the height of what lies inside the lips; it stays, so that the mouth does not open


class Pull(NamedTuple):
    """Moves what is around a MediaPipe point of the subject's left or of the middle, and its mirror image."""

    landmark: int
    radius: float
    """Where the pull is 1/e of `vector`, head units."""
    vector: tuple[float, float, float]


MAN = (
    Pull(397, 0.070, (0.022, -0.006, 0.004)),  # corner of the jaw
    Pull(378, 0.045, (0.014, -0.008, 0.008)),  # side of the chin
    Pull(152, 0.045, (0.0, -0.008, 0.012)),
    Pull(334, 0.034, (0.002, -0.006, 0.013)),  # ridge over the eye
    Pull(9, 0.030, (0.0, -0.002, 0.010)),
    Pull(1, 0.042, (0.0, -0.005, 0.015)),  # tip of the nose
    Pull(358, 0.026, (0.009, 0.0, 0.003)),  # its wing
    Pull(6, 0.030, (0.0, 0.0, 0.009)),
    Pull(425, 0.045, (-0.003, 0.0, -0.008)),  # cheek
)
WOMAN = (
    Pull(397, 0.075, (-0.021, 0.008, -0.002)),
    Pull(378, 0.045, (-0.013, 0.012, -0.004)),
    Pull(152, 0.040, (0.0, 0.010, -0.004)),
    Pull(334, 0.034, (0.0, 0.006, -0.008)),
    Pull(9, 0.034, (0.0, 0.0, -0.006)),
    Pull(1, 0.040, (0.0, 0.006, -0.012)),
    Pull(358, 0.026, (-0.010, 0.003, -0.002)),
    Pull(6, 0.030, (0.0, 0.0, -0.007)),
    Pull(346, 0.045, (0.005, 0.006, 0.009)),  # cheekbone
)
YOUNG = (
    Pull(397, 0.070, (-0.011, 0.017, 0.0)),
    Pull(152, 0.060, (0.0, 0.028, -0.014)),
    Pull(378, 0.050, (-0.006, 0.02, -0.006)),
    Pull(1, 0.042, (0.0, 0.017, -0.025)),
    Pull(358, 0.026, (-0.008, 0.008, -0.003)),
    Pull(6, 0.034, (0.0, 0.0, -0.014)),
    Pull(425, 0.055, (0.015, 0.006, 0.018)),  # full cheeks
    Pull(334, 0.036, (0.0, 0.006, -0.01)),
    Pull(151, 0.080, (0.0, 0.006, 0.014)),  # round forehead
)
OLD = (
    Pull(1, 0.040, (0.0, -0.013, 0.009)),  # the nose grows and sinks
    Pull(358, 0.028, (0.008, -0.003, 0.002)),
    Pull(411, 0.034, (-0.008, 0.0, -0.015)),  # hollow cheeks
    Pull(447, 0.034, (-0.009, 0.0, -0.005)),  # hollow temples
    Pull(365, 0.034, (0.010, -0.015, 0.010)),  # jowls
    Pull(334, 0.030, (0.002, -0.006, 0.005)),  # brows sink
    Pull(13, 0.030, (0.0, 0.0, -0.008)),  # the mouth falls in
)
LIPS = {"man": -0.38, "woman": 0.52, "young": 0.10, "old": -0.38}  # how much fuller
EYES = {"woman": 0.07, "young": 0.17, "man": -0.02}  # how much larger
NECK = {"man": 0.10, "woman": -0.13, "young": -0.06}  # how much wider
OLD_EARS = 0.16


class People:
    """Makes the shapes of heads. All fields are displacements [V, 3] of the model's vertices, in metres."""

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        head = Head.from_vertices(model, model.vertices)
        self.scale = head.space.scale
        self.fields = {
            word: _pulled(head, pulls) / self.scale
            for word, pulls in (("man", MAN), ("woman", WOMAN), ("young", YOUNG), ("old", OLD))
        }
        for word, fuller in LIPS.items():
            self.fields[word] = self.fields[word] + fuller * _fuller_lips(head) / self.scale
        for word, wider in NECK.items():
            self.fields[word] = self.fields[word] + wider * _wider_neck(head) / self.scale
        self.fields["old"] = self.fields["old"] + OLD_EARS * _larger_ears(head) / self.scale
        self.fields = {word: field.astype(np.float32) for word, field in self.fields.items()}
        self.elf_ears = (elf_ear_field(head) / self.scale).astype(np.float32)
        self.eye_weight, self.eye_side = _around_eyes(head)
        self.sexed = _coefficients(model, self.fields["man"] - self.fields["woman"])

    def shape(self, look: Look) -> Array:
        """The model's vertices [V, 3], metres, of a look: its identity freed of sex, then what its words say."""
        rng = np.random.default_rng([look.seed, 1])
        drawn = np.asarray(look.identity, np.float32)
        identity = drawn - (drawn @ self.sexed) * self.sexed
        strength = rng.uniform(1.02 if look.expression == "sleeping" else 0.85, 1.08)  # a sleeper's lids meet
        posed = self.model.posed(identity, {name: strength * w for name, w in EXPRESSIONS[look.expression].items()})
        posed += np.float32(rng.uniform(0.85, 1.15)) * self.fields[look.sex]
        if look.age:  # a girl's nose and jaw are small already
            girl = look.age == "young" and look.sex == "woman"
            posed += np.float32(rng.uniform(0.85, 1.15) * (0.55 if girl else 1)) * self.fields[look.age]
        if look.ears:
            posed += np.float32(rng.uniform(0.85, 1.2)) * self.elf_ears
        self._enlarge_eyes(posed, EYES.get(look.sex, 0.0) + EYES.get(look.age, 0.0))
        return posed

    def _enlarge_eyes(self, posed: Array, larger: float) -> None:
        """Scales ball and lids as one, after the expression, so that closed lids stay closed."""
        for side in (-1, 1):
            ball = posed[(self.model.masks["eyeballs"] > 0.5) & (self.eye_side == side)]
            centre = (ball.min(0) + ball.max(0)) / 2
            weight = self.eye_weight * (self.eye_side == side)
            posed += np.float32(larger) * weight[:, None] * (posed - centre)


def _pulled(head: Head, pulls: tuple[Pull, ...]) -> Array:
    """[V, 3], head units; the eyes stay where they are."""
    field = np.zeros_like(head.vertices)
    for pull in pulls:
        centre = head.landmarks[pull.landmark].astype(np.float64)
        middle = abs(centre[0]) < 0.01
        for side in (1,) if middle else (1, -1):
            offset = (head.vertices - centre * [side, 1, 1]) / pull.radius
            near = np.exp(-(offset**2).sum(1))
            field += near[:, None] * (np.array(pull.vector) * [side, 1, 1])
    return field * (1 - np.maximum(head.masks["eyeballs"], head.masks["eye_sockets"]))[:, None]


def _fuller_lips(head: Head) -> Array:
    """[V, 3], both lips away from the line between them, and forwards."""
    at, points = head.landmarks, head.vertices
    line = (at[13] + at[14]) / 2
    width = abs(at[291, 0] - at[61, 0]) / 2
    offset = points - line
    near = np.exp(-((offset[:, 0] / (1.1 * width)) ** 4) - (offset[:, 1] / 0.032) ** 2 - (offset[:, 2] / 0.05) ** 2)
    field = np.zeros_like(points)
    field[:, 1] = near * np.sign(offset[:, 1]) * np.maximum(np.abs(offset[:, 1]) - CLOSED_LIPS, 0)
    field[:, 2] = 0.018 * near
    return field


def _wider_neck(head: Head) -> Array:
    """[V, 3], away from the neck's axis, below the line from the jaw's corner to the chin."""
    at, points = head.landmarks, head.vertices
    corner, chin = at[361], at[152]
    share = np.clip((points[:, 2] - corner[2]) / (chin[2] - corner[2]), 0, 1)
    below = corner[1] + share * (chin[1] - corner[1]) - points[:, 1]
    field = (points - [0, 0, AXIS_Z_OF_NECK]) * [1, 0, 1]
    return field * (smoothstep(below, 0.02, 0.12) * (1 - 0.7 * smoothstep(below, 0.25, 0.4)))[:, None]


def _larger_ears(head: Head) -> Array:
    """[V, 3], each ear away from its root at the head."""
    field, ears = np.zeros_like(head.vertices), head.masks["ears"]
    for side in (-1, 1):
        ear = head.vertices[(ears > 0.5) & (side * head.vertices[:, 0] > 0)]
        root = np.array([side * np.abs(ear[:, 0]).min(), ear[:, 1].max() - 0.03, ear[:, 2].max()])
        weight = ears * (side * head.vertices[:, 0] > 0)
        field += weight[:, None] * (head.vertices - root)
    return field


def _around_eyes(head: Head) -> tuple[Array, Array]:
    """How far each vertex belongs to an eye [V] in 0 … 1, and to which: −1 or 1 [V], the sign of x."""
    inside = np.maximum(head.masks["eyeballs"], head.masks["eye_sockets"]) > 0.5
    balls = head.vertices[head.masks["eyeballs"] > 0.5]
    centre = np.abs(balls).mean(0) * [1, 0, 0] + balls.mean(0) * [0, 1, 1]
    mirrored = np.abs(head.vertices) * [1, 0, 0] + head.vertices * [0, 1, 1]
    distance = np.linalg.norm((mirrored - centre) * [1, 1.2, 0.8], axis=1)
    weight = np.where(inside, 1, 1 - smoothstep(distance, 0.045, 0.09))
    return weight.astype(np.float32), np.where(head.vertices[:, 0] > 0, 1, -1)


def _coefficients(model: HeadModel, field: Array) -> Array:
    """[K], unit: the direction of identity that resembles a displacement field [V, 3] most (ridge least squares)."""
    face = model.masks["face"] > 0.5
    components = model.identity[:, face].reshape(len(model.identity), -1).astype(np.float64)
    gram = components @ components.T
    ridge = 0.1 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, components @ field[face].reshape(-1))
    return (weights / np.linalg.norm(weights)).astype(np.float32)
