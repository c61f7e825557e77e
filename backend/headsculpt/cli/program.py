# SPDX-License-Identifier: GPL-3.0-or-later
"""worker, warm-up: what other programs call."""

from __future__ import annotations

import argparse

from headsculpt.cli.options import Subparsers
from headsculpt.cli.progress import ProgressLine


def add_commands(commands: Subparsers) -> None:
    worker = commands.add_parser("worker", help="serve Blender on standard input and output")
    worker.set_defaults(command=_worker)
    warm_up = commands.add_parser("warm-up", help="compile and cache all kernels")
    warm_up.set_defaults(command=_warm_up)


def _worker(options: argparse.Namespace, progress: ProgressLine) -> tuple[object, ...]:
    from headsculpt import worker

    worker.main()
    return ()


def _warm_up(options: argparse.Namespace, progress: ProgressLine) -> tuple[object, ...]:
    from headsculpt import render, shape
    from headsculpt.device import all_kinds
    from headsculpt.head import registration

    for device in all_kinds():
        shape.warm_up(device)
        render.warm_up(device)
    registration.warm_up()
    return ()
