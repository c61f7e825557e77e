# SPDX-License-Identifier: GPL-3.0-or-later
"""All measurements, printed."""

from __future__ import annotations

from headsculpt.bench import line, render, shape
from headsculpt.bench.stages import stage_rows


def print_table() -> None:
    """Prints medians in milliseconds, ours beside the reference's; then a job's stages."""
    print(f"{'medians in ms':88}{'ours':>10}{'reference':>12}{'ratio':>9}")
    for room in (shape, render, line):
        for name, ours, reference in room.rows():
            print(f"{name:88}{ours:10.2f}{reference:12.2f}{reference / ours:8.1f}×", flush=True)
    print(f"\n{'a job with the Preview preset':40}{'steps/s':>10}{'in the diffusion model':>26}")
    for stage, speed, share in stage_rows():
        print(f"{stage:40}{speed:10.2f}{share:26.0%}")
