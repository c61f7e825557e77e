# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators of the Model panel: thin, over `models` and `pump`."""

from typing import ClassVar

import bpy

from . import models, pump
from .operators import begin
from .preferences import preferences

ACTIONS = (
    ("GET", "Download", "Download what is missing; goes on where it was interrupted"),
    ("CHECK", "Check", "Read every file again and compare it with what came"),
    ("REMOVE", "Remove", "Delete the files of this model from the disk"),
)


class HEADSCULPT_OT_packs(bpy.types.Operator):
    """Download, check or remove the model"""

    bl_idname = "headsculpt.packs"
    bl_label = "Model"

    action: bpy.props.EnumProperty(name="Action", items=ACTIONS)

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return next(text for name, _, text in ACTIONS if name == properties.action)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not pump.session.busy

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.action == "REMOVE":
            return context.window_manager.invoke_confirm(self, event)
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return begin(self, lambda: (models.pack_request(preferences(), self.action.lower()), None))


class HEADSCULPT_OT_add_lora(bpy.types.Operator):
    """Add a LoRA file, which changes what the model draws"""

    bl_idname = "headsculpt.add_lora"
    bl_label = "Add LoRA"
    bl_options: ClassVar = {"REGISTER"}

    filepath: bpy.props.StringProperty(subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default="*.safetensors", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences().loras.add().path = self.filepath
        return {"FINISHED"}


class HEADSCULPT_OT_remove_lora(bpy.types.Operator):
    """Leave this LoRA out"""

    bl_idname = "headsculpt.remove_lora"
    bl_label = "Remove LoRA"

    index: bpy.props.IntProperty()

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences().loras.remove(self.index)
        return {"FINISHED"}


CLASSES = (HEADSCULPT_OT_packs, HEADSCULPT_OT_add_lora, HEADSCULPT_OT_remove_lora)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
