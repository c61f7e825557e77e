# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of the landmark map against MediaPipe's own lists; skipped where it is not installed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from headsculpt.render.landmark_map import LINES

OVAL, LIPS = (10, 200, 10), (10, 180, 10)
RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW = (180, 200, 10), (10, 200, 180), (180, 220, 10), (10, 220, 180)


def mediapipe_connections() -> dict[tuple[int, int, int], set[frozenset[int]]]:
    """MediaPipe's lists by the colour that the ControlNet knows them in, from whichever API is installed."""
    pytest.importorskip("mediapipe")
    try:
        from mediapipe.tasks.python.vision import FaceLandmarksConnections as Lists

        named = {
            OVAL: Lists.FACE_LANDMARKS_FACE_OVAL,
            LIPS: Lists.FACE_LANDMARKS_LIPS,
            RIGHT_EYE: Lists.FACE_LANDMARKS_RIGHT_EYE,
            LEFT_EYE: Lists.FACE_LANDMARKS_LEFT_EYE,
            RIGHT_BROW: Lists.FACE_LANDMARKS_RIGHT_EYEBROW,
            LEFT_BROW: Lists.FACE_LANDMARKS_LEFT_EYEBROW,
        }
        return {color: {frozenset((c.start, c.end)) for c in edges} for color, edges in named.items()}
    except ImportError:
        from mediapipe.python.solutions import face_mesh_connections as lists

        sets = {
            OVAL: lists.FACEMESH_FACE_OVAL,
            LIPS: lists.FACEMESH_LIPS,
            RIGHT_EYE: lists.FACEMESH_RIGHT_EYE,
            LEFT_EYE: lists.FACEMESH_LEFT_EYE,
            RIGHT_BROW: lists.FACEMESH_RIGHT_EYEBROW,
            LEFT_BROW: lists.FACEMESH_LEFT_EYEBROW,
        }
        return {color: {frozenset(edge) for edge in edges} for color, edges in sets.items()}


def test_connections_are_mediapipes() -> None:
    reference = mediapipe_connections()
    ours = {color: {frozenset(edge) for chain in chains for edge in pairwise(chain)} for color, chains in LINES}
    assert ours == reference
