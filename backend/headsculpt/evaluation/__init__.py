# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a finished head show what was asked for? Colours and shape measured on the files that a user gets."""
