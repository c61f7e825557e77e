# SPDX-License-Identifier: GPL-3.0-or-later
"""Apple's 52 expressions from ICT's, with what ICT's lack: lids that close, eyes that turn, lips over the teeth, and a
tongue that comes out."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from . import contact, eyeball, lids, lips, source, tongue
from .quadmesh import Indices
from .surface import Floats

# Apple's names in ICT's words; ICT splits two of them into a left and a right half
APPLE = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
TONGUE_OUT = "tongueOut"  # ICT has none


def ict_terms(apple: str, available: Collection[str]) -> list[str]:
    """The ICT expressions that add up to one of Apple's."""
    if apple in available:
        return [apple]
    for word, suffix in (("Left", "_L"), ("Right", "_R")):
        if apple.removesuffix(word) + suffix in available and apple.endswith(word):
            return [apple.removesuffix(word) + suffix]
    return [apple + "_L", apple + "_R"]


def expressions(
    ict: source.Source,
    weights: csr_matrix,
    neutral: Floats,
    eyes: list[eyeball.Eyeball],
    starts: Indices,
    quads: Indices,
    skin_quads: Indices,
    lid_loops: list[Indices],
    both_lips: lips.Lips,
) -> Floats:
    """Apple's expressions [E, V, 3] in centimetres, `tongueOut` last: the tongue comes over the lip of an opened jaw.

    ICT's lids do not quite meet, its eyeballs do not turn and its tongue stays inside; ours do.
    """
    result = np.stack(
        [weights @ sum(ict.expression[term] for term in ict_terms(name, ict.expression)) for name in APPLE]
    )
    for side, loop, eye, start in zip(("Left", "Right"), lid_loops, eyes, starts[:2], strict=True):
        mine = slice(start, start + len(eye.angle))
        blink = result[APPLE.index(f"eyeBlink{side}")]
        blink[:] = lids.close(blink, neutral, skin_quads, loop, neutral[mine], eye.centre)
        for word, (yaw, pitch) in eyeball.looks(side).items():
            turned = eyeball.turn(neutral[mine], eye.centre, yaw, pitch)
            result[APPLE.index(f"eyeLook{word}{side}"), mine] = turned - neutral[mine]
    result[:, starts[4] :] *= tongue.freedom(neutral[starts[4] :])[:, None]
    out = tongue.JAW_OPEN * result[APPLE.index("jawOpen")]
    out[starts[4] :] = tongue.put_out() - neutral[starts[4] :]
    result = np.concatenate([result, out[None]])
    lie_over(result, neutral, starts, [eye.centre for eye in eyes], quads, skin_quads, both_lips)
    return result


def about_the_mouth(neutral: Floats) -> Indices:
    """Those of skin, mouth bag and eye sockets [V, 3] that lips and cheeks may take along."""
    x, y, z = np.abs(neutral[:, 0]), neutral[:, 1], neutral[:, 2]
    return np.flatnonzero((y > -9) & (y < 1) & (z > 3) & (x < 5))


def lie_over(
    moved: Floats,
    neutral: Floats,
    starts: Indices,
    centres: list[Floats],
    quads: Indices,
    skin_quads: Indices,
    both_lips: lips.Lips,
) -> None:
    """Changes the expressions [E, V, 3] so that lips and cheeks lie over the teeth, and lids over the eyeballs."""
    rows = [contact.Row.of(neutral, np.arange(start, end)) for start, end in pairwise(starts[2:5])]
    mouth = about_the_mouth(neutral[: starts[0]])
    skin = np.unique(skin_quads)
    inner = np.isin(quads, mouth).all(1) & ((both_lips.ring >= 0)[quads].any(1) | ~np.isin(quads, skin).all(1))
    for number, name in enumerate((*APPLE, TONGUE_OUT)):
        # ARKit means mouthClose to be used on an opened jaw
        before = neutral + moved[APPLE.index("jawOpen")] if name == "mouthClose" else neutral
        posed = before + moved[number]
        if np.abs(moved[number, mouth]).max() > 0.01:
            posed = contact.over_teeth(both_lips.apart(posed, mouth), neutral, mouth, quads[inner], rows)
        for ball, centre in zip(pairwise(starts[:3]), centres, strict=True):
            lids = skin[np.linalg.norm(neutral[skin] - centre, axis=1) < 2.2]
            if np.abs(moved[number, lids]).max() > 0.01 or np.abs(moved[number, ball[0]]).max() > 0.01:
                posed = contact.over_eye(posed, neutral, lids, np.arange(*ball), centre)
        moved[number] = posed - before
