#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""HeadSculpt's one tool: it makes the environments, runs, tests, measures and packs the project.

Needs nothing but Python 3.11 and, the first time, a network. Everything that it makes lies inside the checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BACKEND = ROOT / "backend"
DIST = ROOT / "dist"
PYTHON = (3, 11)
"""The Python of Blender 4.2 to 5.0 and of the pinned packages."""
MAX_PACKAGE_MB = 40
KERNEL = re.compile(rb"@(njit|wp\.kernel)")
CUDA = "cu130"
"""torch's build for NVIDIA cards on Windows, where PyPI has only one for the processor. On Linux PyPI's is this one."""
EXAMPLE = "an angry old man with green skin, a red mohawk and a red beard"


class BuildError(Exception):
    """Something that the person at the keyboard can act on, in a sentence or two."""


def say(text: str) -> None:
    print(f"» {text}", flush=True)


def run(command: Sequence[str | Path], **environment: str) -> None:
    """Runs a command from the checkout's folder. Raises BuildError when it fails."""
    words = [str(word) for word in command]
    code = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}).returncode
    if code:
        raise BuildError(f"This command ended with {code}: {' '.join(words)}")


# --- environments ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the checkout, and the lists of pinned packages that make it."""

    folder: Path
    lists: tuple[Path, ...]
    purpose: str

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """Written last: an environment without it was left half-made."""
        return self.folder / "build-stamp"

    def fingerprint(self) -> str:
        """Changes with the lists and with the checkout's place (environments can not be moved)."""
        parts = [str(ROOT).encode(), *(path.read_bytes() for path in self.lists), cuda_build().encode()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def ensure(self) -> None:
        """Makes the environment, or brings it to what the lists say; does nothing when it is so already."""
        wanted = self.fingerprint()
        if self.stamp.is_file() and self.stamp.read_text() == wanted and self.python.is_file():
            return
        name = self.folder.name
        if self.stamp.is_file() and self.python.is_file():
            say(f"The lists of the {name} environment have changed: installing what is new")
            self.stamp.unlink()
        else:
            if self.folder.exists():
                say(f"The {name} environment is half-made: starting it anew")
                shutil.rmtree(self.folder)
            say(f"Making the {name} environment ({self.purpose}) in {self.folder.relative_to(ROOT)}")
            run([sys.executable, "-m", "venv", self.folder])
        for step in self.install_steps():
            say(f"Installing {' '.join(step)}")
            run([self.python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *step])
        self.stamp.write_text(wanted)
        say(f"The {name} environment is ready")

    def install_steps(self) -> Iterator[list[str]]:
        """pip's arguments: the very first package alone (see the list), then all."""
        lines = self.lists[0].read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if line and not line.startswith("#"))
        if first.startswith("torch==") and (build := cuda_build()):
            yield [f"{first}+{build}", "--index-url", f"https://download.pytorch.org/whl/{build}"]
        else:
            yield [first]
        yield [word for path in self.lists for word in ("-r", str(path.relative_to(ROOT)))]


def cuda_build() -> str:
    """The build of torch to take from PyTorch's own index, or "" for PyPI's: HEADSCULPT_TORCH says which, else it is
    CUDA on Windows with an NVIDIA driver."""
    default = CUDA if os.name == "nt" and shutil.which("nvidia-smi") else ""
    return os.environ.get("HEADSCULPT_TORCH", default)


WORKER = Environment(
    ROOT / ".envs" / "worker",
    (BACKEND / "requirements.txt", BACKEND / "requirements-dev.txt"),
    "the worker: torch, diffusers, numba …; 1 to 6 GB with the build of torch for this system",
)
BLENDER = Environment(
    ROOT / ".envs" / "blender", (BACKEND / "requirements-blender.txt",), "Blender as a Python module; about 1 GB"
)


def ensure_worker() -> None:
    """The worker's environment, with the worker importable in it and its kernels compiled."""
    WORKER.ensure()
    link_backend()
    compile_kernels()


def link_backend() -> None:
    """Lets every program of the environment find the checkout's code, and the kernels that were compiled for it."""
    locators = "headsculpt.kernel_cache.EnvironmentCacheLocator,UserWideCacheLocator"
    lines = f"{BACKEND}\nimport os; os.environ.setdefault('NUMBA_CACHE_LOCATOR_CLASSES', '{locators}')\n"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([WORKER.python, "-c", code], capture_output=True, text=True, check=True)
    (Path(found.stdout.strip()) / "headsculpt.pth").write_text(lines)


def compile_kernels() -> None:
    """Compiles numba's kernels into its cache, when their code is not what it was the last time."""
    done = WORKER.folder / "kernels-stamp"
    kernels = [code for path in files_below(BACKEND, "*.py") if KERNEL.search(code := path.read_bytes())]
    wanted = hashlib.sha256(b"\0".join(kernels)).hexdigest()
    if done.is_file() and done.read_text() == wanted:
        return
    say("Compiling the kernels (the first time about a minute)")
    run([WORKER.python, "-m", "headsculpt", "warm-up"])
    done.write_text(wanted)


def worker_command() -> str:
    """What Blender's preferences want to know."""
    return f'"{WORKER.python}" -m headsculpt worker'


# --- the package ----------------------------------------------------------------------------------------------------


def files_below(folder: Path, pattern: str = "*") -> list[Path]:
    """The files below a folder, sorted, without what tools leave behind."""
    found = (path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file())
    return [folder / path for path in sorted(found) if not any(p == "__pycache__" or p[0] == "." for p in path.parts)]


def package_contents() -> dict[str, Path]:
    """What the extension's zip holds: the path inside it and the file that lies there."""
    contents = {
        path.relative_to(ROOT / "headsculpt_blender"): path for path in files_below(ROOT / "headsculpt_blender")
    }
    contents |= {path.relative_to(ROOT): path for path in files_below(BACKEND) + files_below(ROOT / "LICENSES")}
    contents |= {Path(name): ROOT / name for name in ("blender_manifest.toml", "LICENSE")}
    return {inside.as_posix(): path for inside, path in sorted(contents.items())}


def version() -> str:
    """The manifest's version. Raises BuildError when the worker says another one."""
    patterns = {
        ROOT / "blender_manifest.toml": r'^version = "(.+)"$',
        BACKEND / "headsculpt" / "__init__.py": r'^__version__ = "(.+)"$',
    }
    found = {}
    for path, pattern in patterns.items():
        match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
        if not match:
            raise BuildError(f"{path.relative_to(ROOT)} does not say a version.")
        found[path.name] = match.group(1)
    if len(set(found.values())) != 1:
        raise BuildError(f"The versions differ: {found}")
    return found["blender_manifest.toml"]


def write_zip(target: Path, contents: dict[str, Path]) -> None:
    """Writes a zip whose bytes depend on names and contents only: no dates, no owners, no order of the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    os.replace(unfinished, target)


def package() -> Path:
    """Packs the extension and lets Blender's own validator judge it."""
    BLENDER.ensure()
    target = DIST / f"headsculpt-{version()}.zip"
    write_zip(target, package_contents())
    megabytes = target.stat().st_size / 1e6
    if megabytes > MAX_PACKAGE_MB:
        raise BuildError(f"The package has {megabytes:.1f} MB; {MAX_PACKAGE_MB} is the limit.")
    run([BLENDER.python, blenders_validator(), "validate", target])
    say(f"Packed {target.relative_to(ROOT)}: {megabytes:.1f} MB")
    return target


def blenders_validator() -> Path:
    """The script behind `blender --command extension validate`, which comes with the module."""
    found = sorted(BLENDER.folder.rglob("bl_pkg/cli/blender_ext.py"))
    if not found:
        raise BuildError(f"Blender's validator is not in {BLENDER.folder.relative_to(ROOT)}; remove that folder.")
    return found[0]


# --- the commands ---------------------------------------------------------------------------------------------------


def command_demo(options: argparse.Namespace) -> None:
    demo(options.prompt, options.seed, options.preset, options.out.resolve())


def demo(prompt: str, seed: int, preset: str, out: Path) -> None:
    """A sentence in, a head out, through the installed extension in a Blender of its own."""
    ensure_worker()
    extension = package()
    job = {"prompt": prompt, "seed": seed, "preset": preset.upper()}
    with blender_home() as home:
        run(
            [
                BLENDER.python,
                ROOT / "tests" / "demo" / "in_blender.py",
                extension,
                worker_command(),
                out,
                json.dumps(job),
            ],
            BLENDER_USER_RESOURCES=home,
        )
    say("Turning the exported head round")
    run([WORKER.python, "-m", "headsculpt.finish.turntable", out / "head.glb", out])


def blender_home() -> tempfile.TemporaryDirectory[str]:
    """An empty folder for Blender's settings and extensions, so that nobody's own are touched."""
    return tempfile.TemporaryDirectory(prefix="headsculpt-blender-", ignore_cleanup_errors=True)


def command_test(options: argparse.Namespace) -> None:
    """Runs every check to its end, says what each took, and fails when one has failed."""
    ensure_worker()
    python = WORKER.python
    # a process a core; a file's tests stay together, since they share what the first of them makes
    on_all_cores = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    unit_tests: list[str | Path] = [python, "-m", "pytest", "tests/unit", *on_all_cores]
    checks: dict[str, Callable[[], object]] = {
        "ruff check": lambda: run([python, "-m", "ruff", "check", "."]),
        "ruff format": lambda: run([python, "-m", "ruff", "format", "--check", "."]),
        "mypy": lambda: run([python, "-m", "mypy", "backend", "build.py"]),
        "unit tests": lambda: run([*unit_tests, "-m", "not slow"]),
    }
    if not options.fast:
        checks["slow unit tests"] = lambda: run([*unit_tests, "-m", "slow"])
        checks["package"] = package
        checks["Blender tests"] = test_in_blender
        checks["demo"] = test_demo
    outcome = {}
    for name, check in checks.items():
        say(name)
        start = time.monotonic()
        try:
            check()
            failure = ""
        except BuildError as error:
            failure = f"  FAILED  {error}"
        outcome[name] = (time.monotonic() - start, failure)
    print()
    for name, (seconds, failure) in outcome.items():
        print(f"{name:16}{seconds:7.1f} s{failure}")
    failed = [name for name, (_, failure) in outcome.items() if failure]
    if failed:
        raise BuildError(f"{len(failed)} of {len(outcome)} checks failed: {', '.join(failed)}")
    print(f"All {len(outcome)} checks passed.")


def test_in_blender() -> None:
    BLENDER.ensure()
    with blender_home() as home:
        run(
            [BLENDER.python, "-m", "pytest", "tests/blender"],
            BLENDER_USER_RESOURCES=home,
            HEADSCULPT_PACKAGE=str(DIST / f"headsculpt-{version()}.zip"),
            HEADSCULPT_WORKER_PYTHON=str(WORKER.python),
        )


def test_demo() -> None:
    """The README's demo, held to what it promises."""
    out = ROOT / "out" / "test-demo"
    shutil.rmtree(out, ignore_errors=True)
    demo(EXAMPLE, 0, "preview", out)
    run([WORKER.python, "-m", "pytest", "tests/demo"], HEADSCULPT_DEMO=str(out))


def command_package(options: argparse.Namespace) -> None:
    ensure_worker()
    package()
    say("Install it in Blender (Preferences > Get Extensions > Install from Disk) and enter there as worker command:")
    say(f"    {worker_command()}")


def command_bench(options: argparse.Namespace) -> int | None:
    if options.paper:
        return command_run(["bench", "--paper"])
    if options.sweep is not None:
        return command_run(["sweep", *options.sweep])
    if options.registration is not None:
        return command_run(["bench", "--registration", *options.registration])
    ensure_worker()
    BLENDER.ensure()
    run([WORKER.python, "-m", "headsculpt", "bench"])
    run([BLENDER.python, ROOT / "tests" / "blender" / "bench_import.py"])
    return None


def command_run(arguments: Sequence[str]) -> int:
    """The worker's command line, in the caller's folder and with the worker's own exit status."""
    ensure_worker()
    return subprocess.run([WORKER.python, "-m", "headsculpt", *arguments]).returncode


def command_clean(options: argparse.Namespace) -> None:
    """Removes what this tool makes: environments, packages, results, caches."""
    made = [ROOT / name for name in (".envs", "dist", "out", ".pytest_cache", ".mypy_cache", ".ruff_cache")]
    caches = [
        path for part in ("backend", "headsculpt_blender", "tests") for path in (ROOT / part).rglob("__pycache__")
    ]
    for folder in [*made, *caches, ROOT / "__pycache__"]:
        if folder.exists():
            say(f"Removing {folder.relative_to(ROOT)}")
            shutil.rmtree(folder)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python build.py", description=__doc__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, action: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        return command

    command = add("demo", command_demo, "make a head in Blender from a sentence; leaves it in --out")
    command.add_argument("prompt", metavar="PROMPT", help=f'for example "{EXAMPLE}"')
    command.add_argument("--seed", type=int, default=0, help="same seed, same head (default 0)")
    command.add_argument(
        "--preset", default="preview", choices=("preview", "standard", "paper"), help="default preview"
    )
    command.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="folder (default out/demo)")
    command = add("test", command_test, "lint, type check, unit tests, then package, Blender tests and the demo")
    command.add_argument("--fast", action="store_true", help="only what needs no Blender")
    add("package", command_package, "pack the extension into dist/ and let Blender validate it")
    command = add("bench", command_bench, "measure the kernels, the stages, the line and the import into Blender")
    command.add_argument(
        "--paper", action="store_true", help="steps per second of the Paper preset, on a graphics card"
    )
    command.add_argument(
        "--sweep", nargs=argparse.REMAINDER, help="compare presets' variants instead; --sweep --help says more"
    )
    command.add_argument(
        "--registration", nargs=argparse.REMAINDER, help="find strangers' faces instead; --registration --docs docs"
    )
    add("run", lambda _: command_run([]), "the worker's command line: python build.py run generate --help")
    add("clean", command_clean, "remove the environments, packages, results and caches")
    return top


# --- the right Python -----------------------------------------------------------------------------------------------


def find_python() -> list[str]:
    """The command of a working Python 3.11 that can make environments. Raises BuildError when there is none."""
    candidates = [[str(path)] for folder in os.get_exec_path() if (path := Path(folder, "python3.11")).is_file()]
    candidates += [["py", "-3.11"]] if shutil.which("py") else []
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {PYTHON})"
    for candidate in candidates:
        if subprocess.run([*candidate, "-c", check], capture_output=True).returncode == 0:
            return candidate
    raise BuildError(
        "Python 3.11 with venv was not found. Install it (python.org, or your system's python3.11 and "
        "python3.11-venv) and run this again; Blender and the pinned packages need that version."
    )


def main(arguments: Sequence[str]) -> int:
    try:
        if sys.version_info[:2] != PYTHON:
            return subprocess.run([*find_python(), str(ROOT / "build.py"), *arguments]).returncode
        if arguments[:1] == ["run"]:  # what follows is the worker's to read, options too
            return command_run(arguments[1:])
        options = parser().parse_args(arguments)
        if not hasattr(options, "action"):
            parser().print_help()
            return 0
        return options.action(options) or 0
    except BuildError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
