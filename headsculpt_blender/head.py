# SPDX-License-Identifier: GPL-3.0-or-later
"""The head to start from: puts the built-in one into the scene, moves its shape keys, reads how a chosen one stands."""

from __future__ import annotations

import re

import bpy
import numpy as np
from numpy.typing import NDArray

from . import landmarks
from .backend.headsculpt.errors import UserError
from .backend.headsculpt.head.builtin import load_builtin
from .backend.headsculpt.head.model import Head, HeadModel
from .backend.headsculpt.jobs.request import HeadShape
from .scene import linear, new_material, principled, select_only, to_y_up, to_z_up
from .surface import evaluated_surface, standing

IDENTITY = "Identity "
"""What the names of the identity keys begin with; their number in the model, from 1, follows."""
IDENTITY_KEYS = 20
"""The first components carry 95 % of what tells the model's heads apart; the others move less than 2.5 mm."""
IDENTITY_LIMIT = 3.0
"""Standard deviations: beyond, no head is somebody's."""
FLAME_IDENTITY = re.compile(r"Shape\d+")
FLAME_EXPRESSION = re.compile(r"Jaw|Exp\d+")
"""What the keys of FLAME heads are called, ours and those of FLAME's own add-on."""

PARTS = (
    # material, masks that say where it lies (the last one of the list wins), sRGB colour, roughness
    ("Skin", (), (0.89, 0.73, 0.65), 0.5),
    ("Mouth", ("mouth_bag", "gums", "tongue"), (0.66, 0.35, 0.34), 0.35),
    ("Teeth", ("teeth",), (0.91, 0.88, 0.81), 0.25),
    ("Eyes", ("eyeballs",), (0.91, 0.90, 0.88), 0.1),
    ("Irises", ("iris",), (0.36, 0.27, 0.19), 0.1),
    ("Pupils", ("pupil",), (0.02, 0.02, 0.02), 0.1),
)


# --- the built-in head in the scene ---------------------------------------------------------------------------------


def add_builtin_head(context: bpy.types.Context) -> bpy.types.Object:
    """The built-in head at the 3D cursor, in metres, facing −y, with its identities and expressions as shape keys."""
    model = load_builtin()
    obj = bpy.data.objects.new("Head", builtin_mesh(model))
    add_keys(obj, model)
    obj.location = context.scene.cursor.location
    context.collection.objects.link(obj)
    select_only(context.view_layer, obj)
    return obj


def builtin_mesh(model: HeadModel) -> bpy.types.Mesh:
    """Quads with UVs and a material for each part."""
    mesh = bpy.data.meshes.new("Head")
    corner = np.ones(model.quads.shape, bool)
    corner[:, 3] = model.quads[:, 2] != model.quads[:, 3]  # a triangle repeats its last index
    faces = [face[:size] for face, size in zip(model.quads.tolist(), corner.sum(1).tolist(), strict=True)]
    mesh.from_pydata(to_z_up(model.vertices), [], faces)
    mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", model.uv[model.quad_uv[corner]].reshape(-1))
    for name, _, srgb, roughness in PARTS:
        mesh.materials.append(plain_material(f"Head {name}", srgb, roughness))
    mesh.polygons.foreach_set("material_index", face_parts(model))
    mesh.shade_smooth()
    return mesh


def face_parts(model: HeadModel) -> NDArray[np.int32]:
    """For each quad the row of PARTS that it is made of, int32 [Q]."""
    parts = np.zeros(len(model.quads), np.int32)
    for number, (_, masks, _, _) in enumerate(PARTS):
        for name in masks:
            parts[model.masks[name][model.quads].min(1) > 0.5] = number
    return parts


def plain_material(name: str, srgb: tuple[float, float, float], roughness: float) -> bpy.types.Material:
    """A Principled material of one colour, which solid shading shows too."""
    material = new_material(name)
    color = (*linear(np.array(srgb)).tolist(), 1.0)
    shader = principled(material)
    shader.inputs["Base Color"].default_value = material.diffuse_color = color
    shader.inputs["Roughness"].default_value = material.roughness = roughness
    return material


def add_keys(obj: bpy.types.Object, model: HeadModel) -> None:
    """Shape keys: Basis, Identity 1 … in standard deviations, then the expressions by Apple's names from 0 to 1."""
    obj.shape_key_add(name="Basis")
    for number, offset in enumerate(model.identity[:IDENTITY_KEYS], 1):
        key = add_key(obj, f"{IDENTITY}{number}", model.vertices + offset)
        key.slider_min, key.slider_max = -IDENTITY_LIMIT, IDENTITY_LIMIT
    for name, offset in zip(model.expression_names, model.expression, strict=True):
        add_key(obj, name, model.vertices + offset)


def add_key(obj: bpy.types.Object, name: str, vertices: NDArray[np.float32]) -> bpy.types.ShapeKey:
    """A shape key with these vertices [V, 3], y up, and the value 0."""
    key = obj.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", to_z_up(vertices).reshape(-1))
    key.value = 0.0
    return key


# --- a head's shape keys --------------------------------------------------------------------------------------------


def identity_keys(obj: bpy.types.Object | None) -> list[bpy.types.ShapeKey]:
    """Those that make it somebody, in standard deviations: the built-in head's or FLAME's."""
    return [key for key in keys_of(obj) if key.name.startswith(IDENTITY) or FLAME_IDENTITY.fullmatch(key.name)]


def expression_keys(obj: bpy.types.Object | None) -> list[bpy.types.ShapeKey]:
    names = set(load_builtin().expression_names)
    return [key for key in keys_of(obj) if key.name in names or FLAME_EXPRESSION.fullmatch(key.name)]


def keys_of(obj: bpy.types.Object | None) -> list[bpy.types.ShapeKey]:
    keys = obj.data.shape_keys if obj and obj.type == "MESH" else None
    return list(keys.key_blocks) if keys else []


def randomize(obj: bpy.types.Object, seed: int, strength: float) -> None:
    """Sets the identity keys to somebody drawn from the model: normally distributed, strength times as far."""
    keys = identity_keys(obj)
    values = strength * np.random.default_rng(seed).standard_normal(len(keys))
    for key, value in zip(keys, values.tolist(), strict=True):
        key.value = value


def reset(keys: list[bpy.types.ShapeKey]) -> None:
    for key in keys:
        key.value = 0.0


# --- how a chosen head stands ---------------------------------------------------------------------------------------


def chosen_head(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> HeadShape:
    """The object as it stands, with its shape keys, bones and modifiers, turned y-up.

    Its coordinates are those of `scene.target_of`: the object's own, but stretched where its scale, or its parents',
    stretches it, so that the head has the proportions that are seen. Any mesh will do; one that has not the built-in
    head's vertices and faces brings its triangles along, and its landmarks where they are known. Raises UserError for
    what is no mesh or has no surface.
    """
    if obj.type != "MESH":
        raise UserError(f"“{obj.name}” is not a mesh.", "Choose a mesh object, or none for the built-in head.")
    _, stretch = standing(obj, depsgraph)
    surface = evaluated_surface(obj, depsgraph)
    vertices = to_y_up((surface.vertices @ stretch.T).astype(np.float32))
    if is_builtin(surface.topology):
        shape = HeadShape(obj.name, vertices)
        Head.from_vertices(load_builtin(), shape.vertices)
        return shape
    known = landmarks.current(obj, surface.topology)
    return HeadShape(obj.name, vertices, surface.triangles, landmarks.on_triangles(known, surface) if known else None)


def is_builtin(topology: str) -> bool:
    """Whether a mesh has the built-in head's vertices, by its topology: their landmarks are known."""
    model = load_builtin()
    return topology.split()[:2] == [str(len(model.vertices)), str(len(model.triangles))]
