# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs by command line and by request: what a user types, what the add-on sends, what they read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, FakeHub, cut, serving

from headsculpt import cli
from headsculpt.errors import UserError
from headsculpt.jobs.events import JobControl
from headsculpt.jobs.packs import PackRequest, run_packs
from headsculpt.packs import manifest
from headsculpt.packs.manifest import DEFAULT, default_store, find_pack, known_packs, size_text

UNET = "stable-diffusion-v1-5/stable-diffusion-v1-5/unet/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """All that the default pack is made of, in small; the manifest is the shipped one but for commits and hashes."""
    files = {
        f"{part.repository}/{file.source}": f"{part.name} {file.source} ".encode() * (1 if file.bytes < 1e6 else 900)
        for part in find_pack(DEFAULT).parts
        for file in part.files
    }
    text = (manifest.KNOWN / f"{DEFAULT}.toml").read_text(encoding="utf-8")
    text = re.sub(r', sha256 = "\w+"', "", re.sub(r'revision = "\w{40}"', f'revision = "{COMMIT}"', text))
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / f"{DEFAULT}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(manifest, "KNOWN", tmp_path / "known")
    monkeypatch.setenv("HEADSCULPT_PACKS", str(tmp_path / "packs"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving(FakeHub(files)) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["packs", *words])
    out, error = capsys.readouterr()
    return code, out, error


def test_list_get_check_remove(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("list", capsys=capsys)
    assert code == 0 and out.count("0 bytes there") == 4
    for word in ("CreativeML OpenRAIL-M", "commercial", "2.13 GB", "optional", str(tmp_path / "packs" / DEFAULT)):
        assert word.lower() in out.lower()
    hub.faults[UNET] = [cut(100)]
    code, out, error = run("get", capsys=capsys)
    assert code == 0 and "complete" in out and "Getting Stable Diffusion 1.5" in error
    folder = tmp_path / "packs" / DEFAULT
    for part in known_packs()[DEFAULT].parts:
        for file in part.files:
            there = (folder / file.path).is_file()
            assert there != part.optional
            assert not there or (folder / file.path).read_bytes() == hub.files[f"{part.repository}/{file.source}"]
    code, out, _ = run("list", capsys=capsys)
    assert out.count(", complete") == 2
    assert run("check", capsys=capsys)[0] == 0
    (folder / "vae" / "config.json").write_bytes(b"changed")
    code, _, error = run("check", capsys=capsys)
    assert code == 1 and "vae/config.json is damaged." in error and "only what is not right" in error
    hub.sent.clear()
    assert run("get", capsys=capsys)[0] == 0
    assert list(hub.sent) == ["stable-diffusion-v1-5/stable-diffusion-v1-5/vae/config.json"]
    assert run("remove", capsys=capsys)[0] == 0
    assert not folder.exists()


def test_optional_parts_come_when_they_are_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    assert cli.main(["packs", "get", "--parts", "instructions", "--store", str(tmp_path / "other")]) == 0
    folder = tmp_path / "other" / DEFAULT
    assert (folder / "controlnet_instructions" / "config.json").is_file() and not (folder / "unet").exists()


def test_an_error_is_a_sentence_and_an_advice(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.files[UNET]
    code, _, error = run("get", capsys=capsys)
    lines = error.strip().rpartition("\r")[2].splitlines()
    assert code == 1 and "is not in stable-diffusion-v1-5" in lines[-2] and lines[-1].startswith("Update")
    code, _, error = run("check", "sd3", capsys=capsys)
    assert code == 1 and "no pack 'sd3'" in error and DEFAULT in error
    code, _, error = run("get", "--parts", "unet", capsys=capsys)
    assert code == 1 and "landmarks" in error


def test_ctrl_c_keeps_what_has_come(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def received(watch: object, done: int) -> None:
        if done == 3000:
            raise KeyboardInterrupt

    monkeypatch.setattr("headsculpt.packs.getting.Watch.received", received)
    hub.faults[UNET] = [cut(3000)]
    code, _, error = run("get", capsys=capsys)
    assert code == 130 and "what has come is kept" in error
    [part] = (tmp_path / "packs" / DEFAULT / "unet").glob("*.part")
    assert part.read_bytes() == hub.files[UNET][:3000]


def test_a_pack_can_be_named_instead_of_its_folder(hub: FakeHub, tmp_path: Path) -> None:
    options = cli._parser().parse_args(["generate", "a head", "--out", "x", "--pack", DEFAULT])
    assert options.pack == tmp_path / "packs" / DEFAULT
    options = cli._parser().parse_args(["generate", "a head", "--out", "x", "--pack", str(tmp_path)])
    assert options.pack == tmp_path


def test_a_request_survives_the_line_and_runs(hub: FakeHub, tmp_path: Path) -> None:
    request = PackRequest("get", parts=("landmarks",), store=tmp_path / "s", online=False)
    fields, arrays = request.to_message()
    again = PackRequest.from_message(json.loads(json.dumps(fields)), arrays)
    assert again == request
    with pytest.raises(UserError, match="Allow Online Access"):
        run_packs(again, lambda event: None, JobControl())
    assert not hub.requests
    run_packs(PackRequest("get", parts=("landmarks",), store=tmp_path / "s"), lambda event: None, JobControl())
    assert (tmp_path / "s" / DEFAULT / "controlnet_landmarks" / "config.json").is_file()


@pytest.mark.parametrize("fields", [{}, {"action": 3}, {"action": "get", "online": 1}, {"action": "get", "token": "x"}])
def test_a_message_that_is_no_request(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PackRequest.from_message(fields, {})


def test_the_shipped_manifest_is_complete() -> None:
    """Every path once, weights as safetensors only, a licence for all; and the layout that load_pack reads."""
    pack = find_pack(DEFAULT)
    paths = [file.path for part in pack.parts for file in part.files]
    assert len(paths) == len(set(paths)) and all(part.license and part.terms and part.use for part in pack.parts)
    assert all(path.endswith((".json", ".txt", ".fp16.safetensors")) for path in paths)
    assert [part.name for part in pack.chosen()] == ["base", "landmarks"]
    for part in pack.parts:
        assert re.fullmatch(r"[0-9a-f]{40}|main", part.revision)
        for file in part.files:
            assert re.fullmatch(r"[0-9a-f]{64}|", file.sha256) and file.bytes > 0
    for folder in ("tokenizer", "text_encoder", "unet", "vae", "scheduler", "controlnet_landmarks"):
        assert any(path.startswith(f"{folder}/") for path in paths)


def test_where_packs_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSCULPT_PACKS", str(tmp_path))
    assert default_store() == tmp_path
    monkeypatch.delenv("HEADSCULPT_PACKS")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_store() == tmp_path / "data" / "headsculpt" / "packs"


def test_sizes_are_readable() -> None:
    assert [size_text(count) for count in (982, 723_000_000, 2_133_592_000)] == ["982 bytes", "723.0 MB", "2.13 GB"]
