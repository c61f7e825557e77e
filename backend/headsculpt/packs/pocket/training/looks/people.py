# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a bare head: identity and expression."""

from __future__ import annotations

import numpy as np

from .....head.model import HeadModel
from .anatomy import Array
from .words import EXPRESSIONS, Look


def shape(model: HeadModel, look: Look) -> Array:
    """The model's vertices [V, 3], metres, with the identity and the expression of a look."""
    return model.posed(np.asarray(look.identity, np.float32), EXPRESSIONS[look.expression])
