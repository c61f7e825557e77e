# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pack's words look like: heads with skin, hair and things, made from the built-in head."""
