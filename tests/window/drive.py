# SPDX-License-Identifier: GPL-3.0-or-later
"""A head by mouse and keys: Add Head, Random Head, a prompt, Generate, undo and redo, an error card."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from hands import PROMPT, Steps, addon, area, at_row, beginning, click, say, tell, until, window, write


def story() -> Steps:
    yield from beginning()
    space = area().spaces.active
    session = addon("pump").session
    yield from click(*at_row(9))
    yield from until(lambda: identity(), "Add Head is pressed", 10)
    yield from click(*at_row(9))  # where Random Head is now
    yield from until(lambda: any(identity()), "Random Head is pressed", 10)
    yield 6.0  # for a picture of it
    space.shading.color_type = "VERTEX"
    yield from click(*at_row(1))
    yield from write(PROMPT)
    yield from until(lambda: bpy.context.scene.headsculpt.prompt == PROMPT, "the prompt is written", 5)
    yield from click(*at_row(6.3))
    yield from until(lambda: session.busy or session.card, "Generate is pressed", 10)
    began = time.monotonic()
    yield from until(lambda: growing() or not session.busy, "a head grows", 120)
    say(f"after {time.monotonic() - began:.1f} s")
    yield from until(lambda: not session.busy, "the job is over", 600)
    if session.card:
        raise RuntimeError(session.card.text())
    space.shading.color_type = "TEXTURE"
    yield 6.0  # for a picture of it
    result = bpy.context.view_layer.objects.active
    say(f"result {result.name!r} with {len(result.data.vertices)} vertices")
    names = [o.name for o in bpy.data.objects]
    with bpy.context.temp_override(window=window()):
        bpy.ops.ed.undo()
    assert result_is_gone(names), "undo did not take the head away"
    say("undone")
    with bpy.context.temp_override(window=window()):
        bpy.ops.ed.redo()
    assert sorted(o.name for o in bpy.data.objects) == sorted(names)
    say("redone")
    with bpy.context.temp_override(window=window()):
        bpy.ops.headsculpt.generate(prompt="notice and die")
    yield from until(lambda: session.card, "the error card is there", 60)
    yield 5.0  # for a picture of it


def identity() -> list[float]:
    """The chosen head's identity sliders; none when there is no such head."""
    head = bpy.context.scene.headsculpt.head
    keys = head.data.shape_keys.key_blocks if head else []
    return [key.value for key in keys if key.name.startswith("Identity")]


def growing() -> bool:
    return any("growing" in obj.name for obj in bpy.data.objects)


def result_is_gone(names: list[str]) -> bool:
    left = [o.name for o in bpy.data.objects]
    return len(left) == len(names) - 1 and not growing()


tell(story())
