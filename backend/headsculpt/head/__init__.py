# SPDX-License-Identifier: GPL-3.0-or-later
"""Head models: the shape that a result grows from, its regions and its facial landmarks."""
