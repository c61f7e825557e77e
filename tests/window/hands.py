# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside a real Blender: installs the zip, works the interface with mouse and keys, writes down what was seen.

usage: blender --enable-event-simulate --python STORY.py -- ZIP WORKER_COMMAND PROMPT DONE
DONE is a file that gets a line for each step of the story. Blender leaves with 0 if all went well.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import bpy

ID = "bl_ext.user_default.headsculpt"
ZIP, COMMAND, PROMPT, DONE = sys.argv[sys.argv.index("--") + 1 :]
KEYS = {" ": "SPACE", ",": "COMMA"}

Steps = Iterator[float]


def say(text: str) -> None:
    with Path(DONE).open("a", encoding="utf-8") as log:
        log.write(text + "\n")


def window() -> bpy.types.Window:
    return bpy.context.window_manager.windows[0]


def area() -> bpy.types.Area:
    return next(area for area in window().screen.areas if area.type == "VIEW_3D")


def region(kind: str) -> bpy.types.Region:
    return next(region for region in area().regions if region.type == kind)


def addon(name: str) -> ModuleType:
    """One of the add-on's modules."""
    return importlib.import_module(f"{ID}.{name}")


def simulate(kind: str, value: str, **options: object) -> None:
    window().event_simulate(type=kind, value=value, **options)


def click(x: int, y: int) -> Steps:
    simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    yield 0.3
    simulate("LEFTMOUSE", "PRESS", x=x, y=y)
    yield 0.1
    simulate("LEFTMOUSE", "RELEASE", x=x, y=y)
    yield 0.3


def drag(start: tuple[int, int], end: tuple[int, int]) -> Steps:
    """Presses the mouse's left button there and moves it here, in steps; lets nothing go."""
    simulate("MOUSEMOVE", "NOTHING", x=start[0], y=start[1])
    yield 1.0  # for the handle there to notice
    simulate("LEFTMOUSE", "PRESS", x=start[0], y=start[1])
    for share in (0.25, 0.5, 0.75, 1.0):
        yield 0.3
        x, y = (round(a + share * (b - a)) for a, b in zip(start, end, strict=True))
        simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    yield 0.5


def release(at: tuple[int, int]) -> Steps:
    simulate("LEFTMOUSE", "RELEASE", x=at[0], y=at[1])
    yield 0.5


def press(key: str, **modifiers: bool) -> None:
    simulate(key, "PRESS", **modifiers)
    simulate(key, "RELEASE", **modifiers)


def picture(name: str) -> None:
    """The screen, as it is, in a file beside DONE."""
    subprocess.run(["import", "-window", "root", Path(DONE).parent / f"{name}.png"], check=True)


def write(text: str) -> Steps:
    for letter in text:
        simulate(KEYS.get(letter, letter.upper()), "PRESS", unicode=letter)
        simulate(KEYS.get(letter, letter.upper()), "RELEASE")
        yield 0.02
    press("RET")
    yield 0.5


def until(condition: Callable[[], object], what: str, seconds: float) -> Steps:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        yield 0.2
    say(what)


def at_row(row: float, column: float = 0.5) -> tuple[int, int]:
    """A place in the tab. row: counted from its top, 0 is the panel's header; column: share of its width."""
    ui = region("UI")
    unit = 20 * bpy.context.preferences.system.ui_scale
    return int(ui.x + (ui.width - unit) * column), int(ui.y + ui.height - unit * (0.9 + row * 1.16))


def beginning() -> Steps:
    """An empty scene seen from the front and a little from the side, with the add-on's tab open beside it."""
    yield 2.0
    yield from click(20, 20)  # takes the splash screen away
    with bpy.context.temp_override(window=window()):
        bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
    bpy.context.preferences.addons[ID].preferences.worker_command = COMMAND
    say("installed")
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    space = area().spaces.active
    space.show_region_ui = True
    space.region_3d.view_perspective = "PERSP"
    space.region_3d.view_rotation = (0.683, 0.683, 0.183, 0.183)
    space.region_3d.view_distance = 1.0
    yield 2.0
    region("UI").active_panel_category = "HeadSculpt"
    area().tag_redraw()
    yield 3.0


def tell(story: Steps) -> None:
    """Lets Blender follow a story, then leave."""

    def turn() -> float:
        try:
            return next(story)
        except StopIteration:
            say("done")
            os._exit(0)
        except BaseException:
            say(traceback.format_exc())
            os._exit(1)

    bpy.app.timers.register(turn, first_interval=1.0)
