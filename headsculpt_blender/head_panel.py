# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar tab that shapes the chosen head: sliders that are its shape keys' own values."""

from __future__ import annotations

import math
import re

import bpy

from . import head_operators, landmark_operators, landmarks, panel, pump
from .head import expression_keys, identity_keys, is_builtin
from .preferences import preferences

FIRST_SLIDERS = 6
GROUPS = {
    "brow": "Brows",
    "eye": "Eyes",
    "cheek": "Cheeks",
    "nose": "Nose",
    "jaw": "Jaw",
    "mouth": "Mouth",
    "tongue": "Tongue",
}
"""What Apple's names of the expressions begin with, and what it is called here."""
LABEL_SHARE = 0.42
HIDDEN = "This head is hidden. Its eye in the Outliner shows it."
EDITING = "Landmarks are hidden in edit mode."
UNKNOWN = "Generate finds the face of this mesh by itself. Find it beforehand to check and correct it."
STALE = "The mesh has other faces than when its landmarks were found, so they no longer count."
DRAG = "Drag a dot in the 3D view that is not where it belongs."

Keys = list[bpy.types.ShapeKey]


class HEADSCULPT_PT_head(bpy.types.Panel):
    bl_idname = "HEADSCULPT_PT_head"
    bl_label = "Head"
    bl_parent_id = panel.HEADSCULPT_PT_main.bl_idname
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        head = context.scene.headsculpt.head
        identities, expressions = identity_keys(head), expression_keys(head)
        topology = landmarks.seen_topology(head, context.evaluated_depsgraph_get()) if head else ""
        stranger = topology and not is_builtin(topology)
        if head and head.mode == "EDIT":
            panel.draw_text(layout, EDITING, panel.text_width(context), icon="INFO")
        elif not (stranger or identities or expressions):
            draw_add(layout)
        elif head.hide_get():
            panel.draw_text(layout, HIDDEN, panel.text_width(context), icon="HIDE_ON")
        if stranger:
            draw_landmarks(layout, context, topology)
        if identities:
            layout.operator(head_operators.HEADSCULPT_OT_random_head.bl_idname, icon="FILE_REFRESH")
            draw_identity(layout, identities)
        if expressions:
            draw_expression(layout, expressions)


def draw_add(layout: bpy.types.UILayout) -> None:
    add = head_operators.HEADSCULPT_OT_add_head.bl_idname
    layout.operator(add, icon="ADD")
    if preferences().flame_file:
        layout.operator(add, text="Add FLAME Head", icon="ADD").model = "FLAME"


def draw_landmarks(layout: bpy.types.UILayout, context: bpy.types.Context, topology: str) -> None:
    """What is known of where the face of a mesh is, which is not the built-in head's and has this topology."""
    settings, width = context.scene.headsculpt, panel.text_width(context)
    find = landmark_operators.HEADSCULPT_OT_find_landmarks.bl_idname
    there, found = landmarks.stored(settings.head), landmarks.current(settings.head, topology)
    column = layout.column()
    idle = not pump.session.busy  # a disabled button would stay so under the mouse when the job is over
    if not found:
        if idle:
            column.operator(find, icon="VIEWZOOM")
            column.operator(landmark_operators.HEADSCULPT_OT_place_landmarks.bl_idname, icon="VIEW_PAN")
        if there:
            panel.draw_text(column, STALE, width, icon="ERROR")
            column.operator(landmark_operators.HEADSCULPT_OT_forget_landmarks.bl_idname, icon="X")
        else:
            panel.draw_text(column, UNKNOWN, width, icon="INFO")
        return
    if math.isfinite(found.fit_error):
        panel.draw_text(column, fit(found), width, icon="ERROR" if found.doubt else "CHECKMARK")
    if found.doubt:
        panel.draw_text(column, found.doubt, width)
    column.prop(settings, "show_landmarks")
    by_hand = int(found.fixed.sum())
    if by_hand:
        panel.draw_text(column, set_by_hand(by_hand), width, icon="VIEW_PAN")
    elif settings.show_landmarks:
        panel.draw_text(column, DRAG, width, icon="VIEW_PAN")
    if idle:
        row = column.row(align=True)
        row.operator(find, text="Refit", icon="FILE_REFRESH").refit = True
        row.operator(landmark_operators.HEADSCULPT_OT_forget_landmarks.bl_idname, icon="X")


def fit(found: landmarks.Landmarks) -> str:
    return f"The fit is within {max(100 * found.fit_error, 0.1):.1f} % of the head's height."


def set_by_hand(count: int) -> str:
    return f"{count} landmark{'s' if count > 1 else ''} set by hand. Refit lets the others follow."


def draw_identity(layout: bpy.types.UILayout, keys: Keys) -> None:
    if body := section(layout, "Identity", head_operators.HEADSCULPT_OT_reset_identity.bl_idname):
        draw_numbered(body, "More", keys)


def draw_numbered(layout: bpy.types.UILayout, rest: str, keys: Keys) -> None:
    """The first and most important sliders, and the others in a section of this name."""
    draw_sliders(layout, keys[:FIRST_SLIDERS])
    if keys[FIRST_SLIDERS:] and (more := section(layout, rest)):
        draw_sliders(more, keys[FIRST_SLIDERS:])


def draw_sliders(layout: bpy.types.UILayout, keys: Keys) -> None:
    column = layout.column(align=True)
    for key in keys:
        column.prop(key, "value", text=key.name, slider=True)


def draw_expression(layout: bpy.types.UILayout, keys: Keys) -> None:
    """A section for each part of the face, in it a row for each movement: one slider, or the left and the right.
    FLAME's have no names; they stand below each other."""
    body = section(layout, "Expression", head_operators.HEADSCULPT_OT_reset_expression.bl_idname)
    if not body:
        return
    draw_numbered(body, "More Expressions", [key for key in keys if not key.name.startswith(tuple(GROUPS))])
    for prefix, label in GROUPS.items():
        movements = movements_of(prefix, keys)
        if movements and (group := section(body, label)):
            column = group.column(align=True)
            if any(len(sides) == 2 for sides in movements.values()):
                draw_sides(column)
            for movement, sides in movements.items():
                draw_movement(column, movement, sides)


def movements_of(prefix: str, keys: Keys) -> dict[str, Keys]:
    """The keys of one part of the face by movement: browDownLeft and browDownRight are brow's “Down”."""
    movements: dict[str, Keys] = {}
    for key in keys:
        if key.name.startswith(prefix):
            movement = key.name.removeprefix(prefix).removesuffix("Left").removesuffix("Right") or "Sideways"
            movements.setdefault(re.sub("(?<=[a-z])(?=[A-Z])", " ", movement), []).append(key)
    return movements


def draw_sides(layout: bpy.types.UILayout) -> None:
    """The heads of the two columns: the sides as the head itself has them."""
    split = layout.split(factor=LABEL_SHARE)
    split.label()
    row = split.row()
    row.enabled = False
    row.label(text="Left")
    row.label(text="Right")


def draw_movement(layout: bpy.types.UILayout, label: str, sides: Keys) -> None:
    split = layout.split(factor=LABEL_SHARE)
    split.label(text=label)
    row = split.row(align=True)
    for key in sides:
        row.prop(key, "value", text="", slider=True)


def section(layout: bpy.types.UILayout, label: str, reset: str = "") -> bpy.types.UILayout | None:
    """A part of the panel that can be folded away; at first it is. reset: an operator's button in its header."""
    header, body = layout.panel(f"{HEADSCULPT_PT_head.bl_idname}_{label}", default_closed=True)
    header.label(text=label)
    if reset:
        header.operator(reset, text="", icon="LOOP_BACK", emboss=False)
    return body


def register() -> None:
    bpy.utils.register_class(HEADSCULPT_PT_head)


def unregister() -> None:
    bpy.utils.unregister_class(HEADSCULPT_PT_head)
