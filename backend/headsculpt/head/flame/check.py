# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a FLAME file is read right: what it holds, and whether a head comes out that is as FLAME's is."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from .licences import VERSIONS, stated_version, version_of
from .model import JAW_OPEN, JOINTS, FlameModel
from .reading import load_flame

EYE_DISTANCE = (0.045, 0.08)
"""Metres between the centres of the average head's eyeballs, with a wide margin."""
NEAR = 0.01  # metres
LEFT_EYE, RIGHT_EYE, NECK, JAW = (JOINTS.index(name) for name in ("left_eye", "right_eye", "neck", "jaw"))


class Verdict(Enum):
    RIGHT = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    text: str
    """One sentence."""


def check_flame(path: Path, version: str = "") -> tuple[FlameModel, list[Finding]]:
    """Reads the file anew and looks at what comes out. version: the key of what the user says that it is, if she does.

    Raises UserError when the file can not be read at all.
    """
    with tempfile.TemporaryDirectory() as cache:
        model = load_flame(path, Path(cache))
    return model, findings_of(model, version)


def findings_of(model: FlameModel, version: str = "") -> list[Finding]:
    return [_counts(model), _version(model, version), *_stance(model), *_parts(model), *_components(model)]


def _judged(right: bool, text: str, otherwise: str) -> Finding:
    return Finding(Verdict.RIGHT, text) if right else Finding(Verdict.WRONG, otherwise)


def _counts(model: FlameModel) -> Finding:
    text = (
        f"It has {len(model.vertices):,} vertices, {len(model.triangles):,} triangles, {len(JOINTS)} joints, "
        f"{len(model.correctives)} pose correctives, {len(model.shape)} shapes and {len(model.expression)} expressions."
    )
    return Finding(Verdict.RIGHT if len(model.expression) else Verdict.NOTE, text)


def _version(model: FlameModel, said: str) -> Finding:
    stated, claimed = stated_version(model.texts.values()), version_of(said)
    if stated and claimed and stated != claimed:
        return Finding(Verdict.WRONG, f"You say that it is {claimed.name}, the file says that it is {stated.name}.")
    if version := stated or claimed:
        who = "The file says" if stated else "You say"
        return Finding(Verdict.RIGHT, f"{who} that it is {version.name}. {version.licence}")
    licences = " ".join(f"{version.name}: {version.licence}" for version in VERSIONS)
    return Finding(Verdict.NOTE, f"The file does not say which version it is; its licence depends on that. {licences}")


def _stance(model: FlameModel) -> list[Finding]:
    """Units and axes."""
    joints = model.joint_positions(model.vertices)
    apart = float(np.linalg.norm(joints[LEFT_EYE] - joints[RIGHT_EYE]))
    eyes = joints[[LEFT_EYE, RIGHT_EYE]].mean(0)
    side = joints[LEFT_EYE, 0] - joints[RIGHT_EYE, 0]
    middle = (model.vertices.max(0) + model.vertices.min(0)) / 2
    return [
        _judged(
            EYE_DISTANCE[0] < apart < EYE_DISTANCE[1],
            f"It is in metres: the eyes are {1000 * apart:.0f} mm apart.",
            f"It is not in metres: the eyes are {apart:.4g} apart, where FLAME's are about 0.06.",
        ),
        _judged(
            eyes[1] - joints[NECK, 1] > apart,
            "It stands upright, y up: the eyes are above the neck.",
            "It does not stand upright with y up: the eyes are not above the neck.",
        ),
        _judged(
            eyes[2] - middle[2] > apart / 4,
            "It faces +z: the eyes are in front of the head's middle.",
            "It does not face +z: the eyes are not in front of the head's middle.",
        ),
        _judged(
            side > apart / 2,
            "Left and right are the subject's own: the left eye is at +x.",
            "Left and right are swapped or turned: the left eye is not at +x.",
        ),
    ]


def _parts(model: FlameModel) -> list[Finding]:
    """Eyeballs, the triangles' sides and the jaw."""
    apart = model.eyeballs()
    joints = model.joint_positions(model.vertices)
    off = [
        np.linalg.norm(model.vertices[apart & (side * model.vertices[:, 0] > 0)].mean(0) - joints[joint])
        if (apart & (side * model.vertices[:, 0] > 0)).any()
        else np.inf
        for side, joint in ((1, LEFT_EYE), (-1, RIGHT_EYE))
    ]
    corners = model.vertices[model.triangles].astype(np.float64)
    volume = np.einsum("tc,tc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    held = model.skin_weights[:, JAW] > 0.5
    moved = (model.posed((), (), {"jaw": (JAW_OPEN, 0, 0)}) - model.vertices)[held, 1]
    drop = float(-moved.mean()) if held.any() else 0.0
    return [
        _judged(
            bool(max(off) < NEAR),
            f"The eyeballs are pieces of their own, {apart.sum():,} vertices, around the eye joints.",
            "The eyeballs are not pieces of their own around the eye joints.",
        ),
        _judged(bool(volume > 0), "Its triangles show outward.", "Its triangles show inward."),
        _judged(
            drop > 0.003,
            f"Its jaw opens downward: {np.degrees(JAW_OPEN):.0f}° lower it by {1000 * drop:.0f} mm on average.",
            "Its jaw does not open downward.",
        ),
    ]


def _components(model: FlameModel) -> list[Finding]:
    """Whether the components are in order of importance, and where the expressions begin."""
    size = [1000 * np.linalg.norm(components, axis=-1).mean(1) for components in (model.shape, model.expression)]
    findings = []
    for name, sizes in zip(("Shape", "Exp"), size, strict=True):
        if len(sizes) > 1:
            text = f"{name}1 moves the head by {sizes[0]:.2f} mm on average, {name}{len(sizes)} by {sizes[-1]:.3f} mm"
            findings.append(
                _judged(sizes[0] > sizes[-1], f"{text}: the first is the most important.", f"{text}: not in order.")
            )
    if len(size[1]):
        text = f"Behind the {len(size[0])} shapes begins something larger, as expressions should"
        small = f"Behind the {len(size[0])} shapes nothing larger begins: there may be no expressions"
        findings.append(_judged(size[1][0] > size[0][-1], f"{text}.", f"{small}."))
    return findings
