# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on in a real Blender with its window: installed from its zip and worked with mouse and keys, as by an artist.

The Blender is Debian's, in a folder of its own (`make_root.sh`: minutes and 1.5 GiB once), on a virtual screen.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
ROOT = CHECKOUT / "out" / "window" / "trixie"
OUT = CHECKOUT / "out" / "window" / "run"
WRITE_FLAME = """
import sys
from pathlib import Path
from flame_files import arrays_of, flame_pickle
from headsculpt.evaluation.flame_stand_in import flame_stand_in
Path(sys.argv[1]).write_bytes(flame_pickle(arrays_of(flame_stand_in())))
"""


def why_not() -> str:
    """Why this can not be done on this machine; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a root folder with a Blender of its own needs Linux and root"
    if not shutil.which("unshare") or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "mount namespaces are not allowed here"
    if not (shutil.which("debootstrap") or shutil.which("apt-get")):
        return "debootstrap is not here and can not be installed"
    return ""


@pytest.fixture(scope="session")
def root() -> Path:
    if reason := why_not():
        pytest.skip(reason)
    if not (ROOT / "usr" / "bin" / "blender").exists():
        made = subprocess.run(["bash", HERE / "make_root.sh", "trixie", ROOT], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"the folder could not be made: {made.stderr[-300:]}")
    return ROOT


def drive(root: Path, story: str, worker: list[str], prompt: str = "") -> list[str]:
    """Lets Blender follow a story; returns what it said. Screenshots are in OUT afterwards."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    package = sorted((CHECKOUT / "dist").glob("headsculpt-*.zip"))
    assert package, "run `python build.py package` first"
    python = Path(os.path.realpath(worker[0]))
    interpreter = python.parents[1]
    done = OUT / "steps.txt"
    blender = ["blender", "--enable-event-simulate", "--python-exit-code", "1", "--python", HERE / story]
    arguments = [package[-1], shlex.join(worker), prompt, done]
    finished = subprocess.run(
        ["bash", HERE / "window.sh", root, OUT, *blender, "--", *arguments],
        env={**os.environ, "BIND": f"{CHECKOUT}:{CHECKOUT} {interpreter}:{interpreter}", "SHOT_EVERY": "2"},
        timeout=900,
    )
    steps = done.read_text(encoding="utf-8").splitlines() if done.exists() else []
    log = OUT / "blender.log"
    assert finished.returncode == 0, "\n".join([*steps, log.read_text(errors="replace")[-2000:]])
    return steps


def worker_python() -> str:
    return os.environ.get("HEADSCULPT_WORKER_PYTHON", str(CHECKOUT / ".envs" / "worker" / "bin" / "python"))


@pytest.mark.slow
def test_a_head_by_mouse_and_keys(root: Path) -> None:
    steps = drive(root, "drive.py", [worker_python(), str(CHECKOUT / "tests" / "fake_worker.py")], "a red slow ball")
    for step in (
        "Add Head is pressed",
        "Random Head is pressed",
        "the prompt is written",
        "Generate is pressed",
        "a head grows",
        "undone",
        "redone",
        "the error card is there",
    ):
        assert step in steps
    shots = sorted(OUT.glob("*.png"))
    assert any(colored(shot, (200, 60, 0)) for shot in shots[-8:]), "the head's colour is on no screenshot"


@pytest.mark.slow
def test_landmarks_by_mouse(root: Path) -> None:
    """With the real worker. `HEADSCULPT_PICTURES=docs/pictures` makes the documentation's picture anew."""
    steps = drive(root, "drive_landmarks.py", [worker_python(), "-m", "headsculpt", "worker"])
    for step in (
        "Find Landmarks is pressed",
        "the landmarks are found",
        "a landmark is dragged to where the mouse is",
        "Esc puts a landmark back",
        "one undo takes the drag back",
        "and a redo brings it again",
        "Refit is pressed",
        "the others have followed, and the one that was dragged has not",
        "Show Landmarks is pressed",
        "Forget is pressed",
        "a cube is refused",
        "Place by Hand is pressed",
    ):
        assert step in steps
    shown, hidden = (pixels(OUT / f"{name}.png") for name in ("shown", "hidden"))
    assert (shown != hidden).any(-1).mean() > 0.002, "the landmarks are on no screenshot"
    if folder := os.environ.get("HEADSCULPT_PICTURES"):
        view = Image.fromarray(shown).crop((60, 84, 1030, 690))
        view.save(CHECKOUT / folder / "landmarks.jpg", quality=85, optimize=True)


@pytest.mark.slow
def test_a_flame_head_by_mouse(root: Path) -> None:
    """Of a file of FLAME's layout that does not say its version; the real reading, and a quick worker that grows."""
    path = os.pathsep.join([str(CHECKOUT / "tests" / "unit"), str(CHECKOUT / "backend")])
    file = OUT.parent / "flame.pkl"
    subprocess.run([worker_python(), "-c", WRITE_FLAME, file], env={**os.environ, "PYTHONPATH": path}, check=True)
    steps = drive(root, "drive_flame.py", [worker_python(), str(CHECKOUT / "tests" / "fake_worker.py")], "a red ball")
    for step in (
        "Add FLAME Head is pressed",
        "a FLAME head is the head shape",
        "one undo takes it away",
        "and a redo brings it again",
        "Shape1 is dragged",
        "Jaw is dragged",
        "Random Head is pressed",
        "one undo takes the random head back",
        "and a redo brings the random head again",
        "Generate is pressed",
        "the head was sent as it stood",
    ):
        assert step in steps
    added, moved = (pixels(OUT / f"{name}.png") for name in ("added", "jaw"))
    assert (added != moved)[100:690, 60:770].any(-1).mean() > 0.01, "the sliders moved nothing in the 3D view"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def colored(path: Path, color: tuple[int, int, int]) -> bool:
    """Whether at least a hundredth of the picture has about this hue: red well above green, green above blue."""
    picture = pixels(path).astype(np.float32)
    share = picture / np.maximum(picture.max(-1, keepdims=True), 1)
    wanted = np.array(color, np.float32) / max(color)
    near = (np.abs(share - wanted) < 0.25).all(-1) & (picture.max(-1) > 60)
    return bool(near.mean() > 0.01)
