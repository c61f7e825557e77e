# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled kernels are found again by another copy of the code, and not by other code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = """
import numba

@numba.njit(cache=True)
def kernel(x):
    return x + {number}

if __name__ == "__main__":
    kernel(1)
    print(sum(kernel.stats.cache_hits.values()))
"""


def cache_hits(file: Path, prefix: Path) -> int:
    """Runs a file in an interpreter whose environment is said to be at `prefix`."""
    code = f"import sys, runpy; sys.prefix = {str(prefix)!r}; runpy.run_path({str(file)!r}, run_name='__main__')"
    environment = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "headsculpt.kernel_cache.EnvironmentCacheLocator"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2] / "backend")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_copy_elsewhere_finds_what_was_compiled(tmp_path: Path) -> None:
    for name in ("checkout", "extension"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernels.py").write_text(SOURCE.format(number=1))
    assert cache_hits(tmp_path / "checkout" / "kernels.py", tmp_path) == 0
    assert cache_hits(tmp_path / "extension" / "kernels.py", tmp_path) == 1
    (tmp_path / "extension" / "kernels.py").write_text(SOURCE.format(number=2))
    assert cache_hits(tmp_path / "extension" / "kernels.py", tmp_path) == 0
