# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators of a mesh's landmarks: thin, over `landmarks`, `pump` and, for the mouse, `landmark_view`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import bpy
from bpy_extras.view3d_utils import region_2d_to_origin_3d, region_2d_to_vector_3d
from mathutils import Euler, Vector

from . import landmark_view, landmarks, operators, pump, scene
from .backend.headsculpt.errors import UserError
from .backend.headsculpt.head.landmarks import COUNT
from .backend.headsculpt.jobs.request import RegisterRequest
from .head import chosen_head
from .session import Target
from .surface import evaluated_surface

FRONT = Euler((math.pi / 2, 0, 0))


class HEADSCULPT_OT_find_landmarks(bpy.types.Operator):
    """Find the face on the mesh that is the head shape: eyes, brows, nose, lips and outline"""

    bl_idname = "headsculpt.find_landmarks"
    bl_label = "Find Landmarks"
    bl_options: ClassVar = {"REGISTER"}

    head: bpy.props.StringProperty(
        name="Head Shape", description="Name of the object to look at; if left out, the panel's"
    )
    refit: bpy.props.BoolProperty(
        name="Refit",
        description="Begin with the landmarks that there are; those that were set by hand stay, the others follow",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return properties.bl_rna.properties["refit"].description if properties.refit else cls.__doc__

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not pump.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        return operators.begin(self, lambda: self.read(context))

    def read(self, context: bpy.types.Context) -> tuple[RegisterRequest, Target]:
        """The request and the object that waits for its answer. Raises UserError for what has none to find."""
        head = operators.chosen(self, context)
        if head is None:
            raise UserError("No mesh is chosen.", "Choose one as Head Shape.")
        if head.library:
            raise UserError(
                f"“{head.name}” belongs to another file, so landmarks can not be kept on it.",
                "Make it local, or generate as it is: the face is found then, too.",
            )
        depsgraph = context.evaluated_depsgraph_get()
        shape = chosen_head(head, depsgraph)
        if self.refit and not shape.landmarks:
            raise UserError("There are no landmarks to begin with.", "Find them first.")
        target = replace(scene.target_of(head, context), topology=evaluated_surface(head, depsgraph).topology)
        return landmarks.request(shape, landmarks.stored(head) if self.refit else None), target


class HEADSCULPT_OT_place_landmarks(bpy.types.Operator):
    """Lay landmarks over the mesh as it is seen now, to be dragged where they belong. Look it in the face first"""

    bl_idname = "headsculpt.place_landmarks"
    bl_label = "Place by Hand"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = context.scene.headsculpt.head
        return context.mode == "OBJECT" and head is not None and head.type == "MESH" and head.library is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Without a view it looks along +y, at what faces Blender's front."""
        space = context.space_data
        turn = space.region_3d.view_rotation if space and space.type == "VIEW_3D" else FRONT
        try:
            landmarks.lay(context.scene.headsculpt.head, context.evaluated_depsgraph_get(), turn.to_matrix())
        except UserError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        landmark_view.redraw(context)
        return {"FINISHED"}


class HEADSCULPT_OT_forget_landmarks(bpy.types.Operator):
    """Remove the landmarks from the head shape, those that were set by hand too"""

    bl_idname = "headsculpt.forget_landmarks"
    bl_label = "Forget"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = context.scene.headsculpt.head
        return head is not None and landmarks.PROPERTY in head

    def execute(self, context: bpy.types.Context) -> set[str]:
        landmarks.forget(context.scene.headsculpt.head)
        landmark_view.redraw(context)
        return {"FINISHED"}


class HEADSCULPT_OT_move_landmark(bpy.types.Operator):
    """Set one landmark of the head shape by hand, to the place on the mesh nearest to a location"""

    bl_idname = "headsculpt.move_landmark"
    bl_label = "Move Landmark"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    index: bpy.props.IntProperty(
        name="Landmark", description="MediaPipe's number of the landmark", min=0, max=COUNT - 1
    )
    location: bpy.props.FloatVectorProperty(
        name="Location", description="Where to, in the world", subtype="TRANSLATION", size=3
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and landmarks.stored(context.scene.headsculpt.head) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.move(context.scene.headsculpt.head, context.evaluated_depsgraph_get())
        except UserError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        landmark_view.redraw(context)
        return {"FINISHED"}

    def move(self, head: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> None:
        local = head.evaluated_get(depsgraph).matrix_world.inverted() @ Vector(self.location)
        try:
            found, place, _, face = head.closest_point_on_mesh(local, depsgraph=depsgraph)
        except RuntimeError:  # Blender leaves what is disabled in viewports as it is, without modifiers
            found = False
        if not found:
            raise UserError(f"“{head.name}” has no faces that could be seen.", "Enable it in viewports.")
        landmarks.move(head, depsgraph, self.index, face, place)


class HEADSCULPT_OT_drag_landmark(bpy.types.Operator):
    """Drag this landmark to where it belongs on the mesh"""

    bl_idname = "headsculpt.drag_landmark"
    bl_label = "Move Landmark"
    bl_options: ClassVar = {"UNDO", "INTERNAL", "BLOCKING"}

    index: bpy.props.IntProperty(min=0, max=COUNT - 1, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and landmark_view.to_show(context) is not None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        shown = landmark_view.shown(context)
        at = landmark_view.on_screen(context, shown.places[[self.index]])[0]
        self.before = shown.landmarks
        self.moved = False
        self.offset = Vector((at[0] - event.mouse_region_x, at[1] - event.mouse_region_y))
        name = landmark_view.HANDLES[self.index].name
        context.area.header_text_set(f"{name}: drag it over the mesh · Esc puts it back")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "MOUSEMOVE":
            self.follow(context, Vector((event.mouse_region_x, event.mouse_region_y)) + self.offset)
        elif event.type in ("ESC", "RIGHTMOUSE"):
            if self.moved:
                landmarks.store(context.scene.headsculpt.head, self.before)
            return self.end(context, "CANCELLED")
        elif event.type == "LEFTMOUSE" and event.value == "RELEASE":
            return self.end(context, "FINISHED" if self.moved else "CANCELLED")
        return {"RUNNING_MODAL"}

    def follow(self, context: bpy.types.Context, at: Vector) -> None:
        """Moves the landmark to what is seen there of the mesh; beside the mesh it stays where it is."""
        head, depsgraph = context.scene.headsculpt.head, context.evaluated_depsgraph_get()
        to_local = head.evaluated_get(depsgraph).matrix_world.inverted()
        origin = to_local @ region_2d_to_origin_3d(context.region, context.region_data, at)
        direction = to_local.to_3x3() @ region_2d_to_vector_3d(context.region, context.region_data, at)
        hit, place, _, face = head.ray_cast(origin, direction, depsgraph=depsgraph)
        if hit:
            landmarks.move(head, depsgraph, self.index, face, place)
            self.moved = True
            landmark_view.redraw(context)

    def end(self, context: bpy.types.Context, outcome: str) -> set[str]:
        context.area.header_text_set(None)
        landmark_view.redraw(context)
        return {outcome}


CLASSES = (
    HEADSCULPT_OT_find_landmarks,
    HEADSCULPT_OT_place_landmarks,
    HEADSCULPT_OT_forget_landmarks,
    HEADSCULPT_OT_move_landmark,
    HEADSCULPT_OT_drag_landmark,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
