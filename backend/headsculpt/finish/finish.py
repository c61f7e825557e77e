# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of a finished surface: a clean mesh, fewer triangles, textures."""

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


def finish(surface: Mesh, color_at: Colors, triangles: int, texture: int) -> TexturedMesh:
    """`reduced` and `textured` in one."""
    detail = cleaned(surface)
    return textured(reduced(detail, triangles), detail, color_at, texture)


def cleaned(surface: Mesh, head: Sequence[Mesh] = (), cell: float = 0.0) -> Mesh:
    """The largest piece of a surface as a closed mesh, cut at the neck.

    surface: in head space, the face along +z; head: the chosen head as closed pieces, whose details are restored on a
    grid of this cell size where the surface follows it. Raises UserError when there is no surface.
    """
    if head:
        surface = restore_detail(clean(surface), head, cell)
    return clean(cut_below(surface, NECK))


def reduced(detail: Mesh, triangles: int) -> Mesh:
    """The same with so many triangles at most."""
    return decimate(detail, min(triangles, int(_SLIVERS * len(detail.triangles))))


def textured(mesh: Mesh, detail: Mesh, color_at: Colors, texture: int) -> TexturedMesh:
    """The mesh with UVs, base colour and a normal map of what was thinned out of `detail`.

    color_at: the colours of `detail`, see `bake.Colors`; texture: its side in texels.
    """
    normals = angle_normals(mesh)
    corner_uv = unwrap(mesh, texture)
    base_color, normal_map = bake(mesh, normals, corner_uv, detail, color_at, texture)
    return TexturedMesh(mesh.vertices, mesh.triangles, normals, corner_uv, base_color, normal_map)
