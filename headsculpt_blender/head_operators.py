# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators of the head to start from: thin, over `head`."""

from __future__ import annotations

import random
from typing import ClassVar

import bpy

from . import flame, head, operators, scene
from .backend.headsculpt.jobs.request import MAX_SEED
from .preferences import preferences

MODELS = (
    ("BUILTIN", "Built-in", "The head that HeadSculpt brings along, free for all uses"),
    ("FLAME", "FLAME", "The head in the FLAME file that is set in the add-on's preferences, under its own licence"),
)


class HEADSCULPT_OT_add_head(bpy.types.Operator):
    """Add a head with sliders for its shape and expression, and choose it as the shape to start from"""

    bl_idname = "headsculpt.add_head"
    bl_label = "Add Head"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    model: bpy.props.EnumProperty(name="Model", items=MODELS, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT"

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.model == "FLAME":
            return operators.begin(self, lambda: (flame.request(), scene.target_of(None, context)))
        context.scene.headsculpt.head = head.add_builtin_head(context)
        return {"FINISHED"}


class HEADSCULPT_OT_random_head(bpy.types.Operator):
    """Turn the chosen head into somebody else, with the expression that it has. Each press gives another one"""

    bl_idname = "headsculpt.random_head"
    bl_label = "Random Head"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    seed: bpy.props.IntProperty(
        name="Seed",
        description="The same number gives the same head",
        min=0,
        max=MAX_SEED,
        options={"SKIP_SAVE"},
    )
    strength: bpy.props.FloatProperty(
        name="Strength",
        description="How far from the average head: 1 is as people are",
        default=1.0,
        min=0.0,
        soft_max=2.0,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(head.identity_keys(context.scene.headsculpt.head))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.properties.is_property_set("seed"):
            self.seed = random.randint(0, MAX_SEED)
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head.randomize(context.scene.headsculpt.head, self.seed, self.strength)
        return {"FINISHED"}


class HEADSCULPT_OT_reset_identity(bpy.types.Operator):
    """Give the chosen head the average shape again; its expression stays"""

    bl_idname = "headsculpt.reset_identity"
    bl_label = "Reset Identity"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(head.identity_keys(context.scene.headsculpt.head))

    def execute(self, context: bpy.types.Context) -> set[str]:
        head.reset(head.identity_keys(context.scene.headsculpt.head))
        return {"FINISHED"}


class HEADSCULPT_OT_reset_expression(bpy.types.Operator):
    """Relax the chosen head's face; its identity stays"""

    bl_idname = "headsculpt.reset_expression"
    bl_label = "Reset Expression"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(head.expression_keys(context.scene.headsculpt.head))

    def execute(self, context: bpy.types.Context) -> set[str]:
        head.reset(head.expression_keys(context.scene.headsculpt.head))
        return {"FINISHED"}


CLASSES = (
    HEADSCULPT_OT_add_head,
    HEADSCULPT_OT_random_head,
    HEADSCULPT_OT_reset_identity,
    HEADSCULPT_OT_reset_expression,
)


def draw_add_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(HEADSCULPT_OT_add_head.bl_idname, text="Head", icon="USER")
    if preferences().flame_file:
        menu.layout.operator(HEADSCULPT_OT_add_head.bl_idname, text="FLAME Head", icon="USER").model = "FLAME"


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_mesh_add.append(draw_add_menu)


def unregister() -> None:
    bpy.types.VIEW3D_MT_mesh_add.remove(draw_add_menu)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
