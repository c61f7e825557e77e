# SPDX-License-Identifier: GPL-3.0-or-later
"""The optimisation: a coarse radiance field, then a fine surface."""
