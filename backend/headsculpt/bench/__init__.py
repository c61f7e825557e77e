# SPDX-License-Identifier: GPL-3.0-or-later
"""What costs how much, beside a reference that does the same plainly: `headsculpt bench`, `python build.py bench`."""
