# SPDX-License-Identifier: GPL-3.0-or-later
"""A FLAME head in the scene: what is asked of the worker, which reads the file, and what is built of its answer."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from . import scene
from .backend.headsculpt.errors import UserError
from .backend.headsculpt.head.flame.licences import Version, version_of
from .backend.headsculpt.jobs.flame_request import FlameRequest
from .backend.headsculpt.protocol import Frame, ProtocolError
from .head import IDENTITY_LIMIT, add_key, plain_material
from .preferences import preferences
from .session import Job

MATERIALS = (("FLAME Skin", (0.89, 0.73, 0.65), 0.5), ("FLAME Eyes", (0.91, 0.90, 0.88), 0.1))
"""Name, sRGB colour, roughness."""


def request() -> FlameRequest:
    """For the file in the preferences. Raises UserError when there is none."""
    options = preferences()
    if not options.flame_file:
        raise UserError("HeadSculpt does not know where your FLAME file is.", "Set it in the add-on's preferences.")
    cache = Path(bpy.utils.extension_path_user(__package__, path="flame", create=True))
    sliders = options.flame_sliders
    return FlameRequest(Path(bpy.path.abspath(options.flame_file)), cache, sliders, sliders)


def place_head(job: Job, frame: Frame, context: bpy.types.Context) -> bpy.types.Object:
    """The FLAME head with its sliders, where the job was asked for, as the head to start from.

    Raises UserError when it is not known which FLAME it is, ProtocolError for a frame that is no head.
    """
    arrays = read_arrays(frame)
    report = frame.fields.get("report")
    stated = str(report.get("version", "")) if isinstance(report, dict) else ""
    version = version_of(stated) or chosen_version()
    mesh = bpy.data.meshes.new("FLAME")
    scene.fill_mesh(mesh, scene.to_z_up(arrays["vertices"]), arrays["triangles"])
    for name, srgb, roughness in MATERIALS:
        mesh.materials.append(plain_material(name, srgb, roughness))
    mesh.polygons.foreach_set("material_index", arrays["eyeballs"][arrays["triangles"][:, 0]].astype(np.int32))
    mesh.validate()
    obj = bpy.data.objects.new("FLAME", mesh)
    add_keys(obj, arrays)
    scene.stand_at(obj, job.target)
    obj["headsculpt_flame"] = version.name
    obj["headsculpt_flame_licence"] = version.licence
    place, layer = scene.scene_and_layer(job.target.scene, context)
    scene.home_of(None, place, layer).objects.link(obj)
    scene.select_only(layer, obj)
    place.headsculpt.head = obj
    return obj


def read_arrays(frame: Frame) -> scene.Arrays:
    """The answer's arrays, checked."""
    count = frame.arrays["vertices"].shape[:1] if "vertices" in frame.arrays else ()
    each = {name: ("float32", (*count, 3)) for name in ("shape", "expression")}
    surface = {"vertices": ("float32", (3,)), "triangles": ("int32", (3,))}
    arrays = scene.read_arrays(frame, {**surface, **each, "jaw": ("float32", (3,)), "eyeballs": ("uint8", ())})
    if not len(arrays["vertices"]) == len(arrays["jaw"]) == len(arrays["eyeballs"]):
        raise ProtocolError("a FLAME head came with a jaw or eyeballs of another one")
    return arrays


def chosen_version() -> Version:
    """What the user has said that her file is. Raises UserError when she has not."""
    version = version_of(preferences().flame_version)
    if version is None:
        raise UserError(
            "Your FLAME file does not say which version it is, and what you may do with the heads depends on that.",
            "Choose its version in the add-on's preferences.",
        )
    return version


def add_keys(obj: bpy.types.Object, arrays: scene.Arrays) -> None:
    """Shape keys: Basis, Shape1 … in standard deviations, Jaw from 0 to 1, Exp1 … in standard deviations."""
    rest = arrays["vertices"]
    obj.shape_key_add(name="Basis")
    add_numbered(obj, "Shape", rest, arrays["shape"])
    add_key(obj, "Jaw", rest + arrays["jaw"])
    add_numbered(obj, "Exp", rest, arrays["expression"])


def add_numbered(obj: bpy.types.Object, name: str, rest: NDArray[np.float32], offsets: NDArray[np.float32]) -> None:
    for number, offset in enumerate(offsets, 1):
        key = add_key(obj, f"{name}{number}", rest + offset)
        key.slider_min, key.slider_max = -IDENTITY_LIMIT, IDENTITY_LIMIT
