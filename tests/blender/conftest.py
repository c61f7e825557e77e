# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on as a user has it: its zip installed into an empty Blender, talking to a worker of its own."""

from __future__ import annotations

import importlib
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

bpy = pytest.importorskip("bpy", reason="these tests run in Blender's environment: python build.py test")

ID = "bl_ext.user_default.headsculpt"
FAKE_WORKER = Path(__file__).parent.parent / "fake_worker.py"


def setting(name: str) -> str:
    if name not in os.environ:
        pytest.exit(f"{name} is not set: these tests are started by `python build.py test`", returncode=2)
    return os.environ[name]


@pytest.fixture(scope="session")
def installed() -> Iterator[None]:
    """The zip, installed and enabled by Blender itself, in the empty folder BLENDER_USER_RESOURCES."""
    setting("BLENDER_USER_RESOURCES")
    bpy.ops.extensions.package_install_files(
        filepath=setting("HEADSCULPT_PACKAGE"), repo="user_default", enable_on_install=True
    )
    assert ID in bpy.context.preferences.addons
    yield
    bpy.ops.preferences.addon_disable(module=ID)  # a handler that is still registered at exit hangs the module


@pytest.fixture(scope="session")
def addon_module(installed: None) -> Callable[[str], ModuleType]:
    """The add-on's modules by name."""
    return lambda name: importlib.import_module(f"{ID}.{name}")


def forget_model() -> None:
    """The built-in model and nothing beside it: preferences stay from one test to the next. They are looked up each
    time, since a test that enables the add-on anew leaves others in their place."""
    preferences = bpy.context.preferences.addons[ID].preferences
    preferences.model, preferences.pack, preferences.store, preferences.base = "POCKET", "", "", ""
    preferences.loras.clear()


@pytest.fixture
def addon(addon_module: Callable[[str], ModuleType]) -> Iterator[Callable[[str], ModuleType]]:
    """The add-on's modules by name, in an empty scene, with the fake worker as its worker."""

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    session = addon_module("pump").session
    preferences = bpy.context.preferences.addons[ID].preferences
    preferences.worker_command = shlex.join([setting("HEADSCULPT_WORKER_PYTHON"), str(FAKE_WORKER)])
    forget_model()
    yield addon_module
    forget_model()
    session.disconnect()
    session.finish()
    session.card = None
    addon_module("scene").remove_previews()


@pytest.fixture
def begin(addon: Callable[[str], ModuleType]) -> Callable[..., None]:
    """Starts a job as a button does: without waiting for it. The test then calls `until`."""
    pump, operators, scene = addon("pump"), addon("operators"), addon("scene")

    def start(prompt: str, head: bpy.types.Object | None = None, **fields: object) -> None:
        depsgraph = bpy.context.evaluated_depsgraph_get()
        shape = addon("head").chosen_head(head, depsgraph) if head else None
        request = operators.GenerateRequest(prompt, head=shape, **fields)
        pump.start(request, scene.target_of(head, bpy.context))

    return start


@pytest.fixture
def until(addon: Callable[[str], ModuleType]) -> Callable[..., None]:
    """Turns the pump until something is so: the module has no event loop that would."""
    pump = addon("pump")

    def turn(condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never became so"
            pump.tick()
            time.sleep(0.01)

    return turn
