# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is found out about one finished head, beside what its prompt asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headsculpt.errors import UserError
from headsculpt.evaluation.asked import asked
from headsculpt.evaluation.findings import ColorFinding, Findings, measure
from headsculpt.evaluation.judge.reading import Judge, SecondFace
from headsculpt.finish.files import write_whole
from headsculpt.finish.gltf import read_glb
from headsculpt.head.model import Head
from headsculpt.mesh import TexturedMesh


@dataclass(frozen=True)
class Judgement:
    """asked: attribute → value; found: the same of all attributes; certainty: of what was found, 0 … 1."""

    asked: dict[str, str]
    found: dict[str, str]
    certainty: dict[str, float]
    second_face: SecondFace
    findings: Findings

    @property
    def kept(self) -> dict[str, bool]:
        """Whether each asked attribute is there."""
        return {name: self.found[name] == value for name, value in self.asked.items()}

    def as_json(self) -> dict[str, Any]:
        """What was found, without what was asked."""
        return {
            "attributes": self.found,
            "certainty": self.certainty,
            "second_face": asdict(self.second_face),
            **self.findings.as_json(),
        }


def judge_head(mesh: TexturedMesh, head: Head, wanted: Mapping[str, str], judge: Judge) -> Judgement:
    """mesh: in head space, grown from `head`; wanted: what `asked` read in its prompt."""
    reading = judge.read_head(mesh)
    found = reading.found
    certainty = {name: round(reading.certainty(name, value), 3) for name, value in found.items()}
    return Judgement(dict(wanted), found, certainty, judge.second_face(mesh), measure(mesh, head, wanted))


def judge_file(
    path: Path, prompt: str, synonyms: Mapping[str, str], head: Head, judge: Judge
) -> tuple[Judgement, list[Path]]:
    """Judges a GLB file that holds a head grown from `head`; writes NAME.judged.json beside it.

    Raises UserError for a file that can not be read or a prompt that asks for nothing.
    """
    wanted = asked(prompt, synonyms)
    if not wanted:
        raise UserError("The judge knows no word of this prompt.", "Ask for a skin, hair, a beard or the like.")
    try:
        mesh = read_glb(path)
    except Exception as error:  # trimesh raises whatever comes to its mind
        raise UserError(
            f"{path} can not be read as a head.", "Give the judge a head.glb as `generate` writes it."
        ) from error
    judgement = judge_head(head.space.mesh_to_head(mesh), head, wanted, judge)
    content = {"prompt": prompt, "asked": judgement.asked, "found": judgement.as_json()}
    target = path.with_name(path.stem + ".judged.json")
    write_whole(target, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return judgement, [target]


def report_lines(judgement: Judgement) -> list[str]:
    """For the terminal: asked beside found, colours, the back."""
    lines = [f"  {'':10}  {'asked':12}  {'found':12}  sure"]
    for name, value in judgement.asked.items():
        found, sure = judgement.found[name], judgement.certainty[name]
        mark = "" if judgement.kept[name] else "  ← missed"
        lines.append(f"  {name:10}  {value or 'none':12}  {found or 'none':12}  {sure:4.0%}{mark}")
    kept = sum(judgement.kept.values())
    lines.append(f"  {kept} of {len(judgement.asked)} asked attributes are there")
    lines += [f"  colour of {region}: {color_words(finding)}" for region, finding in judgement.findings.colors.items()]
    face = judgement.second_face
    lines.append(
        f"  second face: {'yes' if face.two_faced else 'no'} (in {face.seen} of {face.looked} views from behind)"
    )
    return lines


def color_words(finding: ColorFinding) -> str:
    """The word that was asked for, the difference from it, and which word is nearer if one is."""
    nearer = "" if finding.nearest == finding.asked else f" (nearer to {finding.nearest})"
    return f"{finding.asked} {finding.difference:.1f}{nearer}"


def missed(judgement: Judgement) -> str:
    """What was asked for and is not there, with what is there instead."""
    wrong = [name for name, kept in judgement.kept.items() if not kept]
    return ", ".join(f"{judgement.asked[name] or 'no ' + name} ({judgement.found[name] or 'none'})" for name in wrong)


def share_kept(judgements: Sequence[Judgement]) -> tuple[int, int]:
    """How many asked attributes are there, and how many were asked, over several heads."""
    kept = [value for judgement in judgements for value in judgement.kept.values()]
    return sum(kept), len(kept)
