# SPDX-License-Identifier: GPL-3.0-or-later
"""bench, sweep, ablate, compare: how fast, and which settings are better."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from headsculpt.cli.options import Subparsers, add_docs, add_machine_options, pack_folder, planned
from headsculpt.cli.progress import ProgressLine


def add_commands(commands: Subparsers) -> None:
    bench = commands.add_parser("bench", help="measure kernels, line and stages beside references")
    bench.set_defaults(command=_bench)
    bench.add_argument("--paper", action="store_true", help="steps per second of the Paper preset, on a graphics card")
    bench.add_argument("--pack", type=pack_folder, help="of --paper: a pack's folder (default: random, in full size)")
    bench.add_argument("--registration", action="store_true", help="find the faces of heads whose landmarks are known")
    bench.add_argument("--out", type=Path, default=Path("out", "registration"), help="of --registration; resumable")
    add_docs(bench, "registration.md")

    sweep = commands.add_parser("sweep", help="compare variants of a preset by the heads that they make")
    sweep.set_defaults(command=_sweep)
    sweep.add_argument("file", type=Path, nargs="?", help="TOML as bench/sweep.toml, which is used without it")
    sweep.add_argument("--out", type=Path, default=Path("out", "sweep"), help="folder (default out/sweep); resumable")
    sweep.add_argument("--only", nargs="+", default=(), metavar="GROUP", help="make only these (default: all)")
    add_docs(sweep, "sweep.md")
    sweep.add_argument("--preset", help="change this one (default: the file's)")
    add_machine_options(sweep)

    ablate = commands.add_parser("ablate", help="show what landmarks and the back-view token do (the paper's Fig. 8)")
    compare = commands.add_parser("compare", help="make heads by the paper's rivals, too (its Table 1 and Fig. 17)")
    for command, name in ((ablate, "ablation"), (compare, "comparison")):
        command.set_defaults(command=_contest, contest=name)
        command.add_argument("file", type=Path, nargs="?", help="TOML as bench/contest.toml, which is used without it")
        command.add_argument(
            "--out", type=Path, default=Path("out", "contest"), help="folder of both (default out/contest); resumable"
        )
        command.add_argument(
            "--only", nargs="+", default=(), metavar="NAME", help="make only these rows (default: all)"
        )
        add_docs(command, f"{name}.md")
        add_machine_options(command)


def _bench(options: argparse.Namespace, progress: ProgressLine) -> tuple[object, ...]:
    if options.paper:
        from headsculpt.bench.paper import print_paper

        print_paper(options.pack)
    elif options.registration:
        from headsculpt.bench.registration import run_registration

        run_registration(options.out, options.docs)
    else:
        from headsculpt.bench.table import print_table

        print_table()
    return ()


def _sweep(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.bench.sweep import run_sweep
    from headsculpt.bench.variants import SWEEP, read_sweep

    sweep = read_sweep(options.file or SWEEP)
    request = planned(options, sweep.plan, options.preset or sweep.plan.preset)
    yield from run_sweep(sweep, options.out, request, progress, options.only, options.docs)


def _contest(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.bench.contest import ABLATION, COMPARISON, CONTEST, run_contest
    from headsculpt.bench.variants import read_sweep

    contest = ABLATION if options.contest == ABLATION.group else COMPARISON
    sweep = read_sweep(options.file or CONTEST)
    request = planned(options, sweep.plan, sweep.plan.preset)
    yield from run_contest(contest, sweep, options.out, request, progress, options.only, options.docs)
