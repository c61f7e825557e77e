# SPDX-License-Identifier: GPL-3.0-or-later
"""Model packs: what a folder of weights is and how it is loaded. Knows nothing of jobs."""
