# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: its made-up heads and pictures, its network, its training, and what it says about several views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_stand_ins import new_judge
from numpy.typing import NDArray
from scipy.fft import idctn
from shapes import icosphere

from headsculpt.evaluation.attributes import ATTRIBUTES
from headsculpt.evaluation.judge import network, studio, training, trial
from headsculpt.evaluation.judge.augment import BLOCK, _cosines, augment
from headsculpt.evaluation.judge.mirrored import NECK, face_painted_behind, two_faced
from headsculpt.evaluation.judge.network import QUESTIONS, SIZE, Network
from headsculpt.evaluation.judge.reading import (
    PORTRAITS,
    WEIGHTS,
    Judge,
    View,
    face_scores,
    in_a_row,
    load_judge,
    photographs,
)
from headsculpt.evaluation.judge.renders import HELD_OUT_VIEWS, UNKNOWN, Record, Views, draw_look, head_samples, labels
from headsculpt.evaluation.judge.studio import Subject, camera, draw_camera, illumination
from headsculpt.head.builtin import load_builtin
from headsculpt.mesh import Mesh
from headsculpt.packs.pocket.training.looks.wardrobe import Wardrobe
from headsculpt.packs.pocket.training.looks.words import HELD_OUT, Look


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_builtin())


@pytest.fixture(scope="module")
def ball() -> Mesh:
    """Green in front, red behind; above the height at which necks begin."""
    sphere = icosphere(3)
    vertices = 0.25 * sphere.vertices
    colors = np.where(vertices[:, 2:] > 0.001, (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)).astype(np.float32)
    return Mesh(vertices.astype(np.float32), sphere.triangles, colors)


def answers(record: Record) -> dict[str, str]:
    known = zip(QUESTIONS, labels(record).tolist(), strict=True)
    return {name: QUESTIONS[name][index] for name, index in known if index != UNKNOWN}


def a_look(**words: str) -> dict[str, str]:
    nothing = {name: "" if "" in values else values[0] for name, values in ATTRIBUTES.items()}
    return nothing | {"style": "short"} | words


def test_labels() -> None:
    front = answers(Record(a_look(skin="gold", eyes="red", ears="elf ears"), 20))
    assert front["view"] == "front" and front["face"] == "shown" and "eyes" not in front
    assert answers(Record(a_look(eyes="red"), 20, near=True))["eyes"] == "red"
    assert front["skin"] == "gold" and front["ears"] == "elf ears"
    back = answers(Record(a_look(skin="gold", hair="pink"), -175))
    assert back == {"view": "back", "face": "hidden", "style": "short", "hair": "pink", "headwear": ""}
    assert "view" not in answers(Record(a_look(), 47)) and "face" not in answers(Record(a_look(), 100))
    assert "ears" not in answers(Record(a_look(style="bob", ears="elf ears"), 30))
    assert answers(Record(a_look(), 180, two_faced=True)) == {"face": "shown"}


def test_the_judges_looks_know_nothing_of_what_the_pack_holds_out() -> None:
    rng = np.random.default_rng(0)
    looks = [draw_look(rng, 3) for _ in range(600)]
    held_out = sum(bool(look.pairs() & HELD_OUT) for look in looks)
    assert held_out > 60
    assert all(look.seed >= 1 << 20 for look in looks) and len({look.seed for look in looks}) > 590
    for name, values in ATTRIBUTES.items():
        counts = [sum(look.words()[name] == value for look in looks) for value in values]
        assert min(counts) > 15, name


def test_a_second_face_is_the_first_one_mirrored(ball: Mesh) -> None:
    rng = [np.random.default_rng(0) for _ in range(2)]
    twin = Subject(two_faced(ball))
    from_front, from_behind = (
        twin.photograph(camera(azimuth, 0, 2.0, 20, np.zeros(3), 48), random).astype(int)
        for azimuth, random in zip((0, 180), rng, strict=True)
    )
    assert np.abs(from_front - from_behind)[8:-8, 8:-8].mean() < 3  # a ball is its own mirror image
    middle = from_behind[24, 24]
    assert middle[1] > 3 * middle[0]  # green
    painted = face_painted_behind(ball)
    assert np.array_equal(painted.vertices, ball.vertices) and painted.colors is not None
    behind = painted.vertices[:, 2] < -0.05
    assert (painted.colors[behind, 1] > 0.5).all()
    low = Mesh(ball.vertices + np.array([0, NECK - 0.5, 0], np.float32), ball.triangles, ball.colors)
    assert np.array_equal(two_faced(low).triangles % len(ball.vertices), ball.triangles)  # all of it is neck


def test_two_lights_and_a_sky() -> None:
    """Light is never negative, follows the camera, and differs from draw to draw."""
    normals = np.random.default_rng(0).normal(size=(500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    turn = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    first, again, turned, other = (
        illumination(n, rotation, np.random.default_rng(seed))
        for n, rotation, seed in (
            (normals, np.eye(3), 1),
            (normals, np.eye(3), 1),
            (normals @ turn, turn, 1),
            (normals, np.eye(3), 2),
        )
    )
    assert np.array_equal(first, again) and (first > 0.2).all()
    assert turned == pytest.approx(first, abs=1e-5) and np.abs(other - first).mean() > 0.02


def test_near_cameras_see_the_face_alone(wardrobe: Wardrobe) -> None:
    rng = np.random.default_rng(0)
    landmarks = torch.from_numpy(wardrobe.body.anatomy.landmarks).float()
    for near in (False, True):
        for _ in range(20):
            at = draw_camera(rng.uniform(-40, 40), near, rng)
            pixels = at.project(landmarks)[0][0]
            eyes_and_mouth = pixels[[468, 473, 13]]
            assert (eyes_and_mouth > 0).all() and (eyes_and_mouth < studio.SIZE).all()
            assert (float(pixels[152, 1] - pixels[10, 1]) > studio.SIZE * 0.6) == near


def test_samples_of_a_head(wardrobe: Wardrobe) -> None:
    pictures, records = zip(*head_samples(wardrobe, Views(2, 3, 1), np.random.default_rng(3)), strict=True)
    assert len(pictures) == 6 and all(picture.shape == (studio.SIZE, studio.SIZE, 3) for picture in pictures)
    assert [record.near for record in records].count(True) == 3
    assert [record.two_faced for record in records] == 5 * [False] + [True]
    assert all(np.ptp(picture) > 20 for picture in pictures)


def test_augmented_pictures() -> None:
    grid = torch.linspace(0.2, 0.8, SIZE)
    pictures = (grid[:, None] * torch.ones(SIZE)).expand(12, 3, SIZE, SIZE)
    first, again = (augment(pictures, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == pictures.shape
    assert float(first.min()) >= 0 and float(first.max()) <= 1 and not torch.equal(first[0], first[1])
    assert float((first.mean((1, 2, 3)) - 0.5).abs().max()) < 0.2  # still the same picture
    assert first.mean(3)[:, :, :20].mean() < first.mean(3)[:, :, -20:].mean() - 0.3
    waves = np.eye(BLOCK)
    np.testing.assert_allclose(_cosines(), idctn(waves, axes=[1], norm="ortho"), atol=1e-6)


def test_weights_come_back(tmp_path: Path) -> None:
    net = new_judge().network
    pictures = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    network.save(net, tmp_path / "w.safetensors", {"face_threshold": "1.5"})
    loaded, notes = network.load(tmp_path / "w.safetensors")
    assert notes == {"face_threshold": "1.5"}
    with torch.no_grad():
        for name, scores in net(pictures).items():
            assert scores.shape == (2, len(QUESTIONS[name]))
            assert torch.allclose(loaded(pictures)[name], scores, atol=2e-2)
    assert sum(parameter.numel() for parameter in net.parameters()) <= 3_500_000
    assert (tmp_path / "w.safetensors").stat().st_size <= 7_000_000


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Pictures of one colour each, whose only question is the skin: green, blue or red."""
    rng = np.random.default_rng(0)
    values = [QUESTIONS["skin"].index(word) for word in ("green", "blue", "red")]
    which = rng.integers(3, size=96)
    shades = np.array([[40, 190, 40], [40, 60, 220], [220, 30, 30]])[which]
    pictures = (
        (shades[:, None, None] + rng.integers(-30, 30, (96, studio.SIZE, studio.SIZE, 1))).clip(0, 255).astype(np.uint8)
    )
    right = np.full((96, len(QUESTIONS)), UNKNOWN, np.int8)
    right[:, list(QUESTIONS).index("skin")] = np.array(values)[which]
    return pictures, right


def test_training_learns_and_goes_on(made_up: tuple[NDArray[np.uint8], NDArray[np.int8]]) -> None:
    plan = training.Plan(minutes=1000, batch=8, warm_up=0.0001)
    trainer = training.Trainer(plan, "cpu")
    trainer.add(made_up[0][:40], made_up[1][:40])
    trainer.add(made_up[0][40:], made_up[1][40:])
    losses = [float(trainer.train_step())]
    trainer.seconds = 0.01 * 60 * plan.minutes
    losses += [float(trainer.train_step()) for _ in range(11)]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    state = {key: value for key, value in trainer.state().items()}
    copied = {name: tensor.clone() for name, tensor in state["network"].items()}
    other = training.Trainer(plan, "cpu")
    other.restore({**state, "network": copied})
    assert other.step == 12
    assert torch.equal(other.order.get_state(), trainer.order.get_state())
    for name, tensor in other.network.state_dict().items():
        assert torch.equal(tensor, trainer.network.state_dict()[name])


def test_the_loss_is_over_what_can_be_answered() -> None:
    scores = {name: torch.zeros(4, len(values)) for name, values in QUESTIONS.items()}
    right = torch.full((4, len(QUESTIONS)), UNKNOWN)
    right[0, 0], right[1, list(QUESTIONS).index("sex")] = 3, 1
    by_hand = (np.log(len(QUESTIONS["skin"])) + np.log(2)) / 2
    assert float(training.answer_loss(scores, right, 0.0)) == pytest.approx(by_hand, rel=1e-6)


def test_accuracy_counts_pictures_and_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heads: of the first a third of the pictures is read wrongly, the second is always read as the first."""
    skin, per_head = list(QUESTIONS).index("skin"), HELD_OUT_VIEWS.count
    right = np.full((2 * per_head, len(QUESTIONS)), UNKNOWN, np.int8)
    right[:6, skin], right[per_head : per_head + 6, skin] = 0, 1
    scores = {name: torch.zeros(2 * per_head, len(values)) for name, values in QUESTIONS.items()}
    scores["skin"][:, 0] = 1.0
    scores["skin"][:2, 1] = 1.5
    monkeypatch.setattr(trial, "answers", lambda *_: scores)
    monkeypatch.setattr(trial, "_made_worse", lambda pictures: pictures)
    row = trial.accuracies(Network(), np.zeros((2 * per_head, 4, 4, 3), np.uint8), right)["skin"]
    assert (row.pictures, row.heads, row.worst_value) == (pytest.approx(4 / 12), 0.5, QUESTIONS["skin"][1])


def test_views_speak_together() -> None:
    """Two views of five say blue with little certainty; behind, where no skin is asked, anything may be said."""
    judge = new_judge()
    views = [View(0), View(20), View(-20), View(180), View(0, near=True)]
    scores = {name: torch.full((5, len(values)), 1 / len(values)).log() for name, values in QUESTIONS.items()}
    green, blue = (ATTRIBUTES["skin"].index(word) for word in ("green", "blue"))
    scores["skin"][[0, 1], blue] = -1.0
    scores["skin"][[0, 1], green] = -1.2
    scores["skin"][2, green], scores["skin"][3, blue] = -0.1, 0.0
    judge = Judge(judge.network, 0.0)
    judge.scores = lambda pictures: scores  # type: ignore[method-assign]
    reading = judge.read(np.zeros((5, 4, 4, 3), np.uint8), views)
    assert reading.found["skin"] == "green" and 0.1 < reading.certainty("skin", "green") < 1


def test_a_second_face_needs_three_neighbours(ball: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_a_row([True, True, False, True, True]) and in_a_row([False, True, True, True])
    judge = new_judge()
    log_odds = torch.tensor([2.0, 2, 0, 2, 2, 2, 0, 0, 0, 0, 0])
    zero = torch.zeros_like(log_odds)
    monkeypatch.setattr(judge, "scores", lambda pictures: {"face": torch.stack([zero, log_odds], 1)})
    monkeypatch.setattr(judge, "face_threshold", 1.0)
    found = judge.second_face(ball)
    assert (found.seen, found.looked, found.two_faced) == (5, 11, True)
    monkeypatch.setattr(judge, "face_threshold", 3.0)
    assert not judge.second_face(ball).two_faced


def test_any_size_of_picture(ball: Mesh) -> None:
    judge = new_judge()
    large, small = (judge.scores(photographs(ball, [View(0)], size))["skin"] for size in (256, 128))
    assert torch.allclose(large, small, atol=0.1)


def test_the_judge_that_ships(wardrobe: Wardrobe) -> None:
    """It reads heads that it was not trained on, and knows a second face."""
    assert WEIGHTS.stat().st_size <= 7_000_000
    judge, right, asked = load_judge(), 0, 0
    for seed in range(3):
        rng = np.random.default_rng([99, seed])
        look = Look.draw(rng, len(wardrobe.model.identity))
        mesh = wardrobe.dress(look).mesh
        found = judge.read(photographs(mesh, PORTRAITS), PORTRAITS).found
        for name in ("skin", "style", "beard", "glasses", "headwear", "expression", "sex"):
            right, asked = right + (found[name] == look.words()[name]), asked + 1
        assert not judge.second_face(mesh).two_faced
        assert judge.second_face(two_faced(mesh)).two_faced
    assert right >= 0.85 * asked
    assert float(face_scores(judge.scores(photographs(mesh, [View(0)])))[0]) > judge.face_threshold
