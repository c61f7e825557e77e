# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished head as files in a folder."""

from __future__ import annotations

from pathlib import Path

from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.gltf import glb, png
from headsculpt.finish.report import provenance, report_file
from headsculpt.finish.turntable import write_turntable
from headsculpt.jobs.events import GenerateResult


def export_head(result: GenerateResult, folder: Path) -> list[Path]:
    """Writes head.glb, base_color.png, normal.png, turntable.png, turntable.webp and report.json; returns their paths.

    The report is the last to come and, over an earlier head, the first to go, so that what it tells of is always there.
    The turntable shows the head upright, however it lies in its own coordinates.

    Raises UserError when the folder can not be written to.
    """
    check_writable(folder)
    (folder / "report.json").unlink(missing_ok=True)
    mesh, report = result.mesh, result.report
    name = str(report.get("prompt", "head"))
    return [
        write_whole(folder / "head.glb", glb(mesh, name, provenance(report))),
        write_whole(folder / "base_color.png", png(mesh.base_color)),
        write_whole(folder / "normal.png", png(mesh.normal_map)),
        *write_turntable(result.space.mesh_to_head(mesh), folder),
        write_whole(folder / "report.json", report_file(report)),
    ]
