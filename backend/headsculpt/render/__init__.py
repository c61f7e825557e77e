# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of fields and meshes: cameras, rays, triangles, light. Knows nothing of prompts."""
