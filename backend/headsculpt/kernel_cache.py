# SPDX-License-Identifier: GPL-3.0-or-later
"""Where numba keeps compiled kernels: with the environment, by what a source file says.

By itself numba keeps them by where the file lies. Then a worker that an extension brings along would compile anew all
that was compiled when the environment was set up. `build.py` names this class in NUMBA_CACHE_LOCATOR_CLASSES.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from numba.core.caching import InTreeCacheLocator


class EnvironmentCacheLocator(InTreeCacheLocator):
    """A folder in the environment for each version of a source file."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)
        content = hashlib.sha256(Path(py_file).read_bytes()).hexdigest()
        self._cache_path = str(Path(sys.prefix, "kernels", content[:16]))
