# SPDX-License-Identifier: GPL-3.0-or-later
"""What the diffusion model says about a picture: prompts by view, score distillation. Knows nothing of meshes."""
