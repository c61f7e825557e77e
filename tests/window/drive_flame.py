# SPDX-License-Identifier: GPL-3.0-or-later
"""A FLAME head of a file: added, undone, shaped by its sliders, another one at random, and grown from."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from hands import (
    DONE,
    ID,
    PROMPT,
    Steps,
    addon,
    at_row,
    beginning,
    click,
    drag,
    picture,
    press,
    region,
    release,
    say,
    simulate,
    tell,
    until,
    write,
)

FILE = Path(DONE).parents[1] / "flame.pkl"
ADD, RANDOM, IDENTITY, EXPRESSION = 10.1, 13.8, 14.85, 15.9
"""Rows of the Head panel: the first without a head, the others with a FLAME head and its two sections folded."""
FIRST = 1.25
"""Rows from a section's header to its first slider."""


def story() -> Steps:
    yield from beginning()
    options = bpy.context.preferences.addons[ID].preferences
    options.flame_file, options.flame_version = str(FILE), "2020"
    region("UI").tag_redraw()
    yield 1.0
    session = addon("pump").session
    yield from click(*at_row(ADD))
    yield from until(lambda: session.busy, "Add FLAME Head is pressed", 10)
    yield from until(lambda: not session.busy, "the worker has answered", 120)
    assert session.card is None, session.card.text()
    assert len(head().data.vertices) == 5023 and {"Shape1", "Jaw", "Exp1"} <= values().keys()
    say("a FLAME head is the head shape")
    yield from undo()
    yield from until(lambda: not bpy.data.objects.get("FLAME"), "one undo takes it away", 10)
    assert head() is None
    yield from undo(redo=True)
    yield from until(lambda: head() and head().name == "FLAME", "and a redo brings it again", 10)
    yield 2.0
    picture("added")

    yield from click(*at_row(IDENTITY))
    yield from slide(IDENTITY + FIRST, "Shape1")
    assert 1 < values()["Shape1"] <= 3, values()["Shape1"]
    picture("shape")
    yield from click(*at_row(IDENTITY))
    yield from click(*at_row(EXPRESSION))
    yield from slide(EXPRESSION + FIRST, "Jaw")
    assert 0.2 < values()["Jaw"] <= 1, values()["Jaw"]
    picture("jaw")

    by_hand = values()
    assert {name for name, value in by_hand.items() if value} == {"Shape1", "Jaw"}
    yield from click(*at_row(RANDOM))
    yield from until(lambda: values()["Shape2"], "Random Head is pressed", 10)
    drawn = values()
    assert 0.6 < np.std([value for name, value in drawn.items() if name.startswith("Shape")]) < 1.4
    assert {name for name, value in drawn.items() if value and not name.startswith("Shape")} == {"Jaw"}
    yield 2.0
    picture("random")
    yield from undo()
    yield from until(lambda: values() == by_hand, "one undo takes the random head back", 10)
    yield from undo(redo=True)
    yield from until(lambda: values() == drawn, "and a redo brings the random head again", 10)

    sent, stood = head(), surface(head())
    yield from click(*at_row(1))
    yield from write(PROMPT)
    yield from click(*at_row(6.3))
    yield from until(lambda: session.busy or session.card, "Generate is pressed", 10)
    yield from until(lambda: not session.busy, "the job is over", 120)
    assert session.card is None, session.card.text()
    result = bpy.context.view_layer.objects.active
    assert result != sent and sent.hide_get()
    for ours, theirs in zip(surface(result), stood, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    say("the head was sent as it stood")
    yield 2.0
    picture("grown")


def slide(row: float, name: str) -> Steps:
    """Drags a slider to the right, nearly from end to end."""
    end = at_row(row, 0.9)
    yield 1.0
    yield from drag(at_row(row, 0.25), end)
    yield from release(end)
    yield from until(lambda: values()[name], f"{name} is dragged", 10)


def undo(redo: bool = False) -> Steps:
    """With the mouse in the 3D view."""
    view = region("WINDOW")
    simulate("MOUSEMOVE", "NOTHING", x=view.x + view.width // 3, y=view.y + view.height // 3)
    yield 0.5
    press("Z", ctrl=True, shift=redo)
    yield 0.5


def head() -> bpy.types.Object | None:
    return bpy.context.scene.headsculpt.head


def values() -> dict[str, float]:
    """The chosen head's sliders."""
    return {key.name: key.value for key in head().data.shape_keys.key_blocks}


def surface(obj: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """As it is seen: places in the world [V, 3] and corners [T, 3]."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    places = np.array([obj.matrix_world @ vertex.co for vertex in mesh.vertices])
    return places, np.array([polygon.vertices for polygon in mesh.polygons])


tell(story())
