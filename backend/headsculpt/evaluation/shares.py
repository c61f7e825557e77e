# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of successes and how far they can be trusted."""

from __future__ import annotations

import math

Z = 1.959964
"""Of 95 %, two-sided."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); all of 0 … 1 when nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = 1 + Z**2 / trials
    middle = (share + Z**2 / (2 * trials)) / spread
    half = Z / spread * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def share_text(successes: int, trials: int) -> str:
    """“41 of 48, 85 % (73–93 %)”."""
    low, high = wilson(successes, trials)
    share = successes / trials if trials else math.nan
    return f"{successes} of {trials}, {share:.0%} (95 % interval {low:.0%} to {high:.0%})"


def difference(successes: int, trials: int, others: int, other_trials: int) -> tuple[float, float]:
    """The 95 % interval of how much larger the first of two independent shares is (Newcombe 1998, method 10)."""
    first, second = wilson(successes, trials), wilson(others, other_trials)
    share, other = successes / max(1, trials), others / max(1, other_trials)
    below = math.hypot(share - first[0], second[1] - other)
    above = math.hypot(first[1] - share, other - second[0])
    return share - other - below, share - other + above
