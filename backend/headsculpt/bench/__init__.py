# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements of the kernels, the stages and the line."""
