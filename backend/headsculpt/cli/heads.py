# SPDX-License-Identifier: GPL-3.0-or-later
"""generate, judge, register, check-flame: one head at a time."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from headsculpt.cli.options import Subparsers, add_run_options
from headsculpt.cli.progress import ProgressLine
from headsculpt.errors import UserError


def add_commands(commands: Subparsers) -> None:
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
    generate.add_argument(
        "--answers", type=Path, help="JPEG file to write: what the model was shown, and what it made of it"
    )
    add_run_options(generate)

    judge = commands.add_parser("judge", help="read finished heads: what was asked beside what is there")
    judge.set_defaults(command=_judge)
    judge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="head.glb of generate; gets JSON beside it")
    judge.add_argument("--prompt", required=True, help="what the heads were to show")
    judge.add_argument("--head", type=Path, help="the mesh file that they grew from (default: the built-in head)")

    register = commands.add_parser("register", help="find the face of a head mesh: its landmarks, the way it faces")
    register.set_defaults(command=_register)
    register.add_argument("file", type=Path, help="OBJ, PLY, STL or GLB; of any size, facing anywhere")
    register.add_argument("--out", type=Path, required=True, help="folder for NAME.landmarks.json and .png")

    check_flame = commands.add_parser("check-flame", help="tell whether a FLAME file is read right")
    check_flame.set_defaults(command=_check_flame)
    check_flame.add_argument("file", type=Path, help="FLAME's .pkl, or an .npz with the same keys")
    check_flame.add_argument("--version", default="", help="what you know it to be: 2020, 2023 or 2023-open")
    check_flame.add_argument("--picture", type=Path, help="PNG or JPEG file to write, with what its sliders do")


def _lora(text: str) -> tuple[Path, float]:
    """FILE or FILE=WEIGHT."""
    path, separator, weight = text.rpartition("=")
    return (Path(path), float(weight)) if separator else (Path(text), 1.0)


def _generate(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.answers import AnswerSheet
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
    sheet = AnswerSheet(options.answers) if options.answers else None
    check_writable(options.out)
    from headsculpt.jobs.generate import run_generate

    try:
        result = run_generate(request, progress, JobControl(), watch=sheet)
    finally:
        if sheet and (written := sheet.write()):  # of a job that failed, too: then one wants to look most
            yield written
    yield from export_head(result, options.out)


def _judge(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.evaluation.judge.reading import load_judge
    from headsculpt.evaluation.judgement import judge_file, report_lines
    from headsculpt.jobs.generate import POCKET
    from headsculpt.jobs.heads import chosen_head, head_of_file
    from headsculpt.packs.spec import read_description

    head = chosen_head(None if options.head is None else head_of_file(options.head))
    synonyms = read_description(POCKET).get("synonyms", {})
    for path in options.files:
        judgement, written = judge_file(path, options.prompt, synonyms, head, load_judge())
        yield from (path, *report_lines(judgement), *written)


def _register(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.finish.files import check_writable
    from headsculpt.head.files import read_mesh
    from headsculpt.jobs.events import JobControl
    from headsculpt.jobs.register import run_register, write_registration
    from headsculpt.jobs.request import HeadShape, RegisterRequest

    head = HeadShape(options.file.stem, *read_mesh(options.file))
    check_writable(options.out)
    found = run_register(RegisterRequest(head), lambda event: None, JobControl())
    yield f"found in {found.seconds:.0f} s; the fit is {100 * found.fit_error:.2f} % of the head's height off the mesh"
    yield f"{0.6 / found.space.scale:.4g} units from crown to chin"
    for word, axis in (("faces along", 2), ("its crown points along", 1), ("its left is", 0)):
        yield f"{word} " + " ".join(f"{value:+.3f}" for value in found.space.rotation[axis])
    if found.doubt:
        yield found.doubt
    yield from write_registration(head, found, options.out)


def _check_flame(options: argparse.Namespace, progress: ProgressLine) -> Iterator[object]:
    from headsculpt.head.flame.check import Verdict, check_flame
    from headsculpt.head.flame.licences import VERSIONS

    if options.version not in ("", *(version.key for version in VERSIONS)):
        known = ", ".join(version.key for version in VERSIONS)
        raise UserError(f"There is no FLAME version '{options.version}'.", f"Use one of: {known}.")
    model, findings = check_flame(options.file, options.version)
    for finding in findings:
        yield f"{finding.verdict.value:6}{finding.text}"
    if options.picture:
        from headsculpt.head.flame.sheet import flame_sheet

        flame_sheet(model).save(options.picture)
        yield options.picture
    if wrong := sum(finding.verdict is Verdict.WRONG for finding in findings):
        raise UserError(
            f"{wrong} of {len(findings)} things about this file are not as they are in FLAME.",
            "If it is as you downloaded it, please report these lines: no file of FLAME's own could be tried here.",
        )
