# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job did, for whoever wants to know where a head comes from or to make it again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from headsculpt import __version__

LIBRARIES = ("torch", "diffusers", "transformers", "numba", "numpy", "scipy", "libigl")


def versions() -> dict[str, str]:
    """Of everything that a result depends on."""
    return {
        "headsculpt": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        **{name: version(name) for name in LIBRARIES},
    }


def provenance(report: Mapping[str, Any]) -> dict[str, Any]:
    """What travels inside exported files: the whole report, and in plain words what kind of thing this is."""
    return {"AI-generated": True, "generator": f"HeadSculpt {__version__}", "headsculpt": dict(report)}


def report_file(report: Mapping[str, Any]) -> bytes:
    """report.json's content."""
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
