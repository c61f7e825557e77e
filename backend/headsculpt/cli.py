# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: thin; imports what a command needs when it runs, so that `--version` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headsculpt import __version__
from headsculpt.errors import Cancelled, UserError

if TYPE_CHECKING:
    from headsculpt.evaluation.plan import Plan
    from headsculpt.jobs.events import Event
    from headsculpt.jobs.request import GenerateRequest


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 0 done, 1 the user can mend it, 130 interrupted."""
    options = _parser().parse_args(arguments)
    # torch's threads wait for each other asleep: awake, a job beside one other busy program took 15 times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        options.command(options)
    except UserError as error:
        print(error.message, file=sys.stderr)
        print(error.advice, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Cancelled):
        print(f"Stopped; {getattr(options, 'kept', 'nothing was written')}.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headsculpt", description="Words into 3D heads.")
    parser.add_argument("--version", action="version", version=f"headsculpt {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)

    generate = commands.add_parser("generate", help="make a head from a sentence")
    generate.set_defaults(command=_generate)
    generate.add_argument("prompt", help='for example "an old man with a white beard"')
    generate.add_argument("--out", type=Path, required=True, help="folder for mesh, textures, turntable and report")
    generate.add_argument("--head", type=Path, help="mesh file of a head, facing anywhere (OBJ, PLY, STL, GLB)")
    generate.add_argument("--negative", default="", help="what the head should not be")
    generate.add_argument(
        "--base", type=Path, help="Stable Diffusion 1.5 fine-tune, folder or .safetensors file, in the pack's place"
    )
    generate.add_argument(
        "--lora", type=_lora, nargs="+", default=(), metavar="FILE=WEIGHT", help="LoRA files for the base (weight 1)"
    )
    generate.add_argument(
        "--device", default="auto", help="auto (an NVIDIA card that has room, else the processor), cpu, cuda, cuda:1 …"
    )
    _add_run_options(generate)

    showcase = commands.add_parser("showcase", help="make six heads from six sentences, with pictures and measures")
    showcase.set_defaults(command=_showcase)
    showcase.add_argument("--out", type=Path, required=True, help="folder; what is done there is not done again")
    showcase.add_argument("--only", nargs="+", default=(), metavar="NAME", help="make only these (default: all six)")
    controls = commands.add_parser("controls", help="show that it is the model that makes the heads")
    controls.set_defaults(command=_controls)
    controls.add_argument("--out", type=Path, required=True, help="folder; what is done there is not done again")
    follows = commands.add_parser("follows", help="show that heads follow the shapes that they grow from")
    follows.set_defaults(command=_follows)
    follows.add_argument("--flame", type=Path, help="your FLAME file (default: a stand-in of its layout)")
    follows.add_argument("--out", type=Path, required=True, help="folder; what is done there is not done again")
    for command in (showcase, controls, follows):
        command.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its page up to date")
        _add_run_options(command)

    judge = commands.add_parser("judge", help="read finished heads: what was asked beside what is there")
    judge.set_defaults(command=_judge)
    judge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="head.glb of generate; gets JSON beside it")
    judge.add_argument("--prompt", required=True, help="what the heads were to show")
    judge.add_argument("--head", type=Path, help="the mesh file that they grew from (default: the built-in head)")

    evaluate = commands.add_parser("evaluate", help="make heads from a list of prompts, and measure what is there")
    evaluate.set_defaults(command=_evaluate)
    evaluate.add_argument("file", type=Path, help="TOML or CSV: prompts and seeds")
    evaluate.add_argument("--out", type=Path, required=True, help="folder; what is done there is not done again")
    evaluate.add_argument("--only", nargs="+", default=(), metavar="NAME", help="make only these (default: all)")
    evaluate.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its quality.md up to date")
    _add_machine_options(evaluate)

    _add_packs(commands)

    check_flame = commands.add_parser("check-flame", help="tell whether a FLAME file is read right")
    check_flame.set_defaults(command=_check_flame)
    check_flame.add_argument("file", type=Path, help="FLAME's .pkl, or an .npz with the same keys")
    check_flame.add_argument("--version", default="", help="what you know it to be: 2020, 2023 or 2023-open")
    check_flame.add_argument("--picture", type=Path, help="PNG or JPEG file to write, with what its sliders do")

    register = commands.add_parser("register", help="find the face of a head mesh: its landmarks, the way it faces")
    register.set_defaults(command=_register)
    register.add_argument("file", type=Path, help="OBJ, PLY, STL or GLB; of any size, facing anywhere")
    register.add_argument("--out", type=Path, required=True, help="folder for NAME.landmarks.json and .png")

    _add_views(commands)

    worker = commands.add_parser("worker", help="serve Blender on standard input and output")
    worker.set_defaults(command=_worker)

    bench = commands.add_parser("bench", help="measure kernels, line and stages beside references")
    bench.set_defaults(command=_bench)
    bench.add_argument("--paper", action="store_true", help="steps per second of the Paper preset, on a graphics card")
    bench.add_argument("--pack", type=_pack_folder, help="of --paper: a pack's folder (default: random, in full size)")
    bench.add_argument("--registration", action="store_true", help="find the faces of heads whose landmarks are known")
    bench.add_argument("--out", type=Path, default=Path("out", "registration"), help="of --registration; resumable")
    bench.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its registration.md up to date")

    sweep = commands.add_parser("sweep", help="compare variants of a preset by the heads that they make")
    sweep.set_defaults(command=_sweep)
    sweep.add_argument("file", type=Path, nargs="?", help="TOML as bench/sweep.toml, which is used without it")
    sweep.add_argument("--out", type=Path, default=Path("out", "sweep"), help="folder (default out/sweep); resumable")
    sweep.add_argument("--only", nargs="+", default=(), metavar="GROUP", help="make only these (default: all)")
    sweep.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its sweep.md up to date")
    sweep.add_argument("--preset", help="change this one (default: the file's)")
    _add_machine_options(sweep)

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
        command.add_argument("--docs", type=Path, help=f"a checkout's docs folder, to bring its {name}.md up to date")
        _add_machine_options(command)

    warm_up = commands.add_parser("warm-up", help="compile and cache all kernels")
    warm_up.set_defaults(command=_warm_up)
    return parser


def _add_packs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


def _add_views(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Drawing in 2D, and the word for back views."""
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
    measure = commands.add_parser("back-view", help="measure how often the learned word turns heads away")
    measure.set_defaults(command=_back_view, kept="what was drawn is kept")
    measure.add_argument("--out", type=Path, required=True, help="folder; what is drawn there is not drawn again")
    measure.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its back-view.md up to date")
    measure.add_argument(
        "--data", type=Path, nargs=2, default=(), metavar="DIR", help="shards to train and to try a linear reader with"
    )
    for command in (sample, learn, measure):
        _add_machine_options(command)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="same seed, same head (default 0)")
    parser.add_argument("--preset", default="preview", help="preview, standard or paper (default preview)")
    _add_machine_options(parser)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack", type=_pack_folder, help="folder or name of a model pack (default: the built-in pocket pack)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores but one)")


def _pack_folder(text: str) -> Path:
    """A folder, or the name of a pack that `packs get` has put where it puts them."""
    from headsculpt.jobs.packs import pack_store
    from headsculpt.packs.manifest import known_packs

    return pack_store(text).folder if text in known_packs() and not Path(text).exists() else Path(text)


def _lora(text: str) -> tuple[Path, float]:
    """FILE or FILE=WEIGHT."""
    path, separator, weight = text.rpartition("=")
    return (Path(path), float(weight)) if separator else (Path(text), 1.0)


def _generate(options: argparse.Namespace) -> None:
    from headsculpt.finish.export import export_head
    from headsculpt.finish.files import check_writable
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.heads import head_of_file
    from headsculpt.jobs.request import GenerateRequest

    request = GenerateRequest(
        prompt=options.prompt,
        negative_prompt=options.negative,
        seed=options.seed,
        preset=options.preset,
        head=None if options.head is None else head_of_file(options.head),
        pack=options.pack,
        base=options.base,
        lora=tuple(options.lora),
        threads=options.threads,
        device=options.device,
        preview_seconds=0,
    )
    check_writable(options.out)
    from headsculpt.jobs.generate import run_generate

    result = run_generate(request, _ProgressLine(), JobControl())
    for path in export_head(result.mesh, result.report, options.out):
        print(path)


def _showcase(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.examples import EXAMPLES
    from headsculpt.evaluation.showcase import run_showcase

    template = _template(options, EXAMPLES[0].prompt)
    for path in run_showcase(options.out, template, _ProgressLine(), options.only, options.docs):
        print(path)


def _controls(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.controls import ASKED, run_controls

    for path in run_controls(options.out, _template(options, ASKED.prompt), _ProgressLine(), options.docs):
        print(path)


def _follows(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.flame_stand_in import flame_stand_in
    from headsculpt.evaluation.follows import PROMPT, run_follows
    from headsculpt.head.flame.reading import load_flame

    model = load_flame(options.flame, options.out / "flame") if options.flame else flame_stand_in()
    for path in run_follows(options.out, model, _template(options, PROMPT), _ProgressLine(), options.docs):
        print(path)


def _judge(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.judge.reading import load_judge
    from headsculpt.evaluation.judgement import judge_file, report_lines
    from headsculpt.jobs.generate import POCKET
    from headsculpt.jobs.heads import chosen_head, head_of_file
    from headsculpt.packs.spec import read_description

    head = chosen_head(None if options.head is None else head_of_file(options.head))
    synonyms = read_description(POCKET).get("synonyms", {})
    for path in options.files:
        judgement, written = judge_file(path, options.prompt, synonyms, head, load_judge())
        print(path, *report_lines(judgement), *written, sep="\n")


def _register(options: argparse.Namespace) -> None:
    from headsculpt.finish.files import check_writable
    from headsculpt.head.files import read_mesh
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.register import run_register, write_registration
    from headsculpt.jobs.request import HeadShape, RegisterRequest

    head = HeadShape(options.file.stem, *read_mesh(options.file))
    check_writable(options.out)
    found = run_register(RegisterRequest(head), lambda event: None, JobControl())
    print(f"found in {found.seconds:.0f} s; the fit is {100 * found.fit_error:.2f} % of the head's height off the mesh")
    print(f"{0.6 / found.space.scale:.4g} units from crown to chin")
    for word, axis in (("faces along", 2), ("its crown points along", 1), ("its left is", 0)):
        print(word, " ".join(f"{value:+.3f}" for value in found.space.rotation[axis]))
    if found.doubt:
        print(found.doubt)
    for path in write_registration(head, found, options.out):
        print(path)


def _evaluate(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.evaluate import run_evaluation
    from headsculpt.evaluation.plan import read_plan

    plan = read_plan(options.file)
    template = _planned(options, plan, plan.preset)
    for path in run_evaluation(plan, options.out, template, _ProgressLine(), options.only, options.docs):
        print(path)


def _check_flame(options: argparse.Namespace) -> None:
    from headsculpt.head.flame.check import Verdict, check_flame
    from headsculpt.head.flame.licences import VERSIONS

    if options.version not in ("", *(version.key for version in VERSIONS)):
        known = ", ".join(version.key for version in VERSIONS)
        raise UserError(f"There is no FLAME version '{options.version}'.", f"Use one of: {known}.")
    model, findings = check_flame(options.file, options.version)
    for finding in findings:
        print(f"{finding.verdict.value:6}{finding.text}")
    if options.picture:
        from headsculpt.head.flame.sheet import flame_sheet

        flame_sheet(model).save(options.picture)
        print(options.picture)
    if wrong := sum(finding.verdict is Verdict.WRONG for finding in findings):
        raise UserError(
            f"{wrong} of {len(findings)} things about this file are not as they are in FLAME.",
            "If it is as you downloaded it, please report these lines: no file of FLAME's own could be tried here.",
        )


def _template(
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


def _planned(options: argparse.Namespace, plan: Plan, preset: str) -> GenerateRequest:
    """A request of which only prompt and seed change from one of a plan's heads to the next."""
    return _template(options, plan.orders[0].example.prompt, preset, plan.orders[0].seed)


def _list_packs(options: argparse.Namespace) -> None:
    from headsculpt.jobs.packs import pack_store
    from headsculpt.packs.manifest import known_packs, size_text

    for manifest in known_packs().values():
        store = pack_store(manifest.name, options.store)
        print(f"{manifest.name}: {manifest.title}, in {store.folder}")
        for part in manifest.parts:
            there = "complete" if store.complete(part) else f"{size_text(store.bytes_there(part))} there"
            optional = ", optional" if part.optional else ""
            print(f"  {part.name}: {part.title}, about {size_text(part.bytes)}{optional}, {there}")
            print(f"    {part.repository}, revision {part.revision}")
            print(f"    {part.license}. {part.use} {part.terms}")


def _packs(options: argparse.Namespace) -> None:
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.packs import PackRequest, run_packs

    request = PackRequest(options.action, options.pack, tuple(options.parts), options.store)
    progress = _ProgressLine()
    try:
        text = run_packs(request, progress, JobControl())
    finally:
        progress.end()
    print(text)


def _sample(options: argparse.Namespace) -> None:
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
    progress, folder = _ProgressLine(), _prepared(options)
    choice = choose("auto", folder)
    path = run_sample(load_pack(folder, choice.device, choice.dtype), order, options.out, progress)
    progress.end()
    print(path)


def _learn_view(options: argparse.Namespace) -> None:
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

    progress = _ProgressLine()
    result = run_learn_view(request, progress, JobControl())
    progress.end()
    print(f"{result.token}: {result.used} pictures, loss {result.loss[0]:.4f} at first, {result.loss[1]:.4f} at last")
    print(result.path)


def _back_view(options: argparse.Namespace) -> None:
    from headsculpt.evaluation.back_view import run_back_view

    progress = _ProgressLine()
    written = run_back_view(_prepared(options), options.out, progress, options.data, options.docs)
    progress.end()
    print(*written, sep="\n")


def _prepared(options: argparse.Namespace) -> Path:
    """The chosen pack's folder; torch is given its threads."""
    import torch

    from headsculpt.jobs.generate import POCKET, default_threads

    torch.set_num_threads(options.threads or default_threads())
    return options.pack or POCKET


def _worker(options: argparse.Namespace) -> None:
    from headsculpt import worker

    worker.main()


def _bench(options: argparse.Namespace) -> None:
    if options.paper:
        from headsculpt.bench.paper import print_paper

        print_paper(options.pack)
        return
    if options.registration:
        from headsculpt.bench.registration import run_registration

        run_registration(options.out, options.docs)
        return
    from headsculpt.bench.table import print_table

    print_table()


def _sweep(options: argparse.Namespace) -> None:
    from headsculpt.bench.sweep import run_sweep
    from headsculpt.bench.variants import SWEEP, read_sweep

    sweep = read_sweep(options.file or SWEEP)
    template = _planned(options, sweep.plan, options.preset or sweep.plan.preset)
    for path in run_sweep(sweep, options.out, template, _ProgressLine(), options.only, options.docs):
        print(path)


def _contest(options: argparse.Namespace) -> None:
    from headsculpt.bench.contest import ABLATION, COMPARISON, CONTEST, run_contest
    from headsculpt.bench.variants import read_sweep

    contest = ABLATION if options.contest == ABLATION.group else COMPARISON
    sweep = read_sweep(options.file or CONTEST)
    template = _planned(options, sweep.plan, sweep.plan.preset)
    for path in run_contest(contest, sweep, options.out, template, _ProgressLine(), options.only, options.docs):
        print(path)


def _warm_up(options: argparse.Namespace) -> None:
    from headsculpt import render, shape
    from headsculpt.device import all_kinds
    from headsculpt.head import registration

    for device in all_kinds():
        shape.warm_up(device)
        render.warm_up(device)
    registration.warm_up()


class _ProgressLine:
    """Prints notices, and progress as one line a stage that is written over."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, event: Event) -> None:
        from headsculpt.jobs.events import Notice, Progress

        if isinstance(event, Notice):
            self.end()
            print(event.text, file=sys.stderr)
        elif isinstance(event, Progress):
            if self._stage != event.stage:
                self.end()
            self._stage = event.stage
            unit = "" if event.unit == "steps" else f" {event.unit}"
            steps = f" {event.step}/{event.steps}{unit}" if event.steps else ""
            speed = f", {event.steps_per_second:.1f}{unit}/s" if unit and event.steps_per_second else ""
            left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
            print(f"\r{event.stage}{steps}{speed}{left}        ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leaves the line that is written over."""
        if self._stage:
            print(file=sys.stderr)
        self._stage = ""
