# SPDX-License-Identifier: GPL-3.0-or-later
"""A chosen mesh's landmarks drawn over it in the 3D view, with a handle on those that are worth dragging."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import blf
import bpy
import gpu
import numpy as np
from bpy.app.handlers import persistent
from gpu_extras.batch import batch_for_shader
from numpy.typing import NDArray

from . import landmarks, pump
from .backend.headsculpt.head import landmarks as mediapipe
from .backend.headsculpt.jobs.request import RegisterRequest
from .surface import vertices_of

Floats = NDArray[np.float64]
Color = tuple[float, float, float]

OVAL: Color = (0.25, 0.85, 0.65)
LIPS: Color = (1.0, 0.42, 0.45)
EYES: Color = (0.30, 0.70, 1.0)
BROWS: Color = (1.0, 0.75, 0.25)
NOSE: Color = (0.95, 0.95, 0.95)
INK: Color = (0.05, 0.05, 0.06)
PAPER: Color = (1.0, 1.0, 1.0)

CHAINS = (
    # the landmarks that a line joins, and its colour
    ((*mediapipe.FACE_OVAL, mediapipe.FACE_OVAL[0]), OVAL),
    (mediapipe.LIPS_UPPER_OUTER, LIPS),
    (mediapipe.LIPS_LOWER_OUTER, LIPS),
    (mediapipe.LIPS_UPPER_INNER, LIPS),
    (mediapipe.LIPS_LOWER_INNER, LIPS),
    (mediapipe.RIGHT_EYE_UPPER, EYES),
    (mediapipe.RIGHT_EYE_LOWER, EYES),
    (mediapipe.LEFT_EYE_UPPER, EYES),
    (mediapipe.LEFT_EYE_LOWER, EYES),
    ((*mediapipe.RIGHT_BROW_UPPER, *mediapipe.RIGHT_BROW_LOWER[::-1], mediapipe.RIGHT_BROW_UPPER[0]), BROWS),
    ((*mediapipe.LEFT_BROW_UPPER, *mediapipe.LEFT_BROW_LOWER[::-1], mediapipe.LEFT_BROW_UPPER[0]), BROWS),
)
SEGMENTS = np.array([pair for chain, _ in CHAINS for pair in pairwise(chain)])
SEGMENT_COLORS = np.array([color for chain, color in CHAINS for _ in chain[1:]])


@dataclass(frozen=True)
class Handle:
    """A landmark that can be dragged: what it is called, left and right as the subject has them, and its colour."""

    name: str
    color: Color


HANDLES = {
    mediapipe.FOREHEAD: Handle("Top of the forehead", OVAL),
    54: Handle("Right temple", OVAL),
    284: Handle("Left temple", OVAL),
    234: Handle("Outline before the right ear", OVAL),
    454: Handle("Outline before the left ear", OVAL),
    172: Handle("Right corner of the jaw", OVAL),
    397: Handle("Left corner of the jaw", OVAL),
    mediapipe.CHIN: Handle("Chin", OVAL),
    70: Handle("Right brow, outer end", BROWS),
    105: Handle("Right brow, top", BROWS),
    107: Handle("Right brow, inner end", BROWS),
    336: Handle("Left brow, inner end", BROWS),
    334: Handle("Left brow, top", BROWS),
    300: Handle("Left brow, outer end", BROWS),
    33: Handle("Right eye, outer corner", EYES),
    159: Handle("Right upper lid", EYES),
    145: Handle("Right lower lid", EYES),
    133: Handle("Right eye, inner corner", EYES),
    362: Handle("Left eye, inner corner", EYES),
    386: Handle("Left upper lid", EYES),
    374: Handle("Left lower lid", EYES),
    263: Handle("Left eye, outer corner", EYES),
    mediapipe.RIGHT_PUPIL: Handle("Right pupil", EYES),
    mediapipe.LEFT_PUPIL: Handle("Left pupil", EYES),
    mediapipe.NOSE_TIP: Handle("Tip of the nose", NOSE),
    61: Handle("Right corner of the mouth", LIPS),
    291: Handle("Left corner of the mouth", LIPS),
    0: Handle("Upper lip", LIPS),
    17: Handle("Lower lip", LIPS),
}
INDICES = np.array(list(HANDLES))
HANDLE_COLORS = np.array([handle.color for handle in HANDLES.values()])

LINE, OUTLINE = 2.0, 4.5
"""Pixels at scale 1."""
RADIUS, SMALLEST, LARGEST = 0.016, 2.5, 5.0
"""Of a handle, as a share of the face's height on the screen, and its limits in pixels at scale 1."""
HOVERED, REACH = 1.5, 10.0
"""Pixels at scale 1: how much larger the handle under the mouse is, and how near the mouse has to come."""
LIFT = 0.02
"""How far things are drawn before the surface, as a share of the face's height: lines are straight, it is not."""


@dataclass(frozen=True)
class Shown:
    """What there is to draw. places: [478, 3] in the world; towards: [478, 3], unit, from there to whoever looks;
    height: of the face, from the chin to the forehead."""

    landmarks: landmarks.Landmarks
    places: Floats
    towards: Floats
    height: float

    def lifted(self) -> Floats:
        """Places [478, 3] a little before the surface, seen where they are."""
        return self.places + LIFT * self.height * self.towards


def to_show(context: bpy.types.Context) -> landmarks.Landmarks | None:
    """The chosen head's landmarks; None when there is nothing to see of them."""
    settings, space = context.scene.headsculpt, context.space_data
    head = settings.head
    if not (settings.show_landmarks and head and landmarks.PROPERTY in head and space.overlay.show_overlays):
        return None
    if head.mode == "EDIT" or not head.visible_get() or not head.visible_in_viewport_get(space):
        return None
    return landmarks.current(head, landmarks.seen_topology(head, context.evaluated_depsgraph_get()))


def shown(context: bpy.types.Context) -> Shown | None:
    """They with the places that they have now."""
    found = to_show(context)
    if found is None:
        return None
    evaluated = context.scene.headsculpt.head.evaluated_get(context.evaluated_depsgraph_get())
    matrix = np.array(evaluated.matrix_world)
    places = found.on(vertices_of(evaluated.data)) @ matrix[:3, :3].T + matrix[:3, 3]
    height = float(np.linalg.norm(places[mediapipe.FOREHEAD] - places[mediapipe.CHIN]))
    return Shown(found, places, towards_eye(context, places), height)


def towards_eye(context: bpy.types.Context, places: Floats) -> Floats:
    """Unit directions [N, 3] from places [N, 3] to whoever looks at them."""
    region = context.region_data
    back = np.array(region.view_matrix.inverted())
    if not region.is_perspective:
        return np.tile(back[:3, 2], (len(places), 1))
    offset = back[:3, 3] - places
    return offset / np.linalg.norm(offset, axis=1, keepdims=True)


def on_screen(context: bpy.types.Context, places: Floats) -> Floats:
    """Pixels of the region [N, 2], nan for what is behind the view."""
    clip = np.column_stack([places, np.ones(len(places))]) @ np.array(context.region_data.perspective_matrix).T
    share = np.where(clip[:, 3:] > 0, clip[:, :2] / np.where(clip[:, 3:] > 0, clip[:, 3:], 1), np.nan)
    return (share + 1) / 2 * (context.region.width, context.region.height)


def redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


# --- lines ----------------------------------------------------------------------------------------------------------


def draw_lines() -> None:
    """In the world, over what of the mesh is seen."""
    context = bpy.context
    if not (seen := shown(context)):
        return
    ends = seen.lifted()[SEGMENTS].reshape(-1, 3)
    scale = context.preferences.system.ui_scale
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    writes = gpu.state.depth_mask_get()
    gpu.state.depth_mask_set(False)  # else a line's rim hides the line
    draw_polyline(context, ends, np.tile((*INK, 0.55), (len(ends), 1)), OUTLINE * scale)
    draw_polyline(context, ends, with_alpha(np.repeat(SEGMENT_COLORS, 2, axis=0), 1.0), LINE * scale)
    gpu.state.depth_mask_set(writes)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def draw_polyline(context: bpy.types.Context, ends: Floats, colors: Floats, width: float) -> None:
    """Lines between each two of ends [2N, 3], in colours RGBA [2N, 4], so many pixels wide."""
    shader = gpu.shader.from_builtin("POLYLINE_SMOOTH_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": ends.astype(np.float32), "color": colors.astype(np.float32)})
    shader.uniform_float("viewportSize", (context.region.width, context.region.height))
    shader.uniform_float("lineWidth", width)
    batch.draw(shader)


def with_alpha(colors: Floats, alpha: float) -> Floats:
    return np.column_stack([colors, np.full(len(colors), alpha)])


# --- handles --------------------------------------------------------------------------------------------------------


class HEADSCULPT_GT_landmarks(bpy.types.Gizmo):
    """All handles of a mesh, for the mouse; its parts are numbered as `HANDLES` is. `draw_handles` draws them, also
    while one is dragged."""

    bl_idname = "HEADSCULPT_GT_landmarks"

    def test_select(self, context: bpy.types.Context, location: tuple[int, int]) -> int:
        """The part under the mouse, −1 when there is none."""
        _mouse.over = -1
        if seen := shown(context):
            apart = np.linalg.norm(handle_places(context, seen) - location, axis=1)
            apart[np.isnan(apart)] = np.inf
            if apart.min() < REACH * context.preferences.system.ui_scale:
                _mouse.over = int(apart.argmin())
        return _mouse.over

    def draw(self, context: bpy.types.Context) -> None:
        if not self.is_highlight:
            _mouse.over = -1


@dataclass
class Mouse:
    over: int = -1
    """The handle under the mouse, by its place in `HANDLES`; −1 when there is none."""


_mouse = Mouse()


def handle_places(context: bpy.types.Context, seen: Shown) -> Floats:
    """Pixels of the handles [H, 2], nan for those that the mesh hides."""
    head, depsgraph = context.scene.headsculpt.head, context.evaluated_depsgraph_get()
    to_local = np.array(head.evaluated_get(depsgraph).matrix_world.inverted())
    origins = seen.lifted()[INDICES] @ to_local[:3, :3].T + to_local[:3, 3]
    rays = seen.towards[INDICES] @ to_local[:3, :3].T
    at = on_screen(context, seen.places[INDICES])
    hidden = [head.ray_cast(start, ray, depsgraph=depsgraph)[0] for start, ray in zip(origins, rays, strict=True)]
    at[hidden] = np.nan
    return at


def draw_handles() -> None:
    """Dots with a dark rim; those set by hand have a white one; the one under the mouse is larger and says its name."""
    context = bpy.context
    may_drag = context.mode == "OBJECT" and context.space_data.show_gizmo
    if not (may_drag and (seen := shown(context))):
        return
    at, scale, hovered = handle_places(context, seen), context.preferences.system.ui_scale, _mouse.over
    pixels = np.linalg.norm(np.diff(on_screen(context, seen.places[[mediapipe.FOREHEAD, mediapipe.CHIN]]), axis=0))
    radius = np.full(len(at), np.clip(RADIUS * pixels, SMALLEST * scale, LARGEST * scale))
    fixed = seen.landmarks.fixed[INDICES]
    if hovered >= 0:
        radius[hovered] += HOVERED * scale
    rim = np.where(fixed[:, None], PAPER, INK)
    ink, fill = np.tile((*INK, 0.8), (len(at), 1)), with_alpha(HANDLE_COLORS, 1.0)
    gpu.state.blend_set("ALPHA")
    draw_discs(at, radius + np.where(fixed, 3.5, 1.5) * scale, ink)
    draw_discs(at, radius + np.where(fixed, 2.5, 1.5) * scale, with_alpha(rim, 1.0))
    draw_discs(at, radius, fill)
    gpu.state.blend_set("NONE")
    if hovered >= 0 and np.isfinite(at[hovered]).all():
        draw_name(HANDLES[int(INDICES[hovered])].name, at[hovered] + (radius[hovered] + 6 * scale), scale)


def draw_discs(at: Floats, radius: Floats, colors: Floats) -> None:
    """Discs about pixels [N, 2] with soft edges, in colours RGBA [N, 4]."""
    visible = np.isfinite(at).all(axis=1)
    at, radius, colors = at[visible], radius[visible], colors[visible]
    turn = np.linspace(0, 2 * np.pi, 25)
    circle = np.stack([np.cos(turn), np.sin(turn)], -1)
    inner, outer = (at[:, None] + (radius + edge)[:, None, None] * circle for edge in (-0.5, 0.5))
    middle = np.repeat(at[:, None], len(turn) - 1, axis=1)
    a, b, c, d = inner[:, :-1], inner[:, 1:], outer[:, :-1], outer[:, 1:]
    corners = np.stack([middle, a, b, a, c, b, b, c, d], axis=2)
    alpha = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0])
    rgba = np.broadcast_to(colors[:, None, None], (*corners.shape[:3], 4)).copy()
    rgba[..., 3] *= alpha
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    places = np.concatenate([corners, np.zeros((*corners.shape[:3], 1))], axis=-1).reshape(-1, 3)
    content = {"pos": places.astype(np.float32), "color": rgba.reshape(-1, 4).astype(np.float32)}
    batch_for_shader(shader, "TRIS", content).draw(shader)


def draw_name(text: str, at: Floats, scale: float) -> None:
    blf.size(0, 12 * scale)
    blf.position(0, *at, 0)
    blf.color(0, *PAPER, 1)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, 3, *INK, 1)
    blf.draw(0, text)
    blf.disable(0, blf.SHADOW)


class HEADSCULPT_GGT_landmarks(bpy.types.GizmoGroup):
    bl_idname = "HEADSCULPT_GGT_landmarks"
    bl_label = "Landmarks"
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options: ClassVar = {"PERSISTENT", "SHOW_MODAL_ALL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        job = pump.session.job
        finding = job is not None and isinstance(job.request, RegisterRequest)  # they are about to be replaced
        return context.mode == "OBJECT" and not finding and to_show(context) is not None

    def setup(self, context: bpy.types.Context) -> None:
        gizmo = self.gizmos.new(HEADSCULPT_GT_landmarks.bl_idname)
        for part, index in enumerate(HANDLES):
            gizmo.target_set_operator("headsculpt.drag_landmark", index=part).index = index


# --- registration ---------------------------------------------------------------------------------------------------


@persistent
def on_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    landmarks.on_change(scene, depsgraph)


@persistent
def on_other(*_: object) -> None:
    """After undo, redo, load and a change of frame, which tell less about what has changed."""
    landmarks.on_change(None)


HANDLERS = (
    (bpy.app.handlers.depsgraph_update_post, on_change),
    (bpy.app.handlers.frame_change_post, on_other),
    (bpy.app.handlers.undo_post, on_other),
    (bpy.app.handlers.redo_post, on_other),
    (bpy.app.handlers.load_post, on_other),
)
CLASSES = (HEADSCULPT_GT_landmarks, HEADSCULPT_GGT_landmarks)

_drawing: list[object] = []


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    for handlers, function in HANDLERS:
        handlers.append(function)
    if not bpy.app.background:
        for function, space in ((draw_lines, "POST_VIEW"), (draw_handles, "POST_PIXEL")):
            _drawing.append(bpy.types.SpaceView3D.draw_handler_add(function, (), "WINDOW", space))


def unregister() -> None:
    while _drawing:
        bpy.types.SpaceView3D.draw_handler_remove(_drawing.pop(), "WINDOW")
    for handlers, function in HANDLERS:
        handlers.remove(function)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
