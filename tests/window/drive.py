# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender: installs the zip, works the sidebar with mouse and keys, leaves with 0 if all went well.

usage: blender --enable-event-simulate --python drive.py -- ZIP WORKER_COMMAND PROMPT DONE
DONE is a file that says what was seen, a line for each step.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

ID = "bl_ext.user_default.headsculpt"
ZIP, COMMAND, PROMPT, DONE = sys.argv[sys.argv.index("--") + 1 :]
KEYS = {" ": "SPACE", ",": "COMMA"}


def say(text: str) -> None:
    with Path(DONE).open("a", encoding="utf-8") as log:
        log.write(text + "\n")


def area() -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")


def region(kind: str) -> bpy.types.Region:
    return next(region for region in area().regions if region.type == kind)


def simulate(kind: str, value: str, **options: object) -> None:
    bpy.context.window_manager.windows[0].event_simulate(type=kind, value=value, **options)


def click(x: int, y: int) -> Iterator[float]:
    simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    yield 0.3
    simulate("LEFTMOUSE", "PRESS", x=x, y=y)
    yield 0.1
    simulate("LEFTMOUSE", "RELEASE", x=x, y=y)
    yield 0.3


def write(text: str) -> Iterator[float]:
    for letter in text:
        simulate(KEYS.get(letter, letter.upper()), "PRESS", unicode=letter)
        simulate(KEYS.get(letter, letter.upper()), "RELEASE")
        yield 0.02
    simulate("RET", "PRESS")
    simulate("RET", "RELEASE")
    yield 0.5


def until(condition: Callable[[], object], what: str, seconds: float) -> Iterator[float]:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        yield 0.2
    say(what)


def at_row(row: float) -> tuple[int, int]:
    """The middle of a row of the tab, counted from its top: 0 is the panel's header."""
    ui = region("UI")
    unit = 20 * bpy.context.preferences.system.ui_scale
    return ui.x + ui.width // 2 - int(unit / 2), int(ui.y + ui.height - unit * (0.9 + row * 1.16))


def story() -> Iterator[float]:
    yield 2.0
    yield from click(20, 20)  # takes the splash screen away
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window):
        bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
    bpy.context.preferences.addons[ID].preferences.worker_command = COMMAND
    say("installed")
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    space = area().spaces.active
    space.show_region_ui = True
    space.region_3d.view_perspective = "PERSP"
    space.region_3d.view_rotation = (0.683, 0.683, 0.183, 0.183)  # from the front and a little from the side
    space.region_3d.view_distance = 1.0
    yield 2.0
    region("UI").active_panel_category = "HeadSculpt"
    area().tag_redraw()
    yield 3.0
    session = importlib.import_module(f"{ID}.pump").session
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
    with bpy.context.temp_override(window=window):
        bpy.ops.ed.undo()
    assert result_is_gone(names), "undo did not take the head away"
    say("undone")
    with bpy.context.temp_override(window=window):
        bpy.ops.ed.redo()
    assert sorted(o.name for o in bpy.data.objects) == sorted(names)
    say("redone")
    with bpy.context.temp_override(window=window):
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


def follow(steps: Iterator[float]) -> Callable[[], float]:
    def turn() -> float:
        try:
            return next(steps)
        except StopIteration:
            say("done")
            os._exit(0)
        except BaseException:
            say(traceback.format_exc())
            os._exit(1)

    return turn


bpy.app.timers.register(follow(story()), first_interval=1.0)
