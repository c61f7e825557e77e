# SPDX-License-Identifier: GPL-3.0-or-later
"""What `headsculpt check-flame` tells of a file: nothing wrong about a right one, and each fault by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flame_files as files
import numpy as np
import pytest
from PIL import Image

from headsculpt.cli import main
from headsculpt.evaluation.flame_stand_in import flame_stand_in
from headsculpt.head.flame.check import Verdict, findings_of
from headsculpt.head.flame.model import FlameModel

TURN = np.float32([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up instead of y
BACK = np.float32([[-1, 0, 0], [0, 1, 0], [0, 0, -1]])
MIRROR = np.float32([[-1, 0, 0], [0, 1, 0], [0, 0, 1]])


def moved(matrix: np.ndarray) -> Callable[[FlameModel], FlameModel]:
    def change(model: FlameModel) -> FlameModel:
        fields = ("vertices", "shape", "expression", "correctives")
        return replace(model, **{name: getattr(model, name) @ matrix.T for name in fields})

    return change


def wrong(model: FlameModel, version: str = "") -> str:
    """All that is said to be wrong."""
    return "\n".join(finding.text for finding in findings_of(model, version) if finding.verdict is Verdict.WRONG)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved(1000 * np.eye(3, dtype=np.float32)), "not in metres: the eyes are 62"),
        (moved(TURN), "does not stand upright"),
        (moved(BACK), "does not face \\+z"),
        (moved(MIRROR), "Left and right are swapped"),
        (lambda m: replace(m, triangles=m.triangles[:, ::-1]), "show inward"),
        (lambda m: replace(m, skin_weights=np.eye(5, dtype=np.float32)[np.zeros(5023, int)]), "jaw does not open"),
        (lambda m: replace(m, joint_regressor=m.joint_regressor[[0, 1, 2, 1, 2]]), "eyeballs are not pieces"),
        (lambda m: replace(m, shape=m.shape[::-1]), "not in order"),
        (lambda m: replace(m, shape=m.shape[:30], expression=m.shape[30:60]), "nothing larger begins"),
    ],
)
def test_each_fault_is_named(change: Callable[[FlameModel], FlameModel], words: str) -> None:
    model = flame_stand_in()
    assert not wrong(model)
    assert re.search(words, wrong(change(model)))


def test_the_version_is_the_file_s_word_before_the_user_s() -> None:
    model = replace(flame_stand_in(), texts={"info": "FLAME 2023"})
    assert "You say that it is FLAME 2020, the file says that it is FLAME 2023." in wrong(model, "2020")
    texts = [finding.text for finding in findings_of(model)]
    assert any(text.startswith("The file says that it is FLAME 2023. Non-commercial") for text in texts)
    texts = [finding.text for finding in findings_of(flame_stand_in(), "2023-open")]
    assert any(text.startswith("You say that it is FLAME 2023 Open. CC-BY-4.0") for text in texts)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "model.pkl", tmp_path / "sheet.png"
    arrays = files.arrays_of(flame_stand_in(), 30, 0)
    file.write_bytes(files.flame_pickle(arrays))
    assert main(["check-flame", str(file), "--picture", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "5,023 vertices, 9,976 triangles, 5 joints, 36 pose correctives, 30 shapes and 0 expressions" in said
    assert "does not say which version it is" in said and "WRONG" not in said
    sheet = np.asarray(Image.open(picture)).astype(int)
    heads = np.split(sheet[:240], 5, axis=1)
    assert all(np.abs(head - heads[0]).max() > 30 for head in heads[1:]), "two sliders show the same"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pkl", "sheet.png"], "it left something behind"


def test_the_command_on_a_file_of_millimetres(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = files.arrays_of(moved(1000 * np.eye(3, dtype=np.float32))(flame_stand_in()), 2, 0)
    np.savez(tmp_path / "model.npz", **arrays)
    assert main(["check-flame", str(tmp_path / "model.npz"), "--version", "2020"]) == 1
    said = capsys.readouterr()
    assert "WRONG It is not in metres" in said.out and "things about this file" in said.err
    assert main(["check-flame", str(tmp_path / "model.npz"), "--version", "2"]) == 1
    assert "no FLAME version '2'" in capsys.readouterr().err
