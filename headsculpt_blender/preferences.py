# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the worker is and what it works with."""

import bpy


class HeadSculptPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    worker_command: bpy.props.StringProperty(
        name="Worker command",
        description=(
            "Command line that starts HeadSculpt's worker, for example "
            "“/path/to/python” -m headsculpt worker, or ssh host headsculpt worker"
        ),
    )
    pack: bpy.props.StringProperty(
        name="Model pack",
        description="Folder of the model to use, as the worker sees it; empty for the built-in pocket pack",
        subtype="DIR_PATH",
    )
    threads: bpy.props.IntProperty(
        name="CPU threads", description="Threads that the worker computes with; 0 for one per core", min=0, max=256
    )

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        column.prop(self, "worker_command")
        if not self.worker_command:
            column.label(text="Run “python build.py” in HeadSculpt's folder: it says what to enter here", icon="INFO")
        column.prop(self, "pack")
        column.prop(self, "threads")


def preferences() -> HeadSculptPreferences:
    return bpy.context.preferences.addons[__package__].preferences


def register() -> None:
    bpy.utils.register_class(HeadSculptPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(HeadSculptPreferences)
