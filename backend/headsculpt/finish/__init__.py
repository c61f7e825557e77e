# SPDX-License-Identifier: GPL-3.0-or-later
"""From the optimised surface to what an artist gets: a clean mesh with UVs and textures, files, pictures, a report."""
