# SPDX-License-Identifier: GPL-3.0-or-later
"""The finish as one step: surface and colours in, textured mesh out."""

from __future__ import annotations

from headsculpt.finish.bake import Colors, angle_normals, bake
from headsculpt.finish.clean import clean, cut_below, decimate
from headsculpt.finish.unwrap import unwrap
from headsculpt.mesh import Mesh, TexturedMesh

NECK = -0.44
"""Height, in head space, at which a bust is cut flat: below, chosen heads end in ragged rims."""
_SLIVERS = 0.7
"""An extracted surface is always thinned to this share of its triangles: the first to go are the degenerate ones."""


def finish(surface: Mesh, color_at: Colors, triangles: int, texture: int) -> TexturedMesh:
    """The largest piece of a surface as a closed mesh with UVs, base colour and a normal map of what was thinned out.

    surface: in head space, the face along +z; color_at: its colours, see `bake.Colors`; triangles: of the result at
    most; texture: its side in texels. Raises UserError when there is no surface.
    """
    detail = clean(cut_below(surface, NECK))
    mesh = decimate(detail, min(triangles, int(_SLIVERS * len(detail.triangles))))
    normals = angle_normals(mesh)
    corner_uv = unwrap(mesh, texture)
    base_color, normal_map = bake(mesh, normals, corner_uv, detail, color_at, texture)
    return TexturedMesh(mesh.vertices, mesh.triangles, normals, corner_uv, base_color, normal_map)
