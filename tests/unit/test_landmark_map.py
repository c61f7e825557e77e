# SPDX-License-Identifier: GPL-3.0-or-later
"""The landmark map against pictures that can be counted by hand."""

from __future__ import annotations

import numpy as np
import torch

from headsculpt.head.builtin import load_builtin
from headsculpt.head.landmarks import COUNT, FACE_OVAL, LEFT_PUPIL, RIGHT_PUPIL
from headsculpt.head.model import Head
from headsculpt.render.camera import Camera
from headsculpt.render.landmark_map import draw, landmark_maps

OVAL, LIPS = (10, 200, 10), (10, 180, 10)
RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW = (180, 200, 10), (10, 200, 180), (180, 220, 10), (10, 220, 180)
RIGHT_PUPIL_COLOR, LEFT_PUPIL_COLOR = (250, 200, 10), (10, 200, 250)
AWAY = (-100.0, -100.0)  # outside of any picture


def where(image: np.ndarray, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of one colour."""
    row, column = np.nonzero((image == color).all(-1))
    return row, column


def view(azimuth: float, size: int = 256) -> np.ndarray:
    model = load_builtin()
    head = Head.from_vertices(model, model.vertices)
    a, e, r, f = (torch.tensor([x]) for x in (azimuth, 0.0, 1.4, 40.0))
    maps = landmark_maps(torch.from_numpy(head.landmarks), Camera.orbit(a, e, r, f, size))
    assert maps.shape == (1, 3, size, size) and maps.dtype == torch.float32
    return (maps[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def only_the_oval(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Points of which the oval alone is in the picture: there and back on one straight line."""
    points = np.full((COUNT, 2), AWAY)
    there_and_back = 1 - np.abs(np.linspace(-1, 1, len(FACE_OVAL) + 1)[:-1, None])
    points[list(FACE_OVAL)] = np.array(start) * (1 - there_and_back) + np.array(end) * there_and_back
    return points


def test_a_line_is_as_wide_as_opencv_draws_it_and_never_thinner_than_a_pixel() -> None:
    for size, rows in ((512, 3), (128, 1), (32, 1)):
        row, column = where(draw(only_the_oval((8.5, 16.5), (size - 8.5, 16.5)), size), OVAL)
        assert np.unique(row).tolist() == [16] if rows == 1 else [15, 16, 17]
        assert (column.min(), column.max()) == (8 - rows // 2, size - 9 + rows // 2)  # round ends
        assert len(row) >= rows * (size - 16)


def test_a_slanted_line_has_no_gap() -> None:
    _, column = where(draw(only_the_oval((10.2, 20.7), (101.9, 57.3)), 128), OVAL)
    assert set(range(11, 101)) <= set(column.tolist())


def test_pupils_are_squares_about_their_points() -> None:
    points = np.full((COUNT, 2), AWAY)
    points[RIGHT_PUPIL], points[LEFT_PUPIL] = (100.0, 200.0), (400.0, 210.0)
    image = draw(points, 512)
    row, column = where(image, RIGHT_PUPIL_COLOR)
    assert (row.min(), row.max(), column.min(), column.max(), len(row)) == (198, 201, 98, 101, 16)
    assert len(where(image, LEFT_PUPIL_COLOR)[0]) == 16
    assert image.any(-1).sum() == 32
    points[RIGHT_PUPIL] = (30.6, 40.4)
    row, column = where(draw(points, 64), RIGHT_PUPIL_COLOR)
    assert (row.tolist(), column.tolist()) == ([40], [30])


def test_points_outside_leave_the_map_black() -> None:
    assert not draw(np.full((COUNT, 2), AWAY), 64).any()


def test_the_subjects_left_is_on_the_right_of_a_front_view() -> None:
    image = view(0.0)
    colors = {tuple(c) for c in image.reshape(-1, 3).tolist()}
    every = {OVAL, LIPS, RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW, RIGHT_PUPIL_COLOR, LEFT_PUPIL_COLOR}
    assert colors == {*every, (0, 0, 0)}
    column = {color: where(image, color)[1].mean() for color in every}
    for right, left in ((RIGHT_EYE, LEFT_EYE), (RIGHT_BROW, LEFT_BROW), (RIGHT_PUPIL_COLOR, LEFT_PUPIL_COLOR)):
        assert column[right] < 120 < 136 < column[left]
        assert abs(column[right] + column[left] - 256) < 4
    row = {color: where(image, color)[0].mean() for color in every}
    assert row[LEFT_BROW] < row[LEFT_EYE] < row[LIPS]
    for eye, pupil in ((RIGHT_EYE, RIGHT_PUPIL_COLOR), (LEFT_EYE, LEFT_PUPIL_COLOR)):
        rows, columns = where(image, eye)
        pupil_rows, pupil_columns = where(image, pupil)
        assert columns.min() < pupil_columns.min() and pupil_columns.max() < columns.max()
        assert rows.min() <= pupil_rows.min() and pupil_rows.max() <= rows.max()


def test_from_the_subjects_left_the_left_eye_is_nearer_the_middle_of_the_face() -> None:
    image = view(35.0)  # the camera has moved to the subject's left, so the nose points to the picture's left
    left, right, oval = (where(image, color)[1] for color in (LEFT_EYE, RIGHT_EYE, OVAL))
    assert right.mean() < left.mean()
    middle = (oval.min() + oval.max()) / 2
    assert abs(left.mean() - middle) < abs(right.mean() - middle)
    assert np.ptp(left) > np.ptp(right)


def test_nothing_is_culled_in_profile_and_faces_behind_the_camera_are_not_drawn() -> None:
    assert len(where(view(90.0), RIGHT_EYE)[0]) > 0
    landmarks = torch.zeros(COUNT, 3)
    landmarks[:, 2] = 5.0  # behind the camera at z = 1.4
    a, e, r, f = (torch.tensor([x]) for x in (0.0, 0.0, 1.4, 40.0))
    assert not landmark_maps(landmarks, Camera.orbit(a, e, r, f, 32)).any()
