# SPDX-License-Identifier: GPL-3.0-or-later
"""A bust is cut flat at the neck."""

import numpy as np
import pytest
import trimesh

from headsculpt.finish.clean import clean, cut_below, signed_volume
from headsculpt.mesh import Mesh


@pytest.mark.parametrize("height", [-0.4, 0.0, 0.137])
def test_a_ball_is_cut_to_a_closed_cap_of_the_right_volume(height: float) -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.5)
    cap = clean(cut_below(Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32)), height))
    closed = trimesh.Trimesh(cap.vertices, cap.triangles, process=False)
    assert closed.is_watertight and closed.is_winding_consistent
    depth = 0.5 - height
    expected = np.pi * depth**2 * (3 * 0.5 - depth) / 3
    assert signed_volume(cap.vertices, cap.triangles) == pytest.approx(expected, rel=5e-3)
    assert cap.vertices[:, 1].min() == pytest.approx(height, abs=1e-6)


def test_a_mesh_above_the_plane_stays_as_it_is() -> None:
    box = trimesh.creation.box((1, 1, 1))
    whole = clean(cut_below(Mesh(box.vertices.astype(np.float32), box.faces.astype(np.int32)), -0.7))
    assert len(whole.triangles) == len(box.faces)
    assert signed_volume(whole.vertices, whole.triangles) == pytest.approx(1.0)
