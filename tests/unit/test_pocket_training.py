# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the pocket pack: its loss, resuming, warm starts, and the folder that comes out."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from numpy.typing import NDArray

from headsculpt.packs.pack import load_pack
from headsculpt.packs.pocket.training import captions, networks, train
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
    return train.Trainer(pack, train.TrainingSet(*data, pack, pack_spec()), PLAN, "cpu")


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
        loss = trainer.loss(latents, tokens, None, noise, t)
        assert float(loss) == pytest.approx(float(torch.nn.functional.mse_loss(output, target)), rel=1e-5)
        for parameter in trainer.pack.controlnet.parameters():
            parameter.add_(0.05)  # a new ControlNet does nothing
        maps = torch.rand(2, 3, 128, 128, generator=generator)
        assert float(trainer.loss(latents, tokens, maps, noise, t)) != pytest.approx(float(loss), rel=1e-3)


def test_the_control_net_never_sees_a_blank_map(data: Data) -> None:
    trainer = new_trainer(data)
    rng = np.random.default_rng(0)
    mapped = [maps for _, _, maps in (trainer.data.batch(PLAN, rng) for _ in range(40)) if maps is not None]
    assert 10 < len(mapped) < 30
    assert all((maps.amax((1, 2, 3)) > 0).all() for maps in mapped)
    assert trainer.data.with_map.tolist() == [0, 1, 2, 4]  # beyond 90° there is none


def test_resumed_training_goes_on_as_if_never_broken(data: Data) -> None:
    whole = new_trainer(data)
    losses = [whole.train_step()[0] for _ in range(4)]
    broken = new_trainer(data)
    assert [broken.train_step()[0] for _ in range(2)] == losses[:2]
    state = broken.state()
    resumed = new_trainer(data, seed=1)  # other weights, until the state is restored
    resumed.restore(state)
    assert [resumed.train_step()[0] for _ in range(2)] == losses[2:]
    assert resumed.step == whole.step and len(set(losses)) == 4


def test_an_interrupted_run_ends_with_the_pack_of_an_unbroken_one(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "load_shards", lambda folder: data)
    handlers = [(kind, signal.getsignal(kind)) for kind in (signal.SIGTERM, signal.SIGINT)]

    def run(out: Path) -> train.Trainer:
        return train.train(Path("anywhere"), out, PLAN, None, "cpu", save_minutes=60)

    try:
        whole = run(tmp_path / "whole")
        real = train.LossLog.add

        def interrupt(log: train.LossLog, trainer: train.Trainer, loss: float, mapped: bool) -> None:
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
        log.add(trainer, loss, mapped)
    rows = list(csv.DictReader((tmp_path / "loss.csv").open()))
    assert [(row["loss"], row["loss_landmarks"]) for row in rows] == [("2.0000", ""), ("1.0000", "5.0000")]
    assert [row["samples"] for row in rows] == ["4", "8"]
