# SPDX-License-Identifier: GPL-3.0-or-later
"""Warp, for the kernels of graphics cards: it carries its own compiler. Imported only where such a kernel is wanted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import warp
from torch import Tensor

wp: Any = warp
"""Untyped: what stands in a kernel is Warp's language, not Python's."""

wp.config.log_level = wp.LOG_WARNING
wp.config.kernel_cache_dir = str(Path(sys.prefix, "kernels", "warp"))  # beside numba's


def launch(kernel: Any, count: int | tuple[int, ...], *arguments: Any) -> None:
    """Runs a Warp kernel for `count` indices, on the device of its tensors and in torch's own stream.

    arguments: contiguous tensors and numbers. Returns at once; what the kernel writes is there for all that follows.
    """
    wp.init()
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None
    wp.launch(
        kernel,
        dim=count,
        inputs=[
            wp.from_torch(argument.detach(), return_ctype=True) if isinstance(argument, Tensor) else argument
            for argument in arguments
        ],
        device=wp.device_from_torch(device),
        stream=stream,
    )
