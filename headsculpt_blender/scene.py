# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's data: plain functions that show the growing head and build the finished one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from .backend.headsculpt.protocol import Array, Frame, ProtocolError
from .session import Job, Target
from .surface import standing

PREVIEW_MARK = "headsculpt_preview"
"""Custom property of a preview object: the key of the job that it belongs to."""
PREVIEW_MATERIAL = "HeadSculpt preview"
COLOR = "Color"
NAME_LENGTH = 40
MIRROR = Matrix.Diagonal((-1, 1, 1, 1))

Arrays = dict[str, NDArray[Any]]


# --- coordinates and arrays -----------------------------------------------------------------------------------------


def to_y_up(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blender's z-up axes [..., 3] to the worker's y-up."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def to_z_up(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The worker's y-up axes [..., 3] to Blender's z-up."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def as_numpy(array: Array) -> NDArray[Any]:
    return np.frombuffer(array.data, np.dtype(array.dtype).newbyteorder("<")).reshape(array.shape)


def checked_arrays(frame: Frame, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> Arrays:
    """A frame's arrays by name. shapes: type and trailing dimensions. Raises ProtocolError for anything else."""
    arrays = {}
    for name, (dtype, trailing) in shapes.items():
        array = frame.arrays.get(name)
        if array is None or array.dtype != dtype or array.shape[1:] != trailing or not array.shape:
            raise ProtocolError(f"a {frame.type} came without valid {name}")
        arrays[name] = as_numpy(array)
    return arrays


def read_arrays(frame: Frame, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> Arrays:
    """As `checked_arrays`, for a mesh: Blender crashes on one whose indices lead nowhere."""
    arrays = checked_arrays(frame, shapes)
    vertices, triangles = arrays["vertices"], arrays["triangles"]
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ProtocolError(f"a {frame.type} came with triangles that lead nowhere")
    if not np.isfinite(vertices).all():
        raise ProtocolError(f"a {frame.type} came with vertices at no finite place")
    return arrays


# --- the growing head -----------------------------------------------------------------------------------------------


def target_of(head: bpy.types.Object | None, context: bpy.types.Context) -> Target:
    """Where the result will stand: where the chosen head stands now, or at the 3D cursor."""
    if head:
        matrix, _ = standing(head, context.evaluated_depsgraph_get())
    else:
        matrix = Matrix.Translation(context.scene.cursor.location)
    rows = tuple(tuple(map(float, row)) for row in matrix)
    return Target(context.scene.session_uid, head.session_uid if head else 0, head.name if head else "", rows)


def show_preview(job: Job, frame: Frame) -> None:
    """Makes the job's preview object, or gives the one there is its new surface in place."""
    arrays = read_arrays(
        frame, {"vertices": ("float32", (3,)), "triangles": ("int32", (3,)), "colors": ("uint8", (3,))}
    )
    if len(arrays["colors"]) != len(arrays["vertices"]):
        raise ProtocolError("a preview came with as many colours as it has no vertices")
    scene = numbered(bpy.data.scenes, job.target.scene)
    if scene is None:
        return  # deleted, or undone to before it was made: the result will find a scene of its own
    obj = find_preview(job.key)
    if obj is None:
        name = f"{short_name(job.request.prompt)} (growing)"
        obj = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        obj[PREVIEW_MARK] = job.key
        obj.data.materials.append(preview_material())
        obj.show_in_front = True  # the chosen head stands in the same place
        obj.hide_select = True  # in edit mode it could not grow
        obj.hide_render = True
        scene.collection.objects.link(obj)
    fill_mesh(obj.data, to_z_up(arrays["vertices"]), arrays["triangles"])
    stand_at(obj, job.target)
    paint(obj.data, arrays["colors"])
    job.color = (*linear(arrays["colors"].mean(0) / 255).tolist(), 1.0)
    if obj.active_material:
        obj.active_material.diffuse_color = job.color


def paint(mesh: bpy.types.Mesh, colors: NDArray[np.uint8]) -> None:
    """Sets the colours by vertex: uint8 sRGB [V, 3]."""
    layer = mesh.color_attributes.get(COLOR) or mesh.color_attributes.new(COLOR, "BYTE_COLOR", "POINT")
    rgba = np.ones((len(colors), 4), np.float32)
    rgba[:, :3] = colors / np.float32(255)
    layer.data.foreach_set("color_srgb", rgba.reshape(-1))
    mesh.color_attributes.active_color = layer
    mesh.color_attributes.render_color_index = mesh.color_attributes.find(COLOR)
    mesh.update()


def preview_material() -> bpy.types.Material:
    """Shows the colours by vertex. Made anew for each preview and removed with it."""
    material = new_material(PREVIEW_MATERIAL)
    tree = material.node_tree
    attribute = tree.nodes.new("ShaderNodeVertexColor")
    attribute.layer_name = COLOR
    attribute.location = (-300, 200)
    tree.links.new(attribute.outputs["Color"], principled(material).inputs["Base Color"])
    return material


def find_preview(key: str) -> bpy.types.Object | None:
    return next((obj for obj in bpy.data.objects if obj.get(PREVIEW_MARK) == key), None)


def remove_previews(keep: str = "") -> None:
    """Removes every preview object but that of the job with this key, with all that belongs to it.

    There can be some of earlier jobs: an undo brings back what stood in the scene when its step was made.
    """
    for obj in [obj for obj in bpy.data.objects if obj.get(PREVIEW_MARK, keep) != keep]:
        mesh = obj.data
        materials = [material for material in mesh.materials if material]
        bpy.data.objects.remove(obj)
        bpy.data.meshes.remove(mesh)
        for material in materials:
            if material.users == 0:
                bpy.data.materials.remove(material)


# --- the finished head ----------------------------------------------------------------------------------------------


def place_result(job: Job, frame: Frame, context: bpy.types.Context) -> bpy.types.Object:
    """Removes the preview, builds the finished object where the chosen head stood, which it hides, and selects it."""
    shapes = {
        "vertices": ("float32", (3,)),
        "triangles": ("int32", (3,)),
        "normals": ("float32", (3,)),
        "corner_uv": ("float32", (3, 2)),
        "base_color": ("uint8", ()),
        "normal_map": ("uint8", ()),
    }
    arrays = read_arrays(frame, shapes)
    if len(arrays["corner_uv"]) != len(arrays["triangles"]):
        raise ProtocolError("a result came with UVs for other triangles")
    remove_previews()
    name = short_name(job.request.prompt)
    mesh = bpy.data.meshes.new(name)
    fill_mesh(mesh, to_z_up(arrays["vertices"]), arrays["triangles"])
    mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", arrays["corner_uv"].reshape(-1))
    mesh.materials.append(textured_material(name, arrays["base_color"].tobytes(), arrays["normal_map"].tobytes()))
    mesh.materials[0].diffuse_color = job.color
    mesh.validate()
    obj = bpy.data.objects.new(name, mesh)
    stand_at(obj, job.target)
    mark_provenance(obj, job, frame.fields.get("report"))
    scene, layer = scene_and_layer(job.target.scene, context)
    head = numbered(layer.objects, job.target.head)
    home_of(head, scene, layer).objects.link(obj)
    if head:
        head.hide_set(True, view_layer=layer)
        head.hide_render = True
    select_only(layer, obj)
    return obj


def fill_mesh(mesh: bpy.types.Mesh, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> None:
    """Gives a mesh a new surface, smooth. vertices: [V, 3] z-up; triangles: [T, 3]."""
    mesh.clear_geometry()
    count = len(triangles)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, np.float32).reshape(-1))
    mesh.loops.add(count * 3)
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(triangles, np.int32).reshape(-1))
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, count * 3, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()


def stand_at(obj: bpy.types.Object, target: Target) -> None:
    """Gives an object the target's place in the world. Where that is mirrored the mesh itself becomes its mirror image:
    an object with a negative scale turns inside out at the next program."""
    matrix = Matrix(target.matrix)
    if matrix.determinant() < 0:
        obj.data.transform(MIRROR)
        obj.data.flip_normals()
        matrix = matrix @ MIRROR
    obj.matrix_world = matrix


def textured_material(name: str, base_color: bytes, normal_map: bytes) -> bpy.types.Material:
    """A Principled material. base_color, normal_map: PNG files, packed into the .blend as they are."""
    material = new_material(name)
    tree = material.node_tree
    shader = principled(material)
    shader.inputs["Roughness"].default_value = 0.6
    color = tree.nodes.new("ShaderNodeTexImage")
    color.image = packed_image(f"{name} color", base_color, is_data=False)
    color.location = (-400, 300)
    normals = tree.nodes.new("ShaderNodeTexImage")
    normals.image = packed_image(f"{name} normal", normal_map, is_data=True)
    normals.location = (-700, -100)
    bump = tree.nodes.new("ShaderNodeNormalMap")
    bump.uv_map = "UVMap"
    bump.location = (-300, -100)
    tree.links.new(color.outputs["Color"], shader.inputs["Base Color"])
    tree.links.new(normals.outputs["Color"], bump.inputs["Color"])
    tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    tree.nodes.active = color  # what solid shading's Texture mode shows, and texture painting paints on
    return material


def packed_image(name: str, png: bytes, is_data: bool) -> bpy.types.Image:
    """An image from a PNG file's bytes; no file is written. is_data: numbers rather than colours."""
    image = bpy.data.images.new(name, 1, 1, is_data=is_data)
    image.source = "FILE"
    image.pack(data=png, data_len=len(png))
    image.colorspace_settings.is_data = is_data
    return image


def new_material(name: str) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):  # from 5.0 on every material has nodes
        material.use_nodes = True
    return material


def principled(material: bpy.types.Material) -> bpy.types.ShaderNode:
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def mark_provenance(obj: bpy.types.Object, job: Job, report: object) -> None:
    """What the object was made from and with, as custom properties: they go along into exported files."""
    facts = dict(report) if isinstance(report, dict) else {}
    facts["blender"] = {
        "version": bpy.app.version_string,
        "seconds": round(time.monotonic() - job.started, 3),
        "first_mesh_seconds": job.first_mesh_seconds and round(job.first_mesh_seconds, 3),
    }
    request = job.request
    obj["AI-generated"] = True
    obj["headsculpt_prompt"] = request.prompt
    if request.negative_prompt:
        obj["headsculpt_negative_prompt"] = request.negative_prompt
    obj["headsculpt_seed"] = request.seed
    obj["headsculpt_preset"] = request.preset
    obj["headsculpt_head"] = job.target.head_name or "built-in"
    obj["headsculpt_pack"] = str(facts.get("pack", ""))
    obj["headsculpt_versions"] = json.dumps(facts.get("versions", {}))
    obj["headsculpt_report"] = json.dumps(facts)


def numbered(things: Iterable[bpy.types.ID], number: int) -> Any:
    """The one with this session_uid, which neither undo nor a new name changes; None when it is gone."""
    return next((thing for thing in things if thing.session_uid == number), None)


def scene_and_layer(number: int, context: bpy.types.Context) -> tuple[bpy.types.Scene, bpy.types.ViewLayer]:
    """The scene of this number and a view layer of it; the current ones when it is gone."""
    scene = numbered(bpy.data.scenes, number) or context.scene
    return scene, context.view_layer if scene == context.scene else scene.view_layers[0]


def home_of(head: bpy.types.Object | None, scene: bpy.types.Scene, layer: bpy.types.ViewLayer) -> bpy.types.Collection:
    """The collection for a result: the chosen head's, else the active one; the scene's own where it would not show."""
    if head:
        candidates = [c for c in scene.collection.children_recursive if head.name in c.objects and not c.library]
        return candidates[0] if candidates else scene.collection
    active = layer.active_layer_collection
    hidden = active.exclude or active.hide_viewport or active.collection.hide_viewport or active.collection.library
    return scene.collection if hidden else active.collection


def select_only(layer: bpy.types.ViewLayer, obj: bpy.types.Object) -> None:
    layer.update()  # else what was removed a moment ago is still listed, as nothing
    for other in layer.objects:
        other.select_set(False, view_layer=layer)
    if obj.name in layer.objects:  # not when its collection is excluded from the layer
        obj.select_set(True, view_layer=layer)
        layer.objects.active = obj


def short_name(prompt: str) -> str:
    """An object's name: the prompt without its article, cut between two words."""
    words = prompt.split()
    if len(words) > 1 and words[0].lower() in ("a", "an", "the"):
        words = words[1:]
    name = words[0][:NAME_LENGTH]
    for word in words[1:]:
        if len(name) + 1 + len(word) > NAME_LENGTH:
            break
        name = f"{name} {word}"
    return name.rstrip(",;.")


def linear(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
