# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the worker is and what it works with."""

import bpy

from .backend.headsculpt.head.flame.licences import HOME, VERSIONS, version_of
from .backend.headsculpt.jobs.flame_request import SLIDERS
from .backend.headsculpt.jobs.request import MAX_LORA_WEIGHT

FLAME_VERSIONS = (
    ("NONE", "Not chosen", "Heads are made of it only when the file says itself which version it is"),
    *((version.key, version.name, version.licence) for version in VERSIONS),
)
MODELS = (
    ("POCKET", "Built-in", "The small model that comes with HeadSculpt: 76 words, any computer"),
    ("SD15", "Stable Diffusion 1.5", "The paper's model: any words, for a graphics card; 2.9 GB to download"),
    (
        "FOLDER",
        "Folder",
        "A model in a folder of your own, in Stable Diffusion 1.5's layout with a landmark ControlNet",
    ),
)

DEVICES = (
    ("AUTO", "Automatic", "An NVIDIA graphics card that has room, else the processor"),
    ("CPU", "Processor", "The processor, and leave graphics cards alone"),
)


class HeadSculptLora(bpy.types.PropertyGroup):
    path: bpy.props.StringProperty(name="LoRA", description="A .safetensors file", subtype="FILE_PATH")
    weight: bpy.props.FloatProperty(
        name="Weight",
        description="How much of the LoRA goes into the model; 1 as it was trained",
        default=1.0,
        min=-MAX_LORA_WEIGHT,
        max=MAX_LORA_WEIGHT,
        soft_min=0.0,
        soft_max=1.0,
    )


class HeadSculptPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    worker_command: bpy.props.StringProperty(
        name="Worker command",
        description=(
            "Command line that starts HeadSculpt's worker, for example "
            "“/path/to/python” -m headsculpt worker, or ssh host /path/to/python -m headsculpt worker"
        ),
    )
    model: bpy.props.EnumProperty(name="Model", description="What heads are made with", items=MODELS)
    pack: bpy.props.StringProperty(
        name="Model folder", description="Folder of the model to use, as the worker sees it", subtype="DIR_PATH"
    )
    store: bpy.props.StringProperty(
        name="Downloaded models",
        description="Folder to keep downloaded models in; empty for the extension's own",
        subtype="DIR_PATH",
    )
    base: bpy.props.StringProperty(
        name="Fine-tune",
        description="A fine-tune of Stable Diffusion 1.5 to use in its place: a .safetensors file, or a folder",
        subtype="FILE_PATH",
    )
    loras: bpy.props.CollectionProperty(type=HeadSculptLora)
    device: bpy.props.EnumProperty(name="Compute on", description="Where the worker computes", items=DEVICES)
    threads: bpy.props.IntProperty(
        name="CPU threads", description="Threads that the worker computes with; 0 for one per core", min=0, max=256
    )
    flame_file: bpy.props.StringProperty(
        name="FLAME file",
        description=f"The .pkl file of FLAME 2020, 2023 or 2023 Open, which you get from {HOME}; may stay empty",
        subtype="FILE_PATH",
    )
    flame_version: bpy.props.EnumProperty(
        name="FLAME version", description="Which FLAME the file is; its licence depends on it", items=FLAME_VERSIONS
    )
    flame_sliders: bpy.props.IntProperty(
        name="FLAME sliders",
        description="How many shapes, and how many expressions, a FLAME head gets as shape keys",
        default=SLIDERS,
        min=1,
        soft_max=100,
        max=300,
    )

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        column.prop(self, "worker_command")
        if not self.worker_command:
            text = "Run “python build.py package” in HeadSculpt's folder: it says what to enter here"
            column.label(text=text, icon="INFO")
        column.prop(self, "model")
        if self.model == "FOLDER":
            column.prop(self, "pack")
        elif self.model == "SD15":
            column.prop(self, "store")
            column.label(text="The Model panel in the 3D view's sidebar downloads it", icon="INFO")
        column.prop(self, "device")
        column.prop(self, "threads")
        column.separator()
        column.prop(self, "flame_file")
        if self.flame_file:
            column.prop(self, "flame_version")
            version = version_of(self.flame_version)
            if version:
                column.label(text=version.licence, icon="INFO")
            else:
                column.label(text="What you may do with FLAME heads depends on the version: choose it", icon="ERROR")
            column.prop(self, "flame_sliders")


def preferences() -> HeadSculptPreferences:
    return bpy.context.preferences.addons[__package__].preferences


def register() -> None:
    bpy.utils.register_class(HeadSculptLora)
    bpy.utils.register_class(HeadSculptPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(HeadSculptPreferences)
    bpy.utils.unregister_class(HeadSculptLora)
