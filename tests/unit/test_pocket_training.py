# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the pocket pack: its loss, resuming, warm starts, and the folder that comes out."""

from __future__ import annotations

import csv
import json
import signal
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from numpy.typing import NDArray

from headsculpt.packs.pack import load_pack
from headsculpt.packs.pocket.training import captions, dataset, networks, train
from headsculpt.packs.pocket.training.looks.words import Look
from headsculpt.packs.pocket.training.pictures import Record, pack_spec

Data = tuple[NDArray[np.uint8], NDArray[np.float32], list[Record]]
PLAN = train.Plan(samples=8, batch=2, warm_up=1, peak_rate=1e-3, landmark_batches=0.5)


@pytest.fixture(scope="module")
def data() -> Data:
    """Six smooth random pictures; the last is seen from behind."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (6, 3, 9, 9)))
    smooth = torch.nn.functional.interpolate(coarse, size=(128, 128), mode="bicubic").clamp(0, 255)
    pictures = smooth.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    landmarks = rng.uniform(20, 108, (6, 478, 2)).astype(np.float32)
    azimuths = (0.0, 30.0, -80.0, 100.0, -45.0, 170.0)
    return pictures, landmarks, [Record(Look.draw(rng, 1).words(), azimuth, 0) for azimuth in azimuths]


def new_trainer(data: Data, seed: int = 0) -> train.Trainer:
    pack = networks.create(networks.fit_codec(data[0]), seed)
    trainer = train.Trainer(pack, PLAN, "cpu")
    trainer.data.add([dataset.prepare(*data, pack.codec(), pack_spec(), np.random.default_rng(0))])
    return trainer


def write_shard(data: Data, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps([asdict(record) for record in data[2]])
    np.savez(path, pictures=data[0], landmarks=data[1], records=np.array(text))


def test_the_codec_is_the_principal_components(data: Data) -> None:
    tensors = networks.fit_codec(data[0])
    patches = data[0].astype(np.float64).reshape(6, 16, 8, 16, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 192)
    patches = patches / 127.5 - 1
    centred = patches - patches.mean(0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    overlap = tensors["basis"].double().T.numpy() @ rows[: networks.LATENT_CHANNELS].T
    np.testing.assert_allclose(np.abs(np.diag(overlap)), 1, atol=1e-3)
    deviation = singular[: networks.LATENT_CHANNELS] / np.sqrt(len(patches))
    ratio = tensors["scale"].double().numpy() ** 2 / deviation
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)  # the square root of the deviation, times one number
    images = torch.from_numpy(data[0]).permute(0, 3, 1, 2) / 255
    latents = networks.create(tensors, 0).codec().encode(images)
    assert latents.shape == (6, 12, 16, 16)
    assert float(latents.square().mean().sqrt()) == pytest.approx(1, abs=1e-3)


def test_the_loss_is_that_of_diffusers_velocity(data: Data) -> None:
    trainer = new_trainer(data)
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 2, 12, 16, 16, generator=generator)
    t = torch.tensor([3, 800])
    tokens = trainer.pack.tokenizer(
        ["a head", ""], padding="max_length", max_length=networks.TEXT_LENGTH, return_tensors="pt"
    ).input_ids
    scheduler = DDPMScheduler.from_config(networks.SCHEDULE)
    noisy, target = scheduler.add_noise(latents, noise, t), scheduler.get_velocity(latents, noise, t)
    with torch.no_grad():
        words = trainer.pack.text_encoder(tokens).last_hidden_state
        output = trainer.pack.unet(noisy, t, words).sample
        batch = dataset.Batch(latents, torch.ones(2, 1, 16, 16), tokens, None)
        loss = train.velocity_loss(trainer.pack, trainer.alphas, batch, noise, t)
        assert float(loss) == pytest.approx(float(torch.nn.functional.mse_loss(output, target)), rel=1e-5)
        for parameter in trainer.pack.controlnet.parameters():
            parameter.add_(0.05)  # a new ControlNet does nothing
        maps = torch.rand(2, 3, 128, 128, generator=generator)
        assert float(
            train.velocity_loss(trainer.pack, trainer.alphas, replace(batch, maps=maps), noise, t)
        ) != pytest.approx(float(loss), rel=1e-3)
        some = torch.zeros(2, 1, 16, 16)
        some[:, :, :8] = 3.0
        above = float((output - target)[:, :, :8].square().mean())
        assert float(
            train.velocity_loss(trainer.pack, trainer.alphas, replace(batch, weights=some), noise, t)
        ) == pytest.approx(above, rel=1e-5)


def test_the_control_net_never_sees_a_blank_map(data: Data) -> None:
    trainer = new_trainer(data)
    batches = [trainer.data.batch(4, True, 0.1, trainer.generator) for _ in range(20)]
    maps = torch.cat([batch.maps for batch in batches if batch.maps is not None])
    assert len(maps) == 80 and (maps.amax((1, 2, 3)) > 0).all()
    assert trainer.data.all is not None
    assert trainer.data.all.mapped.tolist() == [0, 1, 2, 4]  # beyond 90° there is none
    latents = torch.cat([batch.latents for batch in batches])
    own = [int((trainer.data.all.latents == one).flatten(1).all(1).nonzero()) for one in latents]
    assert all(
        torch.equal(trainer.data.all.maps[[0, 1, 2, 4].index(i)] / 255, m) for i, m in zip(own, maps, strict=True)
    )


def test_half_of_the_batches_have_landmarks_if_the_plan_says_so(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = new_trainer(data)
    with_maps: list[bool] = []

    def cheap(pack: object, alphas: object, batch: dataset.Batch, *drawn: object) -> torch.Tensor:
        with_maps.append(batch.maps is not None)
        return trainer.parameters[0].square().mean()

    monkeypatch.setattr(train, "velocity_loss", cheap)
    said = [trainer.train_step()[1] for _ in range(40)]
    assert said == with_maps and 10 < sum(said) < 30


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        train.train(tmp_path / "nothing", tmp_path / "out", PLAN, None, "cpu", save_minutes=60)
    assert not (tmp_path / "out").exists()


def test_some_captions_are_left_empty_and_the_others_vary(data: Data) -> None:
    trainer = new_trainer(data)
    tokens = trainer.data.batch(400, False, 0.25, trainer.generator).tokens
    empty = (tokens == trainer.data.empty).all(1)
    assert 60 < int(empty.sum()) < 140
    assert len({tuple(row) for row in tokens.tolist()}) > 20


def test_eyes_and_lips_weigh_more_than_the_face_and_the_face_more_than_the_rest() -> None:
    face = np.full((478, 2), 60.0, np.float32)  # all in one cell, but for one eye corner and one that is out of sight
    face[dataset.FEATURES] = 400.0
    face[33] = (100.0, 20.0)
    weights = dataset.face_weights(face, 16)
    assert weights[7, 7] == dataset.FACE_WEIGHT and weights[2, 12] == dataset.FEATURE_WEIGHT
    assert weights.sum() == 254 + dataset.FACE_WEIGHT + dataset.FEATURE_WEIGHT


def test_shards_are_read_once_each_also_those_that_come_later(data: Data, tmp_path: Path) -> None:
    write_shard(data, tmp_path / "shard-001-0000.npz")
    pack = networks.create(networks.fit_codec(data[0]), 0)
    shards = dataset.Shards(tmp_path, pack.codec_tensors)
    try:
        (first,) = shards.new(wait=True)
        assert shards.new(wait=True) == []
        write_shard(data, tmp_path / "shard-001-0001.npz")
        (second,) = shards.new(wait=True)
    finally:
        shards.close()
    images = torch.from_numpy(data[0]).permute(0, 3, 1, 2) / 255
    assert torch.allclose(first.latents, pack.codec().encode(images), atol=1e-5)
    assert torch.equal(first.latents, second.latents) and torch.equal(first.maps, second.maps)
    assert not torch.equal(first.tokens, second.tokens)  # other captions
    joined = dataset.TrainingSet(torch.device("cpu"))
    joined.add([first])
    joined.add([second])
    assert len(joined) == 12 and joined.all is not None
    assert joined.all.mapped.tolist() == [0, 1, 2, 4, 6, 7, 8, 10]


def test_resumed_training_goes_on_as_if_never_broken(data: Data) -> None:
    whole = new_trainer(data)
    losses = [float(whole.train_step()[0]) for _ in range(4)]
    broken = new_trainer(data)
    assert [float(broken.train_step()[0]) for _ in range(2)] == losses[:2]
    state = broken.state()
    resumed = new_trainer(data, seed=1)  # other weights, until the state is restored
    resumed.restore(state)
    assert [float(resumed.train_step()[0]) for _ in range(2)] == losses[2:]
    assert resumed.step == whole.step and len(set(losses)) == 4


def test_an_interrupted_run_ends_with_the_pack_of_an_unbroken_one(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(data, tmp_path / "data" / "shard-001-0000.npz")
    handlers = [(kind, signal.getsignal(kind)) for kind in (signal.SIGTERM, signal.SIGINT)]

    def run(out: Path) -> train.Trainer:
        return train.train(tmp_path / "data", out, PLAN, None, "cpu", save_minutes=60)

    try:
        whole = run(tmp_path / "whole")
        real = train.LossLog.add

        def interrupt(log: train.LossLog, trainer: train.Trainer, loss: torch.Tensor, mapped: bool) -> None:
            real(log, trainer, loss, mapped)
            if trainer.step == 2:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(train.LossLog, "add", interrupt)
        assert run(tmp_path / "broken").step == 2
        assert (tmp_path / "broken/pack/unet").is_dir()
        resumed = run(tmp_path / "broken")
    finally:
        for kind, handler in handlers:
            signal.signal(kind, handler)
    assert resumed.step == whole.step == 4
    assert all(torch.equal(a, b) for a, b in zip(resumed.average, whole.average, strict=True))
    names = [path.name for path in (tmp_path / "broken").iterdir()]
    assert sorted(names) == ["checkpoint.pt", "loss.csv", "pack"]  # nothing half-written is left


def test_the_exported_pack_loads_and_holds_the_average(data: Data, tmp_path: Path) -> None:
    trainer = new_trainer(data)
    for _ in range(3):
        trainer.train_step()
    before = [parameter.detach().clone() for parameter in trainer.parameters]
    trainer.export(tmp_path / "pack")
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))
    pack = load_pack(tmp_path / "pack")
    assert pack.spec.prediction_type == "v_prediction" and pack.spec.image_size == 128
    named = dict(zip((name for name, _ in trainer.pack.unet.named_parameters()), range(10**6), strict=False))
    offset = len(list(trainer.pack.text_encoder.parameters()))
    for name, value in pack.unet.named_parameters():
        torch.testing.assert_close(value, trainer.average[offset + named[name]].half().float(), atol=0, rtol=0)
    torch.testing.assert_close(pack.alphas_cumprod, trainer.alphas)
    size = sum(path.stat().st_size for path in (tmp_path / "pack").rglob("*") if path.is_file())
    assert size <= 18e6


def test_words_keep_their_meaning_when_the_vocabulary_changes(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack whose words stand in another order, and lack one, goes on with the same embeddings."""
    with monkeypatch.context() as patch:
        patch.setattr(captions, "WORDS", tuple(reversed(captions.WORDS[:-1])))
        old = networks.create(networks.fit_codec(data[0]), seed=3)
        old.save(tmp_path)
    new = networks.continue_from(tmp_path, seed=4)
    assert old.tokenizer.get_vocab()["green"] != new.tokenizer.get_vocab()["green"]
    texts = ["a head of a person with green skin, a red beard", "bald"]
    with torch.no_grad():
        expected, found = (
            pack.text_encoder(
                pack.tokenizer(
                    texts, padding="max_length", max_length=networks.TEXT_LENGTH, return_tensors="pt"
                ).input_ids
            ).last_hidden_state
            for pack in (old, new)
        )
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)  # saved in half precision
    for key, value in old.codec_tensors.items():
        torch.testing.assert_close(new.codec_tensors[key], value)


def test_the_rate_warms_up_and_falls_to_its_end(data: Data) -> None:
    trainer = new_trainer(data)
    trainer.plan = train.Plan(samples=3200, batch=32, warm_up=10, peak_rate=1e-3, final_rate=0.02)
    rates = []
    for step in range(101):
        trainer.step = step
        rates.append(trainer.rate)
    assert rates[0] == pytest.approx(1e-4, rel=0.01) and int(np.argmax(rates)) == 9
    assert rates[50] == pytest.approx(1e-3 * (0.02 + 0.98 / 2)) and rates[100] == pytest.approx(2e-5)
    assert (np.diff(rates[10:]) < 0).all()


def test_the_log_has_mean_losses(data: Data, tmp_path: Path) -> None:
    trainer = new_trainer(data)
    log = train.LossLog(tmp_path / "loss.csv", every=2)
    for step, (loss, mapped) in enumerate([(1.0, False), (3.0, False), (5.0, True), (1.0, False)], 1):
        trainer.step = step
        log.add(trainer, torch.tensor(loss), mapped)
    rows = list(csv.DictReader((tmp_path / "loss.csv").open()))
    assert [(row["loss"], row["loss_landmarks"]) for row in rows] == [("2.0000", ""), ("1.0000", "5.0000")]
    assert [row["samples"] for row in rows] == ["4", "8"]
