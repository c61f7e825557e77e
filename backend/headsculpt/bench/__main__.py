# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m headsculpt.bench"""

from __future__ import annotations

from headsculpt.bench import line, shape


def main() -> None:
    """Prints medians in milliseconds, ours beside the reference's."""
    print(f"{'medians in ms':70}{'ours':>10}{'reference':>12}{'ratio':>8}")
    for room in (shape, line):
        for name, ours, reference in room.rows():
            print(f"{name:70}{ours:10.2f}{reference:12.2f}{reference / ours:7.1f}×", flush=True)


if __name__ == "__main__":
    main()
