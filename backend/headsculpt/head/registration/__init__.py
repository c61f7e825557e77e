# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the face of any head mesh: the built-in head is fitted to it, and carries its landmarks there."""
