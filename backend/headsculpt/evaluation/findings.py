# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours and shape of a head's regions beside what was asked: measured, with no network in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headsculpt.evaluation.attributes import FULL_BEARDS
from headsculpt.evaluation.colors import difference, lab
from headsculpt.evaluation.regions import region_color, standoff, thickness
from headsculpt.head.model import Head
from headsculpt.mesh import TexturedMesh
from headsculpt.packs.pocket.training.looks.words import HAIR_COLORS, SKINS

TALL = 0.05
"""Hair that is shape and not paint stands at least this share of the head's height off the chosen head (issue 3)."""
FLAT = 0.015
"""A bald head stays within this share."""
AT_LEAST = {"mohawk": TALL, "afro": TALL, "long": TALL}
AT_MOST = {"bald": FLAT}

Palette = Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class ColorFinding:
    """asked: a colour word; nearest: the word of its palette that the result's colour is nearest to;
    difference: CIEDE2000 between what was asked and what was found; lab: what was found."""

    asked: str
    nearest: str
    difference: float
    lab: tuple[float, float, float]


@dataclass(frozen=True)
class Findings:
    """colors: by region (skin, hair or scalp, beard); standoff, thickness: see regions.py, shares of the
    head's height."""

    colors: dict[str, ColorFinding]
    standoff: float
    thickness: float
    standoff_kept: bool
    """Whether the standoff is what the style asks for; of short hair, or where something is worn, nothing is asked."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(mesh: TexturedMesh, head: Head, asked: Mapping[str, str]) -> Findings:
    """Measures a finished head, in head space, beside the chosen one.

    asked: attribute → value, as `asked.asked` reads a prompt. A bald head's scalp is to show skin. What paint or a hat
    covers is not measured.
    """
    style, worn = asked.get("style", ""), asked.get("headwear", "")
    colors = {}
    if "skin" in asked and not asked.get("paint"):
        colors["skin"] = _color(mesh, head, "skin", asked["skin"], SKINS)
        if style == "bald" and not worn:
            colors["scalp"] = _color(mesh, head, "scalp", asked["skin"], SKINS)
    if "hair" in asked:
        if style and style != "bald" and worn != "hat":
            colors["hair"] = _color(mesh, head, "ridge" if style == "mohawk" else "scalp", asked["hair"], HAIR_COLORS)
        if asked.get("beard") in FULL_BEARDS:
            colors["beard"] = _color(mesh, head, "beard", asked["hair"], HAIR_COLORS)
    off = standoff(mesh, head)
    kept = bool(worn) or AT_LEAST.get(style, 0.0) <= off <= AT_MOST.get(style, float("inf"))
    return Findings(colors, round(off, 4), round(thickness(mesh, head), 4), kept)


def _color(mesh: TexturedMesh, head: Head, region: str, asked: str, palette: Palette) -> ColorFinding:
    found = region_color(mesh, head, region)
    differences = {word: float(difference(lab(color), found)) for word, color in palette.items()}
    nearest = min(differences, key=lambda word: differences[word])
    lightness, a, b = (round(float(value), 2) for value in found)
    return ColorFinding(asked, nearest, round(differences[asked], 2), (lightness, a, b))
