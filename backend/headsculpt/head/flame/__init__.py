# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME, a head model that users bring as a file: reading it without trusting it, and its arithmetic."""
