# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves what the worker sends into the scene, a few milliseconds at a time, and keeps the scene clean of the rest.

`tick` runs as a timer in a window and is called by `wait` where there is none; nothing else follows the worker.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from . import scene
from .backend.headsculpt.protocol import ProtocolError
from .preferences import preferences
from .session import Card, Phase, Request, Session, Target, broken

BUDGET_SECONDS = 0.01
INTERVAL_SECONDS = 0.05
IDLE_SECONDS = 600.0
"""A worker without work keeps its memory, and a graphics card's, for so long."""

session = Session()


def start(request: Request, target: Target | None) -> None:
    """Begins a job; one without a target changes no scene. Raises UserError when it can not begin."""
    session.start(request, target, preferences().worker_command, worker_environment())
    schedule(tick, INTERVAL_SECONDS)


def warm_up() -> None:
    """Starts the worker ahead of the first job, so that it has loaded its libraries by then."""
    command = preferences().worker_command
    if command and not session.busy and not bpy.app.background:
        try:
            session.connect(command, worker_environment())
            schedule(release, IDLE_SECONDS)
        except Exception:
            traceback.print_exc()  # the job will meet the same error, and show it


def schedule(function: Callable[[], float | None], seconds: float) -> None:
    """Lets Blender call a function after that time, anew if it was to be called already.

    Without a window Blender has no timers: `wait` follows the job, and the worker leaves with Blender.
    """
    if bpy.app.background:
        return
    if bpy.app.timers.is_registered(function):
        bpy.app.timers.unregister(function)
    bpy.app.timers.register(function, first_interval=seconds, persistent=True)


def release() -> float | None:
    """Ends a worker that has nothing to do."""
    if session.busy:
        return IDLE_SECONDS
    session.disconnect()
    return None


def worker_environment() -> dict[str, str]:
    """The worker's Python finds the backend in this extension, and nothing that is meant for another Python or happens
    to lie in the folder that Blender was started in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    backend = str(Path(__file__).parent / "backend")
    return {**kept, "PYTHONPATH": backend, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}


def tick() -> float | None:
    """One turn of the timer; None when it need not come again."""
    phase, notices, progress = session.phase, session.notices, session.job and session.job.progress
    preview = False
    try:
        preview = follow(time.perf_counter() + BUDGET_SECONDS)
    except ProtocolError as error:
        session.disconnect()
        session.fail(broken(error))
    except Exception as error:
        message = f"The add-on failed unexpectedly ({type(error).__name__}: {error})."
        session.disconnect()  # it may be in the middle of what nobody waits for any more
        session.fail(Card(message, "Please report this with the log below.", traceback.format_exc()))
    if not session.busy:
        scene.remove_previews()
        schedule(release, IDLE_SECONDS)
    if preview or (phase, notices, progress) != (session.phase, session.notices, session.job and session.job.progress):
        redraw_panels()
    return INTERVAL_SECONDS if session.busy else None


def follow(deadline: float) -> bool:
    """Takes what has come until the time is up. Whether there was a preview among it."""
    shown = False
    if bpy.app.is_job_running("RENDER"):
        return shown  # what is being rendered must not change
    while time.perf_counter() < deadline and (frame := session.receive()) and session.job:
        scene.show_preview(session.job, frame)
        shown = True
        if session.job.first_mesh_seconds is None:
            session.job.first_mesh_seconds = time.monotonic() - session.job.started
    if session.phase is Phase.READY and may_place():
        place()
    return shown


def may_place() -> bool:
    """Not in the middle of an edit: its undo steps do not know of new objects and would lose this one."""
    with bpy.context.temp_override(window=a_window()):
        return bpy.context.mode == "OBJECT"


def place() -> None:
    with bpy.context.temp_override(window=a_window()):
        bpy.ops.headsculpt.place_result("EXEC_DEFAULT", True)


def a_window() -> bpy.types.Window:
    """A timer has none of its own."""
    return bpy.context.window or bpy.context.window_manager.windows[0]


def wait() -> None:
    """Follows the job to its end. A KeyboardInterrupt ends the job too."""
    try:
        while tick() is not None:
            time.sleep(INTERVAL_SECONDS)
    except KeyboardInterrupt:
        session.disconnect()
        session.finish()
        scene.remove_previews()
        raise


def redraw_panels() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


# --- what happens in Blender while a job goes on --------------------------------------------------------------------


@persistent
def on_load_pre(*_: object) -> None:
    if session.job and session.job.target:
        session.cancel()
        session.card = Card("The head was cancelled, because another file was opened.")


@persistent
def on_save_pre(*_: object) -> None:
    scene.remove_previews()  # a file never holds a half-grown head; the next preview makes the object again


@persistent
def on_history(*_: object) -> None:
    """After undo, redo and load: no preview of a job that is over."""
    scene.remove_previews(keep=session.job.key if session.job else "")


HANDLERS = (
    (bpy.app.handlers.load_pre, on_load_pre),
    (bpy.app.handlers.save_pre, on_save_pre),
    (bpy.app.handlers.load_post, on_history),
    (bpy.app.handlers.undo_post, on_history),
    (bpy.app.handlers.redo_post, on_history),
)


def register() -> None:
    for handlers, function in HANDLERS:
        handlers.append(function)


def unregister() -> None:
    for handlers, function in HANDLERS:
        handlers.remove(function)
    for timer in (tick, release):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    session.disconnect()
    session.finish()
    scene.remove_previews()
