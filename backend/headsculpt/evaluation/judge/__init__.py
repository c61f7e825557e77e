# SPDX-License-Identifier: GPL-3.0-or-later
"""A small network that reads from pictures what a head shows, trained apart from the pack."""
