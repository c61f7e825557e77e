# SPDX-License-Identifier: GPL-3.0-or-later
"""packs: models, downloaded and checked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from headsculpt.cli.options import Subparsers
from headsculpt.cli.progress import ProgressLine


def add_commands(commands: Subparsers) -> None:
    packs = commands.add_parser("packs", help="list, download, check and remove models")
    actions = packs.add_subparsers(title="actions", required=True)
    texts = {
        "list": "what can be had, what is there",
        "get": "download what is missing; goes on where it was interrupted",
        "check": "read every file again and compare it with what came",
        "remove": "delete the files of a pack, and nothing else",
    }
    for action, text in texts.items():
        command = actions.add_parser(action, help=text, description=text)
        command.set_defaults(command=_list_packs if action == "list" else _packs, action=action)
        command.set_defaults(kept="what has come is kept")
        command.add_argument("--store", type=Path, help="folder that holds packs (default: the user's data folder)")
        if action != "list":
            command.add_argument("pack", nargs="?", default="stable-diffusion-1.5", help="default %(default)s")
            command.add_argument("--parts", nargs="+", default=(), metavar="PART", help="only these (see list)")


def _list_packs(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.jobs.packs import pack_store
    from headsculpt.packs.manifest import known_packs, size_text

    for manifest in known_packs().values():
        store = pack_store(manifest.name, options.store)
        yield f"{manifest.name}: {manifest.title}, in {store.folder}"
        for part in manifest.parts:
            there = "complete" if store.complete(part) else f"{size_text(store.bytes_there(part))} there"
            optional = ", optional" if part.optional else ""
            yield f"  {part.name}: {part.title}, about {size_text(part.bytes)}{optional}, {there}"
            yield f"    {part.repository}, revision {part.revision}"
            yield f"    {part.license}. {part.use} {part.terms}"


def _packs(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.packs import PackRequest, run_packs

    request = PackRequest(options.action, options.pack, tuple(options.parts), options.store)
    yield run_packs(request, progress, JobControl())
