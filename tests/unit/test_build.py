# SPDX-License-Identifier: GPL-3.0-or-later
"""The one tool: environments that mend themselves, a package that depends on its contents alone, clear words."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build


class Machine:
    """Stands in for venv and pip: notes what was asked for, and can break down in the middle."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.breaks_at = ""

    def run(self, command: list[str | Path], **environment: str) -> None:
        words = [str(word) for word in command]
        call = "venv" if "venv" in words else " ".join(words[words.index("--no-input") + 1 :])
        self.calls.append(call)
        if call == "venv":
            python = Path(words[-1]) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True)
            python.touch()
        if self.breaks_at and self.breaks_at in call:
            raise build.BuildError("the network is gone")

    def asked(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(build, "run", machine.run)
    return machine


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Environment:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "list.txt").write_text("# why\ntorch==1.0\nother==2.0\n")
    return build.Environment(tmp_path / "a folder" / "env", (tmp_path / "list.txt",), "for a test")


MADE = ["venv", "torch==1.0", "-r list.txt"]


def test_environment_is_made_once(
    environment: build.Environment, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.ensure()
    assert machine.asked() == MADE
    assert "Installing torch==1.0\n" in capsys.readouterr().out
    environment.ensure()
    assert machine.asked() == []


def test_changed_list_is_installed_into_what_is_there(environment: build.Environment, machine: Machine) -> None:
    environment.ensure()
    machine.asked()
    environment.lists[0].write_text("torch==1.1\n")
    environment.ensure()
    assert machine.asked() == ["torch==1.1", "-r list.txt"]


def test_torch_comes_from_its_own_index_where_pypi_has_no_build_for_cards(
    environment: build.Environment, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADSCULPT_TORCH", raising=False)
    environment.ensure()
    assert machine.asked() == MADE  # neither Windows nor a driver
    cuda = f"torch==1.0+{build.CUDA} --index-url https://download.pytorch.org/whl/{build.CUDA}"
    with monkeypatch.context() as windows:
        windows.setattr(build, "cuda_build", lambda: build.CUDA)
        environment.ensure()
        assert machine.asked() == [cuda, "-r list.txt"]
    monkeypatch.setenv("HEADSCULPT_TORCH", "cpu")
    environment.ensure()
    assert machine.asked()[0] == "torch==1.0+cpu --index-url https://download.pytorch.org/whl/cpu"


def test_windows_with_an_nvidia_driver_gets_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSCULPT_TORCH", raising=False)
    monkeypatch.setattr(build.os, "name", "nt")
    for driver, wanted in (("nvidia-smi.exe", build.CUDA), (None, "")):
        monkeypatch.setattr(build.shutil, "which", lambda name, driver=driver: driver)
        assert build.cuda_build() == wanted


@pytest.mark.parametrize("breaks_at", ["venv", "torch", "-r"])
def test_half_made_environment_is_made_anew(environment: build.Environment, machine: Machine, breaks_at: str) -> None:
    machine.breaks_at = breaks_at
    with pytest.raises(build.BuildError):
        environment.ensure()
    left = environment.folder / "left by pip"
    left.touch()
    machine.asked()
    machine.breaks_at = ""
    environment.ensure()
    assert machine.asked() == MADE and not left.exists()


def test_interrupted_update_is_not_taken_for_done(environment: build.Environment, machine: Machine) -> None:
    environment.ensure()
    environment.lists[0].write_text("torch==1.1\n")
    machine.breaks_at = "-r"
    with pytest.raises(build.BuildError):
        environment.ensure()
    environment.lists[0].write_text("torch==1.0\nother==2.0\n")  # even when the list is put back
    machine.asked()
    machine.breaks_at = ""
    environment.ensure()
    assert machine.asked()[0] == "venv"


def test_a_real_environment_in_a_path_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "my checkout"
    root.mkdir()
    monkeypatch.setattr(build, "ROOT", root)
    (root / "list.txt").write_text("pip\n")  # what every environment has: no network is needed
    environment = build.Environment(root / "env", (root / "list.txt",), "for a test")
    environment.ensure()
    monkeypatch.setattr(build, "WORKER", environment)
    (root / "backend").mkdir()
    (root / "backend" / "found_it.py").touch()
    monkeypatch.setattr(build, "BACKEND", root / "backend")
    build.link_backend()
    code = "import found_it, os; print(found_it.__file__); os.environ['NUMBA_CACHE_LOCATOR_CLASSES']"
    found = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert Path(found.stdout.strip()) == root / "backend" / "found_it.py"


def test_package_bytes_depend_on_contents_alone(tmp_path: Path) -> None:
    for name, when in (("one", 1_000_000_000), ("two", 1_600_000_000)):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("b.py", "a.py") if name == "one" else ("a.py", "b.py"):
            (folder / file).write_text(f"# {file}\n")
            os.utime(folder / file, (when, when))
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "a.pyc").write_text(name)
        contents = {path.name: path for path in build.files_below(folder)}
        build.write_zip(tmp_path / f"{name}.zip", contents)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["a.py", "b.py"]
    assert not list(tmp_path.glob("*.part"))


def test_package_holds_the_extension_and_its_worker() -> None:
    contents = build.package_contents()
    for name in ("__init__.py", "blender_manifest.toml", "LICENSE", "backend/headsculpt/protocol.py"):
        assert contents[name].is_file(), name
    assert any(name.startswith("LICENSES/") for name in contents)
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in contents)


def test_versions_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BACKEND", tmp_path)
    (tmp_path / "headsculpt").mkdir()
    (tmp_path / "headsculpt" / "__init__.py").write_text('__version__ = "0.2.0"\n')
    (tmp_path / "blender_manifest.toml").write_text('schema_version = "1.0.0"\nversion = "0.2.0"\n')
    assert build.version() == "0.2.0"
    (tmp_path / "blender_manifest.toml").write_text('schema_version = "1.0.0"\nversion = "0.1.0"\n')
    with pytest.raises(build.BuildError, match="differ"):
        build.version()


def test_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([]) == 0
    shown = capsys.readouterr().out
    for command in ("demo", "test", "package", "bench", "run", "clean"):
        assert command in shown


def test_run_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(build, "command_run", lambda arguments: seen.append(arguments) or 3)
    assert build.main(["run", "--version"]) == 3
    assert build.main(["run", "generate", "a head", "--seed", "1", "--help"]) == 3
    assert seen == [["--version"], ["generate", "a head", "--seed", "1", "--help"]]


def test_missing_python_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "python3.11").write_text("#!/bin/sh\nexit 127\n")  # as pyenv's shims do
    (tmp_path / "python3.11").chmod(0o755)
    monkeypatch.setattr(build, "PYTHON", (3, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main(["package"]) == 1
    assert "Python 3.11" in capsys.readouterr().err


def test_failing_command_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(build.BuildError, match="ended with 3"):
        build.run([sys.executable, "-c", "import sys; sys.exit(3)"])
