# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether results follow their shapes, with a stand-in for the engine whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_stand_ins import Engine, export
from scipy.spatial.transform import Rotation

from headsculpt.evaluation import runs
from headsculpt.evaluation.flame_stand_in import flame_stand_in
from headsculpt.evaluation.follows import PROMPT, face_vertices, laid_over, run_follows
from headsculpt.head.builtin import load_builtin
from headsculpt.jobs.events import GenerateResult
from headsculpt.jobs.request import GenerateRequest
from headsculpt.packs.pack import Pack


class Follower(Engine):
    """Returns the chosen head moved outwards by a millimetre, or always the same head."""

    def __init__(self, follows: bool) -> None:
        super().__init__()
        self.follows = follows

    def __call__(self, request: GenerateRequest, emit: object, control: object, pack: Pack | None) -> GenerateResult:
        result = super().__call__(request, emit, control, pack)
        head = request.head
        assert head is not None and head.triangles is not None
        vertices = head.vertices if self.follows else flame_stand_in().vertices
        normals = np.zeros_like(vertices) + np.float32([0, 0, 1])
        mesh = replace(
            result.mesh,
            vertices=vertices + 0.001 * normals,
            triangles=head.triangles,
            normals=normals,
            corner_uv=np.zeros((len(head.triangles), 3, 2), np.float32),
        )
        return replace(result, mesh=mesh)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "export_head", export)


def distances(folder: Path, follows: bool) -> np.ndarray:
    engine = Follower(follows)
    template = GenerateRequest(PROMPT, threads=1)
    run_follows(folder, flame_stand_in(), template, print, generate=engine)
    assert len(engine.prompts) == 3
    run_follows(folder, flame_stand_in(), template, print, generate=engine)
    assert len(engine.prompts) == 3, "what was there was made again"
    return np.array([row["mean_mm"] for row in json.loads((folder / "follows.json").read_text())])


def test_results_that_follow_are_a_millimetre_off_their_own_shape(tmp_path: Path) -> None:
    mean = distances(tmp_path, True)
    own = np.diag(mean)
    assert (own < 1.0).all() and (own > 0.5).all(), "a step along z is less than that across a slope"
    assert (mean + np.eye(3) * 99 > 1.2 * own[:, None]).all()
    page = (tmp_path / "follows.md").read_text()
    assert page.count("| yes |") == 3 and "to result 3" in page
    assert (tmp_path / "pictures" / "follows.jpg").stat().st_size > 1000


def test_results_that_do_not_follow_are_seen(tmp_path: Path) -> None:
    mean = distances(tmp_path, False)
    assert (np.diag(mean) > 1.2).any()
    assert np.diag(mean).mean() > 1.0


def test_the_face_is_the_face() -> None:
    """Beside the built-in head's own mask, which knows the same surface."""
    model, builtin = flame_stand_in(), load_builtin()
    face = face_vertices(model)
    assert 400 < len(face) < 2500
    nearest = [int(np.linalg.norm(builtin.vertices - place, axis=1).argmin()) for place in model.vertices[face][::7]]
    inside = builtin.masks["face"][nearest] + builtin.masks["eyeballs"][nearest]
    assert np.mean(inside > 0.3) > 0.9
    eyes = model.joint_positions(model.vertices)[3:]
    assert model.vertices[face, 1].min() < eyes[:, 1].mean() - 0.09, "the chin is left out"


def test_size_place_and_direction_make_no_difference() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 3))
    moved = 2.5 * Rotation.from_rotvec([0.4, -1, 2]).apply(points) + (3, 4, 5)
    np.testing.assert_allclose(laid_over(moved, points), points, atol=1e-10)
    mirrored = points * (-1, 1, 1)
    assert np.abs(laid_over(mirrored, points) - points).max() > 0.1
