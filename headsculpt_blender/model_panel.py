# SPDX-License-Identifier: GPL-3.0-or-later
"""The Model panel: which model heads are made with, and how it comes onto this computer."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy

from . import model_operators, models
from .backend.headsculpt.packs.manifest import size_text
from .panel import draw_text, text_width
from .preferences import HeadSculptPreferences, preferences
from .pump import session


class HEADSCULPT_PT_model(bpy.types.Panel):
    bl_idname = "HEADSCULPT_PT_model"
    bl_label = "Model"
    bl_category = "HeadSculpt"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_order = 2
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        options = preferences()
        column = self.layout.column()
        column.enabled = not session.busy
        column.prop(options, "model", text="")
        if options.model == "POCKET":
            return
        if options.model == "FOLDER":
            column.prop(options, "pack", text="")
        else:
            draw_download(column, options, text_width(context))
        draw_changes(column, options)


def draw_download(layout: bpy.types.UILayout, options: HeadSculptPreferences, width: float) -> None:
    """What is to come or is there, under which licence, where."""
    store, parts = models.store_of(options), models.needed_parts(options)
    receipt = store.receipt()
    missing = [file for part in parts for file in store.missing(part, receipt)]
    for part in parts:
        box = layout.box()
        row = box.row()
        row.label(text=f"{part.title}: {size_text(part.bytes)}", icon="CHECKMARK" if store.complete(part) else "IMPORT")
        row.operator("wm.url_open", text="", icon="URL").url = part.terms
        draw_text(box, f"{part.license}. {part.use}", width)
    layout.prop(options, "store", text="", placeholder=str(models.store_folder(options)))
    free = models.free_bytes(store.folder)
    draw_text(layout, f"{store.folder}{'' if free is None else f', {size_text(free)} free'}", width, icon="DISK_DRIVE")
    row = layout.row(align=True)
    if missing:
        if not bpy.app.online_access:
            draw_text(layout, "Blender's “Allow Online Access” is off", width, icon="INTERNET_OFFLINE")
            layout.operator("screen.userpref_show", text="Open Preferences").section = "SYSTEM"
        begun = any(store.bytes_there(part) for part in parts)
        action(row, "GET", "Go On Downloading" if begun else "Download", "IMPORT").enabled = bpy.app.online_access
        draw_text(layout, "Downloading accepts the licences above.", width)
    else:
        action(row, "CHECK", "Check", "VIEWZOOM")
    if receipt:
        action(row, "REMOVE", "Remove", "TRASH")


def action(layout: bpy.types.UILayout, name: str, text: str, icon: str) -> bpy.types.UILayout:
    """A button of its own, to be disabled or not."""
    place = layout.row(align=True)
    place.operator(model_operators.HEADSCULPT_OT_packs.bl_idname, text=text, icon=icon).action = name
    return place


def draw_changes(layout: bpy.types.UILayout, options: HeadSculptPreferences) -> None:
    """What of the user's own goes into or onto the model."""
    layout.prop(options, "base", text="", placeholder="Fine-tune in its place (optional)")
    for index, entry in enumerate(options.loras):
        row = layout.row(align=True)
        row.prop(entry, "weight", text=Path(entry.path).stem)
        row.operator(model_operators.HEADSCULPT_OT_remove_lora.bl_idname, text="", icon="X").index = index
    layout.operator(model_operators.HEADSCULPT_OT_add_lora.bl_idname, icon="ADD")


def register() -> None:
    bpy.utils.register_class(HEADSCULPT_PT_model)


def unregister() -> None:
    bpy.utils.unregister_class(HEADSCULPT_PT_model)
