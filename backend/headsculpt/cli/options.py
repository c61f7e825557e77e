# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that many commands share, and what they come to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from headsculpt.evaluation.plan import Plan
    from headsculpt.jobs.request import GenerateRequest

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="same seed, same head (default 0)")
    parser.add_argument("--preset", default="preview", help="preview, standard or paper (default preview)")
    add_machine_options(parser)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack", type=pack_folder, help="folder or name of a model pack (default: the built-in pocket pack)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores but one)")


def add_kept_folder(parser: argparse.ArgumentParser, page: str) -> None:
    """Of commands whose output stands in the docs. page: what they bring up to date there."""
    parser.add_argument("--out", type=Path, required=True, help="folder; what is done there is not done again")
    add_docs(parser, page)


def add_docs(parser: argparse.ArgumentParser, page: str) -> None:
    parser.add_argument("--docs", type=Path, help=f"a checkout's docs folder, to bring its {page} up to date")


def pack_folder(text: str) -> Path:
    """A folder, or the name of a pack that `packs get` has put where it puts them."""
    from headsculpt.jobs.packs import pack_store
    from headsculpt.packs.manifest import known_packs

    return pack_store(text).folder if text in known_packs() and not Path(text).exists() else Path(text)


def template(
    options: argparse.Namespace, prompt: str, preset: str | None = None, seed: int | None = None
) -> GenerateRequest:
    """A request of the command's own options. preset, seed: instead of those, for commands that have none."""
    from headsculpt.jobs.request import GenerateRequest

    return GenerateRequest(
        prompt=prompt,
        seed=options.seed if seed is None else seed,
        preset=preset or options.preset,
        pack=options.pack,
        threads=options.threads,
        preview_seconds=0,
    )


def planned(options: argparse.Namespace, plan: Plan, preset: str) -> GenerateRequest:
    """A request of which only prompt and seed change from one of a plan's heads to the next."""
    return template(options, plan.orders[0].example.prompt, preset, plan.orders[0].seed)


def prepared_pack(options: argparse.Namespace) -> Path:
    """The chosen pack's folder; torch is given its threads."""
    import torch

    from headsculpt.jobs.generate import POCKET, default_threads

    torch.set_num_threads(options.threads or default_threads())
    return options.pack or POCKET
