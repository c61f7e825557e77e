# SPDX-License-Identifier: GPL-3.0-or-later
"""The Model panel's buttons: real downloads from a hub on this machine, and what heads are then made with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import pytest
from conftest import ID

from tests.unit.hub_server import COMMIT, FakeHub, serving, status

Addon = Callable[[str], ModuleType]
Until = Callable[..., None]
NET = "CrucibleAI/ControlNetMediaPipeFace/diffusion_sd15/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def options(addon: Addon, tmp_path: Path) -> Any:
    """The add-on's preferences: Stable Diffusion 1.5, kept in a folder of this test's, downloads allowed."""
    preferences = bpy.context.preferences.addons[ID].preferences
    preferences.model, preferences.store = "SD15", str(tmp_path / "models")
    bpy.context.preferences.system.use_online_access = True
    assert bpy.app.online_access
    return preferences


@pytest.fixture
def hub(addon: Addon, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with all of the shipped manifest's files in small; in the installed manifest commits and hashes are its."""
    known = Path(addon("models").__file__).parent / "backend/headsculpt/packs/known/stable-diffusion-1.5.toml"
    shipped = known.read_text(encoding="utf-8")
    text = re.sub(r', sha256 = "\w+"', "", re.sub(r'revision = "\w{40}"', f'revision = "{COMMIT}"', shipped))
    known.write_text(text, encoding="utf-8")
    manifest = addon("backend.headsculpt.packs.manifest").find_pack("stable-diffusion-1.5")
    files = {
        f"{part.repository}/{file.source}": f"{part.name} {file.source} ".encode() * (1 if file.bytes < 1e6 else 900)
        for part in manifest.parts
        for file in part.files
    }
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(FakeHub(files)) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served
    known.write_text(shipped, encoding="utf-8")


def press(action: str) -> None:
    assert bpy.ops.headsculpt.packs(action=action) == {"FINISHED"}


def fails(words: str, operator: Callable[..., Any], **fields: object) -> None:
    with pytest.raises(RuntimeError, match=words):
        operator(**fields)


def test_download_check_and_remove(addon: Addon, options: Any, hub: FakeHub, tmp_path: Path) -> None:
    models, session = addon("models"), addon("pump").session
    fails("not on this computer yet.*Download", bpy.ops.headsculpt.generate, prompt="a head")
    press("GET")
    folder = tmp_path / "models" / "stable-diffusion-1.5"
    assert session.notices == [f"Stable Diffusion 1.5 is complete: {folder}"] and not session.card
    assert models.chosen_model(options) == {"pack": folder, "base": None, "lora": ()}
    assert (folder / "unet" / "config.json").is_file() and not (folder / "controlnet_instructions").exists()
    press("CHECK")
    assert "as they came" in session.notices[0]
    (folder / "vae" / "config.json").write_text("{}")
    fails("vae/config.json is damaged", bpy.ops.headsculpt.packs, action="CHECK")
    assert "vae/config.json" in session.card.message and session.card.advice
    press("GET")
    assert not session.card and models.chosen_model(options)
    assert max(hub.sent[key] / len(hub.files[key]) for key in hub.sent if "vae/config" not in key) == 1
    press("REMOVE")
    assert not folder.exists()


def test_a_fine_tune_needs_the_landmark_net_alone(addon: Addon, options: Any, hub: FakeHub, tmp_path: Path) -> None:
    models = addon("models")
    options.base = str(tmp_path / "tuned.safetensors")
    press("GET")
    assert {key.partition("/")[0] for key in hub.sent} == {"CrucibleAI"}
    bpy.ops.headsculpt.add_lora(filepath=str(tmp_path / "clay.safetensors"))
    bpy.ops.headsculpt.add_lora(filepath=str(tmp_path / "ink.safetensors"))
    options.loras[1].weight = 0.25
    chosen = models.chosen_model(options)
    assert chosen["base"] == tmp_path / "tuned.safetensors"
    assert chosen["lora"] == ((tmp_path / "clay.safetensors", 1.0), (tmp_path / "ink.safetensors", 0.25))
    bpy.ops.headsculpt.remove_lora(index=0)
    assert len(models.chosen_model(options)["lora"]) == 1


def test_the_choice_reaches_the_worker(addon: Addon, options: Any, tmp_path: Path) -> None:
    options.model = "FOLDER"
    fails("No folder of a model", bpy.ops.headsculpt.generate, prompt="a head")
    options.pack = str(tmp_path)
    models = addon("models")
    assert models.chosen_model(options)["pack"] == tmp_path
    options.model = "POCKET"
    assert models.chosen_model(options) == {}


def test_nothing_is_asked_for_while_blender_is_offline(addon: Addon, options: Any, hub: FakeHub) -> None:
    bpy.context.preferences.system.use_online_access = False
    fails("Allow Online Access", bpy.ops.headsculpt.packs, action="GET")
    card = addon("pump").session.card
    assert "Allow Online Access" in card.message and "System" in card.advice
    assert not hub.requests and addon("pump").session.link is None


def test_an_error_is_a_card_and_the_next_press_goes_on(addon: Addon, options: Any, hub: FakeHub) -> None:
    session = addon("pump").session
    hub.token = "hf_right"
    fails("who say who they are", bpy.ops.headsculpt.packs, action="GET")
    assert "HF_TOKEN" in session.card.advice and not session.busy
    hub.token = ""
    press("GET")
    assert session.card is None


def test_a_download_can_be_cancelled_and_gone_on_with(addon: Addon, options: Any, hub: FakeHub, until: Until) -> None:
    pump, models = addon("pump"), addon("models")
    hub.faults[f"GET {NET}"] = [status(429, Retry_After="600")]
    pump.start(models.pack_request(options, "get"), None)
    until(lambda: pump.session.job and "Waiting" in pump.session.job.progress.stage)
    assert pump.session.job.progress.seconds_left > 500 and not pump.session.can_stop
    options.model = "POCKET"
    fails("fetched or checked already", bpy.ops.headsculpt.generate, prompt="a head")
    options.model = "SD15"
    assert pump.session.busy and pump.session.card is None
    pump.session.cancel()
    until(lambda: not pump.session.busy)
    assert pump.session.card is None and pump.session.link.alive
    press("GET")
    assert hub.sent[NET] == len(hub.files[NET]) and max(hub.sent[key] / len(hub.files[key]) for key in hub.sent) == 1


def test_a_download_goes_on_when_another_file_is_opened(addon: Addon, options: Any, hub: FakeHub, until: Until) -> None:
    pump, models = addon("pump"), addon("models")
    hub.faults[f"GET {NET}"] = [status(429, Retry_After="2")]
    pump.start(models.pack_request(options, "get"), None)
    until(lambda: pump.session.job and "Waiting" in pump.session.job.progress.stage)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    assert pump.session.busy
    until(lambda: not pump.session.busy)
    assert pump.session.card is None and "complete" in pump.session.notices[0]


ICONS = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items


class Layout:
    """Takes everything that a panel draws, as far as Blender would, and keeps the texts."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def label(self, text: str = "", icon: str = "NONE") -> None:
        assert icon in ICONS
        self.texts.append(text)

    def prop(self, data: Any, name: str, **options: Any) -> None:
        assert hasattr(data, name)
        self.texts.append(options.get("placeholder", name))

    def operator(self, name: str, text: str = "", icon: str = "NONE") -> Any:
        assert icon in ICONS
        self.texts.append(text)
        module, _, function = name.partition(".")
        return Properties(getattr(getattr(bpy.ops, module), function).get_rna_type().properties)

    def __getattr__(self, name: str) -> Callable[..., Layout]:
        return lambda *_, **__: Layout(self.texts)


class Properties:
    """An operator's, which may be set if it has them."""

    def __init__(self, known: Any) -> None:
        object.__setattr__(self, "known", known)

    def __setattr__(self, name: str, value: object) -> None:
        assert name in self.known


def test_the_panel_says_size_licence_place_and_room(addon: Addon, options: Any, hub: FakeHub, tmp_path: Path) -> None:
    panel, texts = addon("model_panel"), list[str]()
    panel.draw_download(Layout(texts), options, 1e9)
    shown = "\n".join(texts)
    for words in ("2.13 GB", "723.0 MB", "CreativeML OpenRAIL-M", "Commercial use", str(tmp_path / "models"), "free"):
        assert words in shown
    assert "Download" in texts and "Remove" not in texts
    press("GET")
    texts.clear()
    panel.draw_download(Layout(texts), options, 1e9)
    assert "Download" not in texts and "Check" in texts and "Remove" in texts
    bpy.ops.headsculpt.add_lora(filepath=str(tmp_path / "clay.safetensors"))
    panel.draw_changes(Layout(texts), options)
    bpy.context.preferences.system.use_online_access = False
    press("REMOVE")
    panel.draw_download(Layout(texts), options, 1e9)
    assert "Blender's “Allow Online Access” is off" in texts
    options.store = ""
    texts.clear()
    panel.draw_download(Layout(texts), options, 1e9)
    assert any("packs" in text and "headsculpt" in text for text in texts), "the extension's own folder"
