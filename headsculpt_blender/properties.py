# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel's fields hold, saved with the scene."""

import bpy

from .backend.headsculpt.jobs.request import MAX_SEED
from .pump import warm_up

PRESETS = (
    ("PREVIEW", "Preview", "A first look, in minutes on any computer"),
    ("STANDARD", "Standard", "More steps and a finer surface"),
    ("PAPER", "Paper", "The published method's own numbers: for a graphics card with 16 GB and an hour or two"),
)


def is_mesh(settings: bpy.types.PropertyGroup, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH"


def on_prompt(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    warm_up()


class HeadSculptSettings(bpy.types.PropertyGroup):
    prompt: bpy.props.StringProperty(
        name="Prompt", description="The head you want, for example: a bald old man with a red beard", update=on_prompt
    )
    negative_prompt: bpy.props.StringProperty(
        name="Without", description="What the head should not be or have; may stay empty"
    )
    head: bpy.props.PointerProperty(
        name="Head Shape",
        description="The head to start from, as it stands in the scene; empty for the built-in head",
        type=bpy.types.Object,
        poll=is_mesh,
    )
    show_landmarks: bpy.props.BoolProperty(
        name="Show Landmarks",
        description="Draw the landmarks that were found on the head shape over it, with handles to drag",
        default=True,
    )
    preset: bpy.props.EnumProperty(name="Preset", description="How much work goes into the head", items=PRESETS)
    seed: bpy.props.IntProperty(
        name="Seed", description="Another number gives another head; the same number the same", min=0, max=MAX_SEED
    )


def register() -> None:
    bpy.utils.register_class(HeadSculptSettings)
    bpy.types.Scene.headsculpt = bpy.props.PointerProperty(type=HeadSculptSettings)


def unregister() -> None:
    del bpy.types.Scene.headsculpt
    bpy.utils.unregister_class(HeadSculptSettings)
