# SPDX-License-Identifier: GPL-3.0-or-later
"""showcase, controls, follows, back-view, evaluate: what HeadSculpt makes, shown and measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from headsculpt.cli.options import (
    Subparsers,
    add_kept_folder,
    add_machine_options,
    add_run_options,
    planned,
    prepared_pack,
    template,
)
from headsculpt.cli.progress import ProgressLine


def add_commands(commands: Subparsers) -> None:
    showcase = commands.add_parser("showcase", help="make six heads from six sentences, with pictures and measures")
    showcase.set_defaults(command=_showcase)
    showcase.add_argument("--only", nargs="+", default=(), metavar="NAME", help="make only these (default: all six)")
    controls = commands.add_parser("controls", help="show that it is the model that makes the heads")
    controls.set_defaults(command=_controls)
    follows = commands.add_parser("follows", help="show that heads follow the shapes that they grow from")
    follows.set_defaults(command=_follows)
    follows.add_argument("--flame", type=Path, help="your FLAME file (default: a stand-in of its layout)")
    back_view = commands.add_parser("back-view", help="measure how often the learned word turns heads away")
    back_view.set_defaults(command=_back_view, kept="what was drawn is kept")
    evaluate = commands.add_parser("evaluate", help="make heads from a list of prompts, and measure what is there")
    evaluate.set_defaults(command=_evaluate)
    evaluate.add_argument("file", type=Path, help="TOML or CSV: prompts and seeds")
    evaluate.add_argument("--only", nargs="+", default=(), metavar="NAME", help="make only these (default: all)")

    for command in (showcase, controls, follows):
        add_kept_folder(command, "page")
        add_run_options(command)
    for command, page in ((back_view, "back-view.md"), (evaluate, "quality.md")):
        add_kept_folder(command, page)
        add_machine_options(command)


def _showcase(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.examples import EXAMPLES
    from headsculpt.evaluation.showcase import run_showcase

    request = template(options, EXAMPLES[0].prompt)
    yield from run_showcase(options.out, request, progress, options.only, options.docs)


def _controls(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.controls import ASKED, run_controls

    yield from run_controls(options.out, template(options, ASKED.prompt), progress, options.docs)


def _follows(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.flame_stand_in import flame_stand_in
    from headsculpt.evaluation.follows import PROMPT, run_follows
    from headsculpt.head.flame.reading import load_flame

    model = load_flame(options.flame, options.out / "flame") if options.flame else flame_stand_in()
    yield from run_follows(options.out, model, template(options, PROMPT), progress, options.docs)


def _back_view(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.back_view import run_back_view

    yield from run_back_view(prepared_pack(options), options.out, progress, options.docs)


def _evaluate(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.evaluate import run_evaluation
    from headsculpt.evaluation.plan import read_plan

    plan = read_plan(options.file)
    request = planned(options, plan, plan.preset)
    yield from run_evaluation(plan, options.out, request, progress, options.only, options.docs)
