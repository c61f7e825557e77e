# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's part in Blender: installs the extension, makes a head as an artist would, saves and exports it.

Started by `python build.py demo`, in Blender's environment with BLENDER_USER_RESOURCES set to an empty folder:
in_blender.py EXTENSION.zip WORKER_COMMAND FOLDER JOB, where JOB is JSON for bpy.ops.headsculpt.generate.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import bpy

ID = "bl_ext.user_default.headsculpt"


def main(extension: str, worker_command: str, folder: Path, job: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.preferences.filepaths.save_version = 0  # no head.blend1 beside the file when it is made again
    bpy.ops.extensions.package_install_files(filepath=extension, repo="user_default", enable_on_install=True)
    bpy.context.preferences.addons[ID].preferences.worker_command = worker_command
    threading.Thread(target=say_progress, daemon=True).start()
    try:
        bpy.ops.headsculpt.generate(**job)
        head = bpy.context.view_layer.objects.active
        report = json.loads(head["headsculpt_report"])
        start = time.monotonic()
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / "head.blend"), compress=True)
        export(folder / "head.glb")
        report["blender"]["save_and_export_seconds"] = round(time.monotonic() - start, 3)
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        show(report)
    except RuntimeError as error:  # what the operator reported, in words for a user
        sys.exit(str(error))
    finally:
        bpy.ops.preferences.addon_disable(module=ID)  # a handler that is still registered at exit hangs the module


def say_progress() -> None:
    """Prints how far the job is, as the panel shows it, every few seconds."""
    session = importlib.import_module(f"{ID}.pump").session
    while True:
        time.sleep(5)
        if job := session.job:
            now = job.progress
            steps = f" {now.step}/{now.steps}" if now.steps else ""
            left = "" if now.seconds_left is None else f", about {now.seconds_left:.0f} s left"
            print(f"  {now.stage}{steps}{left}", flush=True)


def export(path: Path) -> None:
    """As File > Export does; custom properties, and so the provenance, go along."""
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    bpy.ops.export_scene.gltf(filepath=str(path), use_selection=True, export_extras=True, export_tangents=True)


def show(report: dict[str, Any]) -> None:
    for stage, seconds in report.get("seconds", {}).items():
        print(f"  {stage:26}{seconds:7.1f} s")
    blender = report["blender"]
    print(f"  {'First mesh in the scene':26}{blender['first_mesh_seconds'] or float('nan'):7.1f} s after the start")
    print(f"  {'Whole job in Blender':26}{blender['seconds']:7.1f} s")
    print(f"  {'Saving and exporting':26}{blender['save_and_export_seconds']:7.1f} s")


if __name__ == "__main__":
    status = 1
    try:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
        status = 0
    except SystemExit as error:
        print(error, file=sys.stderr)
    except Exception:
        traceback.print_exc()
    finally:
        # Blender as a module can hang while it takes itself down; the worker ends when its input does
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
