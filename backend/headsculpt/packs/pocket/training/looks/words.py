# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that the pack is taught, what they mean, and how often a training picture shows each.

Every attribute of a head is one string: a key of its table here, or "" where there is nothing to say.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

Color = tuple[float, float, float]  # sRGB, 0 … 1

SKINS: dict[str, Color] = {
    "pale": (0.93, 0.80, 0.72),
    "tan": (0.80, 0.60, 0.45),
    "brown": (0.57, 0.39, 0.28),
    "dark": (0.42, 0.285, 0.215),
    "green": (0.30, 0.65, 0.25),
    "blue": (0.25, 0.45, 0.85),
    "red": (0.80, 0.18, 0.15),
    "purple": (0.55, 0.25, 0.70),
    "gold": (0.85, 0.68, 0.20),
    "grey": (0.55, 0.56, 0.58),
    "stone": (0.66, 0.61, 0.52),  # with cracks and grain
    "zombie": (0.60, 0.66, 0.50),  # pale and rotten: veins, wounds, sunken eyes
}
HAIR_COLORS: dict[str, Color] = {
    "black": (0.14, 0.13, 0.14),  # lifted: under a plain matte law real black would lose its strands
    "brown": (0.33, 0.20, 0.11),
    "blond": (0.88, 0.74, 0.40),
    "red": (0.68, 0.16, 0.08),
    "white": (0.92, 0.92, 0.92),
    "green": (0.15, 0.62, 0.20),
    "blue": (0.15, 0.27, 0.82),
    "pink": (0.95, 0.45, 0.65),
    "purple": (0.50, 0.20, 0.70),
}
EYE_COLORS: dict[str, Color] = {
    "brown": (0.30, 0.18, 0.09),
    "blue": (0.2, 0.4, 0.8),
    "green": (0.2, 0.55, 0.25),
    "red": (0.85, 0.1, 0.1),
    "yellow": (0.9, 0.75, 0.1),
}
LIPSTICKS: dict[str, Color] = {
    "red": (0.72, 0.05, 0.10),
    "pink": (0.93, 0.42, 0.60),
    "purple": (0.45, 0.12, 0.50),
    "black": (0.10, 0.08, 0.10),
}
EXPRESSIONS: dict[str, dict[str, float]] = {
    "": {},
    "smiling": {"mouthSmileLeft": 1, "mouthSmileRight": 1, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "laughing": {"mouthSmileLeft": 1, "mouthSmileRight": 1, "cheekSquintLeft": 0.8, "cheekSquintRight": 0.8}
    | {"jawOpen": 0.55, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5, "eyeSquintLeft": 0.8, "eyeSquintRight": 0.8},
    "angry": {"browDownLeft": 1.6, "browDownRight": 1.6, "noseSneerLeft": 1, "noseSneerRight": 1}
    | {"mouthFrownLeft": 1, "mouthFrownRight": 1, "eyeSquintLeft": 0.6, "eyeSquintRight": 0.6}
    | {"mouthPressLeft": 0.6, "mouthPressRight": 0.6, "jawForward": 0.5},
    "surprised": {"jawOpen": 0.75, "browInnerUp": 1.4, "browOuterUpLeft": 1.3, "browOuterUpRight": 1.3}
    | {"eyeWideLeft": 1.4, "eyeWideRight": 1.4, "mouthFunnel": 0.3},
    "sad": {"mouthFrownLeft": 1.3, "mouthFrownRight": 1.3, "browInnerUp": 1.5, "mouthShrugLower": 0.5}
    | {"browDownLeft": 0.3, "browDownRight": 0.3, "eyeBlinkLeft": 0.2, "eyeBlinkRight": 0.2},
    "sleeping": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1},
}

HUMAN_SKINS = ("pale", "tan", "brown", "dark")
FREE_OF_HAIR = ("hat", "horns")  # what is worn without asking for hair or baldness

STYLES = ("bald", "short", "long", "mohawk", "afro", "curly", "bob", "ponytail", "bun")
BEARDS = ("beard", "long beard", "goatee", "stubble")
PAINTS = ("clown", "skull", "tiger")
HEADWEAR = ("hat", "crown", "horns")
OVER_EARS = ("long", "bob", "curly", "afro")
"""Styles that hide the ears, or at least their tips."""

HELD_OUT: frozenset[frozenset[str]] = frozenset(
    map(
        frozenset,
        (
            ("skin:green", "style:bun"),
            ("skin:green", "headwear:crown"),
            ("skin:blue", "style:afro"),
            ("skin:blue", "beard:long beard"),
            ("skin:red", "style:ponytail"),
            ("skin:red", "glasses:glasses"),
            ("skin:purple", "style:curly"),
            ("skin:purple", "ears:elf ears"),
            ("skin:gold", "style:bob"),
            ("skin:gold", "headwear:horns"),
            ("skin:grey", "style:mohawk"),
            ("skin:grey", "headwear:hat"),
            ("skin:stone", "style:long"),
            ("skin:stone", "beard:goatee"),
            ("skin:zombie", "headwear:crown"),
            ("skin:zombie", "style:mohawk"),
            ("skin:dark", "beard:goatee"),
            ("skin:pale", "headwear:horns"),
            ("style:mohawk", "glasses:glasses"),
            ("style:long", "headwear:crown"),
            ("style:afro", "ears:elf ears"),
            ("style:bald", "lipstick:red"),
            ("paint:skull", "style:bob"),
            ("paint:tiger", "beard:beard"),
        ),
    )
)
"""Pairs that no training picture shows, so that prompts can ask for what was never seen together."""


@dataclass(frozen=True)
class Look:
    """What the words say of a head, and what they do not: identity and noise seed."""

    skin: str
    style: str
    hair: str
    """A key of HAIR_COLORS, also for the bald (brows and beards)."""
    beard: str
    moustache: str
    brows: str
    """"thick", "thin" or ""."""
    eyes: str
    lipstick: str
    paint: str
    glasses: str
    headwear: str
    ears: str
    expression: str
    age: str
    """"young", "old" or ""."""
    sex: str
    """"man" or "woman"."""
    identity: tuple[float, ...]
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, identity_count: int) -> Look:
        """A random look, none of whose pairs is held out."""
        while True:
            look = cls._draw(rng, identity_count)
            if not look.pairs() & HELD_OUT:
                return look

    @classmethod
    def _draw(cls, rng: np.random.Generator, identity_count: int) -> Look:
        man = bool(rng.random() < 0.5)
        skin = _pick(rng, dict.fromkeys(HUMAN_SKINS, 0.11) | dict.fromkeys(tuple(SKINS)[4:], 0.07))
        paint = _pick(rng, {"": 0.82, **dict.fromkeys(PAINTS, 0.06)})
        beard = (
            _pick(rng, {"": 0.45, "beard": 0.22, "long beard": 0.13, "goatee": 0.12, "stubble": 0.08}) if man else ""
        )
        style = _pick(rng, _styles(man))
        headwear = _pick(rng, {"": 0.73, "hat": 0.10, "crown": 0.08, "horns": 0.09})
        return cls(
            skin=skin,
            style=style,
            hair=str(rng.choice(list(HAIR_COLORS))),
            beard=beard,
            moustache=_some(rng, "moustache", 0.2) if man and beard in ("", "stubble") else "",
            brows=_pick(rng, {"": 0.7, "thick": 0.15, "thin": 0.15}),
            eyes=str(rng.choice(list(EYE_COLORS))),
            lipstick=_pick(rng, {"": 0.6, **dict.fromkeys(LIPSTICKS, 0.1)}) if not (man or paint) else "",
            paint=paint,
            glasses=_some(rng, "glasses", 0.16),
            headwear=headwear,
            ears=_some(rng, "elf ears", 0.0 if ears_hidden(style, headwear) else 0.2),  # unseen, it would mean nothing
            expression=_pick(rng, {"": 0.34, **dict.fromkeys(tuple(EXPRESSIONS)[1:], 0.11)}),
            age=_pick(rng, {"": 0.4, "young": 0.25, "old": 0.35}),
            sex="man" if man else "woman",
            identity=tuple(rng.normal(size=identity_count).clip(-2, 2).tolist()),
            seed=int(rng.integers(1 << 20)),
        )

    def words(self) -> dict[str, str]:
        """Every attribute that words can say, by its name."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("identity", "seed")
        }

    def pairs(self) -> set[frozenset[str]]:
        """All pairs of what is said of this head, each as {"attribute:value", "attribute:value"}."""
        said = [f"{name}:{value}" for name, value in self.words().items() if value]
        return {frozenset((one, other)) for i, one in enumerate(said) for other in said[:i]}


def ears_hidden(style: str, headwear: str) -> bool:
    """Whether hair or a hat lies over the ears' tips; a crown presses short hair down on them."""
    return style in OVER_EARS or headwear == "hat" or (style == "short" and headwear == "crown")


def _styles(man: bool) -> dict[str, float]:
    shares = {"bald": 0.16, "short": 0.18, "long": 0.12, "mohawk": 0.16, "afro": 0.12, "curly": 0.12}
    more = {"bob": 0.02, "ponytail": 0.06, "bun": 0.06} if man else {"bob": 0.14, "ponytail": 0.12, "bun": 0.12}
    return shares | {"long": 0.10 if man else 0.16, "bald": 0.20 if man else 0.08} | more


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _some(rng: np.random.Generator, word: str, share: float) -> str:
    return word if rng.random() < share else ""
