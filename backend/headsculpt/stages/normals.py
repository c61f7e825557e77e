# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a depth picture, for shading what volume rendering shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def depth_normals(origins: Tensor, directions: Tensor, depth: Tensor) -> Tensor:
    """World-space normals of the surface that a depth picture shows.

    origins [B, 3], directions [B, H, W, 3] (unit), depth [B, H, W] along the rays → [B, H, W, 3], towards the viewer.
    The positions are smoothed over 3×3 pixels first: expected depths of a sampled ray are noisy.
    """
    points = origins[:, None, None, :] + directions * depth[..., None]
    points = points.permute(0, 3, 1, 2)
    points = F.avg_pool2d(F.pad(points, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    right = F.pad(points[..., 2:] - points[..., :-2], (1, 1, 0, 0), mode="replicate")
    up = F.pad(points[..., :-2, :] - points[..., 2:, :], (0, 0, 1, 1), mode="replicate")
    normals = torch.linalg.cross(right, up, dim=1)
    return F.normalize(normals, dim=1, eps=1e-8).permute(0, 2, 3, 1)
