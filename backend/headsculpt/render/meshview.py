# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a mesh as arrays: for turntables, documents and the pocket pack's training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, DTypeLike, NDArray

from headsculpt.mesh import Mesh, TexturedMesh
from headsculpt.render.camera import Camera
from headsculpt.render.raster import array, interpolate_kernel, rasterize_kernel
from headsculpt.render.shading import area_vectors_kernel, corner_tangents

KEY_LIGHT = (-0.42, 0.52, 0.74)
"""Over the camera's left shoulder: a direction in the camera's frame."""
CLAY = 0.7
"""The grey of a mesh without colours."""


@njit(cache=True, error_model="numpy")
def texture_kernel(texture, corner_uv, ids, bary, out):  # type: ignore[no-untyped-def]
    """Fill out f32 [H, W, 3] with the texture u8 [S, S, 3], sampled bilinearly, in [0, 1]."""
    rows, columns = texture.shape[:2]
    for row in range(ids.shape[0]):
        for column in range(ids.shape[1]):
            t = ids[row, column]
            if t < 0:
                continue
            u, v = np.float32(0), np.float32(0)
            for corner in range(3):
                u += bary[row, column, corner] * corner_uv[t, corner, 0]
                v += bary[row, column, corner] * corner_uv[t, corner, 1]
            x = min(max(u * columns - 0.5, 0.0), columns - 1.0)
            y = min(max((1 - v) * rows - 0.5, 0.0), rows - 1.0)
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            fx, fy = x - x0, y - y0
            for c in range(3):
                upper = (1 - fx) * texture[y0, x0, c] + fx * texture[y0, x1, c]
                lower = (1 - fx) * texture[y1, x0, c] + fx * texture[y1, x1, c]
                out[row, column, c] = ((1 - fy) * upper + fy * lower) / 255


@njit(cache=True, error_model="numpy")
def normal_map_kernel(detail, tangents, ids, bary, normals):  # type: ignore[no-untyped-def]
    """Bend normals f32 [H, W, 3] by the normal map's colours, detail f32 [H, W, 3], in frames of `corner_tangents`."""
    for row in range(ids.shape[0]):
        for column in range(ids.shape[1]):
            t = ids[row, column]
            if t < 0:
                continue
            tx, ty, tz = np.float32(0), np.float32(0), np.float32(0)
            for corner in range(3):
                weight = bary[row, column, corner]
                tx += weight * tangents[t, corner, 0]
                ty += weight * tangents[t, corner, 1]
                tz += weight * tangents[t, corner, 2]
            nx, ny, nz = normals[row, column, 0], normals[row, column, 1], normals[row, column, 2]
            sign = tangents[t, 0, 3]
            bx, by, bz = sign * (ny * tz - nz * ty), sign * (nz * tx - nx * tz), sign * (nx * ty - ny * tx)
            x, y, z = 2 * detail[row, column, 0] - 1, 2 * detail[row, column, 1] - 1, 2 * detail[row, column, 2] - 1
            normals[row, column, 0] = x * tx + y * bx + z * nx
            normals[row, column, 1] = x * ty + y * by + z * ny
            normals[row, column, 2] = x * tz + y * bz + z * nz


@njit(cache=True, error_model="numpy")
def resolve_kernel(ids, albedo, normals, light, ambient, background, out):  # type: ignore[no-untyped-def]
    """Light the samples as `shading.shade` does and average them into the pixels of out u8 [H, W, 3]."""
    height, width = out.shape[:2]
    side = ids.shape[0] // height
    for row in range(height):
        for column in range(width):
            red, green, blue = 0.0, 0.0, 0.0
            for y in range(row * side, (row + 1) * side):
                for x in range(column * side, (column + 1) * side):
                    if ids[y, x] < 0:
                        red, green, blue = red + background[0], green + background[1], blue + background[2]
                        continue
                    nx, ny, nz = normals[y, x, 0], normals[y, x, 1], normals[y, x, 2]
                    length = np.sqrt(nx * nx + ny * ny + nz * nz)
                    lambert = (nx * light[0] + ny * light[1] + nz * light[2]) / max(length, 1e-10)
                    share = ambient + (1 - ambient) * max(0.0, lambert)
                    red += share * albedo[y, x, 0]
                    green += share * albedo[y, x, 1]
                    blue += share * albedo[y, x, 2]
            for c, value in enumerate((red, green, blue)):
                out[row, column, c] = int(min(max(value / (side * side), 0.0), 1.0) * 255 + 0.5)


def picture(
    mesh: Mesh | TexturedMesh,
    camera: Camera,
    light: ArrayLike | None = None,
    ambient: ArrayLike = 0.35,
    background: ArrayLike = (0.5, 0.5, 0.5),
    supersampling: int = 2,
) -> NDArray[np.uint8]:
    """The mesh, lit by `shading.shade`'s law, from each camera: uint8 [B, H, W, 3].

    light: [3] or [B, 3], towards the light in the world; by default `KEY_LIGHT`, which goes along with the camera.
    ambient: a number or [B]. background: [3] or [B, 3], sRGB in [0, 1]. Each pixel is the mean of supersampling²
    samples. A mesh without colours is grey; a textured mesh shows its base colour and its normal map.
    """
    if light is None:
        light = np.asarray(KEY_LIGHT) @ array(camera.rotation)
    lights = np.broadcast_to(np.asarray(light, np.float64), (len(camera), 3))
    lights = lights / np.linalg.norm(lights, axis=1, keepdims=True)
    ambients = np.broadcast_to(np.asarray(ambient, np.float64), len(camera))
    backgrounds = np.broadcast_to(np.asarray(background, np.float64), (len(camera), 3))
    surface = _Surface(mesh)
    out = np.empty((len(camera), camera.height, camera.width, 3), np.uint8)
    for view, (ids, bary) in enumerate(surface.seen_from(camera, supersampling)):
        samples = surface.albedo(ids, bary), surface.normals(ids, bary)
        resolve_kernel(ids, *samples, lights[view].copy(), ambients[view], backgrounds[view].copy(), out[view])
    return out


def normal_picture(
    mesh: Mesh | TexturedMesh, camera: Camera, frame: str = "camera", supersampling: int = 2
) -> NDArray[np.uint8]:
    """The mesh's normals as colours (n + 1) / 2, in the frame "camera" or "world", on grey: uint8 [B, H, W, 3]."""
    if frame not in ("camera", "world"):
        raise ValueError(f"frame must be 'camera' or 'world', not {frame!r}")
    rotations = array(camera.rotation) if frame == "camera" else np.broadcast_to(np.eye(3), (len(camera), 3, 3))
    surface = _Surface(mesh)
    out = np.empty((len(camera), camera.height, camera.width, 3), np.uint8)
    for view, (ids, bary) in enumerate(surface.seen_from(camera, supersampling)):
        normals = surface.normals(ids, bary) @ rotations[view].T.astype(np.float32)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        colors = 0.5 + 0.5 * normals / np.maximum(length, 1e-10)
        resolve_kernel(ids, colors, normals, np.zeros(3), 1.0, np.full(3, 0.5), out[view])
    return out


class _Surface:
    """A mesh made ready for the kernels: what its samples look like."""

    def __init__(self, mesh: Mesh | TexturedMesh) -> None:
        self.vertices = _plain(mesh.vertices, np.float32)
        self.triangles = _plain(mesh.triangles, np.int32)
        self.textured = mesh if isinstance(mesh, TexturedMesh) else None
        if isinstance(mesh, TexturedMesh):
            self.vertex_normals = _plain(mesh.normals, np.float32)
            self.corner_uv = _plain(mesh.corner_uv, np.float32)
            self.base_color = _plain(mesh.base_color, np.uint8)
            self.normal_map = _plain(mesh.normal_map, np.uint8)
            self.tangents = corner_tangents(self.vertices, self.triangles, self.vertex_normals, self.corner_uv)
        else:
            sums = np.empty_like(self.vertices)
            area_vectors_kernel(self.vertices, self.triangles, sums)
            self.vertex_normals = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-10)
            colors = np.full_like(self.vertices, CLAY) if mesh.colors is None else mesh.colors
            self.colors = _plain(colors, np.float32)

    def seen_from(self, camera: Camera, supersampling: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Triangle ids and barycentric coordinates of the samples, for each view."""
        pixels, depth = camera.resized(camera.height * supersampling).project(torch.from_numpy(self.vertices))
        shape = camera.height * supersampling, camera.width * supersampling
        for view in range(len(camera)):
            ids, bary = np.empty(shape, np.int32), np.empty((*shape, 3), np.float32)
            rasterize_kernel(array(pixels[view].float()), array(depth[view].float()), self.triangles, ids, bary)
            yield ids, bary

    def albedo(self, ids: NDArray[np.int32], bary: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty((*ids.shape, 3), np.float32)
        if self.textured:
            texture_kernel(self.base_color, self.corner_uv, ids, bary, out)
        else:
            interpolate_kernel(self.colors, self.triangles, ids, bary, out)
        return out

    def normals(self, ids: NDArray[np.int32], bary: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty((*ids.shape, 3), np.float32)
        interpolate_kernel(self.vertex_normals, self.triangles, ids, bary, out)
        if self.textured:
            detail = np.empty_like(out)
            texture_kernel(self.normal_map, self.corner_uv, ids, bary, detail)
            normal_map_kernel(detail, self.tangents, ids, bary, out)
        return out


def _plain(values: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """Contiguous and writable: numba compiles a kernel anew for an array that is read-only or strided."""
    return np.require(values, dtype, ["C", "W"])
