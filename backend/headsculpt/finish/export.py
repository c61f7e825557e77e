# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished head as files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.gltf import glb, png
from headsculpt.finish.report import provenance, report_file
from headsculpt.finish.turntable import write_turntable
from headsculpt.mesh import TexturedMesh


def export_head(mesh: TexturedMesh, report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes head.glb, base_color.png, normal.png, turntable.png, turntable.webp and report.json; returns their paths.

    Raises UserError when the folder can not be written to.
    """
    check_writable(folder)
    name = str(report.get("prompt", "head"))
    return [
        write_whole(folder / "head.glb", glb(mesh, name, provenance(report))),
        write_whole(folder / "base_color.png", png(mesh.base_color)),
        write_whole(folder / "normal.png", png(mesh.normal_map)),
        *write_turntable(mesh, folder),
        write_whole(folder / "report.json", report_file(report)),
    ]
