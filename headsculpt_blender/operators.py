# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators of a job: thin, over `pump` and `scene`."""

from collections.abc import Callable
from typing import Any, ClassVar

import bpy

from . import flame, landmark_view, landmarks, models, pump, scene
from .backend.headsculpt.errors import UserError
from .backend.headsculpt.jobs.flame_request import FlameRequest
from .backend.headsculpt.jobs.request import MAX_SEED, GenerateRequest, RegisterRequest
from .backend.headsculpt.protocol import ProtocolError
from .head import chosen_head
from .preferences import preferences
from .properties import PRESETS
from .session import Card, Phase, Request, Target, broken


def begin(operator: bpy.types.Operator, read: Callable[[], tuple[Request, Target | None]]) -> set[str]:
    """Starts a job, and without a window waits for it. read: the request and its place, or UserError. What an operator
    returns; what went wrong is in the panel and in the operator's report."""
    try:
        pump.start(*read())
    except UserError as error:
        if not pump.session.busy:  # else the panel belongs to the job that goes on
            pump.session.card = Card(error.message, error.advice, getattr(error, "log", ""))
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    if bpy.app.background:
        pump.wait()
        if card := pump.session.card:
            operator.report({"ERROR"}, card.short())
            return {"CANCELLED"}
    return {"FINISHED"}


class HEADSCULPT_OT_generate(bpy.types.Operator):
    """Make a head from the prompt. Without a window it returns when the head is there"""

    bl_idname = "headsculpt.generate"
    bl_label = "Generate"
    bl_options: ClassVar = {"REGISTER"}

    # what a script leaves out comes from the panel's fields
    prompt: bpy.props.StringProperty(name="Prompt")
    negative_prompt: bpy.props.StringProperty(name="Without")
    head: bpy.props.StringProperty(
        name="Head Shape", description="Name of the object to start from; empty for the built-in head"
    )
    preset: bpy.props.EnumProperty(name="Preset", items=PRESETS)
    seed: bpy.props.IntProperty(name="Seed", min=0, max=MAX_SEED)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if bpy.app.background and context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        return begin(self, lambda: self.read(context))

    def read(self, context: bpy.types.Context) -> tuple[GenerateRequest, Target]:
        """The request and its place in the scene. Raises UserError for anything that the user can have got wrong."""
        settings = context.scene.headsculpt
        head = chosen(self, context)
        options = preferences()
        request = GenerateRequest(
            prompt=self.setting(settings, "prompt"),
            negative_prompt=self.setting(settings, "negative_prompt"),
            seed=self.setting(settings, "seed"),
            preset=self.setting(settings, "preset").lower(),
            head=chosen_head(head, context.evaluated_depsgraph_get()) if head else None,
            threads=options.threads or None,
            device=options.device.lower(),
            **models.chosen_model(options),
        )
        return request, scene.target_of(head, context)

    def setting(self, settings: bpy.types.PropertyGroup, name: str) -> Any:
        return getattr(self if self.properties.is_property_set(name) else settings, name)


def chosen(operator: bpy.types.Operator, context: bpy.types.Context) -> bpy.types.Object | None:
    """The object to start from: the one that the operator's `head` names, else the panel's. Raises UserError when it is
    not in the scene: a deleted one stays in its field."""
    head = context.scene.headsculpt.head
    name = operator.head if operator.properties.is_property_set("head") else head.name if head else ""
    if name and name not in context.scene.objects:
        raise UserError(f"There is no object “{name}” in the scene.", "Choose another head shape, or none.")
    return context.scene.objects[name] if name else None


class HEADSCULPT_OT_place_result(bpy.types.Operator):
    """Put the finished head into the scene: the one undoable step of a job"""

    bl_idname = "headsculpt.place_result"
    bl_label = "HeadSculpt Head"
    bl_options: ClassVar = {"UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return pump.session.phase is Phase.READY

    def execute(self, context: bpy.types.Context) -> set[str]:
        session = pump.session
        if not session.job or not session.result:
            return {"CANCELLED"}
        try:
            if isinstance(session.job.request, FlameRequest):
                flame.place_head(session.job, session.result, context)
            elif isinstance(session.job.request, RegisterRequest):
                landmarks.take_result(session.job, session.result)
                landmark_view.redraw(context)
            else:
                scene.place_result(session.job, session.result, context)
        except ProtocolError as error:
            session.fail(broken(error))
            return {"CANCELLED"}
        except UserError as error:
            session.fail(Card(error.message, error.advice))
            return {"CANCELLED"}
        session.finish()
        return {"FINISHED"}


class HEADSCULPT_OT_stop(bpy.types.Operator):
    """Stop growing and finish the head as it is now"""

    bl_idname = "headsculpt.stop"
    bl_label = "Stop and Keep"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return pump.session.can_stop

    def execute(self, context: bpy.types.Context) -> set[str]:
        pump.session.stop()
        return {"FINISHED"}


class HEADSCULPT_OT_cancel(bpy.types.Operator):
    """Give this head up and leave the scene as it was"""

    bl_idname = "headsculpt.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return pump.session.busy and pump.session.phase is not Phase.CANCELLING

    def execute(self, context: bpy.types.Context) -> set[str]:
        pump.session.cancel()
        return {"FINISHED"}


class HEADSCULPT_OT_copy_error(bpy.types.Operator):
    """Copy the error with its log, to send it to somebody"""

    bl_idname = "headsculpt.copy_error"
    bl_label = "Copy"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return pump.session.card is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        if card := pump.session.card:
            context.window_manager.clipboard = card.text()
        return {"FINISHED"}


class HEADSCULPT_OT_dismiss_error(bpy.types.Operator):
    """Remove this message"""

    bl_idname = "headsculpt.dismiss_error"
    bl_label = "Dismiss"

    def execute(self, context: bpy.types.Context) -> set[str]:
        pump.session.card = None
        return {"FINISHED"}


CLASSES = (
    HEADSCULPT_OT_generate,
    HEADSCULPT_OT_place_result,
    HEADSCULPT_OT_stop,
    HEADSCULPT_OT_cancel,
    HEADSCULPT_OT_copy_error,
    HEADSCULPT_OT_dismiss_error,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
