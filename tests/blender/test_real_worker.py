# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed add-on with the real worker, which computes with a tiny pack of random weights and is stopped early."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from conftest import ID, setting

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by the worker's Python: this one has no torch."""
    folder = tmp_path_factory.mktemp("pack")
    code = (
        "import sys; from pathlib import Path; from tiny_pack import make_tiny_pack; make_tiny_pack(Path(sys.argv[1]))"
    )
    subprocess.run(
        [setting("HEADSCULPT_WORKER_PYTHON"), "-c", code, folder],
        env={**os.environ, "PYTHONPATH": f"{TESTS / 'unit'}:{TESTS.parent / 'backend'}"},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def real(installed: None, addon_module: Callable[[str], ModuleType], pack: Path) -> Iterator[ModuleType]:
    """The pump of an add-on that is set up with the real worker; one worker for all tests of this file."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    preferences = bpy.context.preferences.addons[ID].preferences
    preferences.worker_command = shlex.join([setting("HEADSCULPT_WORKER_PYTHON"), "-m", "headsculpt", "worker"])
    preferences.model, preferences.pack = "FOLDER", str(pack)
    preferences.threads = 1
    pump = addon_module("pump")
    yield pump
    pump.session.disconnect()
    preferences.model, preferences.pack, preferences.threads = "POCKET", "", 0


def fails(words: str, prompt: str = "a head") -> None:
    before = sorted(bpy.data.objects.keys())
    with pytest.raises(RuntimeError, match=words) as caught:
        bpy.ops.headsculpt.generate(prompt=prompt)
    assert sorted(bpy.data.objects.keys()) == before
    assert len(str(caught.value).splitlines()) == 1, "one sentence and what to do"


def test_a_head_grows_where_the_chosen_one_stands(
    real: ModuleType, addon_module: Callable[[str], ModuleType], pack: Path
) -> None:
    """To its first mesh; then it is cancelled. The whole way is the demo's, with a pack that knows what a head is."""
    bpy.ops.headsculpt.add_head()
    head = bpy.context.view_layer.objects.active
    head.location, head.rotation_euler, head.scale = (3, 0, 1), (0, 0, 1), (10, 10, 10)
    bpy.context.view_layer.update()
    scene, session = addon_module("scene"), real.session
    shape = addon_module("head").chosen_head(head, bpy.context.evaluated_depsgraph_get())
    request = addon_module("operators").GenerateRequest("a bald zorp head", head=shape, pack=pack, threads=1)
    real.start(request, scene.target_of(head, bpy.context))
    key = session.job.key
    follow(real, lambda: scene.find_preview(key) or not session.busy)
    assert session.card is None
    expected = corners(head)
    apart = np.abs(corners(scene.find_preview(key)) - expected).max()
    assert apart < 0.3 * np.ptp(expected, axis=0).max(), "it does not grow where the chosen head stands"
    assert session.job.progress.step >= 10, "before that there is only the chosen head to see"
    assert any("zorp" in notice for notice in session.notices)
    bpy.ops.headsculpt.cancel()
    follow(real, lambda: not session.busy)
    assert bpy.data.objects.keys() == ["Head"] and session.card is None


def follow(pump: ModuleType, until: Callable[[], object]) -> None:
    end = time.monotonic() + 300
    while not until():
        assert time.monotonic() < end, f"{pump.session.job.progress}\n{pump.session.link.log()}"
        pump.tick()
        time.sleep(0.02)


def corners(obj: bpy.types.Object) -> np.ndarray:
    """Lowest and highest world coordinates [2, 3]."""
    local = np.array([vertex.co for vertex in obj.data.vertices])
    matrix = np.array(obj.matrix_world)
    world = local @ matrix[:3, :3].T + matrix[:3, 3]
    return np.stack([world.min(0), world.max(0)])


def test_a_prompt_of_which_no_word_is_known(real: ModuleType) -> None:
    fails("knows no word of this prompt", "zorp blimp")


def test_a_pack_that_is_not_there(real: ModuleType, pack: Path, tmp_path: Path) -> None:
    use_pack(tmp_path / "nothing")
    fails("no model pack at .*nothing")
    use_pack(pack)


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "missing"),
        ("tokenizer/tokenizer.json", "missing"),
        ("unet/diffusion_pytorch_model.safetensors", "truncated"),
        ("pack.json", "truncated"),
    ],
)
def test_a_pack_that_is_damaged(real: ModuleType, pack: Path, tmp_path: Path, file: str, harm: str) -> None:
    damaged = tmp_path / "pack"
    shutil.copytree(pack, damaged)
    victim = damaged / file
    if harm == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    use_pack(damaged)
    fails(f"pack.*{Path(file).name}|{Path(file).name}.*damaged|The tokenizer in .* is damaged")
    use_pack(pack)


def use_pack(folder: Path) -> None:
    bpy.context.preferences.addons[ID].preferences.pack = str(folder)
