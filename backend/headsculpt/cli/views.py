# SPDX-License-Identifier: GPL-3.0-or-later
"""sample, learn-view: pictures in 2D, and a word for back views."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from headsculpt.cli.options import Subparsers, add_machine_options, prepared_pack
from headsculpt.cli.progress import ProgressLine


def add_commands(commands: Subparsers) -> None:
    sample = commands.add_parser("sample", help="draw 2D pictures of a sentence")
    sample.set_defaults(command=_sample)
    sample.add_argument("prompt", help='for example "a bald man with green skin"')
    sample.add_argument("--out", type=Path, default=Path("sample.png"), help="PNG file (default %(default)s)")
    sample.add_argument("--count", type=int, default=6, help="pictures, or pairs (default %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="same seed, same pictures (default 0)")
    sample.add_argument("--guidance", type=float, help="how strictly words are followed (default: the pack's)")
    sample.add_argument("--steps", type=int, default=25, help="denoising steps (default %(default)s)")
    view = sample.add_mutually_exclusive_group()
    view.add_argument("--view", help="front, side, back, token (the learned word) or none (default: the landmarks')")
    view.add_argument("--compare-back", action="store_true", help="pairs: plain “back view” left, learned word right")
    sample.add_argument(
        "--landmarks", type=float, metavar="AZIMUTH", help="show the built-in head's landmarks from here (degrees)"
    )
    learn = commands.add_parser("learn-view", help="teach a model a word for back views, from pictures")
    learn.set_defaults(command=_learn_view, kept="what was learned is kept, and the same command goes on from there")
    pictures = learn.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", type=Path, help="folder of pictures; NAME.txt beside NAME.jpg is its caption")
    pictures.add_argument("--render", type=int, default=0, metavar="N", help="render N backs of heads instead")
    learn.add_argument("--token", default="<back-view>", help="the word's name (default %(default)s)")
    learn.add_argument(
        "--out", type=Path, help="safetensors file (default: in PACK.tokens beside the pack, where all jobs find it)"
    )
    learn.add_argument("--start", default="", metavar="WORD", help="known word to start from (default: back)")
    learn.add_argument("--steps", type=int, help="default: 3000 for Stable Diffusion, 300 for the pocket pack")
    learn.add_argument("--seed", type=int, default=0, help="same seed, same word (default 0)")
    for command in (sample, learn):
        add_machine_options(command)


def _sample(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.device import choose
    from headsculpt.evaluation.samples import SampleOrder, run_sample
    from headsculpt.packs.pack import load_pack

    order = SampleOrder(
        prompt=options.prompt,
        count=options.count,
        seed=options.seed,
        guidance=options.guidance,
        steps=options.steps,
        view=options.view,
        landmarks=options.landmarks,
        compare_back=options.compare_back,
    )
    folder = prepared_pack(options)
    choice = choose("auto", folder)
    path = run_sample(load_pack(folder, choice.device, choice.dtype), order, options.out, progress)
    yield path


def _learn_view(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.learn_view_request import LearnViewRequest

    request = LearnViewRequest(
        images=options.images,
        render=options.render,
        pack=options.pack,
        token=options.token,
        out=options.out,
        initial_word=options.start,
        steps=options.steps,
        seed=options.seed,
        threads=options.threads,
    )
    from headsculpt.jobs.learn_view import run_learn_view

    result = run_learn_view(request, progress, JobControl())
    yield f"{result.token}: {result.used} pictures, loss {result.loss[0]:.4f} at first, {result.loss[1]:.4f} at last"
    yield result.path
