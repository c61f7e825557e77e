# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model heads are made with: the choice in the preferences, and what of it is on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from .backend.headsculpt.errors import UserError
from .backend.headsculpt.jobs.packs import PackRequest, pack_store
from .backend.headsculpt.packs.manifest import DEFAULT, PackPart
from .backend.headsculpt.packs.store import Store

if TYPE_CHECKING:
    from .preferences import HeadSculptPreferences


def chosen_model(options: HeadSculptPreferences) -> dict[str, Any]:
    """A GenerateRequest's pack, base and lora. Raises UserError for a model that is not there."""
    if options.model == "POCKET":
        return {}
    if options.model == "FOLDER":
        if not options.pack:
            raise UserError("No folder of a model is chosen.", "Choose one in the Model panel, or the built-in model.")
        pack = absolute(options.pack)
    else:
        store = store_of(options)
        pack = store.folder
        if not all(store.complete(part) for part in needed_parts(options)):
            raise UserError(
                f"{store.manifest.title} is not on this computer yet.", "Press Download in the Model panel."
            )
    lora = tuple((absolute(entry.path), entry.weight) for entry in options.loras if entry.path)
    return {"pack": pack, "base": absolute(options.base) if options.base else None, "lora": lora}


def pack_request(options: HeadSculptPreferences, action: str) -> PackRequest:
    """Raises UserError for a download where Blender is to stay offline."""
    if action == "get" and not bpy.app.online_access:
        raise UserError(
            "Blender's “Allow Online Access” is off, so nothing is downloaded.",
            "Switch it on in Preferences › System › Network, or choose a model that you have downloaded yourself.",
        )
    parts = () if action == "remove" else tuple(part.name for part in needed_parts(options))
    return PackRequest(action, DEFAULT, parts, store_folder(options), bpy.app.online_access)


def needed_parts(options: HeadSculptPreferences) -> tuple[PackPart, ...]:
    """With a base of the user's own, Stable Diffusion itself need not come."""
    manifest = store_of(options).manifest
    return manifest.chosen(["landmarks"]) if options.base else manifest.chosen()


def store_of(options: HeadSculptPreferences) -> Store:
    return pack_store(DEFAULT, store_folder(options))


def store_folder(options: HeadSculptPreferences) -> Path:
    """The folder that holds models: the preferences', or the extension's own."""
    return absolute(options.store) if options.store else Path(bpy.utils.extension_path_user(__package__, path="packs"))


def free_bytes(folder: Path) -> int | None:
    """On the disk where a folder is or will be; None when that can not be known."""
    try:
        return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    except (OSError, StopIteration):
        return None


def absolute(path: str) -> Path:
    return Path(bpy.path.abspath(path))
