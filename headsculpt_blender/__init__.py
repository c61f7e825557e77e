# SPDX-License-Identifier: GPL-3.0-or-later
"""HeadSculpt for Blender: heads from words. The work is done by a program of its own; this is its face in Blender."""

from . import (
    head_operators,
    head_panel,
    landmark_operators,
    landmark_view,
    model_operators,
    model_panel,
    operators,
    panel,
    preferences,
    properties,
    pump,
)

MODULES = (
    preferences,
    properties,
    operators,
    head_operators,
    landmark_operators,
    landmark_view,
    model_operators,
    panel,
    model_panel,
    head_panel,
    pump,
)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
