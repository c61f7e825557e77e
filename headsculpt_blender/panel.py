# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab: the request, how far it is, and what went wrong."""

from __future__ import annotations

import blf
import bpy

from . import head_operators, operators
from .pump import session
from .session import Card, Job, Phase

LOG_LINES_SHOWN = 6
MARGIN = 88
"""Pixels at scale 1 between the sidebar's width and that of a text beside an icon in a box."""


class HEADSCULPT_PT_main(bpy.types.Panel):
    bl_idname = "HEADSCULPT_PT_main"
    bl_label = "HeadSculpt"
    bl_category = "HeadSculpt"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_request(layout, context)
        if session.job:
            draw_job(layout, session.job)
        else:
            row = layout.row()
            row.scale_y = 1.5
            row.operator(operators.HEADSCULPT_OT_generate.bl_idname, icon="PLAY")
        width = text_width(context)
        for notice in session.notices:
            draw_text(layout.box(), notice, width, icon="INFO")
        if session.card:
            draw_card(layout, session.card, width)


def draw_request(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.headsculpt
    column = layout.column()
    column.enabled = not session.busy
    column.prop(settings, "prompt", text="", placeholder="A bald old man with a red beard")
    column.prop(settings, "negative_prompt", text="", placeholder="Without (optional)")
    fields = column.column()
    fields.use_property_split = True
    fields.use_property_decorate = False
    row = fields.row(align=True)
    row.prop(settings, "head")
    row.operator(head_operators.HEADSCULPT_OT_add_head.bl_idname, text="", icon="ADD")
    fields.prop(settings, "preset")
    fields.prop(settings, "seed")


def draw_job(layout: bpy.types.UILayout, job: Job) -> None:
    progress = job.progress
    column = layout.column()
    column.progress(factor=progress.step / progress.steps if progress.steps else 0.0, text=headline(job))
    row = column.row()
    row.enabled = False
    row.label(text=pace(job))
    row = column.row(align=True)
    row.operator(operators.HEADSCULPT_OT_stop.bl_idname, icon="CHECKMARK")
    row.operator(operators.HEADSCULPT_OT_cancel.bl_idname, icon="X")


def headline(job: Job) -> str:
    if session.phase is Phase.CANCELLING:
        return "Cancelling"
    if session.phase is Phase.READY:
        return "Done: leave this mode to see it"
    progress, stage = job.progress, job.progress.stage
    unit = "" if progress.unit == "steps" else f" {progress.unit}"
    return f"{stage}  {progress.step}/{progress.steps}{unit}" if progress.steps else stage


def pace(job: Job) -> str:
    """Speed and time left, as far as they are known."""
    progress = job.progress
    parts = [f"{progress.steps_per_second:.1f} {progress.unit}/s"] if progress.steps_per_second > 0 else []
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes}:{seconds:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def draw_card(layout: bpy.types.UILayout, card: Card, width: float) -> None:
    box = layout.box()
    alert = box.column()
    alert.alert = True
    draw_text(alert, card.message, width, icon="ERROR")
    if card.advice:
        draw_text(box, card.advice, width)
    if card.log:
        log = box.column(align=True)
        log.enabled = False
        for line in card.log.strip().splitlines()[-LOG_LINES_SHOWN:]:
            log.label(text=line)
    row = box.row()
    row.operator(operators.HEADSCULPT_OT_copy_error.bl_idname, icon="COPYDOWN")
    row.operator(operators.HEADSCULPT_OT_dismiss_error.bl_idname, icon="X")


def text_width(context: bpy.types.Context) -> float:
    """Pixels that a line of text may have."""
    return context.region.width - MARGIN * context.preferences.system.ui_scale


def draw_text(layout: bpy.types.UILayout, text: str, width: float, icon: str = "BLANK1") -> None:
    """A sentence over as many lines as it needs: labels do not wrap by themselves."""
    column = layout.column(align=True)
    for number, line in enumerate(wrapped(text, width)):
        column.label(text=line, icon="BLANK1" if number else icon)


def wrapped(text: str, width: float) -> list[str]:
    """Lines of a text that are no wider than so many pixels in the interface's own font, but for single long words."""
    preferences = bpy.context.preferences
    blf.size(0, preferences.ui_styles[0].widget.points * preferences.system.ui_scale)
    lines: list[str] = []
    for word in text.split():
        if lines and blf.dimensions(0, f"{lines[-1]} {word}")[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def register() -> None:
    bpy.utils.register_class(HEADSCULPT_PT_main)


def unregister() -> None:
    bpy.utils.unregister_class(HEADSCULPT_PT_main)
