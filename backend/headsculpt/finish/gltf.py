# SPDX-License-Identifier: GPL-3.0-or-later
"""Textured heads as binary glTF 2.0: y up, metres, the face along +z."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headsculpt import __version__
from headsculpt.mesh import TexturedMesh
from headsculpt.render.shading import corner_tangents

_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963
_LINEAR, _MIPMAPS, _CLAMP = 9729, 9987, 33071


def png(image: NDArray[np.uint8]) -> bytes:
    """A picture [H, W, 3] as a PNG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=4)
    return file.getvalue()


def glb(mesh: TexturedMesh, name: str, provenance: Mapping[str, Any]) -> bytes:
    """The mesh as a .glb file's bytes, with tangents; provenance goes into the extras of asset and node."""
    indices, vertices = _split_at_seams(mesh)
    buffer = _Buffer()
    attributes = {key: buffer.accessor(values, _VERTICES, bounds=key == "POSITION") for key, values in vertices.items()}
    primitive = {
        "attributes": attributes,
        "indices": buffer.accessor(indices.reshape(-1), _INDICES),
        "material": 0,
    }
    images = [
        {"bufferView": buffer.view(png(image)), "mimeType": "image/png", "name": label}
        for label, image in (("base color", mesh.base_color), ("normal", mesh.normal_map))
    ]
    material = {
        "name": name,
        "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.6},
        "normalTexture": {"index": 1},
    }
    sampler = {"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP}
    document = {
        "asset": {"version": "2.0", "generator": f"HeadSculpt {__version__}", "extras": dict(provenance)},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0, "extras": dict(provenance)}],
        "meshes": [{"name": name, "primitives": [primitive]}],
        "materials": [material],
        "textures": [{"sampler": 0, "source": 0}, {"sampler": 0, "source": 1}],
        "samplers": [sampler],
        "images": images,
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.content)}],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.content), b"BIN\0") + buffer.content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def read_glb(path: Path) -> TexturedMesh:
    """A file with one textured mesh, as `glb` or Blender's exporter writes it; the nodes' transforms are applied."""
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    if len(scene.geometry) != 1:
        raise ValueError(f"{path.name} holds {len(scene.geometry)} meshes, not one")
    (node,) = scene.graph.nodes_geometry
    place, name = scene.graph[node]
    mesh = scene.geometry[name]
    textures = mesh.visual.material.baseColorTexture, mesh.visual.material.normalTexture
    normals = mesh.vertex_normals @ np.linalg.inv(place[:3, :3])
    triangles = np.asarray(mesh.faces, np.int32)
    return TexturedMesh(
        (mesh.vertices @ place[:3, :3].T + place[:3, 3]).astype(np.float32),
        triangles,
        (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32),
        np.asarray(mesh.visual.uv, np.float32)[triangles],
        *(np.asarray(image.convert("RGB")) for image in textures),
    )


def _split_at_seams(mesh: TexturedMesh) -> tuple[NDArray[np.uint32], dict[str, NDArray[np.float32]]]:
    """One vertex for each place, UV and tangent: indices [T, 3] and glTF's attributes."""
    tangents = corner_tangents(mesh.vertices, mesh.triangles, mesh.normals, mesh.corner_uv).reshape(-1, 4)
    corner = mesh.triangles.reshape(-1)
    uv = mesh.corner_uv.reshape(-1, 2)
    keys = np.concatenate([corner[:, None], uv, tangents[:, 3:]], axis=1)  # what corner_tangents groups by
    _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    attributes = {
        "POSITION": mesh.vertices[corner[first]],
        "NORMAL": mesh.normals[corner[first]],
        "TANGENT": _usable(tangents[first], mesh.normals[corner[first]]),
        "TEXCOORD_0": uv[first] * (1, -1) + (0, 1),  # glTF's origin is the upper left corner
    }
    return index.reshape(-1, 3).astype(np.uint32), {
        key: np.ascontiguousarray(values, np.float32) for key, values in attributes.items()
    }


def _usable(tangents: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """glTF wants unit tangents, also where the UVs have none: there, any that is square to the normal."""
    broken = ~(np.abs(np.linalg.norm(tangents[:, :3], axis=1) - 1) < 1e-3)
    aside = np.cross(normals[broken], np.eye(3, dtype=np.float32)[np.abs(normals[broken]).argmin(axis=1)])
    tangents[broken, :3] = aside / np.linalg.norm(aside, axis=1, keepdims=True)
    return tangents


class _Buffer:
    """The binary chunk, and what tells a reader what lies where in it."""

    def __init__(self) -> None:
        self.content = b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self.views.append(view if target is None else {**view, "target": target})
        self.content += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1

    def accessor(self, values: NDArray[Any], target: int, bounds: bool = False) -> int:
        accessor = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": _FLOAT if values.dtype == np.float32 else _UINT,
            "count": len(values),
            "type": "SCALAR" if values.ndim == 1 else f"VEC{values.shape[1]}",
        }
        if bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1
