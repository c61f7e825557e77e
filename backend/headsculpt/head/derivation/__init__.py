# SPDX-License-Identifier: GPL-3.0-or-later
"""What `derive_builtin.py` is made of: from ICT-FaceKit Light to the built-in head. Not used when the product runs."""
