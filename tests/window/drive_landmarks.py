# SPDX-License-Identifier: GPL-3.0-or-later
"""The face of a stranger's mesh: found, drawn over it, dragged by mouse, fitted again, forgotten; a cube refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).parent))
from hands import (
    Steps,
    addon,
    area,
    at_row,
    beginning,
    click,
    drag,
    picture,
    press,
    region,
    release,
    say,
    tell,
    until,
    window,
)

CHIN, MOUTH_CORNER = 152, 291
FIRST_ROW = 9.05
"""Of the Head panel."""


def story() -> Steps:
    yield from beginning()
    bpy.context.scene.headsculpt.head = scan()
    look_at_it()
    yield 2.0
    session = addon("pump").session
    yield from click(*at_row(FIRST_ROW))
    yield from until(lambda: session.busy, "Find Landmarks is pressed", 10)
    yield from until(lambda: not session.busy, "the worker has answered", 300)
    assert session.card is None, session.card.text()
    assert not found().fixed.any() and 0 < found().fit_error < 0.03 and not found().doubt
    say("the landmarks are found")

    before, start = places(), on_screen(MOUTH_CORNER)
    yield from drag(start, (start[0] + 6, start[1] + 5))
    assert (places() != before).any() and fixed() == [MOUTH_CORNER], "it did not follow the mouse"
    picture("shown")
    press("ESC")
    yield 0.5
    assert (places() == before).all() and not fixed()
    yield from release(start)
    say("Esc puts a landmark back")

    start = on_screen(CHIN)
    end = (start[0] + 24, start[1] + 20)
    yield from drag(start, end)
    picture("dragging")
    yield from release(end)
    assert np.abs(np.subtract(on_screen(CHIN), end)).max() <= 2, f"{on_screen(CHIN)} is not {end}"
    assert np.flatnonzero((places() != before).any(axis=1)).tolist() == [CHIN] == fixed()
    say("a landmark is dragged to where the mouse is")

    dragged = places()
    press("Z", ctrl=True)
    yield from until(lambda: not fixed(), "one undo takes the drag back", 10)
    assert (places() == before).all()
    press("Z", ctrl=True, shift=True)
    yield from until(lambda: fixed() == [CHIN], "and a redo brings it again", 10)
    assert (places() == dragged).all()
    yield 2.0

    yield from click(*button("refit"))
    yield from until(lambda: session.busy, "Refit is pressed", 10)
    yield from until(lambda: not session.busy, "the worker has answered again", 300)
    assert session.card is None, session.card.text()
    moved = np.linalg.norm(places() - dragged, axis=1) / np.linalg.norm(before[10] - before[CHIN])
    assert moved[CHIN] < 1e-4 and moved[[148, 377]].min() > 0.005, moved[[CHIN, 148, 377]]
    say("the others have followed, and the one that was dragged has not")
    yield 2.0
    picture("refitted")

    yield from click(*button("show"))
    yield from until(lambda: not bpy.context.scene.headsculpt.show_landmarks, "Show Landmarks is pressed", 10)
    yield 2.0
    picture("hidden")
    yield from click(*button("forget"))
    yield from until(lambda: addon("landmarks").stored(bpy.data.objects["Scan"]) is None, "Forget is pressed", 10)

    with bpy.context.temp_override(window=window()):
        bpy.ops.mesh.primitive_cube_add(size=0.2, location=(0.4, 0, 0))
    bpy.context.scene.headsculpt.head = bpy.context.view_layer.objects.active
    yield 2.0
    yield from click(*at_row(FIRST_ROW))
    yield from until(lambda: session.card, "a cube is refused", 120)
    yield 2.0
    picture("refused")

    session.card = None
    bpy.data.objects.remove(bpy.context.scene.headsculpt.head)
    bpy.context.scene.headsculpt.head = bpy.data.objects["Scan"]
    bpy.context.scene.headsculpt.show_landmarks = True
    area().spaces.active.region_3d.view_rotation = (2**-0.5, 2**-0.5, 0, 0)  # in the face
    yield 2.0
    yield from click(*at_row(FIRST_ROW + 1))
    yield from until(lambda: found() is not None, "Place by Hand is pressed", 10)
    yield 2.0
    picture("laid")
    height = np.linalg.norm(before[10] - before[CHIN])
    assert np.median(np.linalg.norm(places() - before, axis=1)) < 0.2 * height


def scan() -> bpy.types.Object:
    """Somebody of half as many faces as the built-in head; the mesh is turned and large, its object makes up for it."""
    with bpy.context.temp_override(window=window()):
        bpy.ops.headsculpt.add_head()
        bpy.ops.headsculpt.random_head(seed=5)
    head = bpy.context.scene.headsculpt.head
    head.modifiers.new("Decimate", "DECIMATE").ratio = 0.5
    evaluated = head.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = bpy.data.meshes.new_from_object(evaluated)
    bpy.data.objects.remove(head)
    obj = bpy.data.objects.new("Scan", mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.rotation_euler, obj.scale = (0.4, 0.3, 2.0), (0.1, 0.1, 0.1)
    bpy.context.view_layer.update()
    mesh.transform(obj.matrix_world.inverted())
    return obj


def look_at_it() -> None:
    space = area().spaces.active
    space.overlay.show_cursor = space.overlay.show_floor = False
    space.overlay.show_axis_x = space.overlay.show_axis_y = False
    space.region_3d.view_location = (0.03, 0, 0)
    space.region_3d.view_distance = 0.56
    space.region_3d.view_rotation = (0.695, 0.695, 0.13, 0.13)
    bpy.context.view_layer.objects.active = None


def found() -> Any:
    """The landmarks on the chosen head; without any this fails."""
    return addon("landmarks").stored(bpy.context.scene.headsculpt.head)


def fixed() -> list[int]:
    return np.flatnonzero(found().fixed).tolist()


def places() -> np.ndarray:
    """In the object's coordinates [478, 3]."""
    head = bpy.context.scene.headsculpt.head
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return found().on(addon("surface").vertices_of(mesh))


def on_screen(index: int) -> tuple[int, int]:
    """Pixels of the window at which a landmark is."""
    view = region("WINDOW")
    place = bpy.context.scene.headsculpt.head.matrix_world @ Vector(places()[index])
    at = location_3d_to_region_2d(view, area().spaces.active.region_3d, place)
    return round(view.x + at.x), round(view.y + at.y)


def button(name: str) -> tuple[int, int]:
    """Of the Head panel, below two sentences of two lines each."""
    return {"show": at_row(10.9), "refit": at_row(13.65, 0.3), "forget": at_row(13.65, 0.75)}[name]


tell(story())
