# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: thin; imports what a command needs when it runs, so that `--version` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from headsculpt import __version__
from headsculpt.cli import heads, measures, packs, program, studies, views
from headsculpt.cli.progress import ProgressLine
from headsculpt.errors import Cancelled, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and prints what it yields, a line each.

    Returns the exit status: 0 done, 1 the user can mend it, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    # torch's threads wait for each other asleep: awake, a job beside one other busy program took 15 times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    progress = ProgressLine()
    try:
        for line in options.command(options, progress):
            progress.end()
            print(line)
    except UserError as error:
        progress.end()
        print(error.message, file=sys.stderr)
        print(error.advice, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Cancelled):
        progress.end()
        print(f"Stopped; {getattr(options, 'kept', 'nothing was written')}.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headsculpt", description="Words into 3D heads.")
    parser.add_argument("--version", action="version", version=f"headsculpt {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    for group in (heads, views, packs, studies, measures, program):
        group.add_commands(commands)
    return parser
