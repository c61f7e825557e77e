# SPDX-License-Identifier: GPL-3.0-or-later
"""The finish as one step: surface and colours in, textured mesh out."""

from __future__ import annotations

from collections.abc import Sequence

from headsculpt.finish.bake import Colors, angle_normals, bake
from headsculpt.finish.clean import clean, cut_below, decimate
from headsculpt.finish.detail import restore_detail
from headsculpt.finish.unwrap import unwrap
from headsculpt.mesh import Mesh, TexturedMesh

NECK = -0.44
"""Height, in head space, at which a bust is cut flat: below, chosen heads end in ragged rims."""
_SLIVERS = 0.7
"""An extracted surface is always thinned to this share of its triangles: the first to go are the degenerate ones."""


def finish(
    surface: Mesh, color_at: Colors, triangles: int, texture: int, head: Sequence[Mesh] = (), cell: float = 0.0
) -> TexturedMesh:
    """The largest piece of a surface as a closed mesh with UVs, base colour and a normal map of what was thinned out.

    surface: in head space, the face along +z; color_at: its colours, see `bake.Colors`; triangles: of the result at
    most; texture: its side in texels; head: the chosen head as closed pieces, whose details are restored on a grid of
    this cell size where the surface follows it. Raises UserError when there is no surface.
    """
    if head:
        surface = restore_detail(clean(surface), head, cell)
    detail = clean(cut_below(surface, NECK))
    mesh = decimate(detail, min(triangles, int(_SLIVERS * len(detail.triangles))))
    normals = angle_normals(mesh)
    corner_uv = unwrap(mesh, texture)
    base_color, normal_map = bake(mesh, normals, corner_uv, detail, color_at, texture)
    return TexturedMesh(mesh.vertices, mesh.triangles, normals, corner_uv, base_color, normal_map)
