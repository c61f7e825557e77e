# SPDX-License-Identifier: GPL-3.0-or-later
"""The job flame as the worker does it, from a frame's fields to the answer's arrays."""

from __future__ import annotations

from pathlib import Path

import flame_files as files
import numpy as np
import pytest

from headsculpt.errors import UserError
from headsculpt.evaluation.flame_stand_in import flame_stand_in
from headsculpt.jobs.events import JobControl, Progress
from headsculpt.jobs.flame_request import FlameRequest
from headsculpt.jobs.kinds import KINDS
from headsculpt.protocol import Frame, encode
from headsculpt.worker import as_array


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flame") / "model.npz"
    np.savez(path, notice=np.array("FLAME 2023 Open"), **files.arrays_of(flame_stand_in(), 300, 4))
    return path


def test_a_request_comes_through_the_line_as_it_was(tmp_path: Path) -> None:
    request = FlameRequest(tmp_path / "a.pkl", tmp_path / "cache", 7, 3)
    fields, arrays = request.to_message()
    assert not arrays and FlameRequest.from_message(fields, {}) == request
    with pytest.raises(ValueError, match="unknown fields"):
        FlameRequest.from_message({**fields, "code": "x"}, {})
    with pytest.raises(ValueError, match="path and a cache"):
        FlameRequest.from_message({"path": "a.pkl"}, {})
    with pytest.raises(UserError, match="no FLAME file"):
        FlameRequest(Path(), tmp_path)


def test_the_answer_is_what_the_model_says(file: Path, tmp_path: Path) -> None:
    kind = KINDS["flame"]
    request = kind.read({"path": str(file), "cache": str(tmp_path / "cache"), "shapes": 6, "expressions": 50}, {})
    events: list[object] = []
    fields, arrays = kind.answer(kind.run(request, events.append, JobControl()))
    model = flame_stand_in()
    assert fields == {"report": {"version": "2023-open", "file": "model.npz"}}
    assert [type(event) for event in events] == [Progress]
    np.testing.assert_allclose(arrays["shape"], model.shape[:6], atol=1e-7)
    np.testing.assert_allclose(arrays["expression"], model.expression[:4], atol=1e-7)
    opened = model.posed((), (), {"jaw": (np.radians(25), 0, 0)})
    np.testing.assert_allclose(arrays["vertices"] + arrays["jaw"], opened, atol=1e-6)
    np.testing.assert_array_equal(arrays["eyeballs"], model.eyeballs())
    frame = Frame("result", 1, fields, {name: as_array(values) for name, values in arrays.items()})
    assert sum(len(piece) for piece in encode(frame)) > arrays["shape"].nbytes
