# SPDX-License-Identifier: GPL-3.0-or-later
"""HeadSculpt's worker: turns words into textured 3D heads (HeadSculpt, NeurIPS 2023)."""

__version__ = "0.1.0"
